//! The parts of a signature as a request presents them, in its header or its query.

use std::time::Duration;

use time::OffsetDateTime;
use time::PrimitiveDateTime;
use time::format_description::well_known::Rfc2822;
use time::macros::format_description;

use super::super::clock::Timestamp;
use super::super::http::Request;
use super::{Refusal, Scope};

/// A presigned request may hold for a week.
const LONGEST: u64 = 7 * 24 * 3600;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a request presents.
#[derive(Debug)]
pub(super) struct Presented {
    pub scope: Scope,
    /// In lower case, in the order given.
    pub signed_headers: Vec<String>,
    pub signature: Vec<u8>,
    /// `20260102T030405Z`.
    pub date_text: String,
    pub date: Timestamp,
    /// How long a presigned request holds.
    pub expires: Option<Duration>,
    pub token: Option<String>,
}

/// Reads the signature of a request.
pub(super) fn read(request: &Request) -> Result<Presented, Refusal> {
    let headers: Vec<_> = request.headers.get_all("authorization").iter().collect();
    let query: Vec<(String, String)> = form_urlencoded::parse(request.query.as_bytes())
        .into_owned()
        .collect();
    let is_presigned = query
        .iter()
        .any(|(name, _)| name == "X-Amz-Algorithm" || name == "X-Amz-Signature");
    match (headers.as_slice(), is_presigned) {
        ([], false) => Err(Refusal::Missing),
        ([], true) => from_query(&query),
        ([header], false) => {
            let text = header.to_str().map_err(|_| {
                Refusal::Incomplete("The Authorization header is not text".to_owned())
            })?;
            from_header(request, text)
        }
        _ => Err(Refusal::Incomplete(
            "The request is signed more than once; there must be one Authorization header or one \
             set of X-Amz query parameters"
                .to_owned(),
        )),
    }
}

fn from_header(request: &Request, header: &str) -> Result<Presented, Refusal> {
    let (algorithm, rest) = header.trim().split_once(' ').unwrap_or((header, ""));
    check_algorithm(algorithm)?;
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for part in rest.split(',') {
        let (name, value) = part.trim().split_once('=').unwrap_or((part, ""));
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => {
                return Err(Refusal::Incomplete(format!(
                    "'{}' not a valid key=value pair (missing equal-sign) in Authorization header",
                    part.trim()
                )));
            }
        };
        if slot.replace(value).is_some() {
            return Err(Refusal::Incomplete(format!(
                "Authorization header has '{name}' more than once"
            )));
        }
    }
    let part = |name: &str, value: Option<&str>| {
        value
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| {
                Refusal::Incomplete(format!("Authorization header requires '{name}' parameter."))
            })
    };
    let (date_text, date) = header_date(request)?;
    Ok(Presented {
        scope: read_scope(&part("Credential", credential)?)?,
        signed_headers: read_names(&part("SignedHeaders", signed_headers)?)?,
        signature: read_signature(&part("Signature", signature)?)?,
        date_text,
        date,
        expires: None,
        token: request.header("x-amz-security-token").map(str::to_owned),
    })
}

fn from_query(query: &[(String, String)]) -> Result<Presented, Refusal> {
    let optional = |name: &str| -> Result<Option<String>, Refusal> {
        let mut values = query.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.clone());
        if values.next().is_some() {
            return Err(Refusal::Incomplete(format!(
                "The query parameter {name} is given more than once"
            )));
        }
        Ok(value)
    };
    let part = |name: &str| {
        optional(name)?
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                Refusal::Incomplete(format!(
                    "AWS query-string parameters must include '{name}'."
                ))
            })
    };
    check_algorithm(&part("X-Amz-Algorithm")?)?;
    let date_text = part("X-Amz-Date")?;
    let date = read_date(&date_text).ok_or_else(|| bad_date(&date_text))?;
    let expires = part("X-Amz-Expires")?;
    let seconds = expires
        .parse::<u64>()
        .ok()
        .filter(|seconds| (1..=LONGEST).contains(seconds))
        .ok_or_else(|| {
            Refusal::Incomplete(format!(
                "X-Amz-Expires must be a number of seconds from 1 to {LONGEST}, not '{expires}'"
            ))
        })?;
    Ok(Presented {
        scope: read_scope(&part("X-Amz-Credential")?)?,
        signed_headers: read_names(&part("X-Amz-SignedHeaders")?)?,
        signature: read_signature(&part("X-Amz-Signature")?)?,
        date_text,
        date,
        expires: Some(Duration::from_secs(seconds)),
        token: optional("X-Amz-Security-Token")?,
    })
}

