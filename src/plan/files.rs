//! A plan as files, and the digest over them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use serde::Serialize;

use super::Plan;
use crate::digest::sha256;
use crate::overlay::NodeKind;
use crate::workdir::WorkDir;

/// A plan that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The folder holds something else.
    #[error("{0} is not empty and does not hold a rendered plan")]
    NotOurs(PathBuf),
    /// It cannot be written.
    #[error("cannot write the plan to {path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl WriteError {
    /// What to do next.
    pub fn advice(&self) -> &'static str {
        match self {
            WriteError::NotOurs(_) => "name a new or empty folder with --out",
            WriteError::Io { .. } => "name a folder that can be written with --out",
        }
    }
}

/// The digest's file; it marks a folder as a rendered plan.
const DIGEST: &str = "digest";
/// All that a rendered plan may hold at its top.
const NAMES: [&str; 10] = [
    "arch",
    "boot-world",
    DIGEST,
    "keys",
    "overlay",
    "overlay.json",
    "profile.toml",
    "repositories",
    "services",
    "world",
];

/// One line of `overlay.json`.
#[derive(Serialize)]
struct OverlayLine<'a> {
    path: &'a str,
    #[serde(flatten)]
    kind: LineKind<'a>,
    mode: String,
    owner: &'a str,
    group: &'a str,
    overlay: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum LineKind<'a> {
    File { sha256: String },
    Directory,
    Symlink { target: &'a str },
}

impl Plan {
    /// Every file of the rendered plan but its digest, by path.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut add = |name: &str, content: String| files.insert(name.to_owned(), content.into());
        let profile = toml::to_string_pretty(&self.profile)
            .expect("a profile was read from TOML and goes back to it");
        add("profile.toml", profile);
        add("arch", format!("{}\n", self.arch));
        add("world", lines(self.profile.packages.iter()));
        add("boot-world", lines(self.profile.boot.packages.iter()));
        add("repositories", lines(self.repositories.iter()));
        let services = self.profile.services.iter().flat_map(|(level, services)| {
            services
                .iter()
                .map(move |service| format!("{} {service}", level.as_str()))
        });
        add("services", lines(services));
        let overlay: Vec<_> = self
            .tree
            .iter()
            .map(|(path, node)| OverlayLine {
                path,
                kind: match &node.kind {
                    NodeKind::File(bytes) => LineKind::File {
                        sha256: sha256(bytes),
                    },
                    NodeKind::Directory => LineKind::Directory,
                    NodeKind::Symlink(target) => LineKind::Symlink { target },
                },
                mode: format!("{:04o}", node.mode),
                owner: &node.owner,
                group: &node.group,
                overlay: &node.overlay,
            })
            .collect();
        let overlay = serde_json::to_string_pretty(&overlay).expect("plain data goes to JSON");
        add("overlay.json", overlay + "\n");
        for (name, pem) in self.keys.iter() {
            files.insert(format!("keys/{name}"), pem.to_vec());
        }
        for (path, node) in &self.tree {
            if let NodeKind::File(bytes) = &node.kind {
                files.insert(format!("overlay/{path}"), bytes.clone());
            }
        }
        files
    }

    /// Writes the plan to `out`, which must be new, empty or hold a plan that was rendered before.
    ///
    /// # Errors
    /// See [`WriteError`]; what was in `out` is then still there.
    pub fn write(&self, out: &Path) -> Result<(), WriteError> {
        let failed = |source| WriteError::Io {
            path: out.to_owned(),
            source,
        };
        let old = match fs::read_dir(out) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if let Some(entries) = old {
            let names = entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<BTreeSet<_>>>()
                .map_err(failed)?;
            let ours = names.contains(DIGEST) && names.iter().all(|name| NAMES.contains(&&**name));
            if !names.is_empty() && !ours {
                return Err(WriteError::NotOurs(out.to_owned()));
            }
        }
        self.replace(out).map_err(failed)
    }

    /// Writes beside `out` and swaps the folders in one step, so that a reader, and whoever comes
    /// after a kill, sees one plan or the other.
    fn replace(&self, out: &Path) -> io::Result<()> {
        let parent = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent)?;
        let work = WorkDir::new(parent, ".alpine-ami-render-")?;
        let new = work.folder("plan")?;
        for (name, bytes) in self.files() {
            let path = new.join(name);
            fs::create_dir_all(path.parent().expect("a file lies in a folder"))?;
            fs::write(path, bytes)?;
        }
        fs::write(new.join(DIGEST), format!("{}\n", self.digest))?;
        if !out.exists() {
            return fs::rename(&new, out);
        }
        // The old plan goes with the work folder.
        let exchange = RenameFlags::EXCHANGE;
        Ok(rustix::fs::renameat_with(CWD, &new, CWD, out, exchange)?)
    }
}

fn lines<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string() + "\n").collect()
}

/// SHA-256 over the digests and names of all files, in the form of `sha256sum`.
pub(super) fn digest(files: &BTreeMap<String, Vec<u8>>) -> String {
    let listing: String = files
        .iter()
        .map(|(name, bytes)| format!("{}  {name}\n", sha256(bytes)))
        .collect();
    sha256(listing.as_bytes())
}
