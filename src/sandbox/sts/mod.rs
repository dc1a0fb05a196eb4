//! STS: who a caller is, and sessions of roles.
//!
//! Every role of every account can be assumed by every caller: roles have no trust policies here. A
//! session may do everything in its account, unless its role has a policy ([`super::iam`]). What
//! would only make a session weaker than that (session policies, session tags) is refused, so that
//! nobody believes it to be enforced.
//!
//! AssumeRoleWithWebIdentity takes every JSON web token that has not ended: neither who issued it,
//! nor whom it is for, nor its signature is checked.

mod input;
mod session;
#[cfg(test)]
mod tests;
mod web_identity;

pub use session::{Role, temporary_key};
pub use web_identity::unsigned;

use super::context::Context;
use super::error::ServiceError;
use super::http::Reply;
use super::iam;
use super::wire::query::Params;
use super::wire::xml::Xml;

const VERSION: &str = "2011-06-15";

/// Answers a call.
///
/// # Errors
/// The service's own.
pub fn handle(context: &Context) -> Result<Reply, ServiceError> {
    let mut params = params(context)?;
    let name = params
        .text("Action")
        .filter(|name| !name.is_empty())
        .ok_or_else(|| {
            ServiceError::new(
                "MissingAction",
                "The request is missing an action or a required parameter.",
            )
        })?;
    let version = params.text("Version").unwrap_or_default();
    let operation = match name.as_str() {
        "GetCallerIdentity" => caller_identity,
        "AssumeRole" => session::assume_role,
        "AssumeRoleWithWebIdentity" => web_identity::assume_role,
        "GetSessionToken" => session::session_token,
        "GetAccessKeyInfo" => access_key_info,
        _ => return Err(invalid_action(&name, &version)),
    };
    if version != VERSION {
        return Err(invalid_action(&name, &version));
    }
    match name.as_str() {
        // Nobody can be denied to learn who he is, and a token stands for itself.
        "GetCallerIdentity" | "AssumeRoleWithWebIdentity" => {}
        "AssumeRole" => {
            let role = params.peek("RoleArn").unwrap_or("*");
            iam::check(context, [iam::Wish::new("sts:AssumeRole", role)])?;
        }
        _ => iam::check(context, [iam::Wish::new(format!("sts:{name}"), "*")])?,
    }
    let result = operation(context, &mut params)?;
    Ok(Reply::xml(format!(
        "<{name}Response xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\">\
         <{name}Result>{}</{name}Result>\
         <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{name}Response>",
        result.as_str(),
        context.request_id
    )))
}

fn invalid_action(name: &str, version: &str) -> ServiceError {
    ServiceError::new(
        "InvalidAction",
        format!("Could not find operation {name} for version {version}"),
    )
}

/// Parameters of the body or, as presigned calls have them, of the query.
fn params(context: &Context) -> Result<Params, ServiceError> {
    if !context.request.body.is_empty() {
        return Params::parse(&context.request.body);
    }
    let mut own = form_urlencoded::Serializer::new(String::new());
    own.extend_pairs(
        form_urlencoded::parse(context.request.query.as_bytes())
            .filter(|(name, _)| !name.starts_with("X-Amz-")),
    );
    Params::parse(own.finish().as_bytes())
}

fn caller_identity(context: &Context, params: &mut Params) -> Result<Xml, ServiceError> {
    params.finish()?;
    let mut xml = Xml::new();
    xml.text("Arn", &context.caller.arn)
        .text("UserId", &context.caller.user_id)
        .text("Account", &context.caller.account);
    Ok(xml)
}

fn access_key_info(context: &Context, params: &mut Params) -> Result<Xml, ServiceError> {
    let id = input::required(params, "AccessKeyId")?;
    params.finish()?;
    input::length(&id, "accessKeyId", 16, 128)?;
    input::pattern(&id, "accessKeyId", "", "[\\w]*")?;
    let account = context.read(|world| {
        let key = world.access_keys.get(&id)?;
        Some(key.caller.account.clone())
    });
    let account = account.ok_or_else(|| {
        ServiceError::new(
            "ValidationError",
            format!("The access key {id} is none of the sandbox's"),
        )
    })?;
    let mut xml = Xml::new();
    xml.text("Account", account);
    Ok(xml)
}
