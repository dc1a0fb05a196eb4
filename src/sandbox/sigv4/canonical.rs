//! The canonical form of a request, which is what is signed.

use std::fmt::Write as _;

use super::super::http::Request;
use super::presented::Presented;

/// The canonical request of a request with that payload hash.
pub(super) fn request(presented: &Presented, request: &Request, payload: &str) -> Vec<u8> {
    let mut out = format!(
        "{}\n{}\n{}\n",
        request.method,
        path(&request.path),
        query(&request.query)
    )
    .into_bytes();
    for name in &presented.signed_headers {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        let values = request.headers.get_all(name).iter();
        for (index, value) in values.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend(collapsed(value.as_bytes()));
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(presented.signed_headers.join(";").as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload.as_bytes());
    out
}

/// The path: without empty, `.` and `..` segments, and percent-encoded once more than it was
/// sent, as every service but S3 has it.
pub(super) fn path(sent: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in sent.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut out = String::new();
    for segment in &segments {
        out.push('/');
        encode(segment.as_bytes(), &mut out);
    }
    if out.is_empty() || ["/", "/.", "/.."].iter().any(|end| sent.ends_with(end)) {
        out.push('/');
    }
    out
}

/// The query: encoded anew, sorted by name and value, without the signature.
pub(super) fn query(sent: &str) -> String {
    let mut pairs: Vec<(String, String)> = sent
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (recoded(name), recoded(value))
        })
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn recoded(text: &str) -> String {
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
    let mut out = String::new();
    encode(&bytes, &mut out);
    out
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn encode(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*byte));
            }
            // Writing to a string does not fail.
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
}

/// A header's value without spaces around it, and with one where there were several.
fn collapsed(value: &[u8]) -> Vec<u8> {
    let words = value
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty());
    let mut out = Vec::with_capacity(value.len());
    for word in words {
        if !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out
}
