//! STS: who a caller is, and sessions of roles.
//!
//! The sandbox has no IAM: every role of every account can be assumed by every caller, and may do
//! everything in its account. What would only make a session weaker than that (session policies,
//! session tags) is refused, so that nobody believes it to be enforced.

mod input;
mod session;
#[cfg(test)]
mod tests;

use super::context::Context;
use super::error::ServiceError;
use super::http::Reply;
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
        "GetSessionToken" => session::session_token,
        "GetAccessKeyInfo" => access_key_info,
        _ => return Err(invalid_action(&name, &version)),
    };
    if version != VERSION {
        return Err(invalid_action(&name, &version));
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
