//! Profiles, overlays and keys: those built into the program, and a publisher's own beside them.
//!
//! A file of the publisher's takes the place of the built-in one with the same name; everything
//! else stays reachable, so that a new Kubernetes minor is one small file over the shipped layers.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

static PROFILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/profiles");
static OVERLAYS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/overlays");

/// One of the two shelves of files: profiles (with their keys) or overlays.
#[derive(Debug, Clone)]
pub struct Assets {
    dirs: Vec<PathBuf>,
    built_in: &'static Dir<'static>,
    label: &'static str,
}

/// A file and where it was found, as users see it in messages.
#[derive(Debug, Clone)]
pub struct Asset {
    /// A path on disk, or `built-in profiles/…`.
    pub origin: String,
    /// The content.
    pub bytes: Vec<u8>,
}

impl Assets {
    /// Profiles: the built-in ones, and those in `dirs`, the first of which wins.
    pub fn profiles(dirs: Vec<PathBuf>) -> Assets {
        Assets {
            dirs,
            built_in: &PROFILES,
            label: "profiles",
        }
    }

    /// Overlays: the built-in ones, and those in `dirs`, the first of which wins.
    pub fn overlays(dirs: Vec<PathBuf>) -> Assets {
        Assets {
            dirs,
            built_in: &OVERLAYS,
            label: "overlays",
        }
    }

    /// The file `name`, a path below the shelf.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Option<Asset>> {
        for dir in &self.dirs {
            let path = dir.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => {
                    return Ok(Some(Asset {
                        origin: path.display().to_string(),
                        bytes,
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("cannot read {}: {error}", path.display());
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
        Ok(self.built_in.get_file(name).map(|file| Asset {
            origin: format!("built-in {}/{name}", self.label),
            bytes: file.contents().to_vec(),
        }))
    }

    /// The names directly below the folder `below` (`""` for the shelf itself), sorted.
    ///
    /// # Errors
    /// A folder that is there and cannot be read.
    pub fn names(&self, below: &str) -> io::Result<Vec<String>> {
        let mut names = std::collections::BTreeSet::new();
        let entries = match below {
            "" => Some(self.built_in),
            below => self.built_in.get_dir(below),
        };
        for entry in entries.into_iter().flat_map(Dir::entries) {
            names.extend(file_name(entry.path()));
        }
        for dir in &self.dirs {
            let path = dir.join(below);
            match std::fs::read_dir(&path) {
                Ok(entries) => {
                    for entry in entries {
                        names.extend(file_name(&entry?.path()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("cannot read {}: {error}", path.display());
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Every file below the folder `below`, by its path relative to it. The folder is taken whole
    /// from the first place that has it: two trees of the same name are never mixed.
    ///
    /// # Errors
    /// A file or folder that cannot be read, or a name that is not UTF-8.
    pub fn tree(&self, below: &str) -> io::Result<BTreeMap<String, Asset>> {
        let mut files = BTreeMap::new();
        for dir in &self.dirs {
            let path = dir.join(below);
            if path.is_dir() {
                collect(&path, &path, &mut files)?;
                return Ok(files);
            }
        }
        if let Some(dir) = self.built_in.get_dir(below) {
            collect_built_in(dir, below, self.label, &mut files);
        }
        Ok(files)
    }
}

fn file_name(path: &Path) -> Option<String> {
    path.file_name()?.to_str().map(str::to_owned)
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, Asset>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            collect(root, &path, files)?;
            continue;
        }
        if !kind.is_file() {
            // Followed, it would bring whatever it leads to on this machine into the image.
            let text = format!(
                "{} is no plain file; links of an overlay stand in its overlay.toml as [[symlink]]",
                path.display()
            );
            return Err(io::Error::other(text));
        }
        let name = path
            .strip_prefix(root)
            .ok()
            .and_then(Path::to_str)
            .ok_or_else(|| {
                io::Error::other(format!("the name of {} is not UTF-8", path.display()))
            })?;
        let bytes = std::fs::read(&path).map_err(|error| {
            io::Error::other(format!("cannot read {}: {error}", path.display()))
        })?;
        let origin = path.display().to_string();
        files.insert(name.to_owned(), Asset { origin, bytes });
    }
    Ok(())
}

fn collect_built_in(
    dir: &'static Dir<'static>,
    below: &str,
    label: &str,
    files: &mut BTreeMap<String, Asset>,
) {
    for file in dir.files() {
        // include_dir holds UTF-8 names only.
        let path = file.path().to_string_lossy();
        let name = path.strip_prefix(below).unwrap_or(&path);
        files.insert(
            name.trim_start_matches('/').to_owned(),
            Asset {
                origin: format!("built-in {label}/{path}"),
                bytes: file.contents().to_vec(),
            },
        );
    }
    for dir in dir.dirs() {
        collect_built_in(dir, below, label, files);
    }
}
