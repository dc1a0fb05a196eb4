//! CreateKeyPair, ImportKeyPair, DescribeKeyPairs, DeleteKeyPair.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::keys::{KeyPair, key_pair};
use super::ssh_key::{self, PublicKey};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::new_id;
use crate::sandbox::tag::{filter_values, take_tag_specifications, write_tags};
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

const KIND: &str = "key-pair";

/// Longest name of a key pair.
const LONGEST_NAME: usize = 255;

pub(super) fn create(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let name = take_name(params)?;
    let kind = params.text("KeyType").unwrap_or_else(|| "rsa".to_owned());
    let format = params.text("KeyFormat").unwrap_or_else(|| "pem".to_owned());
    let tags = take_tag_specifications(params, &[KIND])?
        .remove(KIND)
        .unwrap_or_default();
    params.finish()?;
    match format.as_str() {
        "pem" => {}
        "ppk" => {
            return Err(ServiceError::invalid_value(
                "KeyFormat",
                &format,
                "The sandbox does not write PuTTY's form.",
            ));
        }
        _ => {
            return Err(ServiceError::invalid_value(
                "KeyFormat",
                &format,
                "It is pem or ppk.",
            ));
        }
    }
    check_new(context, world, &name)?;
    let made = match kind.as_str() {
        "rsa" => ssh_key::make_rsa()?,
        "ed25519" => ssh_key::make_ed25519(&name)?,
        _ => {
            return Err(ServiceError::invalid_value(
                "KeyType",
                &kind,
                "It is rsa or ed25519.",
            ));
        }
    };
    let key = KeyPair {
        id: new_id("key"),
        owner: context.caller.account.clone(),
        region: context.region.clone(),
        kind: made.public.kind().to_owned(),
        fingerprint: made.fingerprint,
        public_key_openssh: made.public.openssh(&name),
        created: context.now,
        name,
    };
    let mut xml = Xml::new();
    xml.text("keyName", &key.name)
        .text("keyFingerprint", &key.fingerprint)
        .text("keyMaterial", &made.private)
        .text("keyPairId", &key.id);
    write_tags(&mut xml, &tags);
    keep(context, world, key, &tags)?;
    Ok(xml)
}

pub(super) fn import(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let name = take_name(params)?;
    let material = params.required("PublicKeyMaterial")?;
    let tags = take_tag_specifications(params, &[KIND])?
        .remove(KIND)
        .unwrap_or_default();
    params.finish()?;
    let invalid = |why: &str| ServiceError::new("InvalidKey.Format", why);
    let (public, comment) = BASE64_STANDARD
        .decode(material.split_whitespace().collect::<String>())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| PublicKey::parse(&text))
        .ok_or_else(|| invalid("Key is not in valid OpenSSH public key format"))?;
    if !public.has_fitting_length() {
        return Err(invalid(
            "An RSA key must have a length of 1024, 2048 or 4096 bits",
        ));
    }
    check_new(context, world, &name)?;
    let key = KeyPair {
        id: new_id("key"),
        owner: context.caller.account.clone(),
        region: context.region.clone(),
        kind: public.kind().to_owned(),
        fingerprint: public.fingerprint(),
        public_key_openssh: public.openssh(comment.as_deref().unwrap_or(&name)),
        created: context.now,
        name,
    };
    let mut xml = Xml::new();
    xml.text("keyName", &key.name)
        .text("keyFingerprint", &key.fingerprint)
        .text("keyPairId", &key.id);
    write_tags(&mut xml, &tags);
    keep(context, world, key, &tags)?;
    Ok(xml)
}

fn take_name(params: &mut Params) -> Result<String, ServiceError> {
    let name = params.required("KeyName")?;
    if !name.is_ascii() || name.len() > LONGEST_NAME || name.trim() != name {
        return Err(ServiceError::invalid_value(
            "KeyName",
            &name,
            format!(
                "It must have up to {LONGEST_NAME} ASCII characters, and no space before or after \
                 them."
            ),
        ));
    }
    Ok(name)
}

