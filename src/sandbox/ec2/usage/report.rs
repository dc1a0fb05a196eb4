//! Usage reports: which other accounts use an image, and with how many instances and templates.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{INSTANCE, TEMPLATE, depth, instances_of, take_kinds};
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::images;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region, new_id};
use crate::sandbox::tag::{self, filter_values, write_tags};
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// So many versions of a template are looked at where nothing is said.
const DEPTH: usize = 20;
/// A report takes AWS about so long.
const MAKING: Duration = Duration::from_secs(10 * 60);
/// A report is deleted so long after it was asked for.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

const FILTERS: &[&str] = &["creation-time", "state", "tag:", "tag-key"];
const ENTRY_FILTERS: &[&str] = &["account-id", "creation-time", "resource-type"];

/// A usage report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `amiur-…`.
    pub id: String,
    /// Whose it is: the image's owner.
    pub owner: AccountId,
    /// Where.
    pub region: Region,
    /// The image.
    pub image: String,
    /// The accounts that are looked at; all if none is named.
    accounts: Vec<String>,
    /// The types that are looked at, of templates with the number of versions.
    kinds: Vec<(String, Option<usize>)>,
    /// When it was asked for.
    created: Timestamp,
    /// When it can be read.
    ready: Timestamp,
    /// What it says.
    entries: Vec<Entry>,
}

/// How many resources of a type an account has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Entry {
    account: AccountId,
    kind: String,
    count: u64,
}

/// The caller's reports in the call's Region that are not too old.
pub fn own<'a>(context: &Context, world: &'a World) -> impl Iterator<Item = &'a Report> {
    let (account, region) = (context.caller.account.clone(), context.region.clone());
    let now = context.now;
    let reports = world.ec2.usage_reports.values();
    reports
        .filter(move |report| report.owner == account && report.region == region)
        .filter(move |report| now < report.created.plus(KEPT))
}

/// CreateImageUsageReport.
pub(super) fn create(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let token = params.text("ClientToken");
    let fingerprint = params.fingerprint();
    let image = params.required("ImageId")?;
    let accounts = params.list("AccountId")?;
    let mut kinds = Vec::new();
    for (kind, options) in take_kinds(params)? {
        let mut versions = (kind == TEMPLATE).then_some(DEPTH);
        for (name, values) in options {
            if (kind.as_str(), name.as_str()) != (TEMPLATE, "version-depth") {
                let why = "It must be version-depth, of ec2:LaunchTemplate.";
                return Err(ServiceError::invalid_value("OptionName", &name, why));
            }
            versions = Some(depth(&values.concat())?);
        }
        if kind != TEMPLATE && kind != INSTANCE {
            let why = "It must be ec2:Instance or ec2:LaunchTemplate.";
            return Err(ServiceError::invalid_value("ResourceType", &kind, why));
        }
        kinds.push((kind, versions));
    }
    let tags = tag::take_tag_specifications(params, &["image-usage-report"])?;
    params.finish()?;
    if kinds.is_empty() {
        return Err(ServiceError::missing_parameter("ResourceType"));
    }
    for account in &accounts {
        account
            .parse::<AccountId>()
            .map_err(|why| ServiceError::invalid_value("AccountId", account, why))?;
    }
    images::own_image(context, world, &image)?;
    let known = world
        .tokens
        .recall(context, token.as_deref(), &fingerprint)?;
    let id = match known {
        Some(id) => id,
        None => {
            let id = new_id("amiur");
            let mut report = Report {
                id: id.clone(),
                owner: context.caller.account.clone(),
                region: context.region.clone(),
                image,
                accounts,
                kinds,
                created: context.now,
                ready: context.shared.clock.after(MAKING),
                entries: Vec::new(),
            };
            report.entries = count(context, world, &report);
            world.ec2.usage_reports.insert(&id, report);
            let tags = tags.get("image-usage-report").cloned().unwrap_or_default();
            let (account, region) = (&context.caller.account, &context.region);
            let kind = "image-usage-report";
            world.tags.add(account, region, kind, &id, &tags)?;
            let tokens = &mut world.tokens;
            tokens.keep(context, token.as_deref(), &fingerprint, &id);
            id
        }
    };
    let mut xml = Xml::new();
    xml.text("reportId", id);
    Ok(xml)
}

/// What a report says: of the moment at which it was asked for.
fn count(context: &Context, world: &World, report: &Report) -> Vec<Entry> {
    let is_wanted = |account: &AccountId| {
        let listed = &report.accounts;
        *account != report.owner
            && (listed.is_empty() || listed.iter().any(|listed| listed == account.as_str()))
    };
    let users: BTreeSet<&AccountId> = world
        .ec2
        .instances
        .values()
        .map(|instance| &instance.owner)
        .chain(world.ec2.templates.values().map(|template| &template.owner))
        .filter(|account| is_wanted(account))
        .collect();
    let mut entries = Vec::new();
    for account in users {
        for (kind, versions) in &report.kinds {
            let count = match versions {
                None => {
                    let place = (account, &report.region);
                    instances_of(context, world, place, &report.image).count()
                }
                Some(versions) => {
                    let templates = world.ec2.templates.values();
                    let theirs = templates.filter(|template| {
                        template.owner == *account && template.region == report.region
                    });
                    theirs
                        .filter(|theirs| theirs.names(&report.image, *versions))
                        .count()
                }
            };
            if count > 0 {
                entries.push(Entry {
                    account: account.clone(),
                    kind: kind.clone(),
                    count: count as u64,
                });
            }
        }
    }
    entries
}

