//! The list of an image's files, kept beside the release's manifest for `diff`.

use tokio::task::JoinHandle;

use super::book::Book;
use super::bucket::Bucket;
use super::error::PublishError;
use super::subject::Subject;
use crate::image::contents::{DiskImage, FILES};

/// Lists the image's files, while the blocks are sent. Nothing for what is not on this machine.
pub(super) fn list(subject: &Subject) -> Option<JoinHandle<Option<String>>> {
    let Subject::Image(image) = subject else {
        return None;
    };
    let path = image.folder.join(&image.manifest.image.file);
    let list = move || {
        let listed = DiskImage::open(&path).and_then(|disk| disk.list());
        match listed {
            Ok(contents) => Some(contents.to_json()),
            // The next run makes the list.
            Err(_) if crate::interrupt::raised() => None,
            Err(error) => {
                tracing::warn!("the release will have no list of files: {error}");
                None
            }
        }
    };
    Some(tokio::task::spawn_blocking(list))
}

/// Puts the list beside the manifest, unless it is there.
pub(super) async fn attach(
    bucket: &Bucket,
    book: &Book,
    list: Option<JoinHandle<Option<String>>>,
) -> Result<(), PublishError> {
    let manifest = book.manifest().await;
    let (Some(list), None) = (list, &manifest.files) else {
        return Ok(());
    };
    let Ok(Some(text)) = list.await else {
        return Ok(());
    };
    let attached = bucket.attach(&manifest.release, FILES, text).await?;
    Ok(book
        .change(|manifest| manifest.files = Some(attached))
        .await?)
}
