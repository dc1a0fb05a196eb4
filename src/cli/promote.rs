//! `promote`: a release comes into a channel.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::until_told_to_stop;
use crate::aws::Aws;
use crate::channels::promote::{PromoteError, Promoted, promote};
use crate::channels::settings::{known, names};
use crate::config::Config;
use crate::interrupt::Stop;
use crate::publish::bucket::Bucket;
use crate::publish::complete::Publisher;
use crate::publish::release::ReleaseId;
use crate::ui::{Failure, Status, Ui};

/// Bring a release into a channel, in the place of the one of the same profile and architecture.
///
/// The release must be published. Customers get access by `share apply`.
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
}

impl PromoteArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        known(&names(&config.channels)?, &self.to)?;
        let publisher = Publisher::new(&config.publish)?;
        let promoted = until_told_to_stop(ui, async |stop| {
            Ok(self.promote(config, &publisher, stop).await?)
        })?;
        ui.result(&promoted, || told(&promoted))?;
        Ok(Status::Done)
    }

    async fn promote(
        &self,
        config: &Config,
        publisher: &Publisher,
        mut stop: Stop,
    ) -> Result<Promoted, PromoteError> {
        let aws = tokio::select! {
            biased;
            how = stop.told() => return Err(PromoteError::Interrupted(how)),
            aws = Aws::connect(&config.aws, "promote", &publisher.home) => aws?,
        };
        let Publisher {
            home,
            bucket,
            prefix,
            ..
        } = publisher;
        let bucket = Bucket::new(&aws, home, bucket, prefix);
        let why = (aws.identity().arn.as_str(), self.reason.as_deref());
        promote(&bucket, &self.release, &self.to, why, stop).await
    }
}

/// For people: what is there now, and what is next.
fn told(promoted: &Promoted) -> String {
    let Promoted {
        release,
        channel,
        before,
    } = promoted;
    let place = match before {
        Some(before) => format!("in the place of {before}"),
        None => "the first of its profile and architecture there".to_owned(),
    };
    format!(
        "{release} is in {channel}, {place}\n`alpine-ami share apply` gives {channel}'s customers access\n"
    )
}
