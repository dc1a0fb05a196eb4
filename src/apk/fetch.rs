//! Fetching indexes and packages from mirrors: several at once, gone on with where they broke off,
//! bounded in size and time, verified on the way.
//!
//! A mirror that does not answer, lies, or goes back in time is passed over for the next one; where
//! there is none, that is the error. Nothing comes into the [`Store`] that was not verified.

mod download;
mod http;
mod index;
mod package;
mod settings;
mod watch;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use self::http::client;
pub use self::index::SignedIndex;
pub use self::settings::{DownloadSettings, Limits};
pub use self::watch::{Event, Watch};
use super::mirror::{Failures, MirrorError, Repository};
use super::store::Store;

/// Fetches from mirrors. Clones share its limits and what it knows of mirrors.
#[derive(Debug, Clone)]
pub struct Fetcher {
    http: reqwest::Client,
    store: Store,
    limits: Limits,
    slots: Arc<Semaphore>,
    /// Mirrors that did not answer: they are asked last.
    tired: Arc<Mutex<BTreeSet<String>>>,
    watch: Watch,
}

impl Fetcher {
    /// A fetcher that keeps packages in `store`, with the usual limits. A proxy is taken from the
    /// environment.
    ///
    /// # Errors
    /// The system's trusted certificates cannot be loaded.
    pub fn new(store: Store) -> Result<Fetcher, MirrorError> {
        Fetcher::with_limits(store, Limits::default())
    }

    /// One that keeps packages in the user's store, as the configuration says.
    ///
    /// # Errors
    /// The system's trusted certificates cannot be loaded.
    pub fn configured(settings: &DownloadSettings) -> Result<Fetcher, MirrorError> {
        Fetcher::with_limits(settings.store(), settings.limits())
    }

    /// One with limits of its own.
    ///
    /// # Errors
    /// The system's trusted certificates cannot be loaded.
    pub fn with_limits(store: Store, limits: Limits) -> Result<Fetcher, MirrorError> {
        Ok(Fetcher {
            http: client(&limits)?,
            store,
            slots: Arc::new(Semaphore::new(limits.parallel)),
            limits,
            tired: Arc::default(),
            watch: Watch::default(),
        })
    }

    /// The same, and `watch` is told of downloads.
    pub fn watched(self, watch: Watch) -> Fetcher {
        Fetcher { watch, ..self }
    }

    /// Where it keeps packages.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Does work that fetches so many bytes, and tells whoever watches of its begin and end.
    pub async fn telling<T>(&self, bytes: u64, work: impl Future<Output = T>) -> T {
        if bytes == 0 {
            return work.await;
        }
        self.watch.tell(Event::Begin(bytes));
        let done = work.await;
        self.watch.tell(Event::End);
        done
    }

    /// The bases, those that did not answer before last.
    fn in_order<'a>(&self, repository: &'a Repository) -> Vec<&'a str> {
        let tired = self.tired.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bases: Vec<_> = repository.bases.iter().map(String::as_str).collect();
        bases.sort_by_key(|base| tired.contains(*base));
        bases
    }

    /// Notes why a base cannot be used.
    ///
    /// # Errors
    /// It is not for the base that this failed.
    fn note(
        &self,
        failures: &mut Failures,
        repository: &Repository,
        base: &str,
        error: MirrorError,
    ) -> Result<(), MirrorError> {
        let is_news = match &error {
            MirrorError::Store { .. } => return Err(error),
            MirrorError::Missing { .. } => false,
            MirrorError::Unreachable { .. } => {
                let mut tired = self.tired.lock().unwrap_or_else(PoisonError::into_inner);
                tired.insert(base.to_owned())
            }
            _ => true,
        };
        match is_news && repository.bases.len() > 1 {
            true => tracing::warn!("{error}; another mirror is asked"),
            false => tracing::debug!("{error}"),
        }
        failures.note(error);
        Ok(())
    }
}
