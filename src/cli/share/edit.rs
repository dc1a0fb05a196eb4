//! `share add` and `share remove`: the file of customers, without an editor.

use clap::Args;
use serde_json::json;
use time::Date;
use time::macros::format_description;

use crate::aws::names::NameError;
use crate::aws::{AccountId, OrganizationArn, Region, RoleArn, UnitArn};
use crate::channels::settings::names;
use crate::config::Config;
use crate::publish::complete::Publisher;
use crate::share::customers::edit::{self, NewCustomer};
use crate::share::customers::error::EditError;
use crate::share::customers::{Known, file};
use crate::ui::{Failure, Status, Ui};

/// Add a customer to the file of customers.
///
/// The file is `customers` of [share] in the configuration, customers.toml beside it where nothing
/// is said, and is made where it is missing. What is in it stays as it is. AWS is not asked:
/// `share plan` shows what comes of it.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The customer's name: a word of letters, digits, `.`, `_` and `-`
    name: String,
    /// An account of it; may be repeated, or hold several, separated by commas
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = account,
          required_unless_present_any = ["organization", "unit"])]
    account: Vec<AccountId>,
    /// An organization, with all accounts in it; may be repeated
    #[arg(long, value_name = "ARN")]
    organization: Vec<OrganizationArn>,
    /// An organizational unit, with all accounts in and below it; may be repeated
    #[arg(long, value_name = "ARN")]
    unit: Vec<UnitArn>,
    /// A channel whose releases it gets; may be repeated [default: the last one, such as stable]
    #[arg(long, value_name = "CHANNEL", value_delimiter = ',')]
    channel: Vec<String>,
    /// A profile that it gets, such as kubezero or 'kubezero*'; may be repeated [default: all]
    #[arg(long, value_name = "GLOB")]
    profile: Vec<String>,
    /// A Region where it gets them; may be repeated [default: all of a release's]
    #[arg(long, value_name = "REGION", value_delimiter = ',', value_parser = region)]
    region: Vec<Region>,
    /// It may copy: its accounts get the snapshots too
    #[arg(long)]
    copy: bool,
    /// A role that gets the keys by grants of its own; may be repeated
    #[arg(long, value_name = "ARN")]
    role: Vec<RoleArn>,
    /// The first day on which it gets anything, such as 2026-01-31
    #[arg(long, value_name = "DATE", value_parser = day)]
    start: Option<Date>,
    /// The last day
    #[arg(long, value_name = "DATE", value_parser = day)]
    end: Option<Date>,
    /// Days for which it keeps a release that has left its channels [default: 30]
    #[arg(long, value_name = "N")]
    grace_days: Option<u32>,
}

/// Take a customer out of the file of customers, with the comments that belong to it.
///
/// What it was given in AWS it keeps until `share apply`.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The customer's name
    name: String,
}

impl AddArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let channels = names(&config.channels)?;
        let new = self.customer(&channels);
        let change = |file: &str, text: &str| edit::add(file, text, &new);
        changed(ui, config, &channels, &new.name, "is added to", change)
    }

    fn customer(self, channels: &[String]) -> NewCustomer {
        let channel = match &self.channel[..] {
            [] => channels.last().cloned().into_iter().collect(),
            _ => self.channel,
        };
        NewCustomer {
            name: self.name,
            accounts: self.account,
            organizations: self.organization,
            units: self.unit,
            channels: channel,
            profiles: self.profile,
            regions: self.region,
            copy: self.copy,
            roles: self.role,
            start: self.start,
            end: self.end,
            grace_days: self.grace_days,
        }
    }
}

impl RemoveArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let channels = names(&config.channels)?;
        let change = |file: &str, text: &str| edit::remove(file, text, &self.name);
        changed(ui, config, &channels, &self.name, "is removed from", change)
    }
}

/// Changes the file, and says what was done.
fn changed(
    ui: Ui,
    config: &Config,
    channels: &[String],
    name: &str,
    what: &str,
    change: impl FnOnce(&str, &str) -> Result<String, EditError>,
) -> Result<Status, Failure> {
    let publisher = Publisher::new(&config.publish)?;
    let known = Known {
        channels,
        regions: &publisher.regions,
    };
    let path = &config.share.customers;
    file::change(path, &known, change)?;
    let file = path.display().to_string();
    let told = json!({ "file": file, "customer": name, "changed": true });
    ui.result(&told, || {
        format!("{name} {what} {file}; `alpine-ami share plan` shows what comes of it\n")
    })?;
    Ok(Status::Done)
}

/// People put spaces after commas.
fn account(text: &str) -> Result<AccountId, NameError> {
    text.trim().parse()
}

fn region(text: &str) -> Result<Region, NameError> {
    text.trim().parse()
}

fn day(text: &str) -> Result<Date, String> {
    let form = format_description!("[year]-[month]-[day]");
    Date::parse(text, form).map_err(|_| format!("`{text}` is no day: one looks like 2026-01-31"))
}
