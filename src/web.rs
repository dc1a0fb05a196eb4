//! Documents from web servers: only over HTTPS or from this machine, and no more than expected.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, redirect};

use crate::causes::deepest;

/// How long a web server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one document may take in all.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);

/// A document that a web server does not give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {why}")]
pub struct WebError {
    /// What was asked for.
    pub url: String,
    /// Why.
    pub why: String,
}

/// Reads an address: `https://…`, or `http://…` of this machine.
///
/// # Errors
/// What is wrong with it, to be told behind the address.
pub fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no https://… address")?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err("on the way here, everybody could change it: use https://"),
        _ => return Err("it is no https://… address"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("names and passwords have no place in it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("`?` and `#` have no place in it");
    }
    Ok(url)
}

/// Whether a URL leads no further than this machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A client for a server and what is below it. Like that of mirrors: a proxy is taken from the
/// environment. What begins encrypted stays so.
///
/// # Errors
/// The certificates of this machine cannot be read.
pub fn client(base: &Url) -> Result<Client, WebError> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .user_agent(concat!("alpine-ami/", env!("CARGO_PKG_VERSION")));
    let builder = match base.scheme() {
        "https" => builder.https_only(true),
        _ => builder.redirect(redirect::Policy::none()),
    };
    builder
        .build()
        .map_err(|error| broken(base.as_str(), &error))
}

/// A document of at most `most` bytes; nothing if there is none. Buckets that may be read and not
/// listed answer 403 for what they do not have.
///
/// # Errors
/// The server cannot be reached, answers something else, or does not end.
pub async fn fetch(http: &Client, url: &str, most: usize) -> Result<Option<Vec<u8>>, WebError> {
    let answer = http.get(url).send().await;
    let mut answer = answer.map_err(|error| broken(url, &error))?;
    let wrong = |why: String| WebError {
        url: url.to_owned(),
        why,
    };
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => return Ok(None),
        status => return Err(wrong(format!("the server answered HTTP {status}"))),
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| broken(url, &error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > most {
            return Err(wrong(format!("it does not end after {most} bytes")));
        }
    }
    Ok(Some(bytes))
}

/// An error may quote what the document's author wrote: control characters are shown, not obeyed.
pub fn printable(text: &str) -> String {
    let plain = |c: char| match c.is_ascii_graphic() || c == ' ' {
        true => c.to_string(),
        false => c.escape_unicode().to_string(),
    };
    text.chars().map(plain).collect()
}

fn broken(url: &str, error: &reqwest::Error) -> WebError {
    WebError {
        url: url.to_owned(),
        why: deepest(error),
    }
}
