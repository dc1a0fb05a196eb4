//! What works, what does not, how to mend it; and the least IAM policy that the commands need.
//!
//! Nothing is made and nothing is changed. Each check stands alone: without credentials this machine
//! is looked at all the same, and a Region that does not answer costs only its own lines.
//!
//! | part | subject |
//! |---|---|
//! | [`report`] | what was found |
//! | [`configuration`], [`tools`] | what can be seen without AWS |
//! | [`sharing`] | whether customers can be given what they are to get |
//! | [`account`], [`regions`], [`permissions`], [`keys`], [`bucket`], [`build`], [`quotas`] | what AWS says |
//! | [`policy`] | the least IAM policy |

pub mod account;
pub mod bucket;
pub mod build;
pub mod configuration;
pub mod keys;
pub mod permissions;
pub mod policy;
pub mod quotas;
pub mod regions;
pub mod report;
pub mod sharing;
#[cfg(test)]
mod tests;
pub mod tools;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::aws::settings::AwsSettings;
use crate::aws::{Aws, AwsError, Region};
use crate::builder::ec2::settings::BuildSettings;
use crate::channels::settings::ChannelSettings;
use crate::publish::keys::resolve_each;
use crate::publish::settings::PublishSettings;
use crate::share::settings::ShareSettings;
use crate::sign::settings::SigningSettings;

pub use report::{Check, Group, Report, Status};

/// A call may take so many seconds with all its attempts: who asks what is wrong does not want to
/// wait as long as who publishes.
const CALL_SECONDS: u64 = 20;
/// What is asked of one Region about one subject may take so long.
const SUBJECT: Duration = Duration::from_secs(60);
/// Where STS is asked who we are if no home Region is configured.
const ANYWHERE: &str = "us-east-1";

/// What the doctor looks at.
#[derive(Debug, Clone)]
pub struct Patient {
    /// `[aws]`.
    pub aws: AwsSettings,
    /// `[publish]`.
    pub publish: PublishSettings,
    /// `[build]`.
    pub build: BuildSettings,
    /// `[share]`.
    pub share: ShareSettings,
    /// `[signing]`.
    pub signing: SigningSettings,
    /// `[[channels]]`.
    pub channels: Vec<ChannelSettings>,
    /// The command whose role is taken: what it may do is looked at.
    pub command: String,
    /// This machine.
    pub machine: tools::Machine,
    /// This program's own file.
    pub program: PathBuf,
}

impl Patient {
    /// The Regions of a release, the home Region first.
    pub fn regions(&self) -> Vec<Region> {
        let mut regions: Vec<Region> = self.publish.home.iter().cloned().collect();
        for region in &self.publish.regions {
            if !regions.contains(region) {
                regions.push(region.clone());
            }
        }
        regions
    }

    /// The session of the command.
    async fn connect(&self) -> Result<Aws, AwsError> {
        let mut settings = self.aws.clone();
        settings.total_seconds = settings.total_seconds.min(CALL_SECONDS);
        settings.attempt_seconds = settings.attempt_seconds.min(CALL_SECONDS / 2);
        let home = self.publish.home.clone();
        let home = home.unwrap_or_else(|| ANYWHERE.parse().expect("it is a Region's name"));
        Aws::connect(&settings, &self.command, &home).await
    }
}

/// The least policy for commands, and what it allows more than it would have to, in words. With
/// credentials, account and keys are named; what cannot be looked up is written as wide as it must
/// be.
pub async fn least_policy(
    patient: &Patient,
    commands: &[policy::Command],
) -> (policy::Policy, Vec<String>) {
    least_policy_as(patient, commands, patient.connect().await).await
}

/// The same with a session that was opened, or could not be.
async fn least_policy_as(
    patient: &Patient,
    commands: &[policy::Command],
    session: Result<Aws, AwsError>,
) -> (policy::Policy, Vec<String>) {
    let regions = patient.regions();
    let mut warnings = Vec::new();
    if patient.publish.home.is_none() {
        warnings.push(
            "`publish.home` is not configured: the policy does not name the Region where snapshots are made"
                .to_owned(),
        );
    }
    let mut known = BTreeMap::new();
    match &session {
        Ok(aws) => {
            for (region, key) in resolve_each(aws, &patient.publish.keys, &regions).await {
                match key {
                    Ok(key) => {
                        known.insert(region, key);
                    }
                    Err(error) => warnings.push(format!(
                        "{error}: the policy allows all keys of the account there"
                    )),
                }
            }
        }
        Err(error) => warnings.push(format!(
            "the policy names neither account nor keys, and allows those of any account whose own policies do: {error}"
        )),
    }
    let scope = policy::Scope {
        settings: &patient.publish,
        regions: &regions,
        account: session.as_ref().ok().map(Aws::account),
        keys: &known,
        signing: &patient.signing,
        catalog: patient.share.catalog,
        builds: !patient.build.base_images.is_empty(),
    };
    (policy::least(commands, &scope), warnings)
}

