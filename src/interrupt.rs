//! Ctrl-C and SIGTERM, for work that blocks a thread and so cannot be dropped.
//!
//! Waiting futures are dropped when the signal comes. What unpacks, runs scripts or writes a disk
//! asks [`raised`] between its steps instead, ends with an error, and cleans up on its way out.
//! What talks to AWS is told by a [`Stop`], so that it can write down how far it came.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

static RAISED: AtomicBool = AtomicBool::new(false);

/// Tells all work to end.
pub fn raise() {
    RAISED.store(true, Ordering::SeqCst);
}

/// Whether work is to end.
pub fn raised() -> bool {
    RAISED.load(Ordering::SeqCst)
}

/// Tells work that waits to come to an orderly end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Option<&'static str>>);

impl Stop {
    /// One that is told through the other end, in words that say why.
    pub fn channel() -> (watch::Sender<Option<&'static str>>, Stop) {
        let (sender, receiver) = watch::channel(None);
        (sender, Stop(receiver))
    }

    /// Waits until work is to end: why.
    pub async fn told(&mut self) -> &'static str {
        let told = self.0.wait_for(Option::is_some).await;
        match told.map(|why| why.unwrap_or_default()) {
            Ok(why) => why,
            // Nobody is left who could tell.
            Err(_) => std::future::pending().await,
        }
    }
}
