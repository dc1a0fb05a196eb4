//! Overlays: file trees laid over the installed packages.
//!
//! An overlay is a folder with `overlay.toml` and a tree `root/`. Mode and owner of each file are
//! declared in `overlay.toml` and never taken from the checkout, whose modes depend on the user's
//! umask and on git. Files called `*.tera` are rendered with the profile's values.

pub mod declaration;
mod render;

use std::collections::BTreeMap;

use serde::Serialize;

pub use render::Context;

use crate::assets::Assets;
use crate::profile::error::Mistake;
use declaration::Declaration;

/// An overlay that cannot be read or rendered.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// A mistake in `overlay.toml` or a template.
    #[error("{0}")]
    Mistake(Box<Mistake>),
    /// A file that cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl OverlayError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            OverlayError::Mistake(mistake) => mistake.hint.clone(),
            OverlayError::Io(_) => None,
        }
    }
}

/// What lies at a path of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// A file with its content.
    File(#[serde(skip)] Vec<u8>),
    /// A folder.
    Directory,
    /// A symbolic link with its target.
    Symlink(String),
}

/// One path of an overlay, ready to be laid down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayNode {
    /// File, folder or link.
    pub kind: NodeKind,
    /// Permission bits; links have none.
    pub mode: u32,
    /// Owner by name, as in the image's `etc/passwd`.
    pub owner: String,
    /// Group by name, as in the image's `etc/group`.
    pub group: String,
    /// The overlay it comes from.
    pub overlay: String,
}

/// The overlays of a profile laid over one another, by path without a leading slash.
pub type Tree = BTreeMap<String, OverlayNode>;

/// Renders `overlays` in their order; a later one takes the place of an earlier one's file.
///
/// # Errors
/// See [`OverlayError`].
pub fn render(
    assets: &Assets,
    overlays: &[String],
    context: &Context,
) -> Result<Tree, OverlayError> {
    let mut tree = Tree::new();
    for name in overlays {
        let mut files = assets.tree(name)?;
        let declaration = Declaration::read(name, files.remove("overlay.toml"))?;
        let mut laid = Vec::new();
        for (path, asset) in files {
            let Some(path) = path.strip_prefix("root/") else {
                return Err(OverlayError::Mistake(Box::new(Mistake {
                    file: asset.origin,
                    line: 0,
                    column: 0,
                    what: format!("it is not part of the overlay `{name}`"),
                    hint: Some(
                        "an overlay has overlay.toml and a tree root/, nothing else".to_owned(),
                    ),
                })));
            };
            let (path, bytes) = match path.strip_suffix(".tera") {
                Some(path) => (path, context.render(&asset)?),
                None => (path, asset.bytes),
            };
            laid.push((path.to_owned(), NodeKind::File(bytes)));
        }
        tree.extend(declaration.apply(name, laid)?);
    }
    Ok(tree)
}
