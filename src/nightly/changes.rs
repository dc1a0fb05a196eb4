//! What a release has that the one before it had not, in one line.

use super::image::Shop;
use crate::diff::changes::Changes;
use crate::diff::secdb::{Secdb, branch};
use crate::publish::manifest::ReleaseManifest;
use crate::publish::release::ReleaseId;

/// What is new in a release, as far as that can be told: nothing depends on it, so what cannot be read
/// is no failure.
pub(super) async fn since(
    shop: &Shop,
    before: &ReleaseManifest,
    release: &ReleaseId,
) -> Option<String> {
    let found = shop.bucket.manifest(release).await;
    let after = found.ok().flatten()?.manifest;
    // Of a bare snapshot nothing is known.
    before.image.as_ref()?;
    let image = after.image.as_ref()?;
    let secdb = Secdb::load(&shop.secdb, Some(&branch(&image.alpine))).await;
    let secdb = secdb.unwrap_or_else(|error| {
        shop.ui.warn(&format!(
            "{release}: what it fixes is not known: {}",
            crate::causes::chain(&error)
        ));
        Secdb::default()
    });
    Some(Changes::between(before, &after, &secdb).line())
}