fn check_algorithm(name: &str) -> Result<(), Refusal> {
    if name == ALGORITHM {
        return Ok(());
    }
    let why = if name.starts_with("AWS4-ECDSA") {
        "; the sandbox has no signatures of version 4a, sign for one Region"
    } else {
        ""
    };
    Err(Refusal::Incomplete(format!(
        "Unsupported AWS 'algorithm': '{name}'{why}."
    )))
}

fn read_scope(credential: &str) -> Result<Scope, Refusal> {
    match credential.split('/').collect::<Vec<_>>().as_slice() {
        [_, _, _, _, "aws4_request"] => Ok(Scope::read(credential)),
        _ => Err(Refusal::Incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/aws4_request, got '{credential}'"
        ))),
    }
}

fn read_names(list: &str) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> = list.split(';').map(str::to_owned).collect();
    let is_name = |name: &String| !name.is_empty() && *name == name.to_ascii_lowercase();
    // Strictly ascending: in order, and none twice.
    if names.iter().all(is_name) && names.windows(2).all(|pair| pair[0] < pair[1]) {
        Ok(names)
    } else {
        Err(Refusal::Incomplete(format!(
            "SignedHeaders must be names in lower case, sorted, between semicolons, not '{list}'"
        )))
    }
}

/// A signature that is no hexadecimal number is one that does not hold.
fn read_signature(hex: &str) -> Result<Vec<u8>, Refusal> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hex.len() != 64 || !hex.bytes().all(is_hex) {
        return Err(Refusal::Mismatch(
            "The signature must be 64 hexadecimal digits in lower case.".to_owned(),
        ));
    }
    Ok((0..32)
        .filter_map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok())
        .collect())
}

fn header_date(request: &Request) -> Result<(String, Timestamp), Refusal> {
    if let Some(text) = request.header("x-amz-date") {
        let date = read_date(text).ok_or_else(|| bad_date(text))?;
        return Ok((text.to_owned(), date));
    }
    let Some(text) = request.header("date") else {
        return Err(Refusal::Incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
                .to_owned(),
        ));
    };
    if let Some(date) = read_date(text) {
        return Ok((text.to_owned(), date));
    }
    let moment = OffsetDateTime::parse(text, &Rfc2822).map_err(|_| bad_date(text))?;
    let compact = moment
        .to_offset(time::UtcOffset::UTC)
        .format(format_description!(
            "[year][month][day]T[hour][minute][second]Z"
        ))
        .map_err(|_| bad_date(text))?;
    let date = read_date(&compact).ok_or_else(|| bad_date(text))?;
    Ok((compact, date))
}

fn bad_date(text: &str) -> Refusal {
    Refusal::Incomplete(format!(
        "Date must be in ISO-8601 'basic format'. Got '{text}'. See \
         http://en.wikipedia.org/wiki/ISO_8601"
    ))
}

/// Reads `20260102T030405Z`.
fn read_date(text: &str) -> Option<Timestamp> {
    let moment = PrimitiveDateTime::parse(
        text,
        format_description!("[year][month][day]T[hour][minute][second]Z"),
    )
    .ok()?;
    let seconds = moment.assume_utc().unix_timestamp();
    seconds.checked_mul(1000).map(Timestamp)
}
