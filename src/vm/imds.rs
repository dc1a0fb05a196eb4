//! EC2's instance metadata service over HTTP on a socket of this machine.
//!
//! The rules are those of "Use the Instance Metadata Service" in the EC2 user guide: a
//! session token comes from a PUT, every GET needs one (401 without), and version 1, a GET
//! without a token, is refused, unless the instance's metadata options allow it. AWS refuses it
//! to images registered with `ImdsSupport=v2.0`, so an image that boots so does not depend on
//! version 1.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use base64::Engine as _;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{JoinHandle, JoinSet};

use super::metadata::InstanceMetadata;

const TOKEN_PATH: &str = "/latest/api/token";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// Six hours, the most that EC2 grants.
const LONGEST_TTL_SECONDS: u64 = 21_600;

type Answer = Response<Full<Bytes>>;

/// How an instance may use its service, as `MetadataOptions` have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// With a token only (`HttpTokens=required`).
    Tokens,
    /// With or without (`HttpTokens=optional`): a token that is sent must be good.
    Open,
    /// Not at all (`HttpEndpoint=disabled`).
    Off,
}

/// What is told now, and how: asked for at each request, since tags and options change.
type Source = dyn Fn() -> (Access, Arc<InstanceMetadata>) + Send + Sync;

/// The metadata service of one instance; clones answer for the same instance and tokens.
#[derive(Clone)]
pub struct MetadataService {
    source: Arc<Source>,
    /// Tokens given out, with the end of their lives.
    tokens: Arc<Mutex<HashMap<String, Instant>>>,
}

impl fmt::Debug for MetadataService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataService").finish_non_exhaustive()
    }
}

impl MetadataService {
    /// A service that answers for `instance`, to those with a token, and has given out none yet.
    pub fn new(instance: InstanceMetadata) -> MetadataService {
        let instance = Arc::new(instance);
        MetadataService::changing(move || (Access::Tokens, Arc::clone(&instance)))
    }

    /// A service that asks at each request what it tells, and whom. `source` must not block.
    pub fn changing(
        source: impl Fn() -> (Access, Arc<InstanceMetadata>) + Send + Sync + 'static,
    ) -> MetadataService {
        MetadataService {
            source: Arc::new(source),
            tokens: Arc::default(),
        }
    }

    /// Answers a request that came in at `now`.
    pub fn answer(&self, method: &Method, path: &str, headers: &HeaderMap, now: Instant) -> Answer {
        let (access, instance) = (self.source)();
        match (method, path) {
            _ if access == Access::Off => plain(StatusCode::FORBIDDEN, "403 - Forbidden"),
            (&Method::PUT, TOKEN_PATH) => self.grant_token(headers, now),
            (_, TOKEN_PATH) => not_allowed("PUT"),
            (&Method::GET | &Method::HEAD, _) if !self.may_read(access, headers, now) => {
                plain(StatusCode::UNAUTHORIZED, "401 - Unauthorized")
            }
            (&Method::GET | &Method::HEAD, _) => match instance.find(path) {
                Some(found) => {
                    let mut answer = Response::new(Full::new(Bytes::from(found.body)));
                    answer
                        .headers_mut()
                        .insert(CONTENT_TYPE, HeaderValue::from_static(found.content_type));
                    answer
                }
                None => plain(StatusCode::NOT_FOUND, "404 - Not Found"),
            },
            _ => not_allowed("GET, HEAD"),
        }
    }

    fn grant_token(&self, headers: &HeaderMap, now: Instant) -> Answer {
        // A request that came through a proxy may be one that an attacker had it make.
        if headers.contains_key("x-forwarded-for") {
            return plain(StatusCode::FORBIDDEN, "403 - Forbidden");
        }
        let seconds = headers
            .get(TOKEN_TTL_HEADER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse::<u64>().ok())
            .filter(|seconds| (1..=LONGEST_TTL_SECONDS).contains(seconds));
        let Some(seconds) = seconds else {
            return plain(StatusCode::BAD_REQUEST, "400 - Bad Request");
        };
        let mut random = [0; 40];
        if aws_lc_rs::rand::fill(&mut random).is_err() {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, "500 - no random numbers");
        }
        let token = base64::prelude::BASE64_URL_SAFE.encode(random);
        let mut tokens = self.tokens();
        tokens.retain(|_, end| *end > now);
        tokens.insert(token.clone(), now + Duration::from_secs(seconds));
        drop(tokens);

