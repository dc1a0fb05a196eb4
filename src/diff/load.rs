//! Reading what is to be compared: folders, manifests, images, releases, AMIs and snapshots.

use std::fs::File;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::facts::{self, Fact, fact};
use super::subject::{Subject, SubjectError};
use super::{Package, Side, installed};
use crate::aws::{AmiId, Region, SnapshotId};
use crate::digest;
use crate::image::contents::{Contents, ContentsError, DiskImage};
use crate::image::manifest::{IMAGE, Manifest, ManifestError};
use crate::image::partition::Role;
use crate::lock::file::BESIDE_MANIFEST;
use crate::lock::{Lock, LockError};
use crate::publish::manifest::{Attachment, ReleaseManifest};
use crate::publish::release::ReleaseId;

/// Small files of an image are believed up to so many bytes.
const SMALL: u64 = 64 << 10;

/// What comes of reading a side.
pub type Result<T, E = LoadError> = std::result::Result<T, E>;

/// What lies in AWS. `diff` asks for it where a side is not on this machine, and only then, so
/// that images can be compared without credentials.
#[async_trait]
pub trait Remote: Send + Sync {
    /// A release's manifest, if there is such a release.
    async fn release(&self, id: &ReleaseId) -> Result<Option<ReleaseManifest>, RemoteError>;

    /// An object beside a release's manifest.
    async fn attachment(
        &self,
        id: &ReleaseId,
        attachment: &Attachment,
    ) -> Result<Vec<u8>, RemoteError>;

    /// The snapshot of an AMI's root volume, if there is such an AMI; in the home Region where
    /// none is named.
    async fn root_snapshot(
        &self,
        ami: &AmiId,
        region: Option<&Region>,
    ) -> Result<Option<SnapshotId>, RemoteError>;

    /// Writes a snapshot's blocks into an empty file, as long as the volume; blocks of zeros may
    /// be left out.
    async fn download(
        &self,
        snapshot: &SnapshotId,
        region: Option<&Region>,
        into: &File,
    ) -> Result<(), RemoteError>;
}

/// What went wrong in AWS; it tells the resource and Region itself.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct RemoteError {
    /// What.
    pub source: Box<dyn std::error::Error + Send + Sync>,
    /// What to do next.
    pub advice: Option<String>,
}

/// Why a side cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The word means nothing.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The image, or a list of files.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A lock, and something else.
    #[error(
        "{lock} is a lock, and {other} is none: a lock says nothing of files, sizes and licences"
    )]
    OneLock {
        /// The lock.
        lock: String,
        /// What is to be compared with it.
        other: String,
    },
    /// AWS.
    #[error("cannot read {what}: {source}")]
    Remote {
        /// The release, AMI or snapshot.
        what: String,
        /// Why.
        source: RemoteError,
    },
    /// There is no such release, AMI or snapshot.
    #[error("there is no {what}{}", in_region(region.as_ref()))]
    Missing {
        /// What there is not.
        what: String,
        /// Where it was looked for; nowhere named is the home Region.
        region: Option<Region>,
    },
    /// It lies in AWS, and there is no session.
    #[error("{0} lies in AWS, and there is no session with AWS")]
    Offline(String),
    /// The list of files is not the one that the release's manifest names.
    #[error("{name} of {what} has SHA-256 {found}, its manifest says {wanted}")]
    Digest {
        /// The release.
        what: String,
        /// The list's name.
        name: String,
        /// What the manifest says.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// A temporary file for a snapshot's blocks.
    #[error("cannot make a temporary file for {what}: {source}")]
    Temporary {
        /// The snapshot.
        what: String,
        /// Why.
        source: std::io::Error,
    },
}

fn in_region(region: Option<&Region>) -> String {
    region.map_or_else(
        || " (in the home Region)".to_owned(),
        |region| format!(" in {region}"),
    )
}

