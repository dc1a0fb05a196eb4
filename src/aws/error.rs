//! What went wrong in a call to AWS: doing what, on which resource, in which Region and account,
//! why, and what to do next.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::names::{AccountId, Region};
use crate::causes::chain;

/// The kinds of failure that are handled differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Too many calls; later it will do.
    Throttled,
    /// The service failed (5xx); later it may do.
    Server,
    /// No answer: refused, reset, closed, unreadable. The work may be done.
    Network,
    /// No answer in time. The work may be done.
    Timeout,
    /// The principal may not do this.
    Denied,
    /// The session has ended.
    Expired,
    /// There are no credentials, or they are not valid.
    Credentials,
    /// The resource is not there, or not yet.
    NotFound,
    /// The name, or the token with other parameters, is taken.
    Exists,
    /// A condition on the present state did not hold (`412`, `ConflictException`).
    Conflict,
    /// A quota is reached.
    Quota,
    /// AWS has no room for it just now: not of this type, not in this zone.
    Capacity,
    /// What `DryRun` answers to a call that would have been allowed.
    DryRun,
    /// Everything else: the request is wrong.
    Invalid,
}

impl Kind {
    /// Whether the same call may succeed later.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Kind::Throttled | Kind::Server | Kind::Network | Kind::Timeout
        )
    }
}

/// A call that failed. Its [`Details`] lie elsewhere: results that mostly are none stay small.
#[derive(Debug, Clone)]
pub struct AwsError(Box<Details>);

/// A call that failed, as it is told to people.
#[derive(Debug, Clone)]
pub struct Details {
    /// The action, as IAM names it: `ec2:CopyImage`.
    pub action: &'static str,
    /// On what: `ami-…`, `s3://bucket/key`.
    pub resource: String,
    /// Where.
    pub region: Region,
    /// In whose account, where that is known.
    pub account: Option<AccountId>,
    /// What kind of failure it is.
    pub kind: Kind,
    /// AWS's code, if there was an answer.
    pub code: Option<String>,
    /// AWS's words, or those of the network.
    pub message: String,
    /// AWS's number of the call.
    pub request_id: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// For how long.
    pub elapsed: Duration,
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} in {}", self.action, self.resource, self.region)?;
        if let Some(account) = &self.account {
            write!(f, " (account {account})")?;
        }
        match &self.code {
            Some(code) => write!(f, ": {code}: {}", self.message)?,
            None => write!(f, ": {}", self.message)?,
        }
        if self.attempts > 1 {
            let seconds = self.elapsed.as_secs_f64();
            write!(f, " (tried {} times in {seconds:.0} s)", self.attempts)?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for AwsError {}

impl From<Details> for AwsError {
    fn from(details: Details) -> AwsError {
        AwsError(Box::new(details))
    }
}

impl std::ops::Deref for AwsError {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl AwsError {
    /// What to do next.
    pub fn advice(&self) -> String {
        let Details { action, region, .. } = &**self;
        match self.kind {
            Kind::Throttled => format!(
                "the account makes more calls to {region} than AWS allows: run the same command again later"
            ),
            Kind::Server => {
                "AWS has a fault there: run the same command again later; it goes on where it stopped".to_owned()
            }
            Kind::Network | Kind::Timeout => format!(
                "check that {region} is a Region, the network to it, a proxy, and AWS_ENDPOINT_URL, then run the same command again; it goes on where it stopped"
            ),
            Kind::Denied if *action == "s3:GetObject" => {
                "allow s3:GetObject to the principal, and s3:ListBucket: without that, S3 says the same of what is not there; `alpine-ami doctor --iam-policy` prints the least policy".to_owned()
            }
            Kind::Denied => format!(
                "allow {action} to the principal; `alpine-ami doctor --iam-policy` prints the least policy"
            ),
            Kind::Expired => {
                "renew the credentials (`aws sso login`, or a new session) and run the same command again; it goes on where it stopped".to_owned()
            }
            Kind::Credentials => {
                "give credentials in one of the ways of the AWS CLI: `aws configure`, AWS_PROFILE, AWS_ACCESS_KEY_ID, a role; `alpine-ami doctor` checks them".to_owned()
            }
            Kind::Quota => {
                format!("remove what is no longer needed, or ask for a higher quota in {region}")
            }
            Kind::Capacity => {
                format!("name other instance types, or other zones of {region}, or try again later")
            }
            Kind::NotFound | Kind::Exists | Kind::Conflict | Kind::DryRun | Kind::Invalid => {
                "`alpine-ami doctor` checks the configuration against the account".to_owned()
            }
        }
    }
}

/// What one attempt ended with.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub kind: Kind,
    pub code: Option<String>,
    pub message: String,
    pub request_id: Option<String>,
}

/// What an error of the SDK means.
pub(super) fn attempt<E>(error: &SdkError<E, HttpResponse>) -> Attempt
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let without_answer = |kind| Attempt {
        kind,
        code: None,
        message: chain(error),
        request_id: None,
    };
    match error {
        SdkError::TimeoutError(_) => without_answer(Kind::Timeout),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => without_answer(Kind::Timeout),
        // Without credentials the SDK does not get as far as the network.
        SdkError::DispatchFailure(failure) if !failure.is_io() && is_about_identity(error) => {
            without_answer(Kind::Credentials)
        }
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => without_answer(Kind::Network),
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code().map(str::to_owned);
            let message = service.err().message().unwrap_or("no message").to_owned();
            let headers = service.raw().headers();
            let request_id = ["x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id"]
                .iter()
                .find_map(|name| headers.get(*name))
                .or_else(|| service.err().meta().extra("aws_request_id"));
            Attempt {
                kind: if is_about_snapshot(service.raw()) {
                    Kind::NotFound
                } else {
                    kind(status, code.as_deref().unwrap_or(""), &message)
                },
                code: code.or_else(|| Some(format!("HTTP {status}"))),
                message,
                request_id: request_id.map(str::to_owned),
            }
        }
        SdkError::ConstructionFailure(_) if is_about_identity(error) => {
            without_answer(Kind::Credentials)
        }
        _ => without_answer(Kind::Invalid),
    }
}

