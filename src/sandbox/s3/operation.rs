//! The name of the operation that a request asks for, by its form alone.

use hyper::{HeaderMap, Method};

use super::backend::bucket_of_host;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Service,
    Bucket,
    Object,
}

/// Method, target, what must be in the query, what must be in the headers, and the operation.
/// The first that fits is meant.
type Rule = (
    &'static str,
    Target,
    &'static [&'static str],
    &'static str,
    &'static str,
);

const RULES: &[Rule] = &[
    ("GET", Target::Service, &[], "", "ListBuckets"),
    ("HEAD", Target::Bucket, &[], "", "HeadBucket"),
    ("GET", Target::Bucket, &["session"], "", "CreateSession"),
    (
        "GET",
        Target::Bucket,
        &["uploads"],
        "",
        "ListMultipartUploads",
    ),
    (
        "GET",
        Target::Bucket,
        &["versions"],
        "",
        "ListObjectVersions",
    ),
    (
        "GET",
        Target::Bucket,
        &["location"],
        "",
        "GetBucketLocation",
    ),
    ("GET", Target::Bucket, &["list-type=2"], "", "ListObjectsV2"),
    ("POST", Target::Bucket, &["delete"], "", "DeleteObjects"),
    (
        "POST",
        Target::Bucket,
        &[],
        "content-type=multipart/form-data",
        "PostObject",
    ),
    ("HEAD", Target::Object, &[], "", "HeadObject"),
    (
        "GET",
        Target::Object,
        &["attributes"],
        "",
        "GetObjectAttributes",
    ),
    ("GET", Target::Object, &["acl"], "", "GetObjectAcl"),
    (
        "GET",
        Target::Object,
        &["legal-hold"],
        "",
        "GetObjectLegalHold",
    ),
    (
        "GET",
        Target::Object,
        &["retention"],
        "",
        "GetObjectRetention",
    ),
    ("GET", Target::Object, &["tagging"], "", "GetObjectTagging"),
    ("GET", Target::Object, &["torrent"], "", "GetObjectTorrent"),
    ("GET", Target::Object, &["uploadId"], "", "ListParts"),
    ("GET", Target::Object, &[], "", "GetObject"),
    ("PUT", Target::Object, &["acl"], "", "PutObjectAcl"),
    (
        "PUT",
        Target::Object,
        &["legal-hold"],
        "",
        "PutObjectLegalHold",
    ),
    (
        "PUT",
        Target::Object,
        &["retention"],
        "",
        "PutObjectRetention",
    ),
    ("PUT", Target::Object, &["tagging"], "", "PutObjectTagging"),
    (
        "PUT",
        Target::Object,
        &["partNumber", "uploadId"],
        "x-amz-copy-source",
        "UploadPartCopy",
    ),
    (
        "PUT",
        Target::Object,
        &["partNumber", "uploadId"],
        "",
        "UploadPart",
    ),
    (
        "PUT",
        Target::Object,
        &[],
        "x-amz-copy-source",
        "CopyObject",
    ),
    ("PUT", Target::Object, &[], "", "PutObject"),
    (
        "POST",
        Target::Object,
        &["select"],
        "",
        "SelectObjectContent",
    ),
    (
        "POST",
        Target::Object,
        &["uploads"],
        "",
        "CreateMultipartUpload",
    ),
    ("POST", Target::Object, &["restore"], "", "RestoreObject"),
    (
        "POST",
        Target::Object,
        &["uploadId"],
        "",
        "CompleteMultipartUpload",
    ),
    (
        "DELETE",
        Target::Object,
        &["tagging"],
        "",
        "DeleteObjectTagging",
    ),
    (
        "DELETE",
        Target::Object,
        &["uploadId"],
        "",
        "AbortMultipartUpload",
    ),
    ("DELETE", Target::Object, &[], "", "DeleteObject"),
];