impl LoadError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            LoadError::Subject(error) => error.advice(),
            LoadError::Manifest(error) => Some(error.advice().to_owned()),
            LoadError::Contents(error) => error.advice(),
            LoadError::Lock(error) => error.advice(),
            LoadError::OneLock { .. } => Some(format!(
                "compare it with another lock: that of an image is {BESIDE_MANIFEST} beside its manifest"
            )),
            LoadError::Remote { source, .. } => source.advice.clone(),
            LoadError::Missing { .. } => {
                Some("check the id, the Region (`ami-…@eu-west-1`) and the account".to_owned())
            }
            LoadError::Offline(_) => {
                Some("configure [aws] and [publish], and credentials".to_owned())
            }
            LoadError::Digest { .. } => {
                Some("someone has changed the bucket; compare the snapshots instead".to_owned())
            }
            LoadError::Temporary { .. } => {
                Some("set TMPDIR to a folder with room for the volume's data".to_owned())
            }
        }
    }

    /// Whether the user named something that is not there or cannot be compared.
    pub fn is_bad_input(&self) -> bool {
        if let LoadError::Lock(error) = self {
            return error.is_bad_input();
        }
        !matches!(self, LoadError::Remote { .. } | LoadError::Temporary { .. })
    }
}

impl Subject {
    /// Whether it can be read only with a session.
    pub fn is_remote(&self) -> bool {
        matches!(
            self,
            Subject::Release(_) | Subject::Ami(..) | Subject::Snapshot(..)
        )
    }
}

/// Reads one side; `name` is what the user called it. `remote` may be missing where the subject
/// is not [`Subject::is_remote`].
///
/// # Errors
/// See [`LoadError`].
pub async fn load(name: &str, subject: Subject, remote: Option<&dyn Remote>) -> Result<Side> {
    let remote = || remote.ok_or_else(|| LoadError::Offline(name.to_owned()));
    match subject {
        Subject::Folder(path) => apart(name, move |name| of_folder(name, &path)).await,
        Subject::Manifest(path) => apart(name, move |name| of_file(name, &path)).await,
        Subject::Image(path) => {
            apart(name, move |name| {
                of_image(name, &DiskImage::open(&path)?, true)
            })
            .await
        }
        Subject::Lock(path) => apart(name, move |name| of_lock(name, &path)).await,
        Subject::Release(id) => of_release(name, &id, remote()?).await,
        Subject::Snapshot(id, region) => of_snapshot(name, &id, region.as_ref(), remote()?).await,
        Subject::Ami(id, region) => {
            let remote = remote()?;
            let found = remote.root_snapshot(&id, region.as_ref()).await;
            let found = found.map_err(|source| LoadError::Remote {
                what: id.to_string(),
                source,
            })?;
            let missing = || LoadError::Missing {
                what: format!("AMI {id} with a root snapshot"),
                region: region.clone(),
            };
            of_snapshot(name, &found.ok_or_else(missing)?, region.as_ref(), remote).await
        }
    }
}

/// Reading and hashing files would keep the runtime's threads from other work.
async fn apart(
    name: &str,
    read: impl FnOnce(String) -> Result<Side> + Send + 'static,
) -> Result<Side> {
    let name = name.to_owned();
    let task = tokio::task::spawn_blocking(move || read(name)).await;
    task.expect("reading does not panic, and nobody aborts it")
}

/// What an image's manifest tells.
pub fn of_manifest(name: &str, manifest: &Manifest) -> Side {
    Side {
        name: name.to_owned(),
        sha256: Some(manifest.image.sha256.clone()),
        facts: facts::of_manifest(manifest),
        packages: Some(manifest.packages.iter().map(Package::from).collect()),
        image_size: Some(manifest.image.size),
        used: Some(manifest.root.used),
        ..Side::default()
    }
}

fn of_folder(name: String, folder: &Path) -> Result<Side> {
    let manifest = Manifest::read(folder)?;
    let mut side = of_manifest(&name, &manifest);
    let plain = Path::new(&manifest.image.file).file_name();
    let path = folder.join(plain.unwrap_or(IMAGE.as_ref()));
    if !path.exists() {
        side.notes.push(format!(
            "there is no {}, so files are not compared",
            path.display()
        ));
        return Ok(side);
    }
    let image = DiskImage::open(&path)?;
    if image.size() != manifest.image.size {
        let (is, said) = (image.size(), manifest.image.size);
        side.notes.push(format!(
            "the image has {is} bytes, its manifest says {said}"
        ));
    }
    side.contents = Some(image.list()?);
    Ok(side)
}

