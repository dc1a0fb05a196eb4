//! Sessions: whose credentials, which role, and clients for every Region.
//!
//! Credentials come from where the AWS CLI takes them. They are held by this module, not by the
//! SDK, so that a session that AWS says has ended is renewed at once, whatever its expiry says.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use time::OffsetDateTime;

use super::error::AwsError;
use super::names::{AccountId, Region};
use super::retry::Caller;
use super::settings::AwsSettings;
use super::sts::Identity;
use super::{ebs, ec2, kms, probe, s3, sts};
use crate::causes::chain;

/// Credentials are renewed when they have less than this left.
const MARGIN: Duration = Duration::from_secs(300);
/// Nobody asks the source of credentials again for so long, while what is held may do.
const REST: Duration = Duration::from_secs(30);
/// Opening a connection may take so long.
const CONNECT: Duration = Duration::from_secs(5);
/// What roles' sessions are called in CloudTrail.
const SESSION_NAME: &str = "alpine-ami";

/// A session with AWS: an identity, and clients for every Region.
#[derive(Debug, Clone)]
pub struct Aws {
    session: Session,
    identity: Identity,
}

impl Aws {
    /// Opens a session for a command, and asks AWS whose it is.
    ///
    /// # Errors
    /// There are no credentials, they are not valid, or the role cannot be assumed.
    pub async fn connect(
        settings: &AwsSettings,
        command: &str,
        home: &Region,
    ) -> Result<Aws, AwsError> {
        let loader = aws_config::defaults(BehaviorVersion::latest());
        Aws::of(Session::of(loader, settings, command, home).await, home).await
    }

    /// The Region that the environment or the profile names, as the AWS CLI takes it.
    pub async fn usual_region(settings: &AwsSettings) -> Option<Region> {
        let environment = EnvironmentVariableRegionProvider::new();
        let mut profile = ProfileFileRegionProvider::builder();
        if let Some(name) = &settings.profile {
            profile = profile.profile_name(name);
        }
        let chain = RegionProviderChain::first_try(environment).or_else(profile.build());
        chain.region().await?.as_ref().parse().ok()
    }

    /// A session of a test with a sandbox.
    #[cfg(test)]
    pub(crate) async fn for_tests(
        settings: &AwsSettings,
        endpoint: &str,
        (id, secret): (&str, &str),
        home: &Region,
    ) -> Aws {
        let credentials = Credentials::new(id, secret, None, None, "tests");
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .credentials_provider(credentials);
        let session = Session::of(loader, settings, "test", home).await;
        Aws::of(session, home).await.expect("a session")
    }

    async fn of(session: Session, home: &Region) -> Result<Aws, AwsError> {
        let caller = Caller {
            session: session.clone(),
            region: home.clone(),
        };
        let identity = sts::Sts::new(caller).identity().await?;
        // It is set once, here.
        let _ = session.0.account.set(identity.account.clone());
        Ok(Aws { session, identity })
    }

    /// Who the session is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The account.
    pub fn account(&self) -> &AccountId {
        &self.identity.account
    }

    /// What the configuration says about calls.
    pub fn settings(&self) -> &AwsSettings {
        self.session.settings()
    }

    /// How far AWS's clock is ahead of this machine's, in seconds, as its last answer said.
    pub fn clock_skew(&self) -> i64 {
        self.session.clock_skew()
    }

    /// When the session's credentials end, and with them what they signed, such as presigned URLs:
    /// none where they do not. If they end within `needed`, their source is asked once for other
    /// ones; if it has none, or none that last as long, those that are held do.
    pub async fn credentials_until(&self, needed: Duration) -> Option<OffsetDateTime> {
        let held = &self.session.0.held.0;
        let end = held.end(needed, SystemTime::now()).await;
        end.map(OffsetDateTime::from)
    }

    /// EC2 in a Region.
    pub fn ec2(&self, region: &Region) -> ec2::Ec2 {
        ec2::Ec2::new(self.caller(region))
    }

    /// The EBS direct APIs in a Region.
    pub fn ebs(&self, region: &Region) -> ebs::Ebs {
        ebs::Ebs::new(self.caller(region))
    }

    /// KMS in a Region.
    pub fn kms(&self, region: &Region) -> kms::Kms {
        kms::Kms::new(self.caller(region))
    }

    /// S3 in a Region.
    pub fn s3(&self, region: &Region) -> s3::S3 {
        s3::S3::new(self.caller(region))
    }

    /// STS in a Region.
    pub fn sts(&self, region: &Region) -> sts::Sts {
        sts::Sts::new(self.caller(region))
    }

    /// Calls that make nothing, in a Region.
    pub fn probe(&self, region: &Region) -> probe::Probe {
        probe::Probe::new(self.caller(region))
    }