/// What is set for a bucket as a whole: its name in the query, and the operations that get, put
/// and delete it; empty where there is none.
const SETTINGS: &[(&str, &str, &str, &str)] = &[
    (
        "accelerate",
        "GetBucketAccelerateConfiguration",
        "PutBucketAccelerateConfiguration",
        "",
    ),
    ("acl", "GetBucketAcl", "PutBucketAcl", ""),
    (
        "analytics",
        "GetBucketAnalyticsConfiguration",
        "PutBucketAnalyticsConfiguration",
        "DeleteBucketAnalyticsConfiguration",
    ),
    ("cors", "GetBucketCors", "PutBucketCors", "DeleteBucketCors"),
    (
        "encryption",
        "GetBucketEncryption",
        "PutBucketEncryption",
        "DeleteBucketEncryption",
    ),
    (
        "intelligent-tiering",
        "GetBucketIntelligentTieringConfiguration",
        "PutBucketIntelligentTieringConfiguration",
        "DeleteBucketIntelligentTieringConfiguration",
    ),
    (
        "inventory",
        "GetBucketInventoryConfiguration",
        "PutBucketInventoryConfiguration",
        "DeleteBucketInventoryConfiguration",
    ),
    (
        "lifecycle",
        "GetBucketLifecycleConfiguration",
        "PutBucketLifecycleConfiguration",
        "DeleteBucketLifecycle",
    ),
    ("logging", "GetBucketLogging", "PutBucketLogging", ""),
    (
        "metrics",
        "GetBucketMetricsConfiguration",
        "PutBucketMetricsConfiguration",
        "DeleteBucketMetricsConfiguration",
    ),
    (
        "notification",
        "GetBucketNotificationConfiguration",
        "PutBucketNotificationConfiguration",
        "",
    ),
    (
        "object-lock",
        "GetObjectLockConfiguration",
        "PutObjectLockConfiguration",
        "",
    ),
    (
        "ownershipControls",
        "GetBucketOwnershipControls",
        "PutBucketOwnershipControls",
        "DeleteBucketOwnershipControls",
    ),
    (
        "policy",
        "GetBucketPolicy",
        "PutBucketPolicy",
        "DeleteBucketPolicy",
    ),
    ("policyStatus", "GetBucketPolicyStatus", "", ""),
    (
        "publicAccessBlock",
        "GetPublicAccessBlock",
        "PutPublicAccessBlock",
        "DeletePublicAccessBlock",
    ),
    (
        "replication",
        "GetBucketReplication",
        "PutBucketReplication",
        "DeleteBucketReplication",
    ),
    (
        "requestPayment",
        "GetBucketRequestPayment",
        "PutBucketRequestPayment",
        "",
    ),
    (
        "tagging",
        "GetBucketTagging",
        "PutBucketTagging",
        "DeleteBucketTagging",
    ),
    (
        "versioning",
        "GetBucketVersioning",
        "PutBucketVersioning",
        "",
    ),
    (
        "website",
        "GetBucketWebsite",
        "PutBucketWebsite",
        "DeleteBucketWebsite",
    ),
];

/// The operation that a request asks for, such as `GetObject`; `Unknown` if it is none of S3's.
pub fn operation(method: &Method, path: &str, query: &str, headers: &HeaderMap) -> &'static str {
    let target = target(path, headers);
    let has = |wanted: &str| {
        let (name, value) = wanted
            .split_once('=')
            .map_or((wanted, None), |(name, value)| (name, Some(value)));
        form_urlencoded::parse(query.as_bytes())
            .any(|(key, given)| key == name && value.is_none_or(|value| value == given))
    };
    let has_header = |wanted: &str| {
        let (name, start) = wanted.split_once('=').unwrap_or((wanted, ""));
        wanted.is_empty()
            || headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|value| value.starts_with(start))
    };
    let by_rule = RULES
        .iter()
        .find(|(verb, of, parameters, header, _)| {
            method.as_str() == *verb
                && target == *of
                && parameters.iter().all(|parameter| has(parameter))
                && has_header(header)
        })
        .map(|(.., operation)| *operation);
    if let Some(operation) = by_rule {
        return operation;
    }
    if target != Target::Bucket {
        return "Unknown";
    }
    let setting = SETTINGS.iter().find(|(name, ..)| has(name));
    let operation = match (method.as_str(), setting) {
        ("GET", Some((_, get, ..))) => *get,
        ("PUT", Some((_, _, put, _))) => *put,
        ("DELETE", Some((.., delete))) => *delete,
        ("GET", None) => "ListObjects",
        ("PUT", None) => "CreateBucket",
        ("DELETE", None) => "DeleteBucket",
        _ => "",
    };
    if operation.is_empty() {
        "Unknown"
    } else {
        operation
    }
}

fn target(path: &str, headers: &HeaderMap) -> Target {
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    let path = path.strip_prefix('/').unwrap_or(path);
    if host.and_then(bucket_of_host).is_some() {
        return if path.is_empty() {
            Target::Bucket
        } else {
            Target::Object
        };
    }
    match path.split_once('/') {
        _ if path.is_empty() => Target::Service,
        None | Some((_, "")) => Target::Bucket,
        Some(_) => Target::Object,
    }
}
