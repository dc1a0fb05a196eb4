//! Answers by their parts, so that two of them can be compared.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::sandbox::client::{Answer, Tree, checksum};

/// A part of an answer, by its path; `status` and `code` are parts too.
pub type Parts = BTreeMap<String, String>;

/// `<text>*<count>` stands for a text that often.
pub fn expand(body: &str) -> Vec<u8> {
    match body.rsplit_once('*') {
        Some((text, count)) if !text.is_empty() && text.len() < 16 => match count.parse() {
            Ok(count) => text.repeat(count).into_bytes(),
            Err(_) => body.into(),
        },
        _ => body.into(),
    }
}

/// What a text is, if only that can be compared.
pub fn kind(text: &str) -> Option<String> {
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some((prefix, id)) = text.rsplit_once('-')
        && (id.len() == 17 || id.len() == 8)
        && hex(id)
        && prefix
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    {
        return Some(format!("<{prefix}>"));
    }
    if let Some((start, id)) = text.rsplit_once('/')
        && let Some(id) = kind(id)
    {
        return Some(format!("{start}/{id}"));
    }
    let shape: String = text
        .chars()
        .map(|char| if char.is_ascii_digit() { '9' } else { char })
        .collect();
    if shape.starts_with("9999-99-99T99:99:99") {
        return Some("<time>".to_owned());
    }
    if shape.ends_with(" 9999 99:99:99 GMT") {
        return Some("<HTTP time>".to_owned());
    }
    if let Some((id, session)) = text.split_once(':')
        && id.starts_with("AROA")
    {
        return Some(format!("<role>:{session}"));
    }
    let dashes = [8, 13, 18, 23];
    let is_uuid = text.len() == 36 && dashes.iter().all(|at| text.as_bytes()[*at] == b'-');
    is_uuid.then(|| "<uuid>".to_owned())
}

/// Headers that are part of what a REST service answers.
const HEADERS: &[&str] = &[
    "accept-ranges",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "location",
    "x-amz-block-data-length",
    "x-amz-checksum",
    "x-amz-checksum-algorithm",
    "x-amz-data-length",
    "x-amz-delete-marker",
    "x-amz-meta-purpose",
    "x-amz-version-id",
];

/// Parts of which only is compared that they are there.
pub const RANDOM: &[&str] = &[
    "AccessKeyId",
    "SecretAccessKey",
    "SessionToken",
    "StartTime",
];

/// Parts that are another each time.
const PASSING: &[&str] = &["requestId", "RequestId", "RequestID", "HostId", "Message"];

/// An answer by its parts. Empty ones are left out: no client tells them from missing ones.
pub fn parts(service: &str, answer: &Answer) -> Parts {
    let kind = answer.headers.get("content-type").cloned();
    let kind = kind.unwrap_or_default();
    let failed = answer.status >= 400;
    let is_rest = service == "s3" || service == "ebs";
    let start = answer.text();
    let mut is_document = true;
    let mut parts: Parts = if service == "ebs" && kind.contains("json") {
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        flatten("", &body)
    } else if start.trim_start().starts_with('<') && (!is_rest || kind.contains("xml")) {
        Tree::parse(&answer.body).0
    } else if answer.body.len() > 100 {
        is_document = false;
        [("body".to_owned(), checksum(&answer.body))].into()
    } else {
        is_document = false;
        [("body".to_owned(), answer.text())].into()
    };

    if failed {
        let code = parts.iter().find(|(path, _)| {
            path.as_str() == "Code" || path.ends_with("/Code") || path.as_str() == "__type"
        });
        let header = answer.headers.get("x-amzn-errortype").cloned();
        let code = header.or_else(|| code.map(|(_, code)| code.clone()));
        parts = [("code".to_owned(), code.unwrap_or_default())].into();
    } else if is_rest {
        for name in HEADERS {
            // A document's length is a matter of its spaces.
            if let Some(value) = answer.headers.get(*name)
                && !(is_document && *name == "content-length")
            {
                parts.insert((*name).to_owned(), value.clone());
            }
        }
    }
    parts.insert("status".to_owned(), answer.status.to_string());
    parts.retain(|path, text| {
        let last = path.rsplit('/').next().unwrap_or_default();
        !text.is_empty() && !PASSING.contains(&last)
    });
    parts
}

fn flatten(path: &str, value: &Value) -> Parts {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}/{name}"),
    };
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| flatten(&below(name), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(index, item)| flatten(&below(&format!("item[{index}]")), item))
            .collect(),
        Value::Null => Parts::new(),
        Value::String(text) => [(path.to_owned(), text.clone())].into(),
        other => [(path.to_owned(), other.to_string())].into(),
    }
}