fn check_new(context: &Context, world: &World, name: &str) -> Result<(), ServiceError> {
    if key_pair(world, &context.caller.account, &context.region, name).is_ok() {
        return Err(ServiceError::new(
            "InvalidKeyPair.Duplicate",
            format!("The keypair '{name}' already exists."),
        ));
    }
    Ok(())
}

fn keep(
    context: &Context,
    world: &mut World,
    key: KeyPair,
    tags: &std::collections::BTreeMap<String, String>,
) -> Result<(), ServiceError> {
    let account = &context.caller.account;
    world
        .tags
        .add(account, &context.region, KIND, &key.id, tags)?;
    world.ec2.network.keys.insert(key.id.clone(), key);
    Ok(())
}

/// A key pair of the caller's by its id.
fn by_id<'a>(context: &Context, world: &'a World, id: &str) -> Result<&'a KeyPair, ServiceError> {
    let key = world.ec2.network.keys.get(id);
    key.filter(|key| key.owner == context.caller.account && key.region == context.region)
        .ok_or_else(|| {
            ServiceError::new(
                "InvalidKeyPair.NotFound",
                format!("The key pair ID '{id}' does not exist"),
            )
        })
}

pub(super) fn describe(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let names = params.list("KeyName")?;
    let ids = params.list("KeyPairId")?;
    let with_public = params.flag("IncludePublicKey")?.unwrap_or(false);
    let known = ["fingerprint", "key-name", "key-pair-id", "tag-key", "tag:"];
    let filters = Filters::take(params, &known)?;
    params.finish()?;
    let account = &context.caller.account;
    for name in &names {
        key_pair(world, account, &context.region, name)?;
    }
    for id in &ids {
        by_id(context, world, id)?;
    }
    let all = names.is_empty() && ids.is_empty();
    let keys = world.ec2.network.keys.values().filter(|key| {
        let is_own = key.owner == *account && key.region == context.region;
        let is_named = all || names.contains(&key.name) || ids.contains(&key.id);
        is_own
            && is_named
            && filters.pass(|filter| {
                vec![match filter {
                    "fingerprint" => key.fingerprint.clone(),
                    "key-name" => key.name.clone(),
                    "key-pair-id" => key.id.clone(),
                    tag => return filter_values(&world.tags.of(account, &key.id), tag),
                }]
            })
    });
    let mut xml = Xml::new();
    xml.list("keySet", keys, |xml, key| {
        xml.text("keyPairId", &key.id)
            .text("keyName", &key.name)
            .text("keyType", &key.kind)
            .text("keyFingerprint", &key.fingerprint)
            .text("createTime", key.created);
        if with_public {
            xml.text("publicKey", &key.public_key_openssh);
        }
        write_tags(xml, &world.tags.of(account, &key.id));
    });
    Ok(xml)
}

pub(super) fn delete(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let name = params.text("KeyName");
    let id = params.text("KeyPairId");
    params.finish()?;
    let account = &context.caller.account;
    let found = match (name, id) {
        (Some(_), Some(_)) => {
            return Err(ServiceError::invalid_combination(
                "The parameter 'keyName' may not be used in combination with 'keyPairId'",
            ));
        }
        // The deletion of a name that is none succeeds, as it always did.
        (Some(name), None) => key_pair(world, account, &context.region, &name)
            .ok()
            .map(|key| key.id),
        (None, Some(id)) => Some(by_id(context, world, &id)?.id.clone()),
        (None, None) => return Err(ServiceError::missing_parameter("keyName or keyPairId")),
    };
    if let Some(id) = &found {
        world.ec2.network.keys.remove(id);
        world.tags.forget(id);
    }
    let mut xml = Xml::new();
    xml.text("return", true)
        .optional("keyPairId", found.as_ref());
    Ok(xml)
}
