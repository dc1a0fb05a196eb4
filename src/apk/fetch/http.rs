//! One answer of a mirror, bounded in time: what it may not do, and what that is called.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::time::{Instant, timeout};

use super::settings::Limits;
use crate::apk::mirror::MirrorError;
use crate::causes::deepest;

/// Mirrors redirect once, to one near by.
const MOST_REDIRECTS: usize = 5;

/// Why a try failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Another try may do better.
    Passing(MirrorError),
    /// The mirror will say the same again.
    Lasting(MirrorError),
}

impl Failed {
    pub fn error(&self) -> &MirrorError {
        match self {
            Failed::Passing(error) | Failed::Lasting(error) => error,
        }
    }
}

/// A client for mirrors. A proxy is taken from the environment (`https_proxy`, `http_proxy`,
/// `no_proxy`).
///
/// # Errors
/// The certificates of this machine cannot be read.
pub(super) fn client(limits: &Limits) -> Result<Client, MirrorError> {
    let redirects = redirect::Policy::custom(|attempt| {
        let first = attempt.previous().first();
        let was_encrypted = first.is_some_and(|first| first.scheme() == "https");
        if attempt.previous().len() > MOST_REDIRECTS {
            attempt.error(format!("it redirects more than {MOST_REDIRECTS} times"))
        } else if was_encrypted && attempt.url().scheme() != "https" {
            attempt.error("it redirects to an address that is not encrypted")
        } else {
            attempt.follow()
        }
    });
    Client::builder()
        .connect_timeout(limits.connect)
        .redirect(redirects)
        // What is unpacked on the way is not what is signed.
        .no_gzip()
        .user_agent(concat!("alpine-ami/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| MirrorError::Unreachable {
            url: "any https mirror".to_owned(),
            why: deepest(&error),
        })
}

/// The body of an answer.
pub(super) struct Answer {
    url: String,
    response: Response,
    /// Which byte of the file it begins with.
    pub from: u64,
    /// How many bytes the file has, if the mirror says.
    pub size: Option<u64>,
    silence: Duration,
    /// What must come in that time.
    least: u64,
    since: Instant,
    came: u64,
}

/// Asks for a file from byte `from` on. The answer may begin earlier: a mirror need not know ranges.
///
/// # Errors
/// No such file, or no answer in time.
pub(super) async fn get(
    http: &Client,
    url: &str,
    from: u64,
    limits: &Limits,
) -> Result<Answer, Failed> {
    let mut response = ask(http, url, from, limits).await?;
    if from > 0 && response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        // What is there is longer than the file: from the beginning, then.
        response = ask(http, url, 0, limits).await?;
    }
    let (from, size) = match response.status() {
        StatusCode::OK => (0, response.content_length()),
        StatusCode::PARTIAL_CONTENT => range(url, &response, from)?,
        status => return Err(refused(url, status)),
    };
    let seconds = limits.silence.as_secs_f64();
    Ok(Answer {
        url: shown(url),
        response,
        from,
        size,
        silence: limits.silence,
        least: (limits.slowest as f64 * seconds) as u64,
        since: Instant::now(),
        came: 0,
    })
}

async fn ask(http: &Client, url: &str, from: u64, limits: &Limits) -> Result<Response, Failed> {
    let mut request = http.get(url);
    if from > 0 {
        // Without If-Range: an ETag is one mirror's, the checksum is what all of them go by.
        request = request.header(RANGE, format!("bytes={from}-"));
    }
    match timeout(limits.connect + limits.silence, request.send()).await {
        Ok(sent) => sent.map_err(|error| of_request(url, &error)),
        Err(_) => Err(silent(url, limits.silence)),
    }
}

impl Answer {
    /// The next bytes, or nothing at the end.
    ///
    /// # Errors
    /// It breaks off, falls silent, or is too slow.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failed> {
        let chunk = match timeout(self.silence, self.response.chunk()).await {
            Ok(read) => read.map_err(|error| broken(&self.url, &error))?,
            Err(_) => return Err(silent(&self.url, self.silence)),
        };
        self.came += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        let took = self.since.elapsed();
        if chunk.is_some() && took >= self.silence {
            if self.came < self.least {
                let (came, seconds) = (self.came, took.as_secs_f64());
                let why = format!("it is too slow: {came} bytes in {seconds:.0} s");
                return Err(Failed::Lasting(unreachable(&self.url, why)));
            }
            (self.since, self.came) = (Instant::now(), 0);
        }
        Ok(chunk)
    }
}

/// What part of the file a mirror gives, which must be the one that was asked for.
fn range(url: &str, response: &Response, from: u64) -> Result<(u64, Option<u64>), Failed> {
    let header = response.headers().get(CONTENT_RANGE);
    let text = header.map_or("", |value| value.to_str().unwrap_or("?"));
    match content_range(text) {
        Some((first, size)) if from > 0 && first == from => Ok((first, size)),
        _ => Err(Failed::Lasting(MirrorError::Damaged {
            url: shown(url),
            why: format!("asked for the bytes from {from} on, the mirror gives `{text}`"),
        })),
    }
}

/// The first byte of a part and the size of the whole, out of `bytes 100-199/200`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let size = match size {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    let is_whole = size.is_none_or(|size: u64| last.checked_add(1) == Some(size));
    (first <= last && is_whole).then_some((first, size))
}

fn refused(url: &str, status: StatusCode) -> Failed {
    let missing = [
        StatusCode::NOT_FOUND,
        StatusCode::GONE,
        StatusCode::FORBIDDEN,
    ];
    if missing.contains(&status) {
        return Failed::Lasting(MirrorError::Missing {
            url: shown(url),
            status: Some(status.as_u16()),
        });
    }
    let error = unreachable(url, format!("the mirror answered HTTP {status}"));
    let passing = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    match status.is_server_error() || passing.contains(&status) {
        true => Failed::Passing(error),
        false => Failed::Lasting(error),
    }
}

fn of_request(url: &str, error: &reqwest::Error) -> Failed {
    match error.is_redirect() || error.is_builder() {
        true => Failed::Lasting(unreachable(url, deepest(error))),
        false => broken(url, error),
    }
}

fn broken(url: &str, error: &reqwest::Error) -> Failed {
    Failed::Passing(unreachable(url, deepest(error)))
}

fn silent(url: &str, time: Duration) -> Failed {
    let why = format!("it said nothing for {} s", time.as_secs_f64());
    Failed::Passing(unreachable(url, why))
}

fn unreachable(url: &str, why: String) -> MirrorError {
    MirrorError::Unreachable {
        url: shown(url),
        why,
    }
}

/// An address without the name and password that may be in it.
pub(super) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let host = rest.find('/').unwrap_or(rest.len());
    match rest[..host].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for wrong in [
            "",
            "bytes */10",
            "bytes 5-9",
            "bytes 9-5/10",
            "bytes 5-7/10",
            "bytes 5-99/10",
            "bytes 0-18446744073709551615/10",
            "items 5-9/10",
        ] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        for (url, expected) in [
            ("https://a/b@c", "https://a/b@c"),
            ("https://u:p@ss@a:1/b", "https://a:1/b"),
            ("/a@b", "/a@b"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
