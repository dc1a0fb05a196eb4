//! Reading bodies of requests into memory, of which there is not much for them.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};

use crate::sandbox::error::ServiceError;
use crate::sandbox::service::Service;

/// The largest body of any service but S3: a block of a snapshot (512 KiB) and some room.
const LARGEST: usize = 1 << 20;
/// From here on a body is large.
const LARGE: usize = 64 << 10;
/// So many large bodies are in memory at once; the others wait in their connections.
const LARGE_AT_ONCE: usize = 32;
/// Bodies begin at such an address, unless they are longer than they said.
const ALIGNED: usize = 4096;
/// A client sends the next part of a body within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// A large body is whole within this time: others wait for its place.
const WHOLE: Duration = Duration::from_secs(60);
/// Of a body that is too large, so much is read, so that the client gets to read the answer.
const DRAINED: usize = 16 << 20;

/// The memory that bodies have.
#[derive(Debug)]
pub(in crate::sandbox) struct Bodies(Semaphore);

/// A body in memory, and the right to its place there.
pub(in crate::sandbox) struct Held<'a> {
    pub bytes: Bytes,
    _place: Option<SemaphorePermit<'a>>,
}

/// A body that was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Unread {
    TooLarge,
    TooSlow,
    BrokenOff,
}

impl Unread {
    /// What the service answers.
    pub(super) fn answer(self, service: Service) -> ServiceError {
        let (code, message, status) = match self {
            Unread::TooLarge => (
                "RequestEntityTooLarge",
                format!("The request's body is larger than {LARGEST} bytes"),
                413,
            ),
            Unread::TooSlow => (
                "RequestTimeout",
                format!(
                    "No part of the body came for {} seconds, or all of it not within {}",
                    PATIENCE.as_secs(),
                    WHOLE.as_secs()
                ),
                408,
            ),
            Unread::BrokenOff => (
                "IncompleteBody",
                "The body broke off or is not of HTTP's form".to_owned(),
                400,
            ),
        };
        let code = match service {
            Service::Ec2 | Service::Sts | Service::S3 => code.to_owned(),
            Service::Ebs | Service::Kms | Service::Organizations => format!("{code}Exception"),
        };
        ServiceError::new(code, message).status(status)
    }
}

impl Bodies {
    pub(super) fn new() -> Bodies {
        Bodies(Semaphore::new(LARGE_AT_ONCE))
    }

    /// Reads a body.
    pub(in crate::sandbox) async fn read(&self, mut body: Incoming) -> Result<Held<'_>, Unread> {
        let announced = body.size_hint().exact();
        let length = usize::try_from(announced.unwrap_or(LARGEST as u64)).unwrap_or(usize::MAX);
        if length > LARGEST {
            drain(body).await;
            return Err(Unread::TooLarge);
        }
        let place = if length > LARGE {
            // Never closed; without a place the body is refused rather than read.
            Some(self.0.acquire().await.map_err(|_| Unread::BrokenOff)?)
        } else {
            None
        };
        let end = Instant::now() + WHOLE;
        let mut bytes: Vec<u8> =
            Vec::with_capacity(if announced.is_some() { length } else { LARGE } + ALIGNED);
        // A block then goes to the disk from where it is.
        let start = bytes.as_ptr().align_offset(ALIGNED).min(ALIGNED);
        bytes.resize(start, 0);
        loop {
            let end = end.min(Instant::now() + PATIENCE);
            let frame = match timeout_at(end, body.frame()).await {
                Err(_) => return Err(Unread::TooSlow),
                Ok(None) => break,
                Ok(Some(frame)) => frame.map_err(|_| Unread::BrokenOff)?,
            };
            // Trailers say nothing to these services.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if bytes.len() - start + data.len() > LARGEST {
                drain(body).await;
                return Err(Unread::TooLarge);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Held {
            bytes: Bytes::from(bytes).slice(start..),
            _place: place,
        })
    }
}

/// Reads on for a while and forgets: if the connection were closed while the client still sends,
/// it would see that instead of the answer.
async fn drain(mut body: Incoming) {
    let drained = async {
        let mut rest = DRAINED;
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            match rest.checked_sub(read) {
                Some(left) => rest = left,
                None => break,
            }
        }
    };
    let _ = timeout(PATIENCE, drained).await;
}