fn of_lock(name: String, path: &Path) -> Result<Side> {
    let bytes = std::fs::read(path).map_err(|source| LockError::Read {
        path: path.to_owned(),
        source,
    })?;
    let lock = Lock::parse(&path.display().to_string(), bytes)?;
    Ok(Side {
        name,
        facts: facts::of_lock(&lock),
        packages: Some(lock.image.iter().map(Package::from).collect()),
        is_lock: true,
        ..Side::default()
    })
}

/// A manifest of an image or a release, whatever its name.
fn of_file(name: String, path: &Path) -> Result<Side> {
    /// What tells them apart.
    #[derive(Deserialize)]
    struct Kind {
        schema: u32,
        release: Option<serde::de::IgnoredAny>,
    }
    let read = |source| ManifestError::Read {
        path: path.to_owned(),
        source,
    };
    let text = std::fs::read(path).map_err(read)?;
    let kind: Kind = json(path, &text)?;
    let newest = match kind.release {
        Some(_) => crate::publish::manifest::SCHEMA,
        None => crate::image::manifest::SCHEMA,
    };
    if kind.schema > newest {
        return Err(ManifestError::Schema {
            path: path.to_owned(),
            found: kind.schema,
        }
        .into());
    }
    if kind.release.is_none() {
        let mut side = of_manifest(&name, &json(path, &text)?);
        let note = "a manifest does not list files; name the folder to compare them";
        side.notes.push(note.to_owned());
        return Ok(side);
    }
    let manifest: ReleaseManifest = json(path, &text)?;
    let mut side = of_release_manifest(&name, &manifest);
    match &manifest.files {
        Some(files) => {
            let beside =
                path.with_file_name(Path::new(&files.name).file_name().unwrap_or_default());
            match std::fs::read(&beside) {
                Ok(text) => side.contents = Some(list(&name, files, &text)?),
                Err(error) => side
                    .notes
                    .push(format!("cannot read {}: {error}", beside.display())),
            }
        }
        None => side
            .notes
            .push("the release has no list of files".to_owned()),
    }
    Ok(side)
}

fn json<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, ManifestError> {
    let parse = |source| ManifestError::Parse {
        path: path.to_owned(),
        source,
    };
    serde_json::from_slice(text).map_err(parse)
}

/// A release's list of files, which must be the one that its manifest names.
fn list(what: &str, files: &Attachment, text: &[u8]) -> Result<Contents> {
    let found = digest::sha256(text);
    if found != files.sha256 {
        return Err(LoadError::Digest {
            what: what.to_owned(),
            name: files.name.clone(),
            wanted: files.sha256.clone(),
            found,
        });
    }
    Ok(Contents::from_json(
        &format!("{} of {what}", files.name),
        text,
    )?)
}

/// What a release's manifest tells without its list of files.
pub fn of_release_manifest(name: &str, manifest: &ReleaseManifest) -> Side {
    let mut side = match &manifest.image {
        Some(image) => of_manifest(name, image),
        None => Side {
            name: name.to_owned(),
            ..Side::default()
        },
    };
    side.release = Some(manifest.release.clone());
    side.facts.push(fact("boot mode", &manifest.boot.mode));
    side.facts
        .push(fact("TPM", if manifest.boot.tpm { "yes" } else { "no" }));
    side.facts
        .push(fact("volume", format!("{} GiB", manifest.volume_gib)));
    side
}

