//! Requests and answers, whole in memory. Objects of S3 take a way of their own.

use hyper::HeaderMap;
use hyper::body::Bytes;

use super::error::ServiceError;

/// A request whose body has been read.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: hyper::Method,
    /// The path as it was sent, percent-encoded.
    pub path: String,
    /// The query as it was sent, without its question mark.
    pub query: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// SHA-256 of the body.
    pub body_sha256: [u8; 32],
}

impl Request {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers, besides the length and the request id.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// An XML document.
    pub fn xml(body: String) -> Reply {
        Reply {
            status: 200,
            headers: vec![("content-type", "text/xml;charset=UTF-8".to_owned())],
            body: body.into(),
        }
    }

    /// A JSON document of the AWS JSON protocol, version 1.1.
    pub fn json(body: &impl serde::Serialize) -> Result<Reply, ServiceError> {
        let body = serde_json::to_vec(body).map_err(ServiceError::internal)?;
        Ok(Reply {
            status: 200,
            headers: vec![("content-type", "application/x-amz-json-1.1".to_owned())],
            body: body.into(),
        })
    }
}
