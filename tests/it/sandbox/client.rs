//! A thin client of AWS's protocols, signing with `aws-sigv4`: no code of the sandbox is in it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

pub use super::tree::Tree;

/// The bytes of a block of a snapshot.
pub const BLOCK: usize = 524_288;

/// What a request is signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    pub id: String,
    pub secret: String,
    pub session: Option<String>,
}

/// Names and values, of headers or of a query.
type Pairs = Vec<(String, String)>;

/// A request before it is signed.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: &'static str,
    /// Percent-encoded.
    pub path: String,
    pub query: Pairs,
    pub headers: Pairs,
    pub body: Vec<u8>,
}

impl Call {
    pub fn new(method: &'static str, path: &str) -> Call {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Call {
            method,
            path: path.to_owned(),
            query: form_urlencoded::parse(query.as_bytes())
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Call {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Call {
        self.body = body.into();
        self
    }

    fn url(&self, endpoint: &str) -> String {
        let query: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{endpoint}{}{mark}{}", self.path, query.join("&"))
    }
}

/// Percent-encodes everything but unreserved characters.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:#?}", self.headers))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// An error that a service answered with, or status 0 where there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// JSON errors: the member that says more, such as `Reason`.
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.message)
    }
}

impl Refused {
    fn of_xml(answer: &Answer) -> Refused {
        let tree = Tree::parse(&answer.body);
        let end = |end: &str| {
            let found = tree
                .0
                .iter()
                .find(|(path, _)| path.as_str() == end || path.ends_with(&format!("/{end}")));
            found.map(|(_, text)| text.clone()).unwrap_or_default()
        };
        Refused {
            status: answer.status,
            code: end("Code"),
            message: end("Message"),
            reason: String::new(),
        }
    }

    fn of_json(answer: &Answer) -> Refused {
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let header = answer.headers.get("x-amzn-errortype").cloned();
        let code = header.unwrap_or_else(|| text("__type"));
        let code = code.split(':').next().unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default();
        Refused {
            status: answer.status,
            code: code.to_owned(),
            message: text("message") + &text("Message"),
            reason: text("Reason"),
        }
    }
}

pub type Outcome<T> = Result<T, Refused>;

/// What a test expects of an outcome.
pub trait Expect<T> {
    /// The result; panics with `what` and the error where there is one.
    fn done(self, what: &str) -> T;
    /// Panics unless the call was refused with this code.
    fn refused(self, code: &str) -> Refused;
}

impl<T: fmt::Debug> Expect<T> for Outcome<T> {
    #[track_caller]
    fn done(self, what: &str) -> T {
        match self {
            Ok(value) => value,
            Err(refused) => panic!("{what}: {refused}"),
        }
    }

    #[track_caller]
    fn refused(self, code: &str) -> Refused {
        match self {
            Err(refused) if refused.code == code => refused,
            Err(refused) => panic!("refused with another code than {code}: {refused}"),
            Ok(value) => panic!("not refused with {code}: {value:#?}"),
        }
    }
}

/// A caller of an endpoint: with keys, in a Region.
#[derive(Debug, Clone)]
pub struct Client {
    pub endpoint: String,
    pub keys: Keys,
    pub region: String,
    pub runtime: Handle,
    pub http: reqwest::Client,
    /// How far the clock that requests are signed by is off, in seconds.
    pub clock_off: i64,
}

impl Client {
    /// The same caller in another Region.
    pub fn in_region(&self, region: &str) -> Client {
        Client {
            region: region.to_owned(),
            ..self.clone()
        }
    }

    /// Another caller at the same endpoint.
    pub fn with_keys(&self, keys: Keys) -> Client {
        Client {
            keys,
            ..self.clone()
        }
    }

    /// Signs and sends; an answer of whatever status.
    pub fn send(&self, service: &str, call: &Call) -> Outcome<Answer> {
        let (headers, _) = self.signature(service, call, None);
        let mut signed = call.clone();
        signed.headers.extend(headers);
        self.send_as_is(&signed)
    }

    /// Sends without a signature.
    pub fn send_as_is(&self, call: &Call) -> Outcome<Answer> {
        self.send_url(&call.url(&self.endpoint), call)
    }

    /// A URL that holds the signature.
    pub fn presigned(&self, service: &str, call: &Call, for_seconds: u64) -> String {
        let (_, query) = self.signature(service, call, Some(for_seconds));
        let mut signed = call.clone();
        signed.query.extend(query);
        signed.url(&self.endpoint)
    }

