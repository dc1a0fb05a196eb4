//! What a run tells while it goes on: read by whoever draws it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::aws::Region;

/// What a run tells. Clones tell the same reader.
#[derive(Debug, Clone)]
pub struct Progress(Arc<watch::Sender<Told>>);

/// What was told so far.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Lines for people, each told once, in their order: ids as soon as they are known.
    pub lines: Vec<String>,
    /// The transfer that is going on.
    pub transfer: Option<Transfer>,
    /// What each Region is at or waits for.
    pub regions: BTreeMap<Region, String>,
}

/// Blocks that are being sent, read or hashed.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// What is done: `sending snap-…`, `reading back snap-…`.
    pub what: String,
    /// Bytes to go through.
    pub total: u64,
    /// Bytes gone through.
    pub done: u64,
    /// How many attempts AWS has throttled.
    pub throttled: u64,
    /// When it began.
    pub since: Instant,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress(Arc::new(watch::Sender::new(Told::default())))
    }
}

impl Progress {
    /// What is told from now on.
    pub fn listen(&self) -> watch::Receiver<Told> {
        self.0.subscribe()
    }

    /// Tells a line.
    pub fn say(&self, line: impl Into<String>) {
        self.0.send_modify(|told| told.lines.push(line.into()));
    }

    /// Tells what a Region is at.
    pub fn region(&self, region: &Region, at: impl Into<String>) {
        let at = at.into();
        self.0.send_if_modified(|told| {
            let before = told.regions.insert(region.clone(), at.clone());
            before.as_ref() != Some(&at)
        });
    }

    /// A transfer begins.
    pub fn begin(&self, what: impl Into<String>, total: u64) {
        self.0.send_modify(|told| {
            told.transfer = Some(Transfer {
                what: what.into(),
                total,
                done: 0,
                throttled: 0,
                since: Instant::now(),
            });
        });
    }

    /// So many more bytes of the transfer are done.
    pub fn advance(&self, bytes: u64) {
        self.transfer(|transfer| transfer.done += bytes);
    }

    /// AWS throttled an attempt of the transfer.
    pub fn throttled(&self) {
        self.transfer(|transfer| transfer.throttled += 1);
    }

    /// The transfer has ended.
    pub fn end(&self) {
        self.0.send_modify(|told| told.transfer = None);
    }

    fn transfer(&self, change: impl FnOnce(&mut Transfer)) {
        self.0.send_if_modified(|told| match &mut told.transfer {
            Some(transfer) => {
                change(transfer);
                true
            }
            None => false,
        });
    }
}
