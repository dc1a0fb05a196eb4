//! Operations on what is set for an account in a Region.

use super::settings::{PublicSnapshots, Settings, key, settings};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::kms;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

fn own(context: &Context, world: &World) -> Settings {
    settings(world, &context.caller.account, &context.region)
}

fn change(context: &Context, world: &mut World, change: impl FnOnce(&mut Settings)) {
    let mut settings = own(context, world);
    change(&mut settings);
    let key = key(&context.caller.account, &context.region);
    world.ec2.places.settings.insert(key, settings);
}

fn answer(name: &str, value: impl std::fmt::Display) -> Xml {
    let mut xml = Xml::new();
    xml.text(name, value);
    xml
}

pub(super) fn enable_encryption(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    params.finish()?;
    change(context, world, |settings| settings.encrypt = true);
    Ok(answer("ebsEncryptionByDefault", true))
}

pub(super) fn disable_encryption(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    params.finish()?;
    change(context, world, |settings| settings.encrypt = false);
    Ok(answer("ebsEncryptionByDefault", false))
}

pub(super) fn get_encryption(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    params.finish()?;
    let encrypt = own(context, world).encrypt;
    let mut xml = answer("ebsEncryptionByDefault", encrypt);
    xml.text("sseType", if encrypt { "sse-kms" } else { "none" });
    Ok(xml)
}

/// How EC2 names the key where none was set.
const AWS_MANAGED: &str = "alias/aws/ebs";

pub(super) fn get_key(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    params.finish()?;
    let key = own(context, world).key;
    Ok(answer(
        "kmsKeyId",
        key.unwrap_or_else(|| AWS_MANAGED.to_owned()),
    ))
}

/// Sets the key. As in AWS, a key that does not exist or cannot be used is taken all the same, and
/// what is to be encrypted under it fails later.
pub(super) fn modify_key(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let reference = params.required("KmsKeyId")?;
    params.finish()?;
    let (account, region) = (&context.caller.account, &context.region);
    let arn = kms::resolve(world, account, region, &reference).unwrap_or_else(|| {
        if reference.starts_with("arn:") {
            reference.clone()
        } else if reference.starts_with("alias/") {
            format!("arn:aws:kms:{region}:{account}:{reference}")
        } else {
            format!("arn:aws:kms:{region}:{account}:key/{reference}")
        }
    });
    change(context, world, |settings| settings.key = Some(arn.clone()));
    Ok(answer("kmsKeyId", arn))
}

pub(super) fn reset_key(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    params.finish()?;
    change(context, world, |settings| settings.key = None);
    Ok(answer("kmsKeyId", AWS_MANAGED))
}

pub(super) fn get_public_snapshots(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    params.finish()?;
    let mut xml = answer("state", own(context, world).public_snapshots.name());
    xml.text("managedBy", "account");
    Ok(xml)
}

pub(super) fn block_public_snapshots(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let state = params.required("State")?;
    params.finish()?;
    let blocked = match state.as_str() {
        "block-all-sharing" => PublicSnapshots::BlockAll,
        "block-new-sharing" => PublicSnapshots::BlockNew,
        _ => {
            return Err(ServiceError::invalid_value(
                "State",
                &state,
                "It is block-all-sharing or block-new-sharing.",
            ));
        }
    };
    change(context, world, |settings| {
        settings.public_snapshots = blocked;
    });
    Ok(answer("state", blocked.name()))
}

pub(super) fn unblock_public_snapshots(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    params.finish()?;
    let free = PublicSnapshots::Unblocked;
    change(context, world, |settings| settings.public_snapshots = free);
    Ok(answer("state", free.name()))
}
