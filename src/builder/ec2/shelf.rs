//! What lies in the publisher's bucket for builds.
//!
//! | key, after the prefix | holds |
//! |---|---|
//! | `store/<sha256>` | a package or a worker: put there once |
//! | `builds/<build>/launch.json` | what is being launched, written before it is |
//! | `builds/<build>/kept.json` | instances of failed runs, kept for people to look at |
//! | `builds/<build>/<run>/job.json` | the job of an instance |
//! | `builds/<build>/<run>/progress.json`, `result.json`, `log` | what it says |
//! | `builds/<build>/built.json` | the manifest of what was built: it is not built again |
//!
//! All but the store and `built.json` is removed with the instance. A lifecycle rule may remove all
//! of `store/` and `builds/` at any age: what is missing is made again.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aws::AwsError;
use crate::aws::s3::{Condition, S3};
use crate::builder::draft::Needed;
use crate::publish::bucket::Bucket;

/// No result of a worker has more bytes.
const MOST_BYTES: usize = 16 << 20;

/// The publisher's bucket, for builds.
#[derive(Debug, Clone)]
pub struct Shelf {
    bucket: Bucket,
    s3: S3,
    /// Signs addresses as instances reach them.
    signer: S3,
}

/// Objects of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// What they begin with.
    folder: String,
}

impl Keys {
    /// Of the instance that `run` launched for a build.
    pub fn new(build: &str, run: &str) -> Keys {
        Keys {
            folder: format!("builds/{build}/{run}/"),
        }
    }

    /// The job.
    pub fn job(&self) -> String {
        format!("{}job.json", self.folder)
    }

    /// Reports.
    pub fn progress(&self) -> String {
        format!("{}progress.json", self.folder)
    }

    /// The outcome.
    pub fn result(&self) -> String {
        format!("{}result.json", self.folder)
    }

    /// The end of the log of a build that failed.
    pub fn log(&self) -> String {
        format!("{}log", self.folder)
    }
}

/// What is being launched for a build.
pub fn launch(build: &str) -> String {
    format!("builds/{build}/launch.json")
}

/// What was built.
pub fn built(build: &str) -> String {
    format!("builds/{build}/built.json")
}

/// Instances that are kept for people to look at.
pub fn kept(build: &str) -> String {
    format!("builds/{build}/kept.json")
}

/// A file by its SHA-256.
pub fn store(sha256: &str) -> String {
    format!("store/{sha256}")
}

impl Shelf {
    /// In this bucket, whose objects instances reach at `endpoint`, or where this machine does.
    pub fn new(bucket: &Bucket, endpoint: Option<&str>) -> Shelf {
        let s3 = bucket.s3().clone();
        let signer = endpoint.map_or(s3.clone(), |endpoint| s3.at(endpoint));
        Shelf {
            bucket: bucket.clone(),
            s3,
            signer,
        }
    }

    /// The bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Puts a file into the store, unless it is there: true if it was not. One that somebody
    /// changed is put there again.
    ///
    /// # Errors
    /// AWS's, or the file cannot be read.
    pub async fn keep(&self, needed: &Needed) -> Result<bool, AwsError> {
        let key = self.bucket.key(&store(&needed.sha256));
        let address = self.bucket.address();
        let seen = self.s3.seen(address, &key).await?;
        let is_there = seen.is_some_and(|seen| {
            seen.size == needed.size && seen.sha256.as_ref() == Some(&needed.sha256)
        });
        if is_there {
            return Ok(false);
        }
        let kind = "application/octet-stream";
        let upload = self.s3.upload(address, &key, kind, &needed.path);
        upload.await?;
        Ok(true)
    }

    /// Reads an object as JSON. None if it is not there, or if it is something else: instances
    /// write here, and what they write is looked at again.
    ///
    /// # Errors
    /// AWS's.
    pub async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, AwsError> {
        let bytes = self.bytes(key).await?;
        Ok(
            bytes.and_then(|bytes| match serde_json::from_slice(&bytes) {
                Ok(value) => Some(value),
                Err(error) => {
                    tracing::warn!("{} is not as it should be: {error}", self.bucket.url(key));
                    None
                }
            }),
        )
    }

    /// Reads an object. None if it is not there.
    ///
    /// # Errors
    /// AWS's.
    pub async fn bytes(&self, key: &str) -> Result<Option<Bytes>, AwsError> {
        let key = self.bucket.key(key);
        let object = self.s3.get(self.bucket.address(), &key, MOST_BYTES).await?;
        Ok(object.map(|object| object.bytes))
    }

    /// Writes an object as JSON, and returns its bytes.
    ///
    /// # Errors
    /// AWS's.
    pub async fn write(&self, key: &str, value: &impl Serialize) -> Result<Bytes, AwsError> {
        let bytes = serde_json::to_vec(value).expect("our types have a JSON form");
        let bytes = Bytes::from(bytes);
        let (key, kind) = (self.bucket.key(key), "application/json");
        let address = self.bucket.address();
        let put = self
            .s3
            .put(address, &key, kind, bytes.clone(), &Condition::Always);
        put.await?;
        Ok(bytes)
    }

    /// Removes an object. One that is not there is no error.
    ///
    /// # Errors
    /// AWS's.
    pub async fn remove(&self, key: &str) -> Result<(), AwsError> {
        let key = self.bucket.key(key);
        self.s3.remove(self.bucket.address(), &key).await
    }

    /// An address that reads an object.
    ///
    /// # Errors
    /// There are no credentials to sign it with.
    pub async fn get_url(&self, key: &str, expires: Duration) -> Result<String, AwsError> {
        let key = self.bucket.key(key);
        let address = self.bucket.address();
        self.signer.presigned_get(address, &key, expires).await
    }

    /// An address that writes an object.
    ///
    /// # Errors
    /// There are no credentials to sign it with.
    pub async fn put_url(&self, key: &str, expires: Duration) -> Result<String, AwsError> {
        let key = self.bucket.key(key);
        let address = self.bucket.address();
        self.signer.presigned_put(address, &key, expires).await
    }

    /// Removes what is there of a build but what it came to.
    ///
    /// # Errors
    /// AWS's.
    pub async fn clear(&self, build: &str) -> Result<(), AwsError> {
        let address = self.bucket.address();
        let folder = self.bucket.key(&format!("builds/{build}/"));
        let built = self.bucket.key(&built(build));
        for key in self.s3.list(address, &folder).await? {
            if key != built {
                self.s3.remove(address, &key).await?;
            }
        }
        Ok(())
    }
}
