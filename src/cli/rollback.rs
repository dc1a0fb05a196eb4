//! `rollback`: a channel goes back to what was there before.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::until_told_to_stop;
use crate::arch::Arch;
use crate::aws::Aws;
use crate::channels::settings::{known, names};
use crate::config::Config;
use crate::interrupt::Stop;
use crate::publish::complete::Publisher;
use crate::publish::progress::Progress;
use crate::publish::release::ReleaseId;
use crate::release::desk::Desk;
use crate::release::error::ReleaseError;
use crate::release::rollback::{Rollback, RolledBack, rollback};
use crate::ui::progress::Drawing;
use crate::ui::{Failure, Status, Ui};

/// Bring a channel back to what was there before.
///
/// With --withdraw, nobody is to use the release that goes: it leaves every channel, its AMIs are
/// deprecated, and accounts that do not run it can launch it no more. Run it again if it was
/// interrupted.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The channel
    channel: String,
    /// Of this profile, where there are several in the channel
    #[arg(long, value_name = "PROFILE", value_parser = NonEmptyStringValueParser::new())]
    profile: Option<String>,
    /// Of this architecture: x86_64 or aarch64
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// The release that goes [default: the one that is there; where the channel has gone back already,
    /// that rollback is finished]
    #[arg(long, value_name = "RELEASE")]
    release: Option<ReleaseId>,
    /// Back to this release [default: the one that was there before]
    #[arg(long, value_name = "RELEASE")]
    to: Option<ReleaseId>,
    /// Withdraw the release that goes
    #[arg(long)]
    withdraw: bool,
    /// Why, for the channel's history
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Show what would change, and exit with 3; nothing is moved
    #[arg(long)]
    dry_run: bool,
}

impl RollbackArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        known(&names(&config.channels)?, &self.channel)?;
        let publisher = Publisher::new(&config.publish)?;
        let progress = Progress::default();
        let asked = Rollback {
            channel: self.channel,
            profile: self.profile,
            arch: self.arch,
            release: self.release,
            to: self.to,
            withdraw: self.withdraw,
            reason: self.reason,
            dry_run: self.dry_run,
        };
        let rolled = until_told_to_stop(ui, async |stop| {
            let drawing = Drawing::start(&ui, &progress);
            let rolled = run(ui, config, &publisher, &progress, &asked, stop).await;
            drawing.finish().await;
            Ok(rolled?)
        })?;
        ui.result(&rolled, || told(&rolled, asked.withdraw))?;
        match rolled.moved {
            true => Ok(Status::Done),
            false => Ok(Status::Differs),
        }
    }
}

async fn run(
    ui: Ui,
    config: &Config,
    publisher: &Publisher,
    progress: &Progress,
    asked: &Rollback,
    mut stop: Stop,
) -> Result<RolledBack, ReleaseError> {
    let aws = tokio::select! {
        biased;
        how = stop.told() => return Err(ReleaseError::Interrupted(how)),
        aws = Aws::connect(&config.aws, "rollback", &publisher.home) => aws?,
    };
    let desk = tokio::select! {
        biased;
        how = stop.told() => return Err(ReleaseError::Interrupted(how)),
        desk = Desk::open(config, publisher, &aws, progress) => desk?,
    };
    let show = |planned: &RolledBack| ui.progress(planned.text(asked.withdraw).trim_end());
    rollback(&desk, asked, stop, show).await
}

/// For people: what is there now.
fn told(rolled: &RolledBack, withdraws: bool) -> String {
    if !rolled.moved {
        return format!("{}nothing was moved\n", rolled.text(withdraws));
    }
    let mut text = rolled.text(withdraws);
    if let Some(withdrawn) = &rolled.withdrawn {
        for (region, accounts) in &withdrawn.running {
            let accounts: Vec<&str> = accounts.iter().map(|account| account.as_str()).collect();
            if !accounts.is_empty() {
                let names = accounts.join(", ");
                text.push_str(&format!(
                    "{region}: {names} run it, and keep the permission\n"
                ));
            }
        }
    }
    text
}
