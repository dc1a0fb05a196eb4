//! Sessions of roles for whoever has a JSON web token, such as a job of a CI.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use super::input::{invalid, length, number, pattern, refuse, required};
use super::session::{LONGEST_OF_ROLE, Role, SHORTEST, denied, give};
use crate::sandbox::caller::Caller;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::http::Request;
use crate::sandbox::id::Region;
use crate::sandbox::server::DEFAULT_REGION;
use crate::sandbox::service::Service;
use crate::sandbox::sigv4;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;

/// Where and for whom a request is that needs no signature since its token says who asks; nothing
/// for every other one.
pub fn unsigned(service: Service, operation: &str, request: &Request) -> Option<(Region, Caller)> {
    let is_signed = request.header("authorization").is_some()
        || sigv4::scope(&request.headers, &request.query).is_some();
    if service != Service::Sts || operation != "AssumeRoleWithWebIdentity" || is_signed {
        return None;
    }
    let role = form_urlencoded::parse(&request.body)
        .chain(form_urlencoded::parse(request.query.as_bytes()))
        .find(|(name, _)| name == "RoleArn")
        .and_then(|(_, arn)| Role::parse(&arn));
    let account = match role {
        Some(role) => role.account,
        // The call will be refused for its role.
        None => "000000000000".parse().ok()?,
    };
    let caller = Caller {
        account,
        arn: "web identity".to_owned(),
        user_id: "web identity".to_owned(),
        role: None,
    };
    Some((DEFAULT_REGION.parse().ok()?, caller))
}

/// AssumeRoleWithWebIdentity.
pub(super) fn assume_role(context: &Context, params: &mut Params) -> Result<Xml, ServiceError> {
    let arn = required(params, "RoleArn")?;
    let session = required(params, "RoleSessionName")?;
    let token = required(params, "WebIdentityToken")?;
    let duration = number(
        params,
        "DurationSeconds",
        "durationSeconds",
        SHORTEST,
        LONGEST_OF_ROLE,
    )?;
    for name in ["Policy", "PolicyArns"] {
        refuse(params, name, "it does not enforce session policies")?;
    }
    refuse(params, "ProviderId", "it has tokens of OpenID Connect only")?;
    params.finish()?;

    length(&arn, "roleArn", 20, 2048)?;
    length(&session, "roleSessionName", 2, 64)?;
    pattern(&session, "roleSessionName", "+=,.@-", "[\\w+=,.@-]*")?;
    length(&token, "webIdentityToken", 4, 20_000)?;
    let role = Role::parse(&arn).ok_or_else(|| invalid(format!("{arn} is invalid")))?;
    let claims = Claims::read(&token)?;
    claims.check(context.now)?;
    let known = context.read(|world| world.accounts.get(role.account.as_str()).is_some());
    if !known {
        return Err(denied(
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        ));
    }
    let caller = role.session(&session);
    let mut xml = give(context, caller, duration.unwrap_or(3600), None)?;
    xml.text("SubjectFromWebIdentityToken", &claims.subject)
        .text("Provider", &claims.issuer)
        .optional("Audience", claims.audience.as_ref());
    Ok(xml)
}

/// What a token says.
struct Claims {
    subject: String,
    issuer: String,
    audience: Option<String>,
    /// Seconds since 1970.
    ends: Option<i64>,
}

impl Claims {
    /// Reads the claims of a token; its signature is not looked at.
    fn read(token: &str) -> Result<Claims, ServiceError> {
        let malformed = |what: &str| {
            ServiceError::new(
                "InvalidIdentityToken",
                format!("The ID Token provided is not a valid JWT: {what}"),
            )
        };
        let parts: Vec<&str> = token.split('.').collect();
        let [_, claims, _] = parts[..] else {
            return Err(malformed("it has not three parts"));
        };
        let claims = BASE64_URL_SAFE_NO_PAD
            .decode(claims.trim_end_matches('='))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .filter(Value::is_object)
            .ok_or_else(|| malformed("its claims are no JSON object in Base64"))?;
        let text = |name: &str| claims[name].as_str().map(str::to_owned);
        let audience = match &claims["aud"] {
            Value::Array(list) => list.first().and_then(Value::as_str).map(str::to_owned),
            _ => text("aud"),
        };
        Ok(Claims {
            subject: text("sub").ok_or_else(|| malformed("it has no `sub`"))?,
            issuer: text("iss").ok_or_else(|| malformed("it has no `iss`"))?,
            audience,
            ends: claims["exp"].as_i64(),
        })
    }

    fn check(&self, now: Timestamp) -> Result<(), ServiceError> {
        match self.ends {
            Some(ends) if ends <= now.0 / 1000 => Err(ServiceError::new(
                "ExpiredTokenException",
                format!(
                    "Token expired: current date/time {} must be before the expiration date/time {ends}",
                    now.0 / 1000
                ),
            )),
            _ => Ok(()),
        }
    }
}