    /// Sends a call's method, headers and body to a URL.
    pub fn send_url(&self, url: &str, call: &Call) -> Outcome<Answer> {
        let method = call.method.parse().expect("a method");
        let mut request = self.http.request(method, url).body(call.body.clone());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let answer = self.runtime.block_on(async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            let headers = response
                .headers()
                .iter()
                .map(|(name, value)| {
                    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                    (name.as_str().to_owned(), value)
                })
                .collect();
            let body = response.bytes().await?.to_vec();
            Ok(Answer {
                status,
                headers,
                body,
            })
        });
        answer.map_err(|error: reqwest::Error| Refused {
            status: 0,
            code: "no answer".to_owned(),
            message: format!("{error:?}"),
            reason: String::new(),
        })
    }

    /// Headers that sign a request, or query parameters where it is to hold `for_seconds`.
    pub fn signature(
        &self,
        service: &str,
        call: &Call,
        for_seconds: Option<u64>,
    ) -> (Pairs, Pairs) {
        let identity = Credentials::new(
            &self.keys.id,
            &self.keys.secret,
            self.keys.session.clone(),
            None,
            "test",
        )
        .into();
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        if let Some(seconds) = for_seconds {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
            settings.expires_in = Some(Duration::from_secs(seconds));
        }
        let off = Duration::from_secs(self.clock_off.unsigned_abs());
        let time = if self.clock_off < 0 {
            SystemTime::now() - off
        } else {
            SystemTime::now() + off
        };
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(time)
            .settings(settings)
            .build()
            .expect("parameters")
            .into();
        let url = call.url(&self.endpoint);
        let headers = call.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
        let body = match for_seconds {
            Some(_) => SignableBody::UnsignedPayload,
            None => SignableBody::Bytes(&call.body),
        };
        let request = SignableRequest::new(call.method, &url, headers, body).expect("a request");
        let (instructions, _) = sign(request, &params).expect("a signature").into_parts();
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let query = instructions.params().iter();
        let query = query.map(|(name, value)| ((*name).to_owned(), value.to_string()));
        (instructions.headers().map(text).collect(), query.collect())
    }

    fn query_protocol(
        &self,
        service: &str,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Outcome<Tree> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("Action", action)
            .append_pair("Version", version)
            .extend_pairs(params);
        let call = Call::new("POST", "/")
            .header(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            )
            .body(body.finish());
        let answer = self.send(service, &call)?;
        match answer.status {
            200 => Ok(Tree::parse(&answer.body)),
            _ => Err(Refused::of_xml(&answer)),
        }
    }

    pub fn ec2(&self, action: &str, params: &[(&str, &str)]) -> Outcome<Tree> {
        self.query_protocol("ec2", "2016-11-15", action, params)
    }

    pub fn sts(&self, action: &str, params: &[(&str, &str)]) -> Outcome<Tree> {
        self.query_protocol("sts", "2011-06-15", action, params)
    }

    fn json_protocol(&self, service: &str, target: String, body: &Value) -> Outcome<Value> {
        let call = Call::new("POST", "/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target)
            .body(body.to_string());
        let answer = self.send(service, &call)?;
        match answer.status {
            200 => Ok(answer.json()),
            _ => Err(Refused::of_json(&answer)),
        }
    }

    pub fn kms(&self, operation: &str, body: Value) -> Outcome<Value> {
        self.json_protocol("kms", format!("TrentService.{operation}"), &body)
    }

    pub fn organizations(&self, operation: &str, body: Value) -> Outcome<Value> {
        let target = format!("AWSOrganizationsV20161128.{operation}");
        self.json_protocol("organizations", target, &body)
    }

    /// A call of the EBS direct APIs.
    pub fn ebs(&self, call: &Call) -> Outcome<Answer> {
        let answer = self.send("ebs", call)?;
        match answer.status {
            200..300 => Ok(answer),
            _ => Err(Refused::of_json(&answer)),
        }
    }

    pub fn start_snapshot(&self, body: &Value) -> Outcome<Value> {
        let call = Call::new("POST", "/snapshots")
            .header("content-type", "application/json")
            .body(body.to_string());
        self.ebs(&call).map(|answer| answer.json())
    }

    pub fn put_block(&self, snapshot: &str, index: u32, data: &[u8]) -> Outcome<Answer> {
        self.ebs(&put_block(snapshot, index, data))
    }

    pub fn complete_snapshot(&self, snapshot: &str, count: usize) -> Outcome<Value> {
        let call = Call::new("POST", &format!("/snapshots/completion/{snapshot}"))
            .header("x-amz-ChangedBlocksCount", count.to_string());
        self.ebs(&call).map(|answer| answer.json())
    }

    pub fn list_blocks(&self, snapshot: &str) -> Outcome<Value> {
        let call = Call::new("GET", &format!("/snapshots/{snapshot}/blocks"));
        self.ebs(&call).map(|answer| answer.json())
    }

    /// A block's bytes; its token is looked up.
    pub fn get_block(&self, snapshot: &str, index: u32) -> Outcome<Vec<u8>> {
        let blocks = self.list_blocks(snapshot)?;
        let entries = blocks["Blocks"].as_array().cloned().unwrap_or_default();
        let entry = entries
            .iter()
            .find(|block| block["BlockIndex"].as_u64() == Some(index.into()))
            .unwrap_or_else(|| panic!("no block {index} in {blocks}"));
        let mut call = Call::new("GET", &format!("/snapshots/{snapshot}/blocks/{index}"));
        let token = entry["BlockToken"].as_str().expect("a token");
        call.query.push(("blockToken".to_owned(), token.to_owned()));
        let answer = self.ebs(&call)?;
        assert_eq!(answer.header("x-amz-checksum"), checksum(&answer.body));
        Ok(answer.body)
    }

    /// A call of S3 that succeeds with a status of 2xx, or with what errors say.
    pub fn s3(&self, call: &Call) -> Outcome<Answer> {
        let answer = self.send("s3", call)?;
        s3_outcome(answer)
    }
}

/// What an answer of S3 means.
pub fn s3_outcome(answer: Answer) -> Outcome<Answer> {
    match answer.status {
        200..300 => Ok(answer),
        _ => Err(Refused::of_xml(&answer)),
    }
}

/// A call that puts a block.
pub fn put_block(snapshot: &str, index: u32, data: &[u8]) -> Call {
    Call::new("PUT", &format!("/snapshots/{snapshot}/blocks/{index}"))
        .header("x-amz-Data-Length", data.len().to_string())
        .header("x-amz-Checksum", checksum(data))
        .header("x-amz-Checksum-Algorithm", "SHA256")
        .body(data)
}

/// SHA-256 as EBS's headers have it.
pub fn checksum(data: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(data))
}
