//! How commands fetch packages, and what a terminal shows of it.

use crate::apk::fetch::Fetcher;
use crate::builder::packages::PackagesError;
use crate::config::Config;
use crate::publish::progress::Progress;
use crate::ui::progress::{Drawing, downloads};
use crate::ui::{Failure, Ui};

/// A fetcher as the configuration says.
pub(super) fn fetcher(config: &Config) -> Result<Fetcher, Failure> {
    Ok(Fetcher::configured(&config.downloads).map_err(PackagesError::from)?)
}

/// The same, and its downloads are shown as a transfer of `progress`.
pub(super) fn shown(fetcher: Fetcher, progress: &Progress) -> Fetcher {
    fetcher.watched(downloads::transfer(progress))
}

/// Does the work while what it tells is drawn.
pub(super) async fn drawn<T>(ui: Ui, progress: &Progress, work: impl Future<Output = T>) -> T {
    let drawing = Drawing::start(&ui, progress);
    let done = work.await;
    drawing.finish().await;
    done
}