/// Whether the EBS direct APIs say that the snapshot is not one that can be used so: not there, not
/// yet, or not completed yet. Their errors give a reason beside the code.
/// <https://docs.aws.amazon.com/ebs/latest/APIReference/API_ListSnapshotBlocks.html#API_ListSnapshotBlocks_Errors>
fn is_about_snapshot(answer: &HttpResponse) -> bool {
    #[derive(serde::Deserialize)]
    struct Reasoned {
        #[serde(rename = "Reason")]
        reason: String,
    }
    let said = answer
        .body()
        .bytes()
        .map(serde_json::from_slice::<Reasoned>);
    matches!(said, Some(Ok(said)) if said.reason == "INVALID_SNAPSHOT_ID")
}

/// Whether credentials could not be had.
fn is_about_identity<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: std::error::Error + 'static,
{
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("credential") || text.contains("identity") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What a status and a code of AWS mean. The codes are those of EC2's, EBS's, KMS's, S3's and
/// STS's pages of errors.
pub fn kind(status: u16, code: &str, message: &str) -> Kind {
    match code {
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "SlowDown"
        | "RequestThrottledException"
        | "RequestThrottled"
        | "TooManyRequestsException"
        | "EC2ThrottledException"
        | "BandwidthLimitExceeded"
        | "SnapshotCreationPerVolumeRateExceeded"
        | "Client.RequestLimitExceeded" => {
            return Kind::Throttled;
        }
        "UnauthorizedOperation"
        | "AccessDenied"
        | "AccessDeniedException"
        | "NotAuthorized"
        | "AllAccessDisabled"
        | "KMSAccessDeniedException"
        | "OperationNotPermitted" => {
            return Kind::Denied;
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
            return Kind::Expired;
        }
        "AuthFailure"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidAccessKeyId"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "RequestTimeTooSkewed"
        | "InvalidToken" => return Kind::Credentials,
        "DryRunOperation" | "DryRunOperationException" => return Kind::DryRun,
        "InvalidAMIName.Duplicate"
        | "BucketAlreadyOwnedByYou"
        | "EntityAlreadyExists"
        | "AlreadyExistsException" => return Kind::Exists,
        // S3's words for a write that met another: the same call may do in a moment.
        "ConditionalRequestConflict" | "OperationAborted" => return Kind::Server,
        "PreconditionFailed"
        | "ConflictException"
        | "IdempotentParameterMismatch"
        | "IdempotentInstanceTerminated" => {
            return Kind::Conflict;
        }
        // Some of these have the status of a fault, but they last: another type or zone may do at
        // once, where this one may not for hours. `InsufficientAddressCapacity` is about the
        // addresses of the whole Region, so that no other zone has more: it stays a fault.
        // <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
        "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "InsufficientVolumeCapacity"
        | "InsufficientFreeAddressesInSubnet"
        | "UnfulfillableCapacity"
        | "SpotMaxPriceTooLow" => return Kind::Capacity,
        "NoSuchKey" | "NoSuchBucket" | "NotFound" | "NotFoundException" => return Kind::NotFound,
        "ResourceLimitExceeded"
        | "ServiceQuotaExceededException"
        | "LimitExceededException"
        | "SnapshotLimitExceeded"
        | "ConcurrentSnapshotLimitExceeded"
        | "AMIQuotaExceeded"
        | "MaxSpotInstanceCountExceeded"
        | "PendingSnapshotLimitExceeded" => return Kind::Quota,
        _ => {}
    }
    match status {
        _ if code.ends_with(".NotFound") => Kind::NotFound,
        // EBS says this for a snapshot that is not there, or not yet.
        _ if code == "ResourceNotFoundException" => Kind::NotFound,
        _ if code == "ValidationException" && message.contains("does not exist") => Kind::NotFound,
        _ if code.contains("LimitExceeded") => Kind::Quota,
        429 => Kind::Throttled,
        404 => Kind::NotFound,
        403 if code.is_empty() => Kind::Denied,
        409 | 412 => Kind::Conflict,
        500.. => Kind::Server,
        _ => Kind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_aws_means_by_them() {
        for (status, code, expected) in [
            (503, "RequestLimitExceeded", Kind::Throttled),
            (400, "ThrottlingException", Kind::Throttled),
            (503, "SlowDown", Kind::Throttled),
            (403, "UnauthorizedOperation", Kind::Denied),
            (400, "AccessDeniedException", Kind::Denied),
            (401, "AuthFailure", Kind::Credentials),
            (400, "ExpiredToken", Kind::Expired),
            (412, "DryRunOperation", Kind::DryRun),
            (400, "InvalidAMIID.NotFound", Kind::NotFound),
            (404, "ResourceNotFoundException", Kind::NotFound),
            (400, "InvalidAMIName.Duplicate", Kind::Exists),
            (412, "PreconditionFailed", Kind::Conflict),
            (409, "ConditionalRequestConflict", Kind::Server),
            (503, "ServiceUnavailable", Kind::Server),
            (500, "InternalError", Kind::Server),
            (400, "ResourceLimitExceeded", Kind::Quota),
            (400, "VcpuLimitExceeded", Kind::Quota),
            (400, "InstanceLimitExceeded", Kind::Quota),
            (400, "MaxSpotInstanceCountExceeded", Kind::Quota),
            (500, "InsufficientInstanceCapacity", Kind::Capacity),
            (500, "InsufficientAddressCapacity", Kind::Server),
            (400, "UnfulfillableCapacity", Kind::Capacity),
            (400, "IdempotentInstanceTerminated", Kind::Conflict),
            (400, "InvalidParameterValue", Kind::Invalid),
        ] {
            assert_eq!(kind(status, code, ""), expected, "{status} {code}");
        }
    }

    #[test]
    fn an_error_tells_everything() {
        let error = AwsError::from(Details {
            action: "ec2:CopyImage",
            resource: "ami-12345678".to_owned(),
            region: "eu-west-1".parse().expect("a Region"),
            account: Some("111122223333".parse().expect("an account")),
            kind: Kind::Denied,
            code: Some("UnauthorizedOperation".to_owned()),
            message: "You are not authorized.".to_owned(),
            request_id: Some("r-1".to_owned()),
            attempts: 1,
            elapsed: Duration::ZERO,
        });
        let text = "ec2:CopyImage on ami-12345678 in eu-west-1 (account 111122223333): \
                    UnauthorizedOperation: You are not authorized. [request r-1]";
        assert_eq!(error.to_string(), text);
        assert!(error.advice().starts_with("allow ec2:CopyImage"));
    }
}
