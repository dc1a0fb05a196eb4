//! `diff`: what two images differ in.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::block_on;
use crate::aws::{Aws, Region};
use crate::config::Config;
use crate::diff::load::{Remote, check_locks, load};
use crate::diff::secdb::Secdb;
use crate::diff::{self, Difference, subject};
use crate::publish::complete::SettingsError;
use crate::publish::progress::Progress;
use crate::publish::reader::Reader;
use crate::ui::progress::Drawing;
use crate::ui::{Failure, Status, Ui};

/// Compare two images, releases, AMIs or snapshots: packages, files, sizes; or two locks.
///
/// Each is a folder that `build` made, a manifest.json, an image file, a lock, a release, ami-… or snap-…
/// (in another Region than the home Region: ami-…@REGION).
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The older one
    a: String,
    /// The newer one
    b: String,
    /// Form of the result for people
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Alpine's security database, which says what versions fix: a file, a folder, or an address
    /// [default: those of [diff] secdb]; may be repeated
    #[arg(long, value_name = "FILE|DIR|URL", value_parser = NonEmptyStringValueParser::new())]
    secdb: Vec<String>,
    /// Show every package and file
    #[arg(long)]
    all: bool,
    /// Exit with 3 if they differ
    #[arg(long)]
    check: bool,
}

/// How a difference is told to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// One screen.
    #[default]
    Text,
    /// For release notes.
    Markdown,
}

impl DiffArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let a = subject::parse(&self.a, subject::look)?;
        let b = subject::parse(&self.b, subject::look)?;
        let is_remote = a.is_remote() || b.is_remote();
        let progress = Progress::default();
        let difference: Difference = block_on(async {
            let drawing = Drawing::start(&ui, &progress);
            let compared = async {
                let home = home(config);
                let aws = match (is_remote, &home) {
                    (false, _) => None,
                    (true, None) => return Err(SettingsError::Missing(vec!["home"]).into()),
                    (true, Some(home)) => Some(Aws::connect(&config.aws, "diff", home).await?),
                };
                let reader = aws.as_ref().zip(home).map(|(aws, home)| Reader {
                    aws,
                    settings: &config.publish,
                    home,
                    progress: &progress,
                });
                let remote = reader.as_ref().map(|reader| reader as &dyn Remote);
                // One after the other: each tells how far it is.
                let from = load(&self.a, a, remote).await?;
                let to = load(&self.b, b, remote).await?;
                check_locks(&from, &to)?;
                let secdb = match self.secdb.is_empty() {
                    true => &config.diff.secdb,
                    false => &self.secdb,
                };
                let secdb = Secdb::load(secdb, to.branch().as_deref()).await?;
                Ok::<_, Failure>(diff::diff(&from, &to).with_security(&secdb))
            }
            .await;
            drawing.finish().await;
            compared
        })?;
        ui.result(&difference, || match self.format {
            Format::Text => diff::text::render(&difference, self.all),
            Format::Markdown => diff::markdown::render(&difference),
        })?;
        match self.check && !difference.is_empty() {
            true => Ok(Status::Differs),
            false => Ok(Status::Done),
        }
    }
}

/// The configured home Region, or that of the environment.
fn home(config: &Config) -> Option<Region> {
    let environment = || {
        let named = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        named
            .iter()
            .find_map(|name| std::env::var(name).ok()?.parse().ok())
    };
    config.publish.home.clone().or_else(environment)
}