fn state(report: &Report, now: Timestamp) -> &'static str {
    match now < report.ready {
        true => "pending",
        false => "available",
    }
}

/// The caller's reports that a call names, all if it names none.
fn named<'a>(
    context: &Context,
    world: &'a World,
    params: &mut Params,
) -> Result<Vec<&'a Report>, ServiceError> {
    let ids = params.list("ReportId")?;
    let images = params.list("ImageId")?;
    for id in &ids {
        if !own(context, world).any(|report| report.id == *id) {
            return Err(not_found(id));
        }
    }
    let found = own(context, world)
        .filter(|report| ids.is_empty() || ids.contains(&report.id))
        .filter(|report| images.is_empty() || images.contains(&report.image));
    Ok(found.collect())
}

fn not_found(id: &str) -> ServiceError {
    ServiceError::new(
        "InvalidImageUsageReportId.NotFound",
        format!("The image usage report ID '{id}' does not exist"),
    )
}

/// DescribeImageUsageReports.
pub(super) fn describe(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let reports = named(context, world, params)?;
    let filters = Filters::take(params, FILTERS)?;
    let page = Page::take(params, "DescribeImageUsageReports", 1..=1000)?;
    params.finish()?;
    let tags = |report: &Report| world.tags.of(&context.caller.account, &report.id);
    let values = |report: &Report, filter: &str| match filter {
        "creation-time" => vec![report.created.iso()],
        "state" => vec![state(report, context.now).to_owned()],
        tag => filter_values(&tags(report), tag),
    };
    let found: Vec<&Report> = reports
        .into_iter()
        .filter(|report| filters.pass(|name| values(report, name)))
        .collect();
    let key = |report: &&Report| report.id.clone();
    let (found, next) = page.cut("DescribeImageUsageReports", found, key);
    let mut xml = Xml::new();
    xml.list("imageUsageReportSet", found, |xml, report| {
        write(context, xml, report);
        write_tags(xml, &tags(report));
    })
    .optional("nextToken", next);
    Ok(xml)
}

fn write(context: &Context, xml: &mut Xml, report: &Report) {
    xml.text("imageId", &report.image)
        .text("reportId", &report.id)
        .list("resourceTypeSet", &report.kinds, |xml, (kind, versions)| {
            xml.text("resourceType", kind);
            if let Some(versions) = versions {
                xml.list("resourceTypeOptionSet", [versions], |xml, versions| {
                    xml.text("optionName", "version-depth")
                        .node("optionValueSet", |xml| {
                            xml.text("item", versions);
                        });
                });
            }
        });
    if !report.accounts.is_empty() {
        xml.node("accountIdSet", |xml| {
            for account in &report.accounts {
                xml.text("item", account);
            }
        });
    }
    xml.text("state", state(report, context.now))
        .text("creationTime", report.created)
        .text("expirationTime", report.created.plus(KEPT));
}

/// DescribeImageUsageReportEntries. A report that is not ready has none.
pub(super) fn describe_entries(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let reports = named(context, world, params)?;
    let filters = Filters::take(params, ENTRY_FILTERS)?;
    let page = Page::take(params, "DescribeImageUsageReportEntries", 1..=1000)?;
    params.finish()?;
    let values = |report: &Report, entry: &Entry, filter: &str| match filter {
        "account-id" => vec![entry.account.to_string()],
        "creation-time" => vec![report.created.iso()],
        _ => vec![entry.kind.clone()],
    };
    let found: Vec<(&Report, &Entry)> = reports
        .into_iter()
        .filter(|report| report.ready <= context.now)
        .flat_map(|report| report.entries.iter().map(move |entry| (report, entry)))
        .filter(|(report, entry)| filters.pass(|name| values(report, entry, name)))
        .collect();
    let key = |(report, entry): &(&Report, &Entry)| {
        format!("{}/{}/{}", report.id, entry.account, entry.kind)
    };
    let (found, next) = page.cut("DescribeImageUsageReportEntries", found, key);
    let mut xml = Xml::new();
    xml.list("imageUsageReportEntrySet", found, |xml, (report, entry)| {
        xml.text("resourceType", &entry.kind)
            .text("reportId", &report.id)
            .text("usageCount", entry.count)
            .text("accountId", &entry.account)
            .text("imageId", &report.image)
            .text("reportCreationTime", report.created);
    })
    .optional("nextToken", next);
    Ok(xml)
}

/// DeleteImageUsageReport.
pub(super) fn delete(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("ReportId")?;
    params.finish()?;
    if !own(context, world).any(|report| report.id == id) {
        return Err(not_found(&id));
    }
    world.ec2.usage_reports.remove(&id);
    world.tags.forget(&id);
    let mut xml = Xml::new();
    xml.text("return", true);
    Ok(xml)
}
