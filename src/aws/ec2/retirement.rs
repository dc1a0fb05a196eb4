//! The end of an AMI's life: it is deprecated, and later deregistered ([`Ec2::deregister`]).
//!
//! A deprecated AMI can still be launched by whoever knows its id, and Auto Scaling groups go on with
//! it; those that it is shared with do not find it in lists any more.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html>

use aws_smithy_types::DateTime;
use time::{Duration, OffsetDateTime};

use super::Ec2;
use crate::aws::error::{AwsError, Kind};
use crate::aws::names::AmiId;
use crate::aws::retry::Call;

#[cfg(test)]
mod tests;

/// AWS takes no moment that is over, and rounds to the minute: so far ahead is surely not over when
/// the call comes there.
const SOON: Duration = Duration::minutes(2);

impl Ec2 {
    /// Lets an AMI be deprecated from a moment on, or soon if that is over. One that is gone is no
    /// error: false.
    ///
    /// # Errors
    /// Those of EnableImageDeprecation.
    pub async fn deprecate(&self, ami: &AmiId, at: OffsetDateTime) -> Result<bool, AwsError> {
        let at = at.max(self.now() + SOON);
        let call = Call::new("ec2:EnableImageDeprecation", ami);
        let request = self.client.enable_image_deprecation();
        let request = request.image_id(ami.as_str());
        let request = request.deprecate_at(DateTime::from_secs(at.unix_timestamp()));
        let asked = self.caller.run(call, || request.clone().send()).await;
        is_there(asked.map(|_| ()))
    }

    /// Takes the deprecation of an AMI back, be it over or still to come. One that is gone is no
    /// error: false.
    ///
    /// # Errors
    /// Those of DisableImageDeprecation.
    pub async fn undo_deprecation(&self, ami: &AmiId) -> Result<bool, AwsError> {
        let call = Call::new("ec2:DisableImageDeprecation", ami);
        let request = self.client.disable_image_deprecation();
        let request = request.image_id(ami.as_str());
        let asked = self.caller.run(call, || request.clone().send()).await;
        is_there(asked.map(|_| ()))
    }

    /// What time it is by AWS's clock, as its last answer said.
    pub(super) fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + Duration::seconds(self.caller.session.clock_skew())
    }

    /// Says how a protected AMI can be deregistered: AWS says only that it is protected, with the code
    /// that it has for missing rights too.
    pub(super) fn protected(&self, ami: &AmiId, error: AwsError) -> AwsError {
        if error.code.as_deref() != Some("OperationNotPermitted") {
            return error;
        }
        let why = format!(
            "it is protected from that ({}): take the protection off with `aws ec2 \
             disable-image-deregistration-protection --image-id {ami} --region {}`, and run the \
             same command again once its cooldown is over, if it has one",
            error.message,
            self.region()
        );
        let call = Call::new("ec2:DeregisterImage", ami);
        self.caller.refuse(&call, Kind::Conflict, why)
    }
}

/// Whether an AMI that something was done to is there: AWS has two words for those that are not.
fn is_there(done: Result<(), AwsError>) -> Result<bool, AwsError> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an error says that there is no such AMI, or none any more.
pub(super) fn is_gone(error: &AwsError) -> bool {
    error.kind == Kind::NotFound || error.code.as_deref() == Some("InvalidAMIID.Unavailable")
}
