//! Operations' names.

use hyper::{HeaderMap, Method};

use crate::sandbox::s3::operation;

#[test]
fn of_requests() {
    for (method, uri, header, expected) in [
        ("GET", "/", "", "ListBuckets"),
        ("PUT", "/b", "", "CreateBucket"),
        ("PUT", "/b/", "", "CreateBucket"),
        ("HEAD", "/b", "", "HeadBucket"),
        ("DELETE", "/b", "", "DeleteBucket"),
        ("GET", "/b", "", "ListObjects"),
        ("GET", "/b?list-type=2&prefix=a", "", "ListObjectsV2"),
        ("GET", "/b?list-type=1", "", "ListObjects"),
        ("GET", "/b?versions", "", "ListObjectVersions"),
        ("GET", "/b?uploads", "", "ListMultipartUploads"),
        ("GET", "/b?location", "", "GetBucketLocation"),
        ("GET", "/b?policyStatus", "", "GetBucketPolicyStatus"),
        ("PUT", "/b?policy", "", "PutBucketPolicy"),
        (
            "DELETE",
            "/b?publicAccessBlock",
            "",
            "DeletePublicAccessBlock",
        ),
        ("DELETE", "/b?versioning", "", "Unknown"),
        ("POST", "/b?delete", "", "DeleteObjects"),
        (
            "POST",
            "/b",
            "content-type: multipart/form-data; boundary=x",
            "PostObject",
        ),
        ("POST", "/b", "", "Unknown"),
        ("GET", "/b/k", "", "GetObject"),
        ("GET", "/b/k?versionId=1", "", "GetObject"),
        ("GET", "/b/k?tagging", "", "GetObjectTagging"),
        ("GET", "/b/k?attributes", "", "GetObjectAttributes"),
        ("GET", "/b/k?uploadId=1", "", "ListParts"),
        ("HEAD", "/b/k/l", "", "HeadObject"),
        ("PUT", "/b/k", "", "PutObject"),
        ("PUT", "/b/k", "x-amz-copy-source: b/l", "CopyObject"),
        ("PUT", "/b/k?partNumber=1&uploadId=1", "", "UploadPart"),
        (
            "PUT",
            "/b/k?partNumber=1&uploadId=1",
            "x-amz-copy-source: b/l",
            "UploadPartCopy",
        ),
        ("POST", "/b/k?uploads", "", "CreateMultipartUpload"),
        ("POST", "/b/k?uploadId=1", "", "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=1", "", "AbortMultipartUpload"),
        ("DELETE", "/b/k", "", "DeleteObject"),
        ("PATCH", "/b/k", "", "Unknown"),
        ("GET", "/k", "host: b.localhost:4566", "GetObject"),
        (
            "GET",
            "/",
            "host: b.s3.us-east-1.amazonaws.com",
            "ListObjects",
        ),
        ("GET", "/b", "host: s3.localhost", "ListObjects"),
        (
            "GET",
            "/k",
            "host: b.c.bucket.vpce-1a2b-5e6f.s3.us-east-1.vpce.amazonaws.com",
            "GetObject",
        ),
        (
            "GET",
            "/b",
            "host: bucket.vpce-1a2b-5e6f.s3.us-east-1.vpce.amazonaws.com",
            "ListObjects",
        ),
    ] {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header.split_once(": ") {
            let name: hyper::header::HeaderName = name.parse().expect("a name");
            headers.insert(name, value.parse().expect("a value"));
        }
        let method: Method = method.parse().expect("a method");
        let found = operation(&method, path, query, &headers);
        assert_eq!(found, expected, "{method} {uri} {header}");
    }
}
