//! RunInstances with a template.

use std::collections::BTreeMap;

use super::Named;
use super::data::first;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;
use crate::sandbox::world::World;

/// Takes `LaunchTemplate` of a launch, and lays what it asks for under the call's own parameters.
///
/// # Errors
/// There is no such template, or no such version of it.
pub fn lay_under(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<(), ServiceError> {
    let named = params.structure("LaunchTemplate", |template| {
        let version = template.text("Version");
        Ok((Named::required(template)?, version))
    })?;
    let Some((named, version)) = named else {
        return Ok(());
    };
    let template = named.find(context, world)?;
    let version = template.version(version.as_deref())?;
    // Two operations of EC2 write it differently.
    let name = |name: &str| match name {
        "RamDiskId" => "RamdiskId".to_owned(),
        name => name.to_owned(),
    };
    let leaves = version.data.0.iter();
    params.lay_under(leaves.map(|(key, value)| (name(key), value.clone())));
    Ok(())
}

/// The parameters of a launch with those of its template, for the question whether the caller may do
/// this. A template that is not there adds nothing: the launch itself says so.
pub fn spread(context: &Context, world: &World, form: &mut BTreeMap<String, String>) {
    let named = Named {
        id: form.get("LaunchTemplate.LaunchTemplateId").cloned(),
        name: form.get("LaunchTemplate.LaunchTemplateName").cloned(),
    };
    let Ok(template) = named.find(context, world) else {
        return;
    };
    let wanted = form.get("LaunchTemplate.Version").map(String::as_str);
    let Ok(version) = template.version(wanted) else {
        return;
    };
    let own: Vec<String> = form.keys().map(|name| first(name).to_owned()).collect();
    for (name, value) in &version.data.0 {
        if !own.iter().any(|member| member == first(name)) {
            form.insert(name.clone(), value.clone());
        }
    }
    let id = "LaunchTemplate.LaunchTemplateId".to_owned();
    form.insert(id, template.id.clone());
}
