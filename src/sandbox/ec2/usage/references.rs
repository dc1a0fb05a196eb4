//! DescribeImageReferences: which resources of the caller's name an image.

use super::{INSTANCE, Kind, TEMPLATE, depth, instances_of, take_kinds};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::{images, templates};
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// A call names so many images at most.
const MOST_IMAGES: usize = 10;
/// So many versions of a template are looked at where nothing is said.
const DEPTH: usize = 10;
/// Services that the sandbox does not have: nothing of theirs names an image.
const EMPTY: [&str; 3] = [
    "ssm:Parameter",
    "imagebuilder:ImageRecipe",
    "imagebuilder:ContainerRecipe",
];

/// What is looked at.
struct Wanted {
    /// States of instances, all if none is named; nothing where instances are not looked at.
    instances: Option<Vec<String>>,
    /// Versions of templates; nothing where they are not looked at.
    templates: Option<usize>,
}

pub(super) fn describe(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = params.list("ImageId")?;
    let all = params.flag("IncludeAllResourceTypes")?.unwrap_or(false);
    let kinds = take_kinds(params)?;
    let page = Page::take(params, "DescribeImageReferences", 1..=1000)?;
    params.finish()?;
    if ids.is_empty() {
        return Err(ServiceError::missing_parameter("ImageId"));
    }
    if ids.len() > MOST_IMAGES {
        return Err(ServiceError::invalid_value(
            "ImageId",
            &ids.len().to_string(),
            format!("At most {MOST_IMAGES} images can be given."),
        ));
    }
    if kinds.is_empty() && !all {
        return Err(ServiceError::new(
            "MissingParameter",
            "Either IncludeAllResourceTypes or ResourceTypes must be specified",
        ));
    }
    let wanted = Wanted::of(all, &kinds)?;
    let mut found: Vec<(String, &str, String)> = Vec::new();
    for id in &ids {
        images::find(context, world, &context.region, id)?;
        let arns = wanted.look(context, world, id).into_iter();
        found.extend(arns.map(|(kind, arn)| (id.clone(), kind, arn)));
    }
    found.sort();
    found.dedup();
    let key = |(id, _, arn): &(String, &str, String)| format!("{id} {arn}");
    let (found, next) = page.cut("DescribeImageReferences", found, key);
    let mut xml = Xml::new();
    xml.list("imageReferenceSet", found, |xml, (id, kind, arn)| {
        xml.text("imageId", id)
            .text("resourceType", kind)
            .text("arn", arn);
    })
    .optional("nextToken", next);
    Ok(xml)
}

impl Wanted {
    fn of(all: bool, kinds: &[Kind]) -> Result<Wanted, ServiceError> {
        let mut wanted = Wanted {
            instances: all.then(Vec::new),
            templates: all.then_some(DEPTH),
        };
        for (kind, options) in kinds {
            match kind.as_str() {
                INSTANCE => {
                    let states = wanted.instances.insert(Vec::new());
                    for (name, values) in options {
                        check_option(kind, name, "state-name")?;
                        states.extend(values.iter().cloned());
                    }
                }
                TEMPLATE => {
                    let versions = wanted.templates.insert(DEPTH);
                    for (name, values) in options {
                        check_option(kind, name, "version-depth")?;
                        *versions = depth(&values.concat())?;
                    }
                }
                kind if EMPTY.contains(&kind) => {}
                other => {
                    return Err(ServiceError::invalid_value(
                        "ResourceType",
                        other,
                        "It is no type of resources that name images.",
                    ));
                }
            }
        }
        Ok(wanted)
    }

    /// The resources that name an image: type and ARN.
    fn look(&self, context: &Context, world: &World, image: &str) -> Vec<(&'static str, String)> {
        let (account, region) = (&context.caller.account, &context.region);
        let mut found = Vec::new();
        if let Some(states) = &self.instances {
            for (instance, state) in instances_of(context, world, (account, region), image) {
                if states.is_empty() || states.iter().any(|name| name == state.name()) {
                    let arn = format!("arn:aws:ec2:{region}:{account}:instance/{}", instance.id);
                    found.push((INSTANCE, arn));
                }
            }
        }
        if let Some(depth) = self.templates {
            for template in templates::own(context, world) {
                if template.names(image, depth) {
                    let id = &template.id;
                    let arn = format!("arn:aws:ec2:{region}:{account}:launch-template/{id}");
                    found.push((TEMPLATE, arn));
                }
            }
        }
        found
    }
}

fn check_option(kind: &str, name: &str, known: &str) -> Result<(), ServiceError> {
    if name == known {
        return Ok(());
    }
    let why = format!("{kind} has the option {known} alone.");
    Err(ServiceError::invalid_value("OptionName", name, why))
}
