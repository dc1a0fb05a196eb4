//! Signatures, version 4: who signed a request, and whether the signature holds.
//!
//! Verifies requests of every service but S3 (whose library does it itself): signed in the header
//! `Authorization`, or presigned in the query. The rules are those of AWS's page "Create a signed
//! AWS API request"; what a service answers to each breach stands in [`refusal`].

mod canonical;
mod presented;
mod refusal;
#[cfg(test)]
pub(crate) mod signer;
#[cfg(test)]
mod tests;

pub use refusal::Refusal;

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use sha2::{Digest as _, Sha256};

use self::presented::Presented;
use super::caller::{AccessKey, Caller};
use super::clock::Timestamp;
use super::error::ServiceError;
use super::http::Request;
use super::id::Region;
use super::service::Service;
use super::shared::Shared;

/// How far a client's clock may be from ours, and how long a header signature holds.
const SKEW: Duration = Duration::from_secs(15 * 60);
/// The payload's hash where the payload is not signed.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// What a request's credential says, before it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The access key's id.
    pub access_key: String,
    /// `yyyymmdd`.
    pub date: String,
    /// Region as it was sent; empty in a signature of version 4a, which has none.
    pub region: String,
    /// Service as it was sent.
    pub service: String,
}

impl Scope {
    /// Reads `<key>/<date>/<region>/<service>/aws4_request`; what is missing is empty.
    fn read(credential: &str) -> Scope {
        let parts: Vec<&str> = credential.split('/').collect();
        let part = |index: usize| parts.get(index).copied().unwrap_or_default().to_owned();
        // Version 4a signs for a set of Regions, which stands elsewhere.
        let has_region = !matches!(parts.as_slice(), [_, _, _, "aws4_request"]);
        Scope {
            access_key: part(0),
            date: part(1),
            region: if has_region { part(2) } else { String::new() },
            service: part(if has_region { 3 } else { 2 }),
        }
    }
}

/// The scope of the credential in a header or in a presigned query, if there is one.
pub fn scope(headers: &hyper::HeaderMap, query: &str) -> Option<Scope> {
    let from_header = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once("Credential="))
        .map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default().to_owned());
    let credential = from_header.or_else(|| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "X-Amz-Credential")
            .map(|(_, value)| value.into_owned())
    })?;
    Some(Scope::read(&credential))
}

/// Verifies a request's signature. Returns the Region that it is signed for and who signed.
///
/// # Errors
/// There is no signature, it does not hold, it is too old, or the key is none of the sandbox's; in
/// the words of the service.
pub fn authenticate(
    shared: &Shared,
    service: Service,
    request: &Request,
) -> Result<(Region, Caller), ServiceError> {
    let times = Times {
        real: Timestamp::real(),
        sandbox: shared.clock.now(),
    };
    let key = |id: &str| shared.read(|world| world.access_keys.get(id).cloned());
    verify(service, request, times, key).map_err(|refusal| refusal.answer(service))
}

/// The Region of that name, if it is one that accounts have without opting in.
///
/// # Errors
/// There is no such Region, or it would have to be opted into, which the sandbox does not have.
pub fn region(name: &str) -> Result<Region, Refusal> {
    let region: Region = name.parse().map_err(|_| Refusal::Region(name.to_owned()))?;
    if region.is_default() {
        Ok(region)
    } else {
        Err(Refusal::OptIn(region))
    }
}

/// What time it is.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// For signatures, since clients use the real time.
    real: Timestamp,
    /// For the end of sessions, which the sandbox sets, and for clients that correct their time by
    /// what AWS's answers say.
    sandbox: Timestamp,
}

fn verify(
    service: Service,
    request: &Request,
    times: Times,
    key: impl FnOnce(&str) -> Option<AccessKey>,
) -> Result<(Region, Caller), Refusal> {
    let presented = presented::read(request)?;
    let key = key(&presented.scope.access_key).ok_or(Refusal::UnknownKey)?;
    let region = region(&presented.scope.region)?;
    check_token(&presented, &key, times.sandbox)?;
    check_scope(service, &presented)?;
    check_age(&presented, times)?;
    check_signed_headers(&presented, request)?;
    check_signature(service, &presented, request, &key.secret)?;
    Ok((region, key.caller))
}

/// A session's token must be there and right; other keys have none.
fn check_token(presented: &Presented, key: &AccessKey, now: Timestamp) -> Result<(), Refusal> {
    let same = match (&key.session_token, &presented.token) {
        (None, None) => true,
        (Some(expected), Some(given)) => {
            verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).is_ok()
        }
        _ => false,
    };
    if !same {
        return Err(Refusal::UnknownKey);
    }
    match key.expires {
        Some(expires) if expires <= now => Err(Refusal::ExpiredSession),
        _ => Ok(()),
    }
}

