//! The job of a build instance: what it is to make, out of what, and where its words go.
//!
//! A job is a JSON file. Whoever starts the instance tells it the file's SHA-256, the file tells
//! that of everything else, and what comes back names the file's: nothing that was changed on the
//! way is used. The addresses are secrets, each good for one object and one method.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::apk::keys::{KeyError, KeyRing};
use crate::arch::Arch;
use crate::digest;
use crate::image::manifest::Manifest;
use crate::lock::{Lock, LockError};
use crate::plan::{Plan, ReadError};

/// The version of the format; a worker refuses a higher one.
pub const SCHEMA: u32 = 2;

/// What a build instance is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Version of this format.
    pub schema: u32,
    /// Name and version of the program that wrote it.
    pub tool: String,
    /// What the build is called: in tags, keys of objects and logs.
    pub id: String,
    /// The architecture of image and instance.
    pub arch: Arch,
    /// The plan's digest.
    pub plan_digest: String,
    /// The plan's files as `render` writes them, in base64.
    pub plan: BTreeMap<String, String>,
    /// Keys trusted for packages, by file name; those of the plan are among them.
    pub keys: BTreeMap<String, String>,
    /// The text of the lock: the packages that are taken, and no others.
    pub lock: String,
    /// Where packages come from, in order of preference.
    pub repositories: Vec<JobRepository>,
    /// What the packages must come to: [`Manifest::packages_digest`].
    pub packages_digest: String,
    /// The disk to fill.
    pub disk: JobDisk,
    /// Where words and results go.
    pub reports: Addresses,
}

/// A repository, of which only the packages of this job are there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRepository {
    /// What it is called in the image's manifest: where it was copied from.
    pub name: String,
    /// What the lock calls it, without its tag.
    pub id: String,
    /// Serves only what is asked for with this tag.
    pub tag: Option<String>,
    /// Files of packages, by name.
    pub packages: BTreeMap<String, Source>,
}

/// A file to fetch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where.
    pub url: String,
    /// Its length, in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// Without the address, which is a secret.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("size", &self.size)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

/// The disk to fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDisk {
    /// The name that it is attached under: `/dev/sdf`.
    pub device: String,
    /// Its size, in bytes.
    pub size: u64,
}

/// Where words and results go: addresses for `PUT`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// A [`Report`], again and again.
    pub progress: String,
    /// An [`Outcome`], once, at the end.
    pub result: String,
}

/// Without the addresses, which are secrets.
impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").finish_non_exhaustive()
    }
}

/// How far a worker is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// SHA-256 of the job's file.
    pub job_sha256: String,
    /// Counts reports, from 1.
    pub sequence: u64,
    /// Since the worker began, in milliseconds.
    pub elapsed_ms: u64,
    /// What it said so far, the last lines of it.
    pub lines: Vec<String>,
    /// How many lines came before those.
    pub lines_before: u64,
}

/// What a worker came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Version of this format.
    pub schema: u32,
    /// SHA-256 of the job's file.
    pub job_sha256: String,
    /// Name and version of the worker.
    pub tool: String,
    /// What it is.
    #[serde(flatten)]
    pub end: End,
    /// What it said, the last lines of it.
    pub lines: Vec<String>,
    /// How long its steps took, in milliseconds, in their order.
    pub steps: Vec<(String, u64)>,
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum End {
    /// The disk holds the image.
    Done {
        /// The image's manifest.
        manifest: Box<Manifest>,
        /// The disk's device file on the instance.
        device: String,
    },
    /// It does not, or not whole.
    Failed {
        /// Why.
        error: String,
        /// What to do next.
        advice: Option<String>,
    },
}

/// A job that is none.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Its bytes are not those that were told.
    #[error(
        "the job has the SHA-256 {found}, not {expected}: it is not the one that this instance was started for"
    )]
    Changed {
        /// As it is.
        found: String,
        /// As it should be.
        expected: String,
    },
    /// It cannot be read.
    #[error("the job cannot be read: {0}")]
    Parse(#[from] serde_json::Error),
    /// It was written by a later version of this program.
    #[error("the job has format {0}, this worker knows {SCHEMA}")]
    Schema(u32),
    /// A file of the plan.
    #[error("the job's plan: `{name}` is no base64: {source}")]
    Base64 {
        /// Its name.
        name: String,
        /// Why.
        source: base64::DecodeError,
    },
    /// The plan.
    #[error("the job's plan: {0}")]
    Plan(#[from] ReadError),
    /// A key.
    #[error("the job's keys: {0}")]
    Key(#[from] KeyError),
    /// The lock.
    #[error("the job's lock: {0}")]
    Lock(#[from] Box<LockError>),
}

impl Job {
    /// Reads a job whose SHA-256 was told.
    ///
    /// # Errors
    /// It is another one, or none.
    pub fn read(bytes: &[u8], sha256: &str) -> Result<Job, JobError> {
        /// Only the version: another format may lack everything else.
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let found = digest::sha256(bytes);
        if found != sha256 {
            let expected = sha256.to_owned();
            return Err(JobError::Changed { found, expected });
        }
        let Version { schema } = serde_json::from_slice(bytes)?;
        if schema > SCHEMA {
            return Err(JobError::Schema(schema));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The plan, proved to be the one of its digest.
    ///
    /// # Errors
    /// It is not.
    pub fn plan(&self) -> Result<Plan, JobError> {
        let decode = |(name, text): (&String, &String)| match BASE64_STANDARD.decode(text) {
            Ok(bytes) => Ok((name.clone(), bytes)),
            Err(source) => Err(JobError::Base64 {
                name: name.clone(),
                source,
            }),
        };
        let files = self.plan.iter().map(decode).collect::<Result<_, _>>()?;
        Ok(Plan::read(&files, &self.plan_digest)?)
    }

    /// The packages that are taken.
    ///
    /// # Errors
    /// It is no lock.
    pub fn locked(&self) -> Result<Lock, JobError> {
        let lock = Lock::parse("lock.toml", self.lock.clone().into_bytes());
        Ok(lock.map_err(Box::new)?)
    }

    /// A plan's files, as a job holds them.
    pub fn plan_files(plan: &Plan) -> BTreeMap<String, String> {
        let files = plan.files().into_iter();
        files
            .map(|(name, bytes)| (name, BASE64_STANDARD.encode(bytes)))
            .collect()
    }

    /// The keys that are trusted for packages.
    ///
    /// # Errors
    /// One is no key.
    pub fn trusted(&self) -> Result<KeyRing, JobError> {
        let mut ring = KeyRing::default();
        for (name, pem) in &self.keys {
            ring.add(name, pem.as_bytes())?;
        }
        Ok(ring)
    }
}

/// Milliseconds, as reports count them.
pub fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_shown() {
        let url = || "https://bucket/object?X-Amz-Signature=1".to_owned();
        let source = Source {
            url: url(),
            size: 5,
            sha256: "00ff".to_owned(),
        };
        let repository = JobRepository {
            name: "main".to_owned(),
            id: "v3.15/main".to_owned(),
            tag: None,
            packages: [("a.apk".to_owned(), source)].into(),
        };
        let addresses = Addresses {
            progress: url(),
            result: url(),
        };
        let text = format!("{repository:?} {addresses:?}");
        assert!(text.contains("00ff") && text.contains("a.apk"), "{text}");
        assert!(!text.contains("X-Amz") && !text.contains("https"), "{text}");
    }
}
