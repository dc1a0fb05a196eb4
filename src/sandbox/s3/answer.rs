//! From a request to its answer: credentials, the body of documents, s3s, and what every answer
//! of S3 carries.

use std::sync::{Arc, LazyLock, Mutex};

use base64::Engine as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use sha2::{Digest as _, Sha256};

use super::backend::{Backend, bucket_of_host};
use super::call::{Call, Extra, fault};
use super::checksum::{Promise, bad_md5, content_md5, of_bytes};
use super::data::sha256_mismatch;
use super::gate;
use super::operation::operation;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::random;
use crate::sandbox::server::Body;
use crate::sandbox::shared::Shared;
use crate::sandbox::wire::xml::Xml;

/// The largest document: ten thousand parts with their checksums, or a thousand long keys.
const LARGEST_DOCUMENT: usize = 4 << 20;

/// Answers a request.
pub async fn answer(
    shared: Arc<Shared>,
    request: Request<s3s::Body>,
    request_id: String,
) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    let method = head.method.clone();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let now = shared.clock.now();
    let passed = shared.read(|world| gate::pass(world, now, &head.headers, &query));
    let failed = passed.as_ref().err().cloned();
    let passed = passed.unwrap_or_default();
    let host = head
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let call = Arc::new(Call {
        access_key: passed.key.as_ref().map(|key| key.id.clone()),
        caller: passed.key.map(|key| key.caller),
        region: passed.region,
        is_version_2: passed.is_version_2,
        now,
        request_id,
        method: method.clone(),
        virtual_hosted: host.and_then(bucket_of_host).is_some(),
        headers: head.headers.clone(),
        path: head.uri.path().to_owned(),
        query,
        peer: head
            .extensions
            .get::<std::net::SocketAddr>()
            .map(std::net::SocketAddr::ip),
        extra: Mutex::default(),
        shared: Arc::clone(&shared),
    });
    let body = match failed {
        Some(error) => Err(error),
        None => document(&call, body).await,
    };
    head.extensions.insert(Arc::clone(&call));
    let answer = match body {
        Ok(body) => service(&shared)
            .call(Request::from_parts(head, body))
            .await
            .unwrap_or_else(|error| {
                let error: s3s::StdError = error.into();
                refuse(&call, ServiceError::internal(error))
            }),
        Err(error) => refuse(&call, error),
    };
    finish(&call, &method, answer).await
}

fn service(shared: &Arc<Shared>) -> S3Service {
    let backend = Backend(Arc::clone(shared));
    let mut builder = S3ServiceBuilder::new(backend.clone());
    builder.set_auth(backend.clone());
    builder.set_access(backend.clone());
    builder.set_host(backend);
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config(
        shared,
    )))));
    builder.build()
}

/// Clients that learned the time from our answers sign with the sandbox's, which may be ahead of the
/// real one; s3s knows the real one alone.
fn config(shared: &Shared) -> S3Config {
    let mut config = S3Config::default();
    let ahead = u32::try_from(shared.clock.ahead_ms() / 1000).unwrap_or_default();
    let skew = &mut config.presigned_url_max_skew_time_secs;
    *skew = skew.saturating_add(ahead);
    config
}

fn refuse(call: &Call, error: ServiceError) -> Response<s3s::Body> {
    let result = call.finish::<()>(Err(error));
    let answer = result.err().map(|error| error.to_http_response());
    match answer {
        Some(Ok(answer)) => answer,
        _ => {
            let mut answer = Response::new(s3s::Body::empty());
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        }
    }
}

/// Reads a body that is a document, and checks it against every digest that the request gives.
/// Objects' data goes on as a stream.
async fn document(call: &Call, body: s3s::Body) -> Result<s3s::Body, ServiceError> {
    let name = operation(&call.method, &call.path, &call.query, &call.headers);
    if name == "Unknown" {
        return Err(fault("MethodNotAllowed", MESSAGES["MethodNotAllowed"]));
    }
    let sha256 = call
        .headers
        .get("x-amz-content-sha256")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if matches!(name, "PutObject" | "UploadPart") || sha256.starts_with("STREAMING-") {
        return Ok(body);
    }
    let bytes = Limited::new(body, LARGEST_DOCUMENT)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                fault("MaxMessageLengthExceeded", "Your request was too big.")
            } else {
                fault(
                    "IncompleteBody",
                    "You did not provide the number of bytes specified by the Content-Length HTTP \
                     header",
                )
            }
        })?
        .to_bytes();
    if sha256.len() == 64 && crate::digest::hex(&Sha256::digest(&bytes)) != sha256 {
        return Err(sha256_mismatch());
    }
    check_digests(call, name, &bytes)?;
    Ok(bytes.into())
}

