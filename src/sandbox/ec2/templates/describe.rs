//! DescribeLaunchTemplates and DescribeLaunchTemplateVersions.

use super::{Named, Template, Version};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::tag::{filter_values, write_tags};
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

const FILTERS: &[&str] = &["create-time", "launch-template-name", "tag:", "tag-key"];

/// Those of what is remembered; EC2 has some more of the data.
const VERSION_FILTERS: &[&str] = &[
    "create-time",
    "ebs-optimized",
    "image-id",
    "instance-type",
    "is-default-version",
];

pub(super) fn templates(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = params.list("LaunchTemplateId")?;
    let names = params.list("LaunchTemplateName")?;
    let filters = Filters::take(params, FILTERS)?;
    let page = Page::take(params, "DescribeLaunchTemplates", 1..=200)?;
    // No template here is managed by a service, so that none is left out either way.
    params.flag("IncludeManagedResources")?;
    params.finish()?;
    for (id, name) in ids
        .iter()
        .map(|id| (Some(id), None))
        .chain(names.iter().map(|name| (None, Some(name))))
    {
        let named = Named {
            id: id.cloned(),
            name: name.cloned(),
        };
        named.find(context, world)?;
    }
    let is_named = |template: &&Template| {
        ids.is_empty() && names.is_empty()
            || ids.contains(&template.id)
            || names.contains(&template.name)
    };
    let values = |template: &Template, filter: &str| match filter {
        "create-time" => vec![template.created.iso()],
        "launch-template-name" => vec![template.name.clone()],
        tag => filter_values(&world.tags.of(&context.caller.account, &template.id), tag),
    };
    let found = super::own(context, world)
        .filter(is_named)
        .filter(|template| filters.pass(|name| values(template, name)))
        .collect();
    let key = |template: &&Template| template.id.clone();
    let (found, next) = page.cut("DescribeLaunchTemplates", found, key);
    let mut xml = Xml::new();
    xml.list("launchTemplates", found, |xml, template| {
        write_template(context, world, xml, template);
    })
    .optional("nextToken", next);
    Ok(xml)
}

pub(super) fn versions(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let named = Named::take(params)?;
    let wanted = params.list("LaunchTemplateVersion")?;
    let least = params.number::<u64>("MinVersion")?;
    let most = params.number::<u64>("MaxVersion")?;
    let filters = Filters::take(params, VERSION_FILTERS)?;
    let page = Page::take(params, "DescribeLaunchTemplateVersions", 1..=200)?;
    params.flag("ResolveAlias")?;
    params.flag("IncludeManagedResources")?;
    params.finish()?;
    let mut found: Vec<(&Template, &Version)> = Vec::new();
    match named {
        Some(named) => {
            let template = named.find(context, world)?;
            for version in &template.versions {
                let number = version.number;
                if least.is_none_or(|least| least <= number)
                    && most.is_none_or(|most| number <= most)
                {
                    found.push((template, version));
                }
            }
            if !wanted.is_empty() {
                let numbers = wanted
                    .iter()
                    .map(|text| Ok(template.version(Some(text))?.number));
                let numbers: Vec<u64> = numbers.collect::<Result<_, ServiceError>>()?;
                found.retain(|(_, version)| numbers.contains(&version.number));
            }
        }
        None => {
            let is_alias = |text: &String| matches!(text.as_str(), "$Latest" | "$Default");
            if wanted.is_empty() || !wanted.iter().all(is_alias) {
                return Err(ServiceError::new(
                    "MissingParameter",
                    "Of all launch templates, only the versions $Latest and $Default can be \
                     described",
                ));
            }
            for template in super::own(context, world) {
                for text in &wanted {
                    let version = template.version(Some(text))?;
                    if !found.contains(&(template, version)) {
                        found.push((template, version));
                    }
                }
            }
        }
    }
    found.retain(|(template, version)| filters.pass(|name| values(template, version, name)));
    let key = |(template, version): &(&Template, &Version)| {
        format!("{}/{:020}", template.id, version.number)
    };
    found.sort_by_key(key);
    let (found, next) = page.cut("DescribeLaunchTemplateVersions", found, key);
    let mut xml = Xml::new();
    xml.list(
        "launchTemplateVersionSet",
        found,
        |xml, (template, version)| {
            write_version(xml, template, version);
        },
    )
    .optional("nextToken", next);
    Ok(xml)
}

fn values(template: &Template, version: &Version, filter: &str) -> Vec<String> {
    let of_data = |name: &str| version.data.get(name).map(str::to_owned);
    let value = match filter {
        "create-time" => Some(version.created.iso()),
        "ebs-optimized" => of_data("EbsOptimized"),
        "image-id" => of_data("ImageId"),
        "instance-type" => of_data("InstanceType"),
        _ => Some((version.number == template.default_version).to_string()),
    };
    value.into_iter().collect()
}

/// Writes the members of a template.
pub(super) fn write_template(context: &Context, world: &World, xml: &mut Xml, template: &Template) {
    xml.text("launchTemplateId", &template.id)
        .text("launchTemplateName", &template.name)
        .text("createTime", template.created)
        .text("createdBy", &template.created_by)
        .text("defaultVersionNumber", template.default_version)
        .text("latestVersionNumber", template.latest().number);
    write_tags(xml, &world.tags.of(&context.caller.account, &template.id));
}

/// Writes the members of a version.
pub(super) fn write_version(xml: &mut Xml, template: &Template, version: &Version) {
    xml.text("launchTemplateId", &template.id)
        .text("launchTemplateName", &template.name)
        .text("versionNumber", version.number)
        .optional("versionDescription", version.description.as_ref())
        .text("createTime", version.created)
        .text("createdBy", &version.created_by)
        .text("defaultVersion", version.number == template.default_version)
        .node("launchTemplateData", |xml| version.data.write(xml));
}
