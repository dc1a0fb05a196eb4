//! `list`: what a customer, or the publisher, can launch.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::block_on;
use crate::arch::Arch;
use crate::aws::{AccountId, Aws, Region};
use crate::config::Config;
use crate::doctor::policy::MOST_CHARACTERS;
use crate::list::catalog::{self, CatalogAddress};
use crate::list::check::{self, Report};
use crate::list::filter::only;
use crate::list::format::{self, Document, Format};
use crate::list::setup::Setup;
use crate::list::{Filter, ListError, Listing, Question, ask};
use crate::ui::{Failure, OutputFormat, Status, Ui};

/// List the AMIs that can be launched: a publisher's that are shared with this account, or one's own.
///
/// Channels are read from the publisher's catalog, where there is one. All else needs no more than a
/// customer has: `--setup` prints the least policy.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(super) struct ListArgs {
    /// The publisher's account [default: that of [list] in the configuration, or one's own]
    #[arg(long, value_name = "ACCOUNT")]
    publisher: Option<AccountId>,
    /// Region; may be repeated [default: all that the account has opted in to]
    #[arg(long, value_name = "REGION", value_delimiter = ',')]
    region: Vec<Region>,
    /// Only this profile
    #[arg(long, value_name = "PROFILE", value_parser = NonEmptyStringValueParser::new())]
    profile: Option<String>,
    /// Only this version: 1.22 takes 1.22.8, and not 1.220
    #[arg(long, value_name = "VERSION", value_parser = NonEmptyStringValueParser::new())]
    version: Option<String>,
    /// Only this architecture: x86_64 or aarch64
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// Only what is in this channel now
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Only what is published under this name: the first part of AMIs' names
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    publisher_name: Option<String>,
    /// The publisher's catalog, s3://BUCKET/PREFIX or https://… [default: that of [list] in the
    /// configuration; a publisher's own bucket]
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
    /// The publisher's public key: what the catalog says must be signed by it [default: that of
    /// [list] in the configuration]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Form of the list [default: table, or json with --output json]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Print one id, the newest that is not deprecated, or fail
    #[arg(long, conflicts_with = "format")]
    id: bool,
    /// Print what this account still needs to launch them: grants for Auto Scaling, an IAM policy
    #[arg(long, conflicts_with_all = ["format", "id"])]
    setup: bool,
    /// Try what launching takes, making nothing; exit with 3 if something is missing
    #[arg(long, conflicts_with_all = ["format", "id", "setup"])]
    check: bool,
}

impl ListArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let question = self.question()?;
        let (listing, report) = block_on(async {
            let (aws, home) = ask::connect(config, &question).await?;
            let listing = ask::look(&aws, &home, config, &question).await?;
            let report = match self.check {
                true => Some(check(&aws, &listing).await?),
                false => None,
            };
            Ok((listing, report))
        })?;
        match report {
            Some(report) => told(ui, &listing, &report),
            None if self.setup => set_up(ui, &listing),
            None if self.id => id(ui, &listing),
            None => self.list(ui, &listing),
        }
    }

    fn question(&self) -> Result<Question, ListError> {
        if let Some(channel) = &self.channel {
            catalog::check_name(channel)?;
        }
        let catalog = self.catalog.as_deref();
        let is_template = matches!(self.format, Some(Format::CloudFormation | Format::Tfvars));
        Ok(Question {
            publisher: self.publisher.clone(),
            regions: self.region.iter().cloned().collect(),
            catalog: catalog.map(str::parse::<CatalogAddress>).transpose()?,
            key: self.key.clone(),
            shows_channels: !(is_template || self.id || self.setup || self.check),
            filter: Filter {
                publisher: self.publisher_name.clone(),
                profile: self.profile.clone(),
                version: self.version.clone(),
                arch: self.arch,
                channel: self.channel.clone(),
            },
        })
    }

    fn list(&self, ui: Ui, listing: &Listing) -> Result<Status, Failure> {
        let usual = match ui.output {
            OutputFormat::Text => Format::Table,
            OutputFormat::Json => Format::Json,
        };
        let rows = &listing.rows;
        let text = match self.format.unwrap_or(usual) {
            Format::Table => format::table(rows),
            Format::Csv => format::csv(rows, listing.has_catalog, listing.has_key),
            Format::Json => json(&Document {
                publisher: &listing.publisher,
                images: rows,
            }),
            // A template without AMIs is of no use to anybody.
            _ if rows.iter().all(|row| row.deprecated) => return nothing(listing),
            Format::CloudFormation => json(&format::cloudformation(rows)?),
            Format::Tfvars => format::tfvars(rows)?,
        };
        // The form is chosen: what `--output` would choose is text here.
        let output = OutputFormat::Text;
        Ui { output, ..ui }.result(&(), || text)?;
        if rows.is_empty() {
            warn(ui, listing);
        }
        listing.complete()?;
        Ok(Status::Done)
    }
}

fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("a list is JSON");
    format!("{text}\n")
}

/// That there is nothing; where a Region failed, that is the reason to tell.
fn nothing<T>(listing: &Listing) -> Result<T, Failure> {
    listing.complete()?;
    Err(listing.nothing().into())
}

fn warn(ui: Ui, listing: &Listing) {
    let nothing = listing.nothing();
    let advice = nothing.advice().unwrap_or_default();
    ui.warn(&format!("{nothing}\n  next: {advice}"));
}

fn id(ui: Ui, listing: &Listing) -> Result<Status, Failure> {
    // What is not known might be another one.
    listing.complete()?;
    let Some(row) = only(&listing.rows)? else {
        return nothing(listing);
    };
    ui.result(row, || format!("{}\n", row.ami))?;
    Ok(Status::Done)
}

fn set_up(ui: Ui, listing: &Listing) -> Result<Status, Failure> {
    let Listing {
        publisher, account, ..
    } = listing;
    let accounts = (publisher, account);
    let setup = Setup::new(
        &listing.rows,
        accounts,
        &listing.home,
        listing.catalog.as_ref(),
    );
    ui.result(&setup, || setup.text(account))?;
    if listing.rows.is_empty() {
        warn(ui, listing);
    }
    for region in setup.unknown() {
        ui.warn(&format!(
            "{region}: no AMI's description tells the key: ask the publisher for its id, and write it in place of KEY-ID"
        ));
    }
    let characters = setup.policy.characters();
    if characters > MOST_CHARACTERS {
        ui.warn(&format!(
            "the policy has {characters} characters, and AWS takes {MOST_CHARACTERS}: print one for some Regions with --region"
        ));
    }
    listing.complete()?;
    Ok(Status::Done)
}

async fn check(aws: &Aws, listing: &Listing) -> Result<Report, ListError> {
    check::check(aws, &listing.rows, &listing.publisher).await
}

fn told(ui: Ui, listing: &Listing, report: &Report) -> Result<Status, Failure> {
    ui.result(report, || report.text())?;
    listing.complete()?;
    if report.checks.is_empty() {
        // The launch permission is missing.
        warn(ui, listing);
        return Ok(Status::Differs);
    }
    match report.is_lacking() {
        true => Ok(Status::Differs),
        false => Ok(Status::Done),
    }
}