        let mut answer = plain(StatusCode::OK, &token);
        answer
            .headers_mut()
            .insert(TOKEN_TTL_HEADER, HeaderValue::from(seconds));
        answer
    }

    fn may_read(&self, access: Access, headers: &HeaderMap, now: Instant) -> bool {
        let without = access == Access::Open && !headers.contains_key(TOKEN_HEADER);
        without || self.token_is_valid(headers, now)
    }

    fn token_is_valid(&self, headers: &HeaderMap, now: Instant) -> bool {
        headers
            .get(TOKEN_HEADER)
            .and_then(|token| token.to_str().ok())
            .and_then(|token| self.tokens().get(token).copied())
            .is_some_and(|end| end > now)
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        // A map of tokens is whole whatever happened to the thread that held it.
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the requests of one connection until either side ends it.
    pub async fn serve_connection<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request: Request<_>| {
            let answer = self.answer(
                request.method(),
                request.uri().path(),
                request.headers(),
                Instant::now(),
            );
            async move { Ok::<_, Infallible>(answer) }
        });
        // busybox nc closes its sending side right after the request; that is no hang-up.
        let served = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "metadata service: a connection broke off");
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text.to_owned())));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "405 - Method Not Allowed");
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// A metadata service that listens; it and its connections end when this is dropped.
#[derive(Debug)]
pub struct MetadataServer {
    task: JoinHandle<()>,
}

impl MetadataServer {
    /// Listens on a new Unix socket at `socket`. Fails where it cannot be bound.
    pub fn on_socket(service: MetadataService, socket: &Path) -> io::Result<MetadataServer> {
        let listener = UnixListener::bind(socket)?;
        Ok(Self::serve(service, move |context| {
            listener.poll_accept(context).map_ok(|(stream, _)| stream)
        }))
    }

    /// Serves connections to a TCP listener.
    pub fn on_tcp(service: MetadataService, listener: TcpListener) -> MetadataServer {
        Self::serve(service, move |context| {
            listener.poll_accept(context).map_ok(|(stream, _)| stream)
        })
    }

    fn serve<S>(
        service: MetadataService,
        mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>> + Send + 'static,
    ) -> MetadataServer
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                match poll_fn(&mut accept).await {
                    Ok(stream) => {
                        connections.spawn(service.clone().serve_connection(stream));
                    }
                    // Out of descriptors or a client that left already: the next may do better.
                    Err(error) => {
                        tracing::warn!(%error, "metadata service: cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                while connections.try_join_next().is_some() {}
            }
        });
        MetadataServer { task }
    }
}

