//! How commands fetch packages, and what a terminal shows of it.

use crate::apk::fetch::{Event, Fetcher, Watch};
use crate::builder::packages::PackagesError;
use crate::config::Config;
use crate::publish::progress::Progress;
use crate::ui::progress::Drawing;
use crate::ui::{Failure, Ui};

/// Less than this comes before anybody could read how much it is.
const WORTH_SHOWING: u64 = 1 << 20;

/// A fetcher as the configuration says.
pub(super) fn fetcher(config: &Config) -> Result<Fetcher, Failure> {
    Ok(Fetcher::configured(&config.downloads).map_err(PackagesError::from)?)
}

/// The same, and its downloads are shown as a transfer of `progress`.
pub(super) fn shown(fetcher: Fetcher, progress: &Progress) -> Fetcher {
    let progress = progress.clone();
    fetcher.watched(Watch::new(move |event| match event {
        Event::Begin(bytes) if bytes >= WORTH_SHOWING => progress.begin("packages", bytes),
        Event::Begin(_) => {}
        Event::Came(bytes) => progress.advance(bytes),
        Event::End => progress.end(),
    }))
}

/// Does the work while what it tells is drawn.
pub(super) async fn drawn<T>(ui: Ui, progress: &Progress, work: impl Future<Output = T>) -> T {
    let drawing = Drawing::start(&ui, progress);
    let done = work.await;
    drawing.finish().await;
    done
}
