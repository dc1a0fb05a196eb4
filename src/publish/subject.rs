//! What is published: an image that was built here, a snapshot, an AMI, or a release once more.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::manifest::Source;
use super::release::{Line, ReleaseId};
use crate::arch::Firmware;
use crate::aws::names::NameError;
use crate::aws::{AmiId, Region, SnapshotId};
use crate::blocks::{self, digests::BlockDigests};
use crate::image::manifest::{ImageFile, Manifest, ManifestError};
use crate::plan::Plan;

/// What the user named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A folder that `build` made.
    Folder(PathBuf),
    /// A snapshot in the home Region.
    Snapshot(SnapshotId),
    /// An AMI, in the home Region where none is named.
    Ami(AmiId, Option<Region>),
    /// A release that was begun or published.
    Release(ReleaseId),
}

/// What cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// The argument is nothing that could be.
    #[error("`{0}` is no folder, snapshot, AMI or release")]
    Unknown(String),
    /// The Region after the `@` is none.
    #[error(transparent)]
    Region(#[from] NameError),
    /// The folder's manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The image file cannot be read.
    #[error("cannot read the image {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image is not the one that was built.
    #[error(
        "{path} is not the image that {manifest} describes: its {what} is {found}, not {expected}"
    )]
    Differs {
        /// The image.
        path: PathBuf,
        /// The manifest.
        manifest: PathBuf,
        /// What differs.
        what: &'static str,
        /// As it is.
        found: String,
        /// As it should be.
        expected: String,
    },
    /// The image has no room on the volume.
    #[error("the image {path} has {size} bytes; the volume has {volume_gib} GiB")]
    TooLarge {
        /// The image.
        path: PathBuf,
        /// Its length, in bytes.
        size: u64,
        /// The volume's.
        volume_gib: u32,
    },
    /// A build instance made it in another Region than images are published from.
    #[error("{folder}: its snapshot {snapshot} is in {region}, and the home Region is {home}")]
    Elsewhere {
        /// The folder.
        folder: PathBuf,
        /// The snapshot.
        snapshot: SnapshotId,
        /// Where it is.
        region: Region,
        /// The publisher's.
        home: Region,
    },
    /// A release id could not be read again.
    #[error("the version `{0}` cannot be part of a release id: it holds a hyphen")]
    Version(String),
    /// Nothing says what is in the snapshot or AMI.
    #[error("nothing says what is in {0}")]
    Nameless(String),
}

impl SubjectError {
    /// What to do next.
    pub fn advice(&self) -> String {
        match self {
            SubjectError::Unknown(_) => "name a folder that `alpine-ami build` has made, snap-…, ami-… (ami-…@REGION), or a release such as base-3.15-x86_64-20260131.1".to_owned(),
            SubjectError::Region(_) => "name an AMI in another Region as ami-…@REGION".to_owned(),
            SubjectError::Manifest(error) => error.advice().to_owned(),
            SubjectError::Read { .. } => "build the image again, or name its folder".to_owned(),
            SubjectError::Differs { .. } => {
                "something changed one of them after the build: build the image again".to_owned()
            }
            SubjectError::TooLarge { .. } => {
                "make the profile's disk.size smaller, or publish.volume_gib in alpine-ami.toml larger".to_owned()
            }
            SubjectError::Elsewhere { region, .. } => format!(
                "publish with `home = \"{region}\"`, or build it again in the home Region"
            ),
            SubjectError::Version(_) => "take a version without a hyphen: --set version=…".to_owned(),
            SubjectError::Nameless(_) => {
                "name the profile that it was made from: --profile NAME --arch ARCH".to_owned()
            }
        }
    }
}

impl Named {
    /// What an argument names. A folder that is there is that folder, whatever it is called.
    ///
    /// # Errors
    /// It can be nothing of all that.
    pub fn parse(text: &str) -> Result<Named, SubjectError> {
        if Path::new(text).is_dir() {
            return Ok(Named::Folder(text.into()));
        }
        let (id, region) = match text.split_once('@') {
            Some((id, region)) => (id, Some(region)),
            None => (text, None),
        };
        match (id.parse(), text.parse(), text.parse()) {
            (Ok(ami), _, _) => Ok(Named::Ami(ami, region.map(str::parse).transpose()?)),
            (_, Ok(snapshot), _) => Ok(Named::Snapshot(snapshot)),
            (_, _, Ok(release)) => Ok(Named::Release(release)),
            // A path that is not there fails with the path, not with what else it could be.
            _ if text.contains('/') => Ok(Named::Folder(text.into())),
            _ => Err(SubjectError::Unknown(text.to_owned())),
        }
    }
}

