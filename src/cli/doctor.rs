//! `doctor`: what works, what does not, how to mend it.

use clap::Args;

use super::{block_on, program};
use crate::config::Config;
use crate::doctor::policy::{Command, MOST_CHARACTERS};
use crate::doctor::{Patient, examine, least_policy, tools};
use crate::publish::complete::Publisher;
use crate::ui::{Failure, Status, Ui};

/// Check credentials, permissions, keys, bucket, quotas and local tools: what works, what does not,
/// how to mend it.
///
/// Nothing is made: permissions are tried by DryRun where AWS has it. Exits with 1 if something does
/// not work.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Print the least IAM policy that these commands need instead: build, publish, doctor,
    /// diff, test, share, promote, rollback, prune, nightly, verify [default: all]
    #[arg(long, value_name = "COMMAND", num_args = 0.., value_delimiter = ',')]
    iam_policy: Option<Vec<Command>>,
    /// Look with the role of this command: build, publish, doctor, diff, test, share, promote,
    /// rollback, prune, nightly or verify
    #[arg(long, value_name = "COMMAND", default_value = "publish")]
    command: Command,
}

impl DoctorArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let patient = Patient {
            aws: config.aws.clone(),
            publish: config.publish.clone(),
            build: config.build.clone(),
            share: config.share.clone(),
            signing: config.signing.clone(),
            channels: config.channels.clone(),
            command: self.command.name().to_owned(),
            machine: tools::Machine::this(),
            program: program()?,
        };
        if let Some(commands) = &self.iam_policy {
            return policy(ui, commands, &patient);
        }
        let report = block_on(async { Ok(examine(&patient).await) })?;
        ui.result(&report, || report.text())?;
        match report.has_failed() {
            true => Ok(Status::Failed),
            false => Ok(Status::Done),
        }
    }
}

/// The policy is for whoever makes the role, so it is there without credentials too; with them it
/// names the account and the keys.
fn policy(ui: Ui, commands: &[Command], patient: &Patient) -> Result<Status, Failure> {
    let commands = match commands {
        [] => &Command::ALL,
        some => some,
    };
    // Without them it would allow nothing of use.
    Publisher::new(&patient.publish)?;
    let (policy, warnings) = block_on(async { Ok(least_policy(patient, commands).await) })?;
    for warning in &warnings {
        ui.warn(warning);
    }
    let characters = policy.characters();
    if characters > MOST_CHARACTERS {
        ui.warn(&format!(
            "the policy has {characters} characters, and AWS takes {MOST_CHARACTERS}: print one for each command"
        ));
    }
    ui.result(&policy, || format!("{}\n", policy.text()))?;
    Ok(Status::Done)
}