    fn caller(&self, region: &Region) -> Caller {
        Caller {
            session: self.session.clone(),
            region: region.clone(),
        }
    }
}

/// What all clients share.
#[derive(Debug, Clone)]
pub struct Session(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sdk: SdkConfig,
    settings: AwsSettings,
    held: Held,
    account: OnceLock<AccountId>,
    skew: Skew,
}

impl Session {
    async fn of(
        loader: ConfigLoader,
        settings: &AwsSettings,
        command: &str,
        home: &Region,
    ) -> Session {
        let mut loader = loader
            .region(aws_config::Region::new(home.to_string()))
            .http_client(
                aws_smithy_http_client::Builder::new()
                    .tls_provider(tls::Provider::Rustls(
                        tls::rustls_provider::CryptoMode::AwsLc,
                    ))
                    .build_https(),
            )
            .identity_cache(IdentityCache::no_cache())
            // An attempt has a deadline of its own.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .operation_attempt_timeout(settings.attempt())
                    .build(),
            );
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        // The chain's own calls (web identity, SSO, instance metadata) are made by the SDK, with
        // the SDK's retries.
        let sdk = loader.load().await;
        let chain = sdk.credentials_provider();
        let source = match (settings.role(command), chain) {
            (Some(role), Some(chain)) => {
                let mut role = aws_config::sts::AssumeRoleProvider::builder(role)
                    .session_name(SESSION_NAME)
                    .configure(&sdk);
                if let Some(id) = &settings.external_id {
                    role = role.external_id(id);
                }
                Some(SharedCredentialsProvider::new(
                    role.build_from_provider(chain).await,
                ))
            }
            (_, chain) => chain,
        };
        let held = Held(Arc::new(HeldCredentials {
            source,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            generation: AtomicU64::new(0),
        }));
        let sdk = sdk
            .into_builder()
            .retry_config(RetryConfig::disabled())
            .credentials_provider(SharedCredentialsProvider::new(held.clone()))
            .build();
        Session(Arc::new(Shared {
            sdk,
            settings: settings.clone(),
            held,
            account: OnceLock::new(),
            skew: Skew::default(),
        }))
    }

    pub(super) fn settings(&self) -> &AwsSettings {
        &self.0.settings
    }

    pub(super) fn account(&self) -> Option<&AccountId> {
        self.0.account.get()
    }

    /// The configuration of the SDK that all clients begin with.
    pub(super) fn sdk(&self) -> &SdkConfig {
        &self.0.sdk
    }

    /// See [`Aws::clock_skew`].
    pub(super) fn clock_skew(&self) -> i64 {
        self.0.skew.0.load(Ordering::Relaxed)
    }

    /// What all clients pass their answers through.
    pub(super) fn interceptor(&self) -> impl Intercept + 'static {
        self.0.skew.clone()
    }

    /// Which credentials those are that a call made now uses.
    pub(super) fn generation(&self) -> u64 {
        self.0.held.0.generation.load(Ordering::Acquire)
    }

    /// Gets other credentials in place of those of that generation. False if there are none.
    pub(super) async fn renew(&self, generation: u64) -> bool {
        self.0.held.0.renew(generation, SystemTime::now()).await
    }
}

/// Credentials as long as they are good.
#[derive(Debug, Clone)]
struct Held(Arc<HeldCredentials>);

#[derive(Debug)]
struct HeldCredentials {
    source: Option<SharedCredentialsProvider>,
    state: Mutex<State>,
    /// Who asks the source.
    fetching: tokio::sync::Mutex<()>,
    generation: AtomicU64,
}

/// What is held, and until when nobody asks for other ones, though these end soon.
#[derive(Debug, Default)]
struct State {
    held: Option<Credentials>,
    rests_until: Option<SystemTime>,
}

/// What a call does about credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It uses those that are held.
    Use,
    /// It asks for other ones, unless somebody does; if there are none, those that are held do.
    Renew,
    /// It needs other ones.
    Fetch,
}

fn step(state: &State, now: SystemTime) -> Step {
    let Some(held) = &state.held else {
        return Step::Fetch;
    };
    let is_resting = state.rests_until.is_some_and(|until| now < until);
    match held.expiry() {
        None => Step::Use,
        Some(expiry) if is_resting || now + MARGIN < expiry => Step::Use,
        Some(expiry) if now < expiry => Step::Renew,
        Some(_) => Step::Fetch,
    }
}

/// Until when credentials are used without asking for other ones. Those that are over by this
/// machine's clock may be good by AWS's: if the source has no others, AWS decides.
fn rest(expiry: Option<SystemTime>, now: SystemTime) -> SystemTime {
    match expiry {
        Some(expiry) if now < expiry => expiry.min(now + REST),
        _ => now + REST,
    }
}