/// What is said of a release in its name and its AMIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Profile, version and architecture.
    pub line: Line,
    /// The Alpine release: `3.15.11`, or the branch.
    pub alpine: String,
    /// Firmware that it boots under.
    pub firmware: Vec<Firmware>,
}

impl About {
    /// From an image's manifest.
    pub fn image(manifest: &Manifest) -> About {
        About {
            line: Line {
                profile: manifest.profile.clone(),
                version: manifest.version.clone(),
                arch: manifest.arch,
            },
            alpine: manifest.alpine.clone(),
            firmware: manifest.firmware.clone(),
        }
    }

    /// From a profile's plan.
    pub fn plan(plan: &Plan) -> About {
        About {
            line: Line {
                profile: plan.profile.name.clone(),
                version: plan.profile.version.to_string(),
                arch: plan.arch,
            },
            alpine: plan.profile.alpine.to_string(),
            firmware: plan.firmware.clone(),
        }
    }

    /// That the line can stand in a release id and be read out of it again.
    ///
    /// # Errors
    /// It cannot.
    pub fn check(&self) -> Result<(), SubjectError> {
        if self.line.version.contains('-') || self.line.version.is_empty() {
            return Err(SubjectError::Version(self.line.version.clone()));
        }
        Ok(())
    }
}

/// What is published.
#[derive(Debug)]
pub enum Subject {
    /// An image that was built here.
    Image(Box<Image>),
    /// A snapshot in the home Region, and what is in it; with what a build instance made beside it,
    /// if one did.
    Snapshot(SnapshotId, About, Option<Box<Built>>),
    /// An AMI, in the home Region where none is named, and what is in it.
    Ami(AmiId, Option<Region>, About),
    /// A release that was begun.
    Release(ReleaseId),
}

impl Subject {
    /// Looks at what was named. An image is read whole, and compared with its manifest.
    ///
    /// # Errors
    /// It cannot be published.
    pub fn open(
        named: Named,
        about: Option<About>,
        volume_gib: u32,
        home: &Region,
    ) -> Result<Subject, SubjectError> {
        let about = |id: &str| about.ok_or_else(|| SubjectError::Nameless(id.to_owned()));
        Ok(match named {
            Named::Folder(folder) => of_folder(&folder, volume_gib, home)?,
            Named::Snapshot(id) => {
                let about = about(id.as_str())?;
                Subject::Snapshot(id, about, None)
            }
            Named::Ami(id, region) => {
                let about = about(id.as_str())?;
                Subject::Ami(id, region, about)
            }
            Named::Release(id) => Subject::Release(id),
        })
    }
}

/// What a build on an instance left here.
#[derive(Debug)]
pub struct Built {
    /// Its folder.
    pub folder: PathBuf,
    /// The image's manifest.
    pub manifest: Manifest,
}

/// What was built: an image file, or a snapshot that a build instance made.
fn of_folder(folder: &Path, volume_gib: u32, home: &Region) -> Result<Subject, SubjectError> {
    let manifest = Manifest::read(folder)?;
    let Some(snapshot) = &manifest.snapshot else {
        let image = Image::with(folder, manifest, volume_gib)?;
        return Ok(Subject::Image(Box::new(image)));
    };
    if snapshot.region != *home {
        return Err(SubjectError::Elsewhere {
            folder: folder.to_owned(),
            snapshot: snapshot.id.clone(),
            region: snapshot.region.clone(),
            home: home.clone(),
        });
    }
    let (id, about) = (snapshot.id.clone(), About::image(&manifest));
    let folder = folder.to_owned();
    let built = Built { folder, manifest };
    Ok(Subject::Snapshot(id, about, Some(Box::new(built))))
}

