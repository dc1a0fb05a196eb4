//! The one retry: nobody else tries again, and the SDK's own retries are off.
//!
//! A call that fails for a reason that passes is made again, after a random wait that grows, for
//! as long as its deadline allows. Every call that makes something carries a client token, or is
//! looked up by its name, so that making it again makes nothing twice; the few that can do neither
//! are [`Call::unrepeatable`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::error::{self, Attempt, AwsError, Details, Kind};
use super::names::Region;
use super::session::Session;

/// The first wait is a random part of this.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// Told of each attempt that failed and is made again.
pub type Watch = Arc<dyn Fn(Kind) + Send + Sync>;

/// A call that is to be made.
#[derive(Clone)]
pub struct Call {
    action: &'static str,
    resource: String,
    settles_within: Duration,
    total: Option<Duration>,
    watch: Option<Watch>,
    repeatable: bool,
}

impl Call {
    /// `action` as IAM names it (`ec2:CopyImage`), and on what.
    pub fn new(action: &'static str, resource: impl ToString) -> Call {
        Call {
            action,
            resource: resource.to_string(),
            settles_within: Duration::ZERO,
            total: None,
            watch: None,
            repeatable: true,
        }
    }

    /// The resource was just made: for so long, "not found" means "not yet".
    pub fn settling(self, within: Duration) -> Call {
        Call {
            settles_within: within,
            ..self
        }
    }

    /// With all its attempts it may take so long, in place of what the configuration says.
    pub fn within(self, total: Duration) -> Call {
        Call {
            total: Some(total),
            ..self
        }
    }

    /// Made again it would make something twice: it is not, where its work may be done, which is
    /// after a fault of AWS's and where no answer came. What was refused is asked for again.
    pub fn unrepeatable(self) -> Call {
        Call {
            repeatable: false,
            ..self
        }
    }

    /// Tells of attempts that are made again.
    pub fn watched(self, watch: Watch) -> Call {
        Call {
            watch: Some(watch),
            ..self
        }
    }
}

/// Makes calls in a Region.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) session: Session,
    pub(super) region: Region,
}

impl Caller {
    /// Makes a call until it succeeds, fails for good, or its time is over.
    ///
    /// # Errors
    /// What the last attempt failed with.
    pub async fn run<T, E, F>(&self, call: Call, mut send: impl FnMut() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let started = Instant::now();
        let deadline = started + call.total.unwrap_or(self.session.settings().total());
        let mut attempts = 0;
        loop {
            let generation = self.session.generation();
            attempts += 1;
            let failed = match send().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error::attempt(&error),
            };
            let wait = pause(attempts);
            let elapsed = started.elapsed();
            let again = match failed.kind {
                Kind::Expired => self.session.renew(generation).await,
                Kind::NotFound => elapsed < call.settles_within,
                Kind::Throttled => true,
                kind => kind.is_transient() && call.repeatable,
            };
            if !again || Instant::now() + wait > deadline {
                return Err(self.failed(&call, failed, attempts, elapsed));
            }
            tracing::debug!(
                action = call.action,
                resource = call.resource,
                region = %self.region,
                code = failed.code,
                attempts,
                "{}; trying again in {} ms",
                failed.message,
                wait.as_millis()
            );
            if let Some(watch) = &call.watch {
                watch(failed.kind);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// An error of a call that this program found itself, in an answer that AWS takes for good.
    pub fn refuse(&self, call: &Call, kind: Kind, message: impl Into<String>) -> AwsError {
        let failed = Attempt {
            kind,
            code: None,
            message: message.into(),
            request_id: None,
        };
        self.failed(call, failed, 1, Duration::ZERO)
    }

    fn failed(&self, call: &Call, failed: Attempt, attempts: u32, elapsed: Duration) -> AwsError {
        AwsError::from(Details {
            action: call.action,
            resource: call.resource.clone(),
            region: self.region.clone(),
            account: self.session.account().cloned(),
            kind: failed.kind,
            code: failed.code,
            message: failed.message,
            request_id: failed.request_id,
            attempts,
            elapsed,
        })
    }
}

/// Full jitter: a random part of a wait that doubles.
/// <https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>
fn pause(attempts: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << attempts.min(16).saturating_sub(1));
    doubled.min(LONGEST_WAIT).mul_f64(fastrand::f64())
}