/// Looks at everything. A finding is no error: the report says what does not work, and
/// [`Report::has_failed`] whether anything does not.
pub async fn examine(patient: &Patient) -> Report {
    examine_as(patient, patient.connect().await, SUBJECT).await
}

/// The same with a session that was opened, or could not be.
async fn examine_as(patient: &Patient, session: Result<Aws, AwsError>, limit: Duration) -> Report {
    let mut checks = configuration::checks(&patient.publish, &patient.regions());
    let customers = &patient.share.customers;
    let file = sharing::file(customers, &patient.channels, &patient.regions());
    checks.extend(file);
    checks.extend(tools::checks(&patient.machine));
    let env = |name: &str| std::env::var(name).ok();
    let source = account::source(&patient.aws, &patient.command, env);
    checks.extend(account::checks(&session, &source));
    if let Ok(aws) = session {
        checks.extend(ask(patient, &aws, limit).await);
    }
    Report { checks }
}

/// What AWS says: first which Regions there are, since one that the account cannot use answers
/// nothing else; then all subjects in all Regions at once.
async fn ask(patient: &Patient, aws: &Aws, limit: Duration) -> Vec<Check> {
    let publish = &patient.publish;
    let all = patient.regions();
    let Some(home) = publish.home.clone() else {
        let why = "no home Region is configured";
        return vec![Check::skipped(Group::Regions, "regions", why)];
    };
    let mut asked = Asked::new(limit);
    asked.ask(Group::Regions, "regions", None, {
        let (aws, all, home) = (aws.clone(), all.clone(), home.clone());
        async move { regions::checks(&aws, &home, &all).await }
    });
    let mut checks = asked.all().await;
    let shares = patient.share.customers.is_file();
    let sharer = publish.publisher.clone().filter(|_| shares);
    let mut asked = Asked::new(limit);
    for region in regions::worth_asking(&all, &checks) {
        let (one, place, home) = (aws.clone(), region.clone(), home.clone());
        asked.ask(Group::Permissions, "ec2", Some(&region), async move {
            permissions::checks(&one, &place, &home).await
        });
        let (one, place, name) = (aws.clone(), region.clone(), publish.keys.clone());
        let sharer = sharer.clone();
        asked.ask(Group::Keys, "key", Some(&region), async move {
            keys::checks(&one, &place, &name, sharer.as_deref()).await
        });
    }
    if !patient.build.base_images.is_empty() {
        let (aws, settings, home) = (aws.clone(), patient.build.clone(), home.clone());
        let own = patient.program.clone();
        asked.ask(Group::Build, "build", None, async move {
            build::checks(&aws, &settings, &home, &own).await
        });
    }
    if let Some(bucket) = publish.bucket.clone() {
        let (aws, prefix) = (aws.clone(), publish.prefix.clone());
        let catalog = patient.share.catalog;
        asked.ask(Group::Bucket, "bucket", None, async move {
            bucket::checks(&aws, &home, (&bucket, &prefix), catalog).await
        });
    }
    checks.extend(asked.all().await);
    checks
}

/// What is being asked.
struct Asked {
    limit: Duration,
    running: JoinSet<Vec<Check>>,
}

impl Asked {
    fn new(limit: Duration) -> Asked {
        Asked {
            limit,
            running: JoinSet::new(),
        }
    }

    /// Asks; what does not answer in time becomes a check that says so.
    fn ask(
        &mut self,
        group: Group,
        name: &'static str,
        region: Option<&Region>,
        work: impl Future<Output = Vec<Check>> + Send + 'static,
    ) {
        let (limit, region) = (self.limit, region.cloned());
        self.running.spawn(async move {
            if let Ok(checks) = tokio::time::timeout(limit, work).await {
                return checks;
            }
            let found = format!("no answer within {:.0} s", limit.as_secs_f64());
            let advice = "check the network to the Region, a proxy, and AWS_ENDPOINT_URL";
            let check = Check::failed(group, name, found, Some(advice.to_owned()));
            vec![match &region {
                Some(region) => check.of(region),
                None => check,
            }]
        });
    }

    async fn all(mut self) -> Vec<Check> {
        let mut checks = Vec::new();
        while let Some(answer) = self.running.join_next().await {
            checks.extend(answer.expect("a check does not panic"));
        }
        // In the order of their subjects and Regions, not of their answers.
        checks.sort_by(|a, b| (a.group, &a.region).cmp(&(b.group, &b.region)));
        checks
    }
}
