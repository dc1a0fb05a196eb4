//! Why a signature is refused, and what each service answers then.

use super::super::error::ServiceError;
use super::super::id::Region;
use super::super::service::Service;

/// Why a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request has no signature.
    Missing,
    /// A part of the signature is missing or not of its form.
    Incomplete(String),
    /// There is no such key, or the session's token is missing or wrong.
    UnknownKey,
    /// The session has ended.
    ExpiredSession,
    /// The request was signed too long ago, or lies in the future.
    Skewed(String),
    /// The signature does not hold, or is for something else.
    Mismatch(String),
    /// There is no such Region.
    Region(String),
    /// The account would have to opt into the Region.
    OptIn(Region),
}

/// Code and HTTP status.
type Answer = (&'static str, u16);

impl Refusal {
    /// The error that a service answers with.
    pub fn answer(self, service: Service) -> ServiceError {
        let (code, status) = match service {
            Service::Ec2 => self.ec2(),
            Service::Sts => self.sts(),
            Service::S3 => self.s3(),
            // Both status and code are of the protocol's; REST services answer 403.
            Service::Kms | Service::Organizations => (self.json(), 400),
            Service::Ebs => (self.json(), 403),
        };
        ServiceError::new(code, self.message(service)).status(status)
    }

    fn ec2(&self) -> Answer {
        match self {
            Refusal::Missing => ("MissingAuthenticationToken", 403),
            Refusal::Incomplete(_) => ("IncompleteSignature", 400),
            Refusal::UnknownKey | Refusal::Region(_) | Refusal::OptIn(_) => ("AuthFailure", 401),
            // EC2 says the same of a session that ended and of a signature that is too old.
            Refusal::ExpiredSession | Refusal::Skewed(_) => ("RequestExpired", 400),
            Refusal::Mismatch(_) => ("SignatureDoesNotMatch", 403),
        }
    }

    fn sts(&self) -> Answer {
        match self {
            Refusal::Missing => ("MissingAuthenticationToken", 403),
            Refusal::Incomplete(_) => ("IncompleteSignature", 400),
            Refusal::UnknownKey | Refusal::OptIn(_) => ("InvalidClientTokenId", 403),
            Refusal::ExpiredSession => ("ExpiredToken", 403),
            Refusal::Skewed(_) | Refusal::Mismatch(_) | Refusal::Region(_) => {
                ("SignatureDoesNotMatch", 403)
            }
        }
    }

    fn s3(&self) -> Answer {
        match self {
            Refusal::Missing => ("AccessDenied", 403),
            Refusal::Incomplete(_) | Refusal::Region(_) => ("AuthorizationHeaderMalformed", 400),
            Refusal::UnknownKey | Refusal::OptIn(_) => ("InvalidAccessKeyId", 403),
            Refusal::ExpiredSession => ("ExpiredToken", 400),
            Refusal::Skewed(_) => ("RequestTimeTooSkewed", 403),
            Refusal::Mismatch(_) => ("SignatureDoesNotMatch", 403),
        }
    }

    fn json(&self) -> &'static str {
        match self {
            Refusal::Missing => "MissingAuthenticationTokenException",
            Refusal::Incomplete(_) => "IncompleteSignatureException",
            Refusal::UnknownKey | Refusal::OptIn(_) => "UnrecognizedClientException",
            Refusal::ExpiredSession => "ExpiredTokenException",
            Refusal::Skewed(_) | Refusal::Mismatch(_) | Refusal::Region(_) => {
                "InvalidSignatureException"
            }
        }
    }

    fn message(self, service: Service) -> String {
        match self {
            Refusal::Missing => "Request is missing Authentication Token".to_owned(),
            Refusal::UnknownKey => unknown_key(service).to_owned(),
            Refusal::ExpiredSession if service == Service::Ec2 => "Request has expired.".to_owned(),
            Refusal::ExpiredSession => {
                "The security token included in the request is expired".to_owned()
            }
            Refusal::Incomplete(why) | Refusal::Skewed(why) | Refusal::Mismatch(why) => why,
            Refusal::Region(name) => format!(
                "Credential should be scoped to a valid region: '{name}' is none of the sandbox's."
            ),
            Refusal::OptIn(region) => format!(
                "{} (The account has not opted into the Region {region}.)",
                unknown_key(service)
            ),
        }
    }
}

fn unknown_key(service: Service) -> &'static str {
    match service {
        Service::Ec2 => "AWS was not able to validate the provided access credentials",
        _ => "The security token included in the request is invalid.",
    }
}
