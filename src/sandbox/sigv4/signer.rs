//! Signing requests for tests, by AWS's own crate.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;

use crate::sandbox::caller::AccessKey;

/// A request to be signed.
#[derive(Debug, Clone)]
pub struct Unsigned<'a> {
    pub method: &'a str,
    /// With scheme and host.
    pub uri: String,
    pub headers: Vec<(&'a str, &'a str)>,
    pub body: &'a [u8],
    pub service: &'a str,
    pub region: &'a str,
    pub time: SystemTime,
    /// Signed in the query, for so long.
    pub presigned: Option<Duration>,
    /// Whether the payload's hash is `UNSIGNED-PAYLOAD`.
    pub unsigned_payload: bool,
}

/// The URI and the headers with the signature.
pub fn signed(request: &Unsigned, key: &AccessKey) -> (String, Vec<(String, String)>) {
    let identity = Credentials::new(
        &key.id,
        &key.secret,
        key.session_token.clone(),
        None,
        "test",
    )
    .into();
    let mut settings = SigningSettings::default();
    if request.service == "s3" {
        // S3 alone takes paths as they are.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    if let Some(expires) = request.presigned {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(expires);
    }
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(request.region)
        .name(request.service)
        .time(request.time)
        .settings(settings)
        .build()
        .expect("parameters")
        .into();
    let is_streamed = request
        .headers
        .contains(&("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"));
    let body = if is_streamed {
        SignableBody::StreamingUnsignedPayloadTrailer
    } else if request.unsigned_payload {
        SignableBody::UnsignedPayload
    } else {
        SignableBody::Bytes(request.body)
    };
    let headers = request.headers.iter().copied();
    let signable = SignableRequest::new(request.method, request.uri.clone(), headers, body)
        .expect("a request");
    let (instructions, _) = sign(signable, &params).expect("signed").into_parts();
    let (new_headers, new_query) = instructions.into_parts();
    let mut uri = request.uri.clone();
    if !new_query.is_empty() {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(&new_query);
        uri.push(if uri.contains('?') { '&' } else { '?' });
        uri.push_str(&form.finish());
    }
    let mut headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    for header in new_headers {
        headers.push((header.name().to_owned(), header.value().to_owned()));
    }
    (uri, headers)
}
