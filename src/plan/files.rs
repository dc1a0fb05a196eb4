//! A plan as files, and the digest over them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::apk::keys::KeyRing;
use crate::arch::Arch;
use crate::digest::sha256;
use crate::overlay::{NodeKind, OverlayNode, Tree};
use crate::profile::Profile;
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

/// Files that are no plan.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// One is not there.
    #[error("the plan lacks `{0}`")]
    Missing(String),
    /// One is not what a plan has under that name.
    #[error("the plan's `{name}` cannot be read: {why}")]
    Bad {
        /// The file.
        name: String,
        /// Why.
        why: String,
    },
    /// They are not those that were written.
    #[error("the plan's files come to the digest {found}, not {expected}")]
    Differs {
        /// As they are.
        found: String,
        /// As it should be.
        expected: String,
    },
}

/// One line of `overlay.json`.
#[derive(Serialize, Deserialize)]
struct OverlayLine<'a> {
    path: Cow<'a, str>,
    #[serde(flatten)]
    kind: LineKind<'a>,
    mode: String,
    owner: Cow<'a, str>,
    group: Cow<'a, str>,
    overlay: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum LineKind<'a> {
    File { sha256: String },
    Directory,
    Symlink { target: Cow<'a, str> },
}

impl Plan {
    /// Every file of the rendered plan but its digest, by path.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
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
                path: path.into(),
                kind: match &node.kind {
                    NodeKind::File(bytes) => LineKind::File {
                        sha256: sha256(bytes),
                    },
                    NodeKind::Directory => LineKind::Directory,
                    NodeKind::Symlink(target) => LineKind::Symlink {
                        target: target.into(),
                    },
                },
                mode: format!("{:04o}", node.mode),
                owner: (&node.owner).into(),
                group: (&node.group).into(),
                overlay: (&node.overlay).into(),
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

    /// The plan that these files were rendered from; only that of this digest.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(files: &BTreeMap<String, Vec<u8>>, expected: &str) -> Result<Plan, ReadError> {
        // Before anything is made of them.
        let found = digest(files);
        if found != expected {
            let expected = expected.to_owned();
            return Err(ReadError::Differs { found, expected });
        }
        let profile: Profile = parsed(files, "profile.toml", |text| toml::from_str(text))?;
        let arch = parsed(files, "arch", |text| text.trim_end().parse::<Arch>())?;
        let mut keys = KeyRing::default();
        for (path, pem) in files {
            if let Some(name) = path.strip_prefix("keys/") {
                keys.add(name, pem).map_err(|error| bad(path, error))?;
            }
        }
        let plan = Plan {
            firmware: profile.firmware_on(arch),
            repositories: parsed(files, "repositories", |text| {
                Ok::<_, Infallible>(text.lines().map(str::to_owned).collect())
            })?,
            tree: tree(files)?,
            digest: found,
            profile,
            arch,
            keys,
        };
        // What is derived when a plan is made must come to the same here: the program may be another.
        let again = digest(&plan.files());
        if again != plan.digest {
            return Err(ReadError::Differs {
                found: again,
                expected: plan.digest,
            });
        }
        Ok(plan)
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

fn bad(name: &str, why: impl ToString) -> ReadError {
    ReadError::Bad {
        name: name.to_owned(),
        why: why.to_string(),
    }
}

fn parsed<T, E: ToString>(
    files: &BTreeMap<String, Vec<u8>>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, ReadError> {
    let missing = || ReadError::Missing(name.to_owned());
    let text = std::str::from_utf8(files.get(name).ok_or_else(missing)?);
    parse(text.map_err(|error| bad(name, error))?).map_err(|error| bad(name, error.to_string()))
}

/// The overlays of a rendered plan.
fn tree(files: &BTreeMap<String, Vec<u8>>) -> Result<Tree, ReadError> {
    const NAME: &str = "overlay.json";
    let lines: Vec<OverlayLine> = parsed(files, NAME, |text| serde_json::from_str(text))?;
    lines
        .into_iter()
        .map(|line| {
            let kind = match line.kind {
                LineKind::File { .. } => {
                    let name = format!("overlay/{}", line.path);
                    let bytes = files.get(&name).cloned();
                    NodeKind::File(bytes.ok_or(ReadError::Missing(name))?)
                }
                LineKind::Directory => NodeKind::Directory,
                LineKind::Symlink { target } => NodeKind::Symlink(target.into_owned()),
            };
            let node = OverlayNode {
                kind,
                mode: u32::from_str_radix(&line.mode, 8).map_err(|error| bad(NAME, error))?,
                owner: line.owner.into_owned(),
                group: line.group.into_owned(),
                overlay: line.overlay.into_owned(),
            };
            Ok((line.path.into_owned(), node))
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::profile::ProfileSource;

    #[test]
    fn a_plan_is_read_as_it_was_rendered() {
        for (name, arch) in [
            ("base", Arch::X86_64),
            ("base", Arch::Aarch64),
            ("kubezero-worker", Arch::X86_64),
            ("kubezero-controller", Arch::Aarch64),
        ] {
            let source = ProfileSource {
                arch: Some(arch),
                ..ProfileSource::new(name)
            };
            let plan = Plan::new(&Config::default().library(), &source).expect("a plan");
            let files = plan.files();
            let again = Plan::read(&files, &plan.digest).expect("a plan");
            assert_eq!(again.files(), files);
            assert_eq!(again.profile, plan.profile);
            assert_eq!(again.tree, plan.tree);
            assert_eq!(again.firmware, plan.firmware);

            let refused = |files: &BTreeMap<String, Vec<u8>>| {
                let error = Plan::read(files, &digest(files)).expect_err("no plan");
                error.to_string()
            };
            for lacking in ["profile.toml", "arch", "overlay.json"] {
                let mut files = files.clone();
                files.remove(lacking);
                assert!(refused(&files).contains(lacking), "{lacking}");
            }
            // A name that says nothing to this program, and one whose content says another thing.
            let mut more = files.clone();
            more.insert("extra".to_owned(), Vec::new());
            assert!(refused(&more).contains("digest"));
            let mut other = files.clone();
            other.insert("services".to_owned(), b"default nothing\n".to_vec());
            assert!(refused(&other).contains("digest"));
            let error = Plan::read(&other, &plan.digest).expect_err("another plan");
            assert!(error.to_string().contains(&plan.digest));
        }
    }
}