async fn of_release(name: &str, id: &ReleaseId, remote: &dyn Remote) -> Result<Side> {
    let failed = |source| LoadError::Remote {
        what: format!("release {id}"),
        source,
    };
    let manifest = remote.release(id).await.map_err(failed)?;
    let missing = || LoadError::Missing {
        what: format!("release {id} in the bucket"),
        region: None,
    };
    let manifest = manifest.ok_or_else(missing)?;
    let mut side = of_release_manifest(name, &manifest);
    if let Some(files) = &manifest.files {
        let text = remote.attachment(id, files).await.map_err(failed)?;
        side.contents = Some(list(&id.to_string(), files, &text)?);
    }
    if side.contents.is_some() && side.packages.is_some() {
        return Ok(side);
    }
    // Made from a snapshot or an AMI: what was published says what is in it.
    let home = manifest.regions.get(&manifest.home);
    let Some(snapshot) = home.and_then(|place| place.snapshot.as_ref()) else {
        side.notes
            .push(format!("it has no snapshot in {} yet", manifest.home));
        return Ok(side);
    };
    let found = of_snapshot(name, snapshot, Some(&manifest.home), remote).await?;
    let told: Vec<Fact> = found
        .facts
        .into_iter()
        .filter(|new| side.facts.iter().all(|old| old.name != new.name))
        .collect();
    side.facts.extend(told);
    side.packages = side.packages.or(found.packages);
    side.contents = side.contents.or(found.contents);
    side.used = side.used.or(found.used);
    side.notes.extend(found.notes);
    Ok(side)
}

async fn of_snapshot(
    name: &str,
    id: &SnapshotId,
    region: Option<&Region>,
    remote: &dyn Remote,
) -> Result<Side> {
    let what = || id.to_string();
    let temporary = |source| LoadError::Temporary {
        what: what(),
        source,
    };
    let file = tempfile::tempfile().map_err(temporary)?;
    let downloaded = remote.download(id, region, &file).await;
    downloaded.map_err(|source| LoadError::Remote {
        what: what(),
        source,
    })?;
    let path = PathBuf::from(id.as_str());
    // The volume is whole GiB, and so may be larger than the image it was made from.
    apart(name, move |name| {
        let sha256 = digest::sha256_of_file(&file).ok();
        let side = of_image(name, &DiskImage::of(file, &path)?, false)?;
        Ok(Side { sha256, ..side })
    })
    .await
}

/// What an image tells of itself; `sized` says whether its length is that of an image file.
pub fn of_image(name: String, image: &DiskImage, sized: bool) -> Result<Side> {
    let mut notes = Vec::new();
    let packages = match image.read(installed::DATABASE, installed::LARGEST)? {
        Some(text) => Some(installed::parse(&String::from_utf8_lossy(&text))),
        None => {
            notes.push(format!(
                "it has no {}, so packages are not compared",
                installed::DATABASE
            ));
            None
        }
    };
    Ok(Side {
        name,
        release: None,
        sha256: None,
        facts: facts_of_image(image)?,
        packages,
        contents: Some(image.list()?),
        image_size: sized.then(|| image.size()),
        used: Some(image.used()),
        is_lock: false,
        notes,
    })
}

/// Sees that a lock is compared with nothing but another one.
///
/// # Errors
/// One is a lock, the other is none.
pub fn check_locks(from: &Side, to: &Side) -> Result<()> {
    let (lock, other) = match (from.is_lock, to.is_lock) {
        (true, false) => (from, to),
        (false, true) => (to, from),
        _ => return Ok(()),
    };
    Err(LoadError::OneLock {
        lock: lock.name.clone(),
        other: other.name.clone(),
    })
}

/// The values that can be read off an image, told as [`facts::of_manifest`] tells them.
fn facts_of_image(image: &DiskImage) -> Result<Vec<Fact>> {
    let mut facts = Vec::new();
    for (name, path) in [("alpine", "/etc/alpine-release"), ("arch", "/etc/apk/arch")] {
        if let Some(text) = image.read(path, SMALL)? {
            let text = String::from_utf8_lossy(&text);
            facts.push(fact(name, text.lines().next().unwrap_or_default().trim()));
        }
    }
    let names = image.partition_names();
    let firmware: Vec<_> = [(Role::BiosBoot, "bios"), (Role::Esp, "uefi")]
        .into_iter()
        .filter(|(role, _)| names.contains(&role.name()))
        .map(|(_, firmware)| firmware)
        .collect();
    if !firmware.is_empty() {
        facts.push(fact("firmware", firmware.join(", ")));
    }
    let kernels = image.names("/lib/modules")?;
    if !kernels.is_empty() {
        facts.push(fact("kernel", kernels.join(", ")));
    }
    let has_initramfs = image
        .names("/boot")?
        .iter()
        .any(|name| name.starts_with("initramfs"));
    facts.push(fact("initramfs", if has_initramfs { "yes" } else { "no" }));
    Ok(facts)
}
