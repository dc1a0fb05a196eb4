//! New templates, new versions, the default one, and their end.

use super::{Data, Named, Template, Version, describe};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::new_id;
use crate::sandbox::tag;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// CreateLaunchTemplate.
pub(super) fn template(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let token = params.text("ClientToken");
    let fingerprint = params.fingerprint();
    let name = params.required("LaunchTemplateName")?;
    let description = params.text("VersionDescription");
    let data = Data::take(params)?;
    let tags = tag::take_tag_specifications(params, &["launch-template"])?;
    params.finish()?;
    check_name(&name)?;
    let known = world
        .tokens
        .recall(context, token.as_deref(), &fingerprint)?;
    let id = match known {
        Some(id) => id,
        None => {
            if super::own(context, world).any(|template| template.name == name) {
                return Err(ServiceError::new(
                    "InvalidLaunchTemplateName.AlreadyExistsException",
                    format!("Launch template name {name} already in use."),
                ));
            }
            let id = new_id("lt");
            let template = Template {
                id: id.clone(),
                owner: context.caller.account.clone(),
                region: context.region.clone(),
                name,
                created: context.now,
                created_by: context.caller.arn.clone(),
                default_version: 1,
                versions: vec![new_version(context, 1, description, data)],
            };
            world.ec2.templates.insert(&id, template);
            let tags = tags.get("launch-template").cloned().unwrap_or_default();
            let (account, region) = (&context.caller.account, &context.region);
            let kind = "launch-template";
            world.tags.add(account, region, kind, &id, &tags)?;
            let tokens = &mut world.tokens;
            tokens.keep(context, token.as_deref(), &fingerprint, &id);
            id
        }
    };
    answer(context, world, &id)
}

/// CreateLaunchTemplateVersion.
pub(super) fn version(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let token = params.text("ClientToken");
    let fingerprint = params.fingerprint();
    let named = Named::required(params)?;
    let source = params.text("SourceVersion");
    let description = params.text("VersionDescription");
    let data = Data::take(params)?;
    params.flag("ResolveAlias")?;
    params.finish()?;
    let template = named.find(context, world)?;
    let id = template.id.clone();
    let known = world
        .tokens
        .recall(context, token.as_deref(), &fingerprint)?;
    let number = match known.and_then(|number| number.parse().ok()) {
        Some(number) => number,
        None => {
            let data = match source {
                Some(source) => data.over(&template.version(Some(&source))?.data),
                None => data,
            };
            let number = template.latest().number + 1;
            let version = new_version(context, number, description, data);
            let template = world.ec2.templates.get_mut(&id);
            let template = template.ok_or_else(|| super::not_found(&id))?;
            template.versions.push(version);
            let tokens = &mut world.tokens;
            tokens.keep(context, token.as_deref(), &fingerprint, &number.to_string());
            number
        }
    };
    let template = named.find(context, world)?;
    let version = template.version(Some(&number.to_string()))?;
    let mut xml = Xml::new();
    xml.node("launchTemplateVersion", |xml| {
        describe::write_version(xml, template, version);
    });
    Ok(xml)
}

/// ModifyLaunchTemplate: which version is meant where none is named.
pub(super) fn modify(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    params.text("ClientToken");
    let named = Named::required(params)?;
    let wanted = params.required("SetDefaultVersion")?;
    params.finish()?;
    let template = named.find(context, world)?;
    let (id, number) = (template.id.clone(), template.version(Some(&wanted))?.number);
    if let Some(template) = world.ec2.templates.get_mut(&id) {
        template.default_version = number;
    }
    answer(context, world, &id)
}

/// DeleteLaunchTemplate, with all versions.
pub(super) fn delete(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let named = Named::required(params)?;
    params.finish()?;
    let id = named.find(context, world)?.id.clone();
    let xml = answer(context, world, &id)?;
    world.ec2.templates.remove(&id);
    world.tags.forget(&id);
    Ok(xml)
}

fn answer(context: &Context, world: &World, id: &str) -> Result<Xml, ServiceError> {
    let template = world.ec2.templates.get(id);
    let template = template.ok_or_else(|| super::not_found(id))?;
    let mut xml = Xml::new();
    xml.node("launchTemplate", |xml| {
        describe::write_template(context, world, xml, template);
    });
    Ok(xml)
}

fn new_version(context: &Context, number: u64, description: Option<String>, data: Data) -> Version {
    Version {
        number,
        description,
        created: context.now,
        created_by: context.caller.arn.clone(),
        data,
    }
}

/// "Launch template names must be 3 to 128 characters of letters, numbers and ()./_-".
fn check_name(name: &str) -> Result<(), ServiceError> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"()./_-".contains(&byte);
    if (3..=128).contains(&name.len()) && name.bytes().all(is_good) {
        return Ok(());
    }
    Err(ServiceError::new(
        "InvalidLaunchTemplateName.MalformedException",
        format!(
            "Launch template name '{name}' must be between 3 and 128 characters of letters, \
             numbers, and ( ) . / _ -"
        ),
    ))
}
