//! What a fetcher tells of its downloads, for whoever shows it.

use std::fmt;
use std::sync::Arc;

/// Something that happens to downloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Files begin to be fetched that come to so many bytes.
    Begin(u64),
    /// So many more bytes are there.
    Came(u64),
    /// They are all there, or will not come.
    End,
}

/// Who is told.
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(Event) + Send + Sync>);

impl Watch {
    /// One that does so at each event.
    pub fn new(tell: impl Fn(Event) + Send + Sync + 'static) -> Watch {
        Watch(Arc::new(tell))
    }

    pub(super) fn tell(&self, event: Event) {
        (self.0)(event);
    }
}

impl Default for Watch {
    fn default() -> Watch {
        Watch::new(|_| {})
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