fn check_digests(call: &Call, name: &str, bytes: &[u8]) -> Result<(), ServiceError> {
    // There the checksum in the headers is of the object.
    if matches!(
        name,
        "CompleteMultipartUpload" | "CreateMultipartUpload" | "CopyObject"
    ) {
        return Ok(());
    }
    let md5 = content_md5(&call.headers)?;
    if md5
        .as_ref()
        .is_some_and(|md5| *md5 != super::checksum::md5_of(bytes))
    {
        return Err(bad_md5());
    }
    if bytes.is_empty() {
        return Ok(());
    }
    let promise = Promise::of(&call.headers)?;
    if let Some(algorithm) = promise.algorithm() {
        promise.check(&of_bytes(algorithm, bytes), None)?;
    } else if name == "DeleteObjects" && md5.is_none() {
        return Err(fault(
            "InvalidRequest",
            "Missing required header for this request: Content-MD5",
        ));
    }
    Ok(())
}

/// Gives an answer what every answer of S3 has.
async fn finish(call: &Call, method: &Method, answer: Response<s3s::Body>) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let extra = call.take_extra();
    if head.status == StatusCode::OK && head.headers.contains_key(header::CONTENT_RANGE) {
        head.status = StatusCode::PARTIAL_CONTENT;
    }
    let host_id = base64::engine::general_purpose::STANDARD.encode(random::<48>());
    let is_error = head.status.as_u16() >= 300;
    let has_no_body = *method == Method::HEAD || head.status == StatusCode::NOT_MODIFIED;
    let body: Body = if is_error && has_no_body {
        head.headers.remove(header::CONTENT_TYPE);
        head.headers.remove(header::CONTENT_LENGTH);
        whole(Bytes::new())
    } else if is_error {
        let document = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let document = error_document(&document, &extra, call, &host_id);
        head.headers.remove(header::CONTENT_LENGTH);
        whole(document.into())
    } else if head.status == StatusCode::OK && gate::parameter(&call.query, "attributes").is_some()
    {
        let document = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        // GetObjectAttributes alone has ETags without quotes.
        let document = String::from_utf8_lossy(&document)
            .replace("&quot;", "\"")
            .replace("<ETag>\"", "<ETag>")
            .replace("\"</ETag>", "</ETag>");
        head.headers.remove(header::CONTENT_LENGTH);
        whole(document.into())
    } else {
        body.boxed()
    };
    set(&mut head.headers, "x-amz-request-id", &call.request_id);
    set(&mut head.headers, "x-amz-id-2", &host_id);
    set(&mut head.headers, "server", "AmazonS3");
    for (name, value) in extra.headers {
        head.headers.insert(name, value);
    }
    Response::from_parts(head, body)
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Completes an error document of s3s: with a message where it has none, further elements, and
/// the request's ids.
fn error_document(document: &[u8], extra: &Extra, call: &Call, host_id: &str) -> String {
    let text = String::from_utf8_lossy(document);
    let Some(start) = text.strip_suffix("</Error>") else {
        return text.into_owned();
    };
    let mut xml = Xml::new();
    if !start.contains("<Message>") {
        let code = start
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"))
            .map_or("", |(code, _)| code);
        xml.text("Message", MESSAGES.get(code).copied().unwrap_or(code));
    }
    for (name, value) in &extra.members {
        xml.text(name, value);
    }
    if let Some(bucket) = extra
        .headers
        .iter()
        .find(|(name, _)| name == "x-amz-bucket-region")
        .filter(|_| !extra.members.iter().any(|(name, _)| *name == "Region"))
        .and_then(|(_, value)| value.to_str().ok())
    {
        xml.text("Region", bucket);
    }
    xml.text("Resource", &call.path)
        .text("RequestId", &call.request_id)
        .text("HostId", host_id);
    format!("{start}{}</Error>", xml.as_str())
}

/// Messages of errors that s3s gives without one.
static MESSAGES: LazyLock<std::collections::BTreeMap<&str, &str>> = LazyLock::new(|| {
    [
        (
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check \
             your key and signing method.",
        ),
        ("InvalidBucketName", "The specified bucket is not valid."),
        (
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published \
             schema",
        ),
        ("KeyTooLongError", "Your key is too long"),
        ("InvalidURI", "Couldn't parse the specified URI."),
        (
            "NotImplemented",
            "The sandbox's S3 does not have this operation.",
        ),
        (
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        ),
        (
            "IncompleteBody",
            "You did not provide the number of bytes specified by the Content-Length HTTP header",
        ),
        (
            "MissingContentLength",
            "You must provide the Content-Length HTTP header.",
        ),
        (
            "InternalError",
            "We encountered an internal error. Please try again.",
        ),
    ]
    .into_iter()
    .collect()
});
