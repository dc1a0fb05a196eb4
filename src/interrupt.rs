//! Ctrl-C and SIGTERM, for work that blocks a thread and so cannot be dropped.
//!
//! Waiting futures are dropped when the signal comes. What unpacks, runs scripts or writes a disk
//! asks [`raised`] between its steps instead, ends with an error, and cleans up on its way out.

use std::sync::atomic::{AtomicBool, Ordering};

static RAISED: AtomicBool = AtomicBool::new(false);

/// Tells all work to end.
pub fn raise() {
    RAISED.store(true, Ordering::SeqCst);
}

/// Whether work is to end.
pub fn raised() -> bool {
    RAISED.load(Ordering::SeqCst)
}
