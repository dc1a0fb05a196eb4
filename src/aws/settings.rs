//! What the configuration says about calls to AWS: `[aws]` in `alpine-ami.toml`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

/// How this program calls AWS. Everything may be left out: credentials then come from where the
/// AWS CLI takes them (environment, profiles, web identity, container, instance).
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AwsSettings {
    /// A profile of the AWS CLI's configuration; `AWS_PROFILE` where this is not given.
    pub profile: Option<String>,
    /// ARN of a role to assume before anything else.
    pub assume_role: Option<String>,
    /// The role's external id, where it asks for one.
    pub external_id: Option<String>,
    /// Roles for single commands, in place of `assume_role`: `publish = "arn:aws:iam::…"`. Commands
    /// are `build`, `diff`, `doctor`, `list`, `promote`, `prune`, `publish`, `rollback`, `share`, `test`
    /// and `verify`; `nightly` takes those of what it does.
    pub roles: BTreeMap<String, String>,
    /// Seconds that one attempt of a call may take.
    pub attempt_seconds: u64,
    /// Seconds that a call may take with all its attempts.
    pub total_seconds: u64,
    /// Minutes to wait for an AMI or a snapshot to be finished.
    pub wait_minutes: u64,
}

impl Default for AwsSettings {
    fn default() -> AwsSettings {
        AwsSettings {
            profile: None,
            assume_role: None,
            external_id: None,
            roles: BTreeMap::new(),
            attempt_seconds: 20,
            total_seconds: 300,
            wait_minutes: 120,
        }
    }
}

impl AwsSettings {
    /// For one attempt of a call.
    pub fn attempt(&self) -> Duration {
        Duration::from_secs(self.attempt_seconds.max(1))
    }

    /// For a call with all its attempts.
    pub fn total(&self) -> Duration {
        Duration::from_secs(self.total_seconds.max(1))
    }

    /// For the wait for a state.
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.wait_minutes.max(1) * 60)
    }

    /// The role that a command assumes.
    pub fn role(&self, command: &str) -> Option<&str> {
        let own = self.roles.get(command).or(self.assume_role.as_ref());
        own.map(String::as_str)
    }
}