impl Drop for MetadataServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::metadata::tests::example;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpStream, UnixStream};

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                let name = hyper::header::HeaderName::from_static(name);
                (name, HeaderValue::from_str(value).expect("a value"))
            })
            .collect()
    }

    async fn token(service: &MetadataService, seconds: u64, now: Instant) -> String {
        let ttl = seconds.to_string();
        let answer = service.answer(
            &Method::PUT,
            TOKEN_PATH,
            &headers(&[(TOKEN_TTL_HEADER, &ttl)]),
            now,
        );
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[TOKEN_TTL_HEADER], ttl.as_str());
        use http_body_util::BodyExt as _;
        let body = answer.into_body().collect().await.expect("a body");
        String::from_utf8(body.to_bytes().to_vec()).expect("text")
    }

    #[test]
    fn asking_for_tokens() {
        let service = MetadataService::new(example());
        for (method, asked, status) in [
            (Method::PUT, &[][..], 400),
            (Method::PUT, &[(TOKEN_TTL_HEADER, "0")], 400),
            (Method::PUT, &[(TOKEN_TTL_HEADER, "21601")], 400),
            (Method::PUT, &[(TOKEN_TTL_HEADER, "soon")], 400),
            (Method::PUT, &[(TOKEN_TTL_HEADER, "21600")], 200),
            (Method::PUT, &[(TOKEN_TTL_HEADER, "1")], 200),
            (
                Method::PUT,
                &[(TOKEN_TTL_HEADER, "1"), ("x-forwarded-for", "10.0.0.1")],
                403,
            ),
            (Method::GET, &[(TOKEN_TTL_HEADER, "1")], 405),
            (Method::POST, &[(TOKEN_TTL_HEADER, "1")], 405),
        ] {
            let answer = service.answer(&method, TOKEN_PATH, &headers(asked), Instant::now());
            assert_eq!(answer.status(), status, "{method} {asked:?}");
        }
    }

    #[tokio::test]
    async fn nothing_is_told_without_a_live_token() {
        let service = MetadataService::new(example());
        let now = Instant::now();
        let token = token(&service, 60, now).await;
        let with_token = headers(&[(TOKEN_HEADER, &token)]);
        let id = "/latest/meta-data/instance-id";
        let later = now + Duration::from_secs(60);
        for (method, path, headers, at, status) in [
            (Method::GET, id, &with_token, now, 200),
            (Method::HEAD, id, &with_token, now, 200),
            (
                Method::GET,
                "/latest/meta-data/nothing",
                &with_token,
                now,
                404,
            ),
            (Method::PUT, id, &with_token, now, 405),
            (Method::DELETE, id, &with_token, now, 405),
            (Method::GET, id, &with_token, later, 401),
            (Method::GET, id, &headers(&[]), now, 401),
            (
                Method::GET,
                id,
                &headers(&[(TOKEN_HEADER, "guess")]),
                now,
                401,
            ),
            (
                Method::GET,
                "/latest/meta-data/nothing",
                &headers(&[]),
                now,
                401,
            ),
        ] {
            let answer = service.answer(&method, path, headers, at);
            assert_eq!(answer.status(), status, "{method} {path} {headers:?}");
        }
    }

    #[test]
    fn access_is_as_the_options_say() {
        let read = |access, sent: &[(&'static str, &str)]| {
            let service = MetadataService::changing(move || (access, Arc::new(example())));
            let path = "/latest/meta-data/mac";
            let answer = service.answer(&Method::GET, path, &headers(sent), Instant::now());
            answer.status().as_u16()
        };
        let guess = &[(TOKEN_HEADER, "guess")][..];
        for (access, sent, status) in [
            (Access::Tokens, &[][..], 401),
            (Access::Open, &[], 200),
            (Access::Open, guess, 401),
            (Access::Off, &[], 403),
            (Access::Off, guess, 403),
        ] {
            assert_eq!(read(access, sent), status, "{access:?} {sent:?}");
        }
        let off = MetadataService::changing(|| (Access::Off, Arc::new(example())));
        let ask = headers(&[(TOKEN_TTL_HEADER, "60")]);
        let answer = off.answer(&Method::PUT, TOKEN_PATH, &ask, Instant::now());
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }

    /// One request as busybox `nc` sends it: then its sending side is closed.
    async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream.shutdown().await.expect("closed");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    const ASK: &str = "PUT /latest/api/token HTTP/1.0\r\n\
        X-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 0\r\n\r\n";

    #[tokio::test]
    async fn over_a_unix_socket_and_half_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("socket");
        let service = MetadataService::new(example());
        let _server = MetadataServer::on_socket(service, &socket).expect("a server");
        let connect = || UnixStream::connect(&socket);

        let answer = exchange(connect().await.expect("connected"), ASK).await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        let token = answer.lines().last().expect("a token");
        let request = format!(
            "GET /latest/meta-data/instance-type HTTP/1.0\r\nX-aws-ec2-metadata-token: {token}\r\n\r\n"
        );
        let answer = exchange(connect().await.expect("connected"), &request).await;
        assert!(answer.ends_with("\r\n\r\nt3.micro"), "{answer}");
    }

    #[tokio::test]
    async fn over_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let _server = MetadataServer::on_tcp(MetadataService::new(example()), listener);
        let stream = TcpStream::connect(address).await.expect("connected");
        let answer = exchange(stream, "GET /latest/meta-data/ HTTP/1.0\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.0 401 Unauthorized\r\n"),
            "{answer}"
        );
    }
}
