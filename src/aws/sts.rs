//! STS: who we are.

use std::time::Duration;

use serde::Serialize;

use super::error::{AwsError, Kind};
use super::names::AccountId;
use super::retry::{Call, Caller};

/// The first call of a session: where it gets no answer, a Region's name is likely to be wrong.
const FIRST_CALL: Duration = Duration::from_secs(30);

/// Who a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The account.
    pub account: AccountId,
    /// The principal: a user, or a session of a role.
    pub arn: String,
}

/// STS in a Region.
#[derive(Debug, Clone)]
pub struct Sts {
    caller: Caller,
    client: aws_sdk_sts::Client,
}

impl Sts {
    pub(super) fn new(caller: Caller) -> Sts {
        let config = aws_sdk_sts::config::Builder::from(caller.session.sdk())
            .region(aws_config::Region::new(caller.region.to_string()))
            .interceptor(caller.session.interceptor())
            .build();
        let client = aws_sdk_sts::Client::from_conf(config);
        Sts { caller, client }
    }

    /// Who the credentials belong to.
    ///
    /// # Errors
    /// There are none, or they are not valid.
    pub async fn identity(&self) -> Result<Identity, AwsError> {
        let call = Call::new("sts:GetCallerIdentity", "the caller").within(FIRST_CALL);
        let answer = self
            .caller
            .run(call.clone(), || self.client.get_caller_identity().send())
            .await?;
        let account = answer.account().unwrap_or_default().parse();
        let account = account
            .map_err(|error| self.caller.refuse(&call, Kind::Invalid, format!("{error}")))?;
        Ok(Identity {
            account,
            arn: answer.arn().unwrap_or_default().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cloud, HOME, region};

    #[tokio::test]
    async fn a_session_knows_whose_it_is() {
        let cloud = Cloud::start().await;
        let aws = cloud.aws().await;
        assert_eq!(aws.account().as_str(), "111111111111");
        assert!(aws.clock_skew().abs() < 60);
        cloud.fault(serde_json::json!({"operation": "GetCallerIdentity", "action": "throttle", "times": 2})).await;
        let again = aws
            .sts(&region(HOME))
            .identity()
            .await
            .expect("an identity");
        assert_eq!(&again, aws.identity());
        assert_eq!(cloud.calls("GetCallerIdentity").await.len(), 4);
    }
}