/// What of an image is not as its manifest says.
struct Other {
    what: &'static str,
    found: String,
    expected: String,
}

/// Compares the bytes of an image with what is said of them.
fn compared(file: &File, said: &ImageFile) -> io::Result<Result<BlockDigests, Other>> {
    if let Some(expected) = &said.blocks_sha256 {
        let blocks = blocks::digests(file)?;
        if blocks::bound(&said.sha256, &blocks).as_ref() == Some(expected) {
            return Ok(Ok(blocks));
        }
    }
    // Without that digest, or to say in the words that `sha256sum` knows what differs.
    let scan = blocks::scan(file)?;
    let other = |what, found, expected: &String| Other {
        what,
        found,
        expected: expected.clone(),
    };
    if scan.sha256 != said.sha256 {
        return Ok(Err(other("SHA-256", scan.sha256, &said.sha256)));
    }
    Ok(match &said.blocks_sha256 {
        None => Ok(scan.blocks),
        Some(expected) => {
            let found = blocks::bound(&scan.sha256, &scan.blocks).unwrap_or_default();
            Err(other("SHA-256 by blocks", found, expected))
        }
    })
}

/// An image that is as its manifest says.
#[derive(Debug)]
pub struct Image {
    /// Its folder.
    pub folder: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its bytes.
    pub file: File,
    /// The digests of its blocks.
    pub blocks: BlockDigests,
}

impl Image {
    /// Reads the image of a build folder, and compares it with its manifest.
    ///
    /// # Errors
    /// It cannot be read, is another one, or has no room on the volume.
    pub fn open(folder: &Path, volume_gib: u32) -> Result<Image, SubjectError> {
        Image::with(folder, Manifest::read(folder)?, volume_gib)
    }

    fn with(folder: &Path, manifest: Manifest, volume_gib: u32) -> Result<Image, SubjectError> {
        let path = folder.join(&manifest.image.file);
        let read = |source| SubjectError::Read {
            path: path.clone(),
            source,
        };
        let file = File::open(&path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        let differs = |what, found: String, expected: String| SubjectError::Differs {
            path: path.clone(),
            manifest: folder.join(crate::image::manifest::MANIFEST),
            what,
            found,
            expected,
        };
        if size != manifest.image.size {
            return Err(differs(
                "length",
                size.to_string(),
                manifest.image.size.to_string(),
            ));
        }
        if size > u64::from(volume_gib) << 30 {
            return Err(SubjectError::TooLarge {
                path,
                size,
                volume_gib,
            });
        }
        let found = compared(&file, &manifest.image).map_err(read)?;
        let blocks = found.map_err(|other| differs(other.what, other.found, other.expected))?;
        Ok(Image {
            folder: folder.to_owned(),
            manifest,
            file,
            blocks,
        })
    }

    /// What a release is made from.
    pub fn source(&self) -> Source {
        Source::Image {
            sha256: self.manifest.image.sha256.clone(),
            size: self.manifest.image.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_say_what_they_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let there = folder.path().to_str().expect("a path");
        assert_eq!(
            Named::parse(there).expect("it is there"),
            Named::Folder(there.into())
        );
        let named = |text: &str| Named::parse(text).expect(text);
        let ami: AmiId = "ami-12345678".parse().expect("an id");
        assert_eq!(named("ami-12345678"), Named::Ami(ami.clone(), None));
        let west = "eu-west-1".parse().ok();
        assert_eq!(named("ami-12345678@eu-west-1"), Named::Ami(ami, west));
        assert!(matches!(named("snap-12345678"), Named::Snapshot(_)));
        assert!(matches!(
            named("base-3.15-x86_64-20260131.1"),
            Named::Release(_)
        ));
        assert!(matches!(named("build/not-there"), Named::Folder(_)));
        assert!(matches!(
            Named::parse("ami-12345678@nonsense"),
            Err(SubjectError::Region(_))
        ));
        for bad in ["", "nothing", "snap-1", "ami-xyz@eu-west-1"] {
            assert!(
                matches!(Named::parse(bad), Err(SubjectError::Unknown(_))),
                "{bad}"
            );
        }
    }
}
