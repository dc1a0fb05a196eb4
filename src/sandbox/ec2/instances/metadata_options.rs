//! How an instance may use its metadata service, and ModifyInstanceMetadataOptions.

use serde::{Deserialize, Serialize};

use super::refused;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// How an instance may use its metadata service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataOptions {
    /// `HttpTokens`: nothing is told without a session token.
    pub tokens_required: bool,
    /// `HttpPutResponseHopLimit`: how far a token may travel, which is for the guest's network to
    /// feel; there is no hop between a guest and its service here.
    pub hop_limit: u8,
    /// `HttpEndpoint`: whether there is the service at all.
    pub endpoint: bool,
    /// `InstanceMetadataTags`: whether it tells the tags.
    pub tags: bool,
}

/// The same as far as a call says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    tokens_required: Option<bool>,
    hop_limit: Option<u8>,
    endpoint: Option<bool>,
    tags: Option<bool>,
}

impl Wanted {
    /// Takes the options.
    pub fn take(params: &mut Params) -> Result<Wanted, ServiceError> {
        let tokens_required = choice(params, "HttpTokens", "optional", "required")?;
        let hop_limit = params.number::<u8>("HttpPutResponseHopLimit")?;
        if let Some(limit) = hop_limit.filter(|limit| !(1..=64).contains(limit)) {
            return Err(ServiceError::invalid_value(
                "HttpPutResponseHopLimit",
                &limit.to_string(),
                "Expecting a value from 1 to 64.",
            ));
        }
        let endpoint = choice(params, "HttpEndpoint", "disabled", "enabled")?;
        if choice(params, "HttpProtocolIpv6", "disabled", "enabled")? == Some(true) {
            return Err(refused("HttpProtocolIpv6 (it has no IPv6)"));
        }
        let tags = choice(params, "InstanceMetadataTags", "disabled", "enabled")?;
        if endpoint == Some(false) && (tokens_required.is_some() || hop_limit.is_some()) {
            return Err(ServiceError::invalid_combination(
                "HttpTokens and HttpPutResponseHopLimit may not be specified when HttpEndpoint is \
                 disabled",
            ));
        }
        Ok(Wanted {
            tokens_required,
            hop_limit,
            endpoint,
            tags,
        })
    }

    /// The options of a new instance of an image with this `ImdsSupport`.
    pub fn for_image(&self, imds_support: Option<&str>) -> MetadataOptions {
        let is_v2 = imds_support == Some("v2.0");
        self.onto(&MetadataOptions {
            tokens_required: is_v2,
            hop_limit: if is_v2 { 2 } else { 1 },
            endpoint: true,
            tags: false,
        })
    }

    fn onto(&self, options: &MetadataOptions) -> MetadataOptions {
        MetadataOptions {
            tokens_required: self.tokens_required.unwrap_or(options.tokens_required),
            hop_limit: self.hop_limit.unwrap_or(options.hop_limit),
            endpoint: self.endpoint.unwrap_or(options.endpoint),
            tags: self.tags.unwrap_or(options.tags),
        }
    }
}

/// A choice between two words; true for the second.
fn choice(
    params: &mut Params,
    name: &str,
    no: &str,
    yes: &str,
) -> Result<Option<bool>, ServiceError> {
    match params.text(name) {
        None => Ok(None),
        Some(text) if text == no => Ok(Some(false)),
        Some(text) if text == yes => Ok(Some(true)),
        Some(text) => Err(ServiceError::invalid_value(
            name,
            &text,
            format!("It must be {no} or {yes}."),
        )),
    }
}

/// Tags that the service is to tell stand in its paths: their keys must fit there.
pub(super) fn check_tag_keys<'a>(
    keys: impl IntoIterator<Item = &'a String>,
) -> Result<(), ServiceError> {
    for key in keys {
        let fits = key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_+=,.@:".contains(&byte));
        if !fits || matches!(key.as_str(), "." | ".." | "_index") {
            return Err(ServiceError::new(
                "InvalidParameterValue",
                format!(
                    "'{key}' is not a valid tag key. Tag keys must match pattern \
                     ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), and must not be a reserved name ('.', '..', \
                     '_index')"
                ),
            ));
        }
    }
    Ok(())
}

/// Writes the members of `metadataOptions`.
pub(super) fn write(xml: &mut Xml, options: &MetadataOptions) {
    let on = |on: bool| if on { "enabled" } else { "disabled" };
    xml.text("state", "applied")
        .text(
            "httpTokens",
            if options.tokens_required {
                "required"
            } else {
                "optional"
            },
        )
        .text("httpPutResponseHopLimit", options.hop_limit)
        .text("httpEndpoint", on(options.endpoint))
        .text("httpProtocolIpv6", "disabled")
        .text("instanceMetadataTags", on(options.tags));
}

/// ModifyInstanceMetadataOptions. The machine's service asks for the options at each request, so
/// they hold at once.
pub(super) fn modify(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("InstanceId")?;
    let wanted = Wanted::take(params)?;
    params.finish()?;
    if wanted == Wanted::default() {
        return Err(ServiceError::missing_parameter("HttpEndpoint"));
    }
    let instance = super::find(context, world, &id)?;
    let state = super::state(instance, context.now);
    if matches!(state, super::State::Terminated | super::State::ShuttingDown) {
        return Err(ServiceError::new(
            "IncorrectInstanceState",
            format!("The instance '{id}' is {}", state.name()),
        ));
    }
    let options = wanted.onto(&instance.metadata);
    if options.tags {
        check_tag_keys(world.tags.of(&context.caller.account, &id).keys())?;
    }
    let instance = world.ec2.instances.get_mut(&id).expect("it was just found");
    instance.metadata = options.clone();
    let mut xml = Xml::new();
    xml.text("instanceId", id)
        .node("instanceMetadataOptions", |xml| write(xml, &options));
    Ok(xml)
}
