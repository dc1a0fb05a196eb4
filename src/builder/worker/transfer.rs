//! Files and words by presigned addresses: fetched with their digests compared, sent until taken.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::error::WorkerError;
use crate::builder::job::Source;
use crate::digest;

/// How long S3 may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may be silent in the middle of an answer.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one answer may take in all.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(300);
/// For so long a file is asked for again, and a result sent again: a throttled bucket recovers, and
/// a build that cannot tell its result was for nothing.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Bytes of a refusal that are looked at.
const LONGEST_REFUSAL: usize = 4096;

/// Makes transfers.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    http: Client,
}

/// What one try failed with.
enum Failed {
    /// It may do later.
    Later(String),
    /// It never will.
    Never(WorkerError),
}

impl Transfer {
    pub(super) fn new() -> Result<Transfer, WorkerError> {
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .user_agent(super::TOOL.replace(' ', "/"))
            .build()
            .map_err(|error| WorkerError::Fetch {
                what: "anything".to_owned(),
                why: crate::causes::deepest(&error),
            })?;
        Ok(Transfer { http })
    }

    /// Fetches a file; one that is not the job's never gets its name.
    pub(super) async fn get(&self, source: &Source, path: &Path) -> Result<(), WorkerError> {
        let what = path.file_name().unwrap_or_default().to_string_lossy();
        let give_up = |why| WorkerError::Fetch {
            what: what.clone().into_owned(),
            why,
        };
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            let why = match self.get_once(source, path, &what).await {
                Ok(()) => return Ok(()),
                Err(Failed::Never(error)) => return Err(error),
                Err(Failed::Later(why)) => why,
            };
            tries += 1;
            pause(tries, begun).await.map_err(|()| give_up(why))?;
        }
    }

    async fn get_once(&self, source: &Source, path: &Path, what: &str) -> Result<(), Failed> {
        let changed = |property, found, expected: String| {
            Failed::Never(WorkerError::Changed {
                what: what.to_owned(),
                property,
                found,
                expected,
            })
        };
        let sent = self.http.get(&source.url).send().await;
        let mut answer = accepted(sent, |why| WorkerError::Fetch {
            what: what.to_owned(),
            why,
        })
        .await?;
        let partial = path.with_extension("partial");
        let writing = |error| Failed::Never(WorkerError::writing(&partial)(error));
        let mut file = tokio::fs::File::create(&partial).await.map_err(writing)?;
        let (mut hash, mut size) = (Sha256::new(), 0);
        loop {
            let chunk = match answer.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => return Err(Failed::Later(words(error))),
            };
            size += chunk.len() as u64;
            if size > source.size {
                let found = format!("more than {}", source.size);
                return Err(changed("length", found, source.size.to_string()));
            }
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(writing)?;
        }
        file.flush().await.map_err(writing)?;
        let found = digest::hex(&hash.finalize());
        if found != source.sha256 {
            return Err(changed("SHA-256", found, source.sha256.clone()));
        }
        tokio::fs::rename(&partial, path).await.map_err(writing)
    }

    /// Sends something as JSON until it is taken.
    pub(super) async fn put(&self, url: &str, what: &impl Serialize) -> Result<(), WorkerError> {
        let body = serde_json::to_vec(what).expect("plain data goes to JSON");
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            let why = match self.put_once(url, body.clone()).await {
                Ok(()) => return Ok(()),
                Err(Failed::Never(error)) => return Err(error),
                Err(Failed::Later(why)) => why,
            };
            tries += 1;
            let paused = pause(tries, begun).await;
            paused.map_err(|()| failed_to_send(why))?;
        }
    }

    /// Sends something as JSON, once: what is sent next says it as well.
    pub(super) async fn try_put(&self, url: &str, what: &impl Serialize) -> Result<(), String> {
        let body = serde_json::to_vec(what).expect("plain data goes to JSON");
        match self.put_once(url, body).await {
            Ok(()) => Ok(()),
            Err(Failed::Later(why)) => Err(why),
            Err(Failed::Never(error)) => Err(error.to_string()),
        }
    }

    async fn put_once(&self, url: &str, body: Vec<u8>) -> Result<(), Failed> {
        let sent = self.http.put(url).body(body).send().await;
        accepted(sent, failed_to_send).await.map(drop)
    }
}

/// Waits before a further try, if there is time for one.
async fn pause(tries: u32, begun: Instant) -> Result<(), ()> {
    let doubled = Duration::from_millis(250).saturating_mul(1 << tries.min(10));
    let pause = doubled.min(LONGEST_PAUSE).mul_f64(fastrand::f64());
    if begun.elapsed() + pause > PATIENCE {
        return Err(());
    }
    tokio::time::sleep(pause).await;
    Ok(())
}

fn failed_to_send(why: String) -> WorkerError {
    WorkerError::Send {
        what: "the result",
        why,
    }
}

/// An answer that took what was sent, or has what was asked for.
async fn accepted(
    sent: reqwest::Result<Response>,
    never: impl FnOnce(String) -> WorkerError,
) -> Result<Response, Failed> {
    let answer = sent.map_err(|error| Failed::Later(words(error)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let code = code(answer).await;
    let passes = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        // S3's word for a body that did not come in time, said with status 400.
        || matches!(code.as_deref(), Some("RequestTimeout" | "SlowDown"));
    let code = code.map(|code| format!(": {code}")).unwrap_or_default();
    let why = format!("S3 answered HTTP {}{code}", status.as_u16());
    match passes {
        true => Err(Failed::Later(why)),
        false => Err(Failed::Never(never(why))),
    }
}

/// An error's words without the address, which is a secret.
fn words(error: reqwest::Error) -> String {
    crate::causes::deepest(&error.without_url())
}

/// S3's code of a refusal. The rest of what it says holds parts of the signature.
async fn code(mut answer: Response) -> Option<String> {
    let mut body = Vec::new();
    while body.len() < LONGEST_REFUSAL {
        match answer.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            _ => break,
        }
    }
    let text = String::from_utf8_lossy(&body);
    let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
    let is_word = code.len() <= 64 && code.chars().all(|char| char.is_ascii_alphanumeric());
    is_word.then(|| code.to_owned())
}