impl HeldCredentials {
    async fn get(&self, now: SystemTime) -> Result<Credentials, CredentialsError> {
        let _alone = match self.look(now) {
            (Step::Use, Some(held)) => return Ok(held),
            (Step::Renew, Some(held)) => match self.fetching.try_lock() {
                Ok(alone) => alone,
                Err(_) => return Ok(held),
            },
            _ => self.fetching.lock().await,
        };
        // Another call may have done it meanwhile.
        let good = match self.look(now) {
            (Step::Use, Some(held)) => return Ok(held),
            (Step::Renew, held) => held,
            _ => None,
        };
        if let Some(held) = &good {
            // Before the source is asked: an attempt may end while it waits for the answer.
            self.state().rests_until = Some(rest(held.expiry(), now));
        }
        match (self.fetch().await, good) {
            (Ok(fresh), _) => {
                self.keep(&fresh, now);
                Ok(fresh)
            }
            (Err(error), Some(held)) => {
                let why = chain(&error);
                tracing::warn!("the credentials end soon, and no others could be had: {why}");
                Ok(held)
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn renew(&self, generation: u64, now: SystemTime) -> bool {
        let replaced = self.replace(generation, now).await;
        if let Err(why) = &replaced {
            tracing::warn!("the session has ended, and no other credentials could be had: {why}");
        }
        replaced.is_ok()
    }

    /// When the credentials end, after the source was asked for other ones if they end within
    /// `needed`; unless it was asked a moment ago, when it had none that last longer.
    async fn end(&self, needed: Duration, now: SystemTime) -> Option<SystemTime> {
        let generation = self.generation.load(Ordering::Acquire);
        if self.asks_for_longer(needed, now) {
            // What is held may do.
            if let Err(why) = self.replace(generation, now).await {
                tracing::debug!("no credentials could be had that last longer: {why}");
            }
        }
        self.state().held.as_ref().and_then(Credentials::expiry)
    }

    /// Whether the source is to be asked because what is held ends within `needed`. Then nobody else
    /// asks it for a while.
    fn asks_for_longer(&self, needed: Duration, now: SystemTime) -> bool {
        let mut state = self.state();
        let expiry = state.held.as_ref().and_then(Credentials::expiry);
        let left = expiry.map(|expiry| expiry.duration_since(now).unwrap_or_default());
        let is_short = state.held.is_none() || left.is_some_and(|left| left < needed);
        let is_resting = state.rests_until.is_some_and(|until| now < until);
        let asks = is_short && !is_resting;
        if asks {
            state.rests_until = Some(rest(expiry, now));
        }
        asks
    }

    /// Asks the source for other credentials than those of that generation. If there are none, why.
    async fn replace(&self, generation: u64, now: SystemTime) -> Result<(), String> {
        let _alone = self.fetching.lock().await;
        if self.generation.load(Ordering::Acquire) != generation {
            // Another call has done it.
            return Ok(());
        }
        match self.fetch().await {
            Ok(fresh) if self.keep(&fresh, now) => Ok(()),
            Ok(_) => Err("their source has the same ones still".to_owned()),
            Err(error) => Err(chain(&error)),
        }
    }

    fn look(&self, now: SystemTime) -> (Step, Option<Credentials>) {
        let state = self.state();
        (step(&state, now), state.held.clone())
    }

    /// Holds what the source gave. Whether they are other ones than before.
    fn keep(&self, fresh: &Credentials, now: SystemTime) -> bool {
        let mut state = self.state();
        let secret = Credentials::secret_access_key;
        let is_other = state.held.as_ref().map(secret) != Some(secret(fresh));
        state.held = Some(fresh.clone());
        state.rests_until = Some(rest(fresh.expiry(), now));
        if is_other {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        is_other
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        match &self.source {
            Some(source) => source.provide_credentials().await,
            None => Err(CredentialsError::not_loaded("no source of credentials")),
        }
    }
}

impl ProvideCredentials for Held {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.0.get(SystemTime::now()))
    }
}

/// Reads AWS's clock from its answers.
#[derive(Debug, Clone, Default)]
struct Skew(Arc<AtomicI64>);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Skew {
    fn name(&self) -> &'static str {
        "clock skew"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let format = aws_smithy_types::date_time::Format::HttpDate;
        let said = date.and_then(|date| aws_smithy_types::DateTime::from_str(date, format).ok());
        if let (Some(said), Ok(now)) = (said, SystemTime::UNIX_EPOCH.elapsed()) {
            let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            self.0.store(said.secs() - now, Ordering::Relaxed);
        }
        Ok(())
    }
}
