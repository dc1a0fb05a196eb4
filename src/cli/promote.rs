//! `promote`: a release comes into a channel.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::until_told_to_stop;
use crate::aws::Aws;
use crate::channels::settings::{known, names};
use crate::config::Config;
use crate::interrupt::Stop;
use crate::publish::complete::Publisher;
use crate::publish::progress::Progress;
use crate::publish::release::ReleaseId;
use crate::release::desk::Desk;
use crate::release::error::ReleaseError;
use crate::release::promote::{Preview, Promoted, Promotion, promote};
use crate::ui::progress::Drawing;
use crate::ui::{Failure, OutputFormat, Status, Ui};

/// Bring a release into a channel, in the place of the one of the same profile and architecture.
///
/// What changes is shown, the channel's gate is asked, customers get access, and then the channel is
/// moved. Run it again if it was interrupted.
#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// The release, as `publish` printed it
    release: ReleaseId,
    /// The channel
    #[arg(long, value_name = "CHANNEL")]
    to: String,
    /// Why, for the channel's history
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Who approves of it, where the channel's gate asks for that
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    approved_by: Option<String>,
    /// Show what would change, and exit with 3; nothing is moved
    #[arg(long)]
    dry_run: bool,
}

impl PromoteArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        known(&names(&config.channels)?, &self.to)?;
        let publisher = Publisher::new(&config.publish)?;
        let progress = Progress::default();
        let asked = Promotion {
            release: self.release,
            channel: self.to,
            reason: self.reason,
            approved_by: self.approved_by,
            dry_run: self.dry_run,
        };
        let mut shown = String::new();
        let promoted = until_told_to_stop(ui, async |stop| {
            let drawing = Drawing::start(&ui, &progress);
            let show = |preview: &Preview| shown = preview.text();
            let promoted = run(config, &publisher, &progress, &asked, stop, show).await;
            drawing.finish().await;
            // What the gate says is worth more with all that it looked at.
            if (promoted.is_err() || ui.output == OutputFormat::Json) && !shown.is_empty() {
                ui.progress(shown.trim_end());
            }
            Ok(promoted?)
        })?;
        ui.result(&promoted, || format!("{shown}{}", told(&promoted)))?;
        match promoted.moved {
            true => Ok(Status::Done),
            false => Ok(Status::Differs),
        }
    }
}

async fn run(
    config: &Config,
    publisher: &Publisher,
    progress: &Progress,
    asked: &Promotion,
    mut stop: Stop,
    show: impl FnOnce(&Preview),
) -> Result<Promoted, ReleaseError> {
    let aws = tokio::select! {
        biased;
        how = stop.told() => return Err(ReleaseError::Interrupted(how)),
        aws = Aws::connect(&config.aws, "promote", &publisher.home) => aws?,
    };
    let desk = tokio::select! {
        biased;
        how = stop.told() => return Err(ReleaseError::Interrupted(how)),
        desk = Desk::open(config, publisher, &aws, progress) => desk?,
    };
    promote(&desk, asked, stop, show).await
}

/// For people: what is there now.
fn told(promoted: &Promoted) -> String {
    let Promoted {
        release,
        channel,
        before,
        ..
    } = promoted;
    if !promoted.moved {
        return "nothing was moved\n".to_owned();
    }
    let place = match before {
        Some(before) => format!(", in the place of {before}"),
        None => String::new(),
    };
    format!("{release} is in {channel}{place}\n")
}
