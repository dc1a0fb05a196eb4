//! What is checked of a request's credentials before and besides s3s.
//!
//! s3s verifies the signature over headers, query and payload (whole, in chunks, with trailers),
//! the clock's skew of 15 minutes and the expiry of presigned requests. It leaves out: session
//! tokens and their end, the week that a presigned request may hold at most, headers that should
//! have been signed, and the Region's name.
//!
//! Of signatures of version 2 only presigned requests are taken, since the AWS CLI and boto3 still
//! make them for the Regions in [`OLD_REGIONS`] if not told otherwise.

use hyper::HeaderMap;

use super::call::{Call, access_denied, fault, not_here};
use crate::sandbox::caller::AccessKey;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::Region;
use crate::sandbox::sigv4;
use crate::sandbox::world::World;

/// What a presigned request may hold at most.
const LONGEST_EXPIRY: i64 = 7 * 24 * 3600;

/// The Regions from before 2014, where S3 takes signatures of version 2.
pub const OLD_REGIONS: &[&str] = &[
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
];

/// What a request's credentials say, once they passed.
#[derive(Debug, Default)]
pub struct Passed {
    /// The access key; none for an anonymous request.
    pub key: Option<AccessKey>,
    /// The Region that the request is signed for.
    pub region: Option<Region>,
    /// Whether the signature is of version 2, which is for no Region.
    pub is_version_2: bool,
}

/// The error for signatures of version 2 where they are not taken.
pub fn no_version_2() -> ServiceError {
    fault(
        "InvalidRequest",
        "The authorization mechanism you have provided is not supported. Please use \
         AWS4-HMAC-SHA256.",
    )
}

/// Looks at a request's credentials.
///
/// # Errors
/// S3's own for whatever is wrong with them.
pub fn pass(
    world: &World,
    now: Timestamp,
    headers: &HeaderMap,
    query: &str,
) -> Result<Passed, ServiceError> {
    let is_form = text(headers, "content-type")
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data"));
    if is_form {
        return Err(not_here("uploads by HTML forms"));
    }
    let authorization = text(headers, "authorization");
    let presigned = parameter(query, "X-Amz-Algorithm").is_some()
        || parameter(query, "X-Amz-Signature").is_some()
        || parameter(query, "X-Amz-Credential").is_some();
    if authorization.is_some_and(|value| !value.starts_with("AWS4-HMAC-SHA256")) {
        return Err(no_version_2());
    }
    if let (Some(id), Some(_)) = (
        parameter(query, "AWSAccessKeyId"),
        parameter(query, "Signature"),
    ) {
        if authorization.is_some() || presigned {
            return Err(two_signatures());
        }
        let key = find_key(world, &id)?;
        // A session's token is not among what s3s signs in version 2.
        if key.session_token.is_some() {
            return Err(no_version_2());
        }
        return Ok(Passed {
            key: Some(key),
            region: None,
            is_version_2: true,
        });
    }
    if authorization.is_none() && !presigned {
        return Ok(Passed::default());
    }
    if authorization.is_some() && presigned {
        return Err(two_signatures());
    }
    if presigned {
        check_query(query)?;
    }
    let scope = sigv4::scope(headers, query).ok_or_else(|| {
        if presigned {
            bad_query("Error parsing the X-Amz-Credential parameter; it has too few parts.")
        } else {
            fault(
                "AuthorizationHeaderMalformed",
                "The authorization header is malformed; the Credential is mal-formed; expecting \
                 \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
            )
        }
    })?;
    let key = find_key(world, &scope.access_key)?;
    let region = scope.region.parse().map_err(|_| {
        let message = format!(
            "the region '{}' is wrong; expecting 'us-east-1'",
            scope.region
        );
        if presigned {
            bad_query(&format!(
                "Error parsing the X-Amz-Credential parameter; {message}"
            ))
        } else {
            fault(
                "AuthorizationHeaderMalformed",
                format!("The authorization header is malformed; {message}"),
            )
            .member("Region", "us-east-1")
        }
    })?;
    check_token(&key, now, headers, query)?;
    check_signed_headers(headers, query, authorization)?;
    Ok(Passed {
        key: Some(key),
        region: Some(region),
        is_version_2: false,
    })
}

