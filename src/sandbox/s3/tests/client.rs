//! A client that signs, without a socket.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::BodyExt as _;
use hyper::Request;
use sha2::{Digest as _, Sha256};

use crate::sandbox::caller::AccessKey;
use crate::sandbox::id::new_uuid;
use crate::sandbox::s3::answer::answer;
use crate::sandbox::shared::Shared;
use crate::sandbox::sigv4::signer::{Unsigned, signed};
use crate::sandbox::testing::Bed;

/// Who sends requests, and for which Region.
#[derive(Clone)]
pub struct Client {
    pub shared: Arc<Shared>,
    /// Nobody, for anonymous requests.
    pub key: Option<AccessKey>,
    pub region: &'static str,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The text of the first element of a name; empty if there is none.
    pub fn element(&self, name: &str) -> String {
        self.elements(name).into_iter().next().unwrap_or_default()
    }

    /// The texts of all elements of a name.
    pub fn elements(&self, name: &str) -> Vec<String> {
        let text = self.text();
        text.split(&format!("<{name}>"))
            .skip(1)
            .filter_map(|rest| rest.split_once(&format!("</{name}>")))
            .map(|(value, _)| value.replace("&quot;", "\""))
            .collect()
    }

    /// Status and error code, such as `404 NoSuchKey`; only the status where there is no code.
    pub fn outcome(&self) -> String {
        format!("{} {}", self.status, self.element("Code"))
            .trim_end()
            .to_owned()
    }
}

pub fn key(bed: &Bed, account: &str) -> AccessKey {
    let caller = bed.caller(account);
    bed.shared.read(|world| {
        let mut keys = world.access_keys.values();
        let key = keys.find(|key| key.caller == caller && key.session_token.is_none());
        key.expect("a key").clone()
    })
}

impl Client {
    pub fn new(bed: &Bed, account: &str) -> Client {
        Client {
            shared: Arc::clone(&bed.shared),
            key: Some(key(bed, account)),
            region: "us-east-1",
        }
    }

    pub fn anonymous(bed: &Bed) -> Client {
        Client {
            shared: Arc::clone(&bed.shared),
            key: None,
            region: "us-east-1",
        }
    }

    /// Sends a request as it is.
    pub fn raw(
        &self,
        method: &str,
        uri: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        request = request.header("host", "127.0.0.1");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request = request.header("content-length", body.len());
        self.exchange(request, s3s::Body::from(body.to_vec()))
    }

    /// Sends a request with any body.
    pub fn exchange(&self, request: hyper::http::request::Builder, body: s3s::Body) -> Answer {
        let request = request.body(body).expect("a request");
        self.shared.runtime().block_on(async {
            let reply = answer(Arc::clone(&self.shared), request, new_uuid()).await;
            let (head, body) = reply.into_parts();
            Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.collect().await.expect("a body").to_bytes().to_vec(),
            }
        })
    }

    /// Sends a signed request.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let uri = format!("http://127.0.0.1{path}");
        let Some(key) = &self.key else {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            return self.raw(method, path, &headers, body);
        };
        let hash = crate::digest::hex(&Sha256::digest(body));
        let mut all = headers.to_vec();
        if !headers
            .iter()
            .any(|(name, _)| *name == "x-amz-content-sha256")
        {
            all.push(("x-amz-content-sha256", &hash));
        }
        let (_, headers) = signed(
            &Unsigned {
                method,
                uri,
                headers: all,
                body,
                service: "s3",
                region: self.region,
                time: SystemTime::now(),
                presigned: None,
                unsigned_payload: false,
            },
            key,
        );
        self.raw(method, path, &headers, body)
    }

    /// Path and query of a presigned request.
    pub fn presign(&self, method: &str, path: &str, time: SystemTime, expires: u64) -> String {
        let (uri, _) = signed(
            &Unsigned {
                method,
                uri: format!("http://127.0.0.1{path}"),
                headers: Vec::new(),
                body: b"",
                service: "s3",
                region: self.region,
                time,
                presigned: Some(Duration::from_secs(expires)),
                unsigned_payload: true,
            },
            self.key.as_ref().expect("a key"),
        );
        uri.trim_start_matches("http://127.0.0.1").to_owned()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub fn put(&self, path: &str, body: &[u8]) -> Answer {
        self.send("PUT", path, &[], body)
    }

    /// Sends what must succeed.
    pub fn must(&self, method: &str, path: &str, body: &str) -> Answer {
        let reply = self.send(method, path, &[], body.as_bytes());
        assert!(reply.status < 300, "{method} {path}: {}", reply.text());
        reply
    }
}

/// A sandbox with the publisher's bucket `bucket`.
pub fn with_bucket() -> (Bed, Client) {
    let bed = Bed::new();
    let client = Client::new(&bed, "publisher");
    client.must("PUT", "/bucket", "");
    (bed, client)
}

impl Client {
    /// An unsigned GET at another host.
    pub fn raw_host(&self, host: &str, path: &str) -> Answer {
        let request = Request::builder()
            .uri(path)
            .header("host", host)
            .body(s3s::Body::empty())
            .expect("a request");
        self.shared.runtime().block_on(async {
            let reply = answer(Arc::clone(&self.shared), request, new_uuid()).await;
            let (head, body) = reply.into_parts();
            Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.collect().await.expect("a body").to_bytes().to_vec(),
            }
        })
    }
}