fn check_scope(service: Service, presented: &Presented) -> Result<(), Refusal> {
    let scope = &presented.scope;
    if scope.service != service.name() {
        return Err(Refusal::Mismatch(format!(
            "Credential should be scoped to correct service: '{}'.",
            service.name()
        )));
    }
    let date = &presented.date_text[..8];
    if scope.date != date {
        return Err(Refusal::Mismatch(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{}' != '{date}', from '{}'.",
            scope.date, presented.date_text
        )));
    }
    Ok(())
}

/// The sandbox's clock may have been put forward. Clients sign with the real time, or with the one
/// that the sandbox's last answer to them said, which lies between both.
fn check_age(presented: &Presented, times: Times) -> Result<(), Refusal> {
    let signed = presented.date;
    let is_by_ours = signed > times.real.plus(SKEW) && signed <= times.sandbox.plus(SKEW);
    if is_by_ours && presented.expires.is_none() {
        return Ok(());
    }
    let now = match is_by_ours {
        true => times.sandbox,
        false => times.real,
    };
    if signed > now.plus(SKEW) {
        return Err(Refusal::Skewed(format!(
            "Signature not yet current: {} is still later than {now} (+ 15 min.)",
            presented.date_text
        )));
    }
    let ends = signed.plus(presented.expires.unwrap_or(SKEW));
    if ends < now {
        return Err(Refusal::Skewed(format!(
            "Signature expired: {} is now earlier than {now}",
            presented.date_text
        )));
    }
    Ok(())
}

/// The host and all of AWS's own headers must be signed, or they could be changed on the way.
fn check_signed_headers(presented: &Presented, request: &Request) -> Result<(), Refusal> {
    let is_signed = |name: &str| presented.signed_headers.iter().any(|signed| signed == name);
    if !is_signed("host") {
        return Err(Refusal::Mismatch(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        ));
    }
    let unsigned = request.headers.keys().find(|name| {
        // Services differ in whether the token is signed; a wrong one was found above.
        name.as_str().starts_with("x-amz-")
            && *name != "x-amz-security-token"
            && !is_signed(name.as_str())
    });
    match unsigned {
        Some(name) => Err(Refusal::Mismatch(format!(
            "'{name}' must be a 'SignedHeader' in the AWS Authorization."
        ))),
        None => Ok(()),
    }
}

fn check_signature(
    service: Service,
    presented: &Presented,
    request: &Request,
    secret: &str,
) -> Result<(), Refusal> {
    let key = signing_key(secret, &presented.scope);
    let fits = |payload: &str| {
        let canonical = canonical::request(presented, request, payload);
        let text = string_to_sign(presented, &canonical);
        hmac::verify(&key, text.as_bytes(), &presented.signature).is_ok()
    };
    let hash = crate::digest::hex(&request.body_sha256);
    let may_be_unsigned = service == Service::Ebs && request.method == hyper::Method::PUT;
    let fits = match request.header("x-amz-content-sha256") {
        Some(given) if given == UNSIGNED_PAYLOAD && may_be_unsigned => fits(UNSIGNED_PAYLOAD),
        Some(given) if given != hash => {
            return Err(Refusal::Mismatch(
                "The value of x-amz-content-sha256 is not the SHA-256 of the request's body."
                    .to_owned(),
            ));
        }
        Some(_) => fits(&hash),
        // The API's model says of PutSnapshotBlock that its body need not be signed; whether it
        // was is seen only from the signature.
        None => fits(&hash) || may_be_unsigned && fits(UNSIGNED_PAYLOAD),
    };
    if fits {
        Ok(())
    } else {
        Err(Refusal::Mismatch(
            "The request signature we calculated does not match the signature you provided. Check \
             your AWS Secret Access Key and signing method. Consult the service documentation for \
             details."
                .to_owned(),
        ))
    }
}

fn string_to_sign(presented: &Presented, canonical: &[u8]) -> String {
    let scope = &presented.scope;
    format!(
        "AWS4-HMAC-SHA256\n{}\n{}/{}/{}/aws4_request\n{}",
        presented.date_text,
        scope.date,
        scope.region,
        scope.service,
        crate::digest::hex(&Sha256::digest(canonical))
    )
}

fn signing_key(secret: &str, scope: &Scope) -> hmac::Key {
    let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
    [&scope.date, &scope.region, &scope.service]
        .map(String::as_str)
        .into_iter()
        .chain(["aws4_request"])
        .fold(key(format!("AWS4{secret}").as_bytes()), |last, part| {
            key(hmac::sign(&last, part.as_bytes()).as_ref())
        })
}