fn two_signatures() -> ServiceError {
    fault(
        "InvalidArgument",
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature \
         query string parameter or the Authorization header should be specified",
    )
}

fn find_key(world: &World, id: &str) -> Result<AccessKey, ServiceError> {
    world.access_keys.get(id).cloned().ok_or_else(|| {
        fault(
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        )
        .member("AWSAccessKeyId", id)
    })
}

/// The query of a presigned request is whole, and it does not hold for longer than a week.
fn check_query(query: &str) -> Result<(), ServiceError> {
    let all = [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Signature",
        "X-Amz-Date",
        "X-Amz-SignedHeaders",
        "X-Amz-Expires",
    ];
    if all.iter().any(|name| parameter(query, name).is_none()) {
        return Err(bad_query(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
             X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        ));
    }
    let expires = parameter(query, "X-Amz-Expires").unwrap_or_default();
    match expires.parse::<i64>() {
        Err(_) => Err(bad_query("X-Amz-Expires should be a number")),
        Ok(seconds) if seconds < 0 => Err(bad_query("X-Amz-Expires must be non-negative")),
        Ok(seconds) if seconds > LONGEST_EXPIRY => Err(bad_query(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires \
             must be less than 604800 seconds",
        )),
        Ok(_) => Ok(()),
    }
}

/// A session's requests carry its token, and come before its end.
fn check_token(
    key: &AccessKey,
    now: Timestamp,
    headers: &HeaderMap,
    query: &str,
) -> Result<(), ServiceError> {
    let given = text(headers, "x-amz-security-token")
        .map(str::to_owned)
        .or_else(|| parameter(query, "X-Amz-Security-Token"));
    if given != key.session_token {
        return match (given, &key.session_token) {
            // A session's key without its token is a key that nobody knows.
            (None, Some(_)) => Err(fault(
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            )
            .member("AWSAccessKeyId", &*key.id)),
            _ => Err(fault(
                "InvalidToken",
                "The provided token is malformed or otherwise invalid.",
            )),
        };
    }
    if key.expires.is_some_and(|end| end <= now) {
        return Err(fault("ExpiredToken", "The provided token has expired."));
    }
    Ok(())
}

/// The host and all of S3's own headers are signed.
fn check_signed_headers(
    headers: &HeaderMap,
    query: &str,
    authorization: Option<&str>,
) -> Result<(), ServiceError> {
    let signed = match authorization {
        Some(value) => value
            .split_once("SignedHeaders=")
            .map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default().to_owned()),
        None => parameter(query, "X-Amz-SignedHeaders"),
    }
    .unwrap_or_default();
    let is_signed = |name: &str| signed.split(';').any(|header| header == name);
    let must_be_signed = |name: &str| {
        name == "host"
            || (name.starts_with("x-amz-")
                && name != "x-amz-user-agent"
                && (authorization.is_some() || name != "x-amz-content-sha256"))
    };
    let missing: Vec<&str> = headers
        .keys()
        .map(|name| name.as_str())
        .filter(|name| must_be_signed(name) && !is_signed(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut error = access_denied();
    error.message = "There were headers present in the request which were not signed".to_owned();
    Err(error.member("HeadersNotSigned", missing.join(", ")))
}

fn bad_query(message: &str) -> ServiceError {
    fault("AuthorizationQueryParametersError", message)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A parameter of a query.
pub fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

impl Call {
    /// Whether the request is presigned.
    pub fn is_presigned(&self) -> bool {
        self.is_version_2 || parameter(&self.query, "X-Amz-Signature").is_some()
    }
}
