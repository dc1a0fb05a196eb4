//! What the rules that are due do to a call.

use std::time::Duration;

use super::{Action, Mishaps, Subject};
use crate::sandbox::error::ServiceError;
use crate::sandbox::limits::throttled;
use crate::sandbox::service::Service;
use crate::sandbox::sigv4;

/// What befalls a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Ids of the rules.
    pub faults: Vec<u64>,
    /// It waits so long first.
    pub delay: Duration,
    /// It is refused.
    pub refusal: Option<Refusal>,
    /// What it is to do badly.
    pub mishaps: Mishaps,
    /// Reads are stale for so long after it.
    pub stale_reads: Option<Duration>,
    /// The connection is closed without an answer once the work is done.
    pub close_after: bool,
}

/// How a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// With an error.
    Error(ServiceError),
    /// By closing the connection.
    Close,
    /// By not answering.
    Stall,
}

impl Plan {
    pub(super) fn apply(&mut self, id: u64, action: &Action, call: &Subject) {
        self.faults.push(id);
        match action {
            Action::Throttle => self.refuse(throttled(call.service, "")),
            Action::Error {
                status,
                code,
                message,
            } => {
                let message = match message.as_str() {
                    "" => "A fault that the sandbox was told to have",
                    message => message,
                };
                self.refuse(ServiceError::new(code.clone(), message).status(*status));
            }
            Action::CloseBefore => self.refusal = Some(Refusal::Close),
            Action::CloseAfter => self.close_after = true,
            Action::Delay { ms } => self.delay += Duration::from_millis(*ms),
            Action::Stall => self.refusal = Some(Refusal::Stall),
            Action::ExpireCredentials => {
                self.refuse(sigv4::Refusal::ExpiredSession.answer(call.service));
            }
            Action::Deny => self.refuse(denied(call)),
            Action::NoCapacity => self.mishaps.no_capacity = true,
            Action::FailLater { reason } => self.mishaps.fail_later = Some(reason.clone()),
            Action::StaleReads { ms } => self.stale_reads = Some(Duration::from_millis(*ms)),
        }
    }

    fn refuse(&mut self, error: ServiceError) {
        self.refusal = Some(Refusal::Error(error));
    }
}

/// What a service answers to a principal without the permission.
fn denied(call: &Subject) -> ServiceError {
    let who = call.caller.map_or("anonymous", |caller| &caller.arn);
    let what = format!(
        "User: {who} is not authorized to perform: {}:{} because no identity-based policy allows \
         the {0}:{1} action",
        call.service.name(),
        call.operation
    );
    match call.service {
        Service::Ec2 => ServiceError::new(
            "UnauthorizedOperation",
            format!("You are not authorized to perform this operation. {what}"),
        )
        .status(403),
        Service::Ebs => ServiceError::new("AccessDeniedException", what)
            .member("Reason", "UNAUTHORIZED_ACCOUNT")
            .status(403),
        Service::Kms | Service::Organizations => ServiceError::new("AccessDeniedException", what),
        Service::Sts => ServiceError::new("AccessDenied", what).status(403),
        Service::S3 => ServiceError::new("AccessDenied", "Access Denied").status(403),
    }
}
