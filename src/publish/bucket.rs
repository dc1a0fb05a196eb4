//! The publisher's bucket: where manifests, leases and what belongs to them lie.
//!
//! | key, after the prefix | holds |
//! |---|---|
//! | `releases/<release>/manifest.json` | the release's manifest |
//! | `releases/<release>/<name>` | what is attached to it, such as `files.json` |
//! | `sources/<source>/<line>.json` | which release an image, snapshot or AMI is in that line |
//! | `leases/<line>.json` | who is publishing in that line |
//! | `leases/builds/<build>.json` | who is building it on an instance |
//! | `channels/<channel>.json` | which releases are and were in a channel |
//! | `shares.json` | whom access was given to |
//! | `leases/access.json` | who is giving it |
//!
//! What else lies there for builds is described in [`crate::builder::ec2::shelf`].
//!
//! Whatever may be written by two runs is written under a condition, so that neither loses what the
//! other wrote. The bucket may keep versions; the lease alone then makes some hundred an hour, for
//! which a lifecycle rule on `leases/` is good.

mod error;
pub(crate) mod keys;
mod small;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::manifest::{Attachment, ReleaseManifest, SCHEMA, State};
use super::release::{Line, ReleaseId};
use crate::aws::s3::{BucketAddress, BucketSeen, Condition, ETag, Object, Put, S3};
use crate::aws::{Aws, Region};
use crate::digest;

pub use error::BucketError;
pub(super) use small::Pointer;

/// No object of ours has more bytes: a manifest lists a few thousand digests, an image's files are
/// some ten thousand lines.
const MOST_BYTES: usize = 64 << 20;

/// The publisher's bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    aws: Aws,
    s3: S3,
    address: BucketAddress,
    prefix: String,
}

/// A manifest as it lies in the bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// What it says.
    pub manifest: ReleaseManifest,
    etag: ETag,
}

impl Bucket {
    /// A bucket of the session's own account, in the home Region. `prefix` is what keys in it begin
    /// with; a `/` is put after it.
    pub fn new(aws: &Aws, home: &Region, name: &str, prefix: &str) -> Bucket {
        Bucket {
            aws: aws.clone(),
            s3: aws.s3(home),
            address: BucketAddress {
                name: name.to_owned(),
                owner: Some(aws.account().clone()),
            },
            prefix: keys::prefix(prefix),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.address.name
    }

    /// The bucket as calls name it.
    pub fn address(&self) -> &BucketAddress {
        &self.address
    }

    /// Its objects.
    pub(crate) fn s3(&self) -> &S3 {
        &self.s3
    }

    /// A key as S3 has it: behind the prefix.
    pub(crate) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The Region that it is to be in.
    pub fn region(&self) -> &Region {
        self.s3.region()
    }

    /// Where an object is, as people write it.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.address.name, self.prefix)
    }

    /// Where a release's manifest is.
    pub fn manifest_url(&self, release: &ReleaseId) -> String {
        self.url(&keys::manifest(release))
    }

    /// Sees that the bucket is there, is this account's, and is in the home Region. Nothing is
    /// written: whether that is allowed shows when the lease is taken.
    ///
    /// # Errors
    /// It is not, each with what to do.
    pub async fn check(&self) -> Result<(), BucketError> {
        let wrong = match self.s3.head_bucket(&self.address).await? {
            BucketSeen::Here => return Ok(()),
            BucketSeen::Missing => error::missing(self),
            BucketSeen::Elsewhere(region) => error::elsewhere(self, region),
            BucketSeen::Denied => {
                // With no owner expected, a bucket of another account that lets us in says so.
                let anyone = BucketAddress {
                    owner: None,
                    ..self.address.clone()
                };
                match self.s3.head_bucket(&anyone).await? {
                    BucketSeen::Here => error::not_ours(self, self.aws.account()),
                    _ => error::denied(self, self.aws.account()),
                }
            }
        };
        Err(wrong)
    }

    /// Reads a release's manifest; nothing if there is none.
    ///
    /// # Errors
    /// AWS's; it cannot be read, or was written by a newer version of this program.
    pub async fn manifest(&self, release: &ReleaseId) -> Result<Option<Stored>, BucketError> {
        let key = keys::manifest(release);
        let Some(object) = self.object(&key).await? else {
            return Ok(None);
        };
        let manifest: ReleaseManifest = self.versioned(&key, &object.bytes, SCHEMA)?;
        if manifest.release != *release {
            let why = format!("it is the manifest of {}", manifest.release);
            return Err(error::unreadable(self, &key, why));
        }
        let etag = object.etag;
        Ok(Some(Stored { manifest, etag }))
    }

    /// A newer document is told from a broken one before anything else of it is read.
    fn versioned<T: DeserializeOwned>(
        &self,
        key: &str,
        bytes: &[u8],
        newest: u32,
    ) -> Result<T, BucketError> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let Schema { schema } = self.parse(key, bytes)?;
        if schema > newest {
            return Err(error::newer(self, key, schema));
        }
        self.parse(key, bytes)
    }

    /// Reads a document that says the version of its format, of which `newest` is the newest that is
    /// known; nothing if there is none.
    ///
    /// # Errors
    /// AWS's; it cannot be read, or was written by a newer version of this program.
    pub(crate) async fn document<T: DeserializeOwned>(
        &self,
        key: &str,
        newest: u32,
    ) -> Result<Option<(T, ETag)>, BucketError> {
        let Some(object) = self.object(key).await? else {
            return Ok(None);
        };
        let document = self.versioned(key, &object.bytes, newest)?;
        Ok(Some((document, object.etag)))
    }

    /// Writes a document over the one that was read, or where there was none. Nothing if somebody
    /// else has written it meanwhile.
    ///
    /// # Errors
    /// AWS's.
    pub(crate) async fn put_document(
        &self,
        key: &str,
        document: &impl Serialize,
        over: Option<&ETag>,
    ) -> Result<Option<ETag>, BucketError> {
        let condition = match over {
            Some(etag) => Condition::Unchanged(etag.clone()),
            None => Condition::Absent,
        };
        Ok(match self.put_json(key, document, &condition).await? {
            Put::Written(etag) => Some(etag),
            Put::Refused => None,
        })
    }

    /// Writes a release's first manifest. Nothing if the release has one.
    ///
    /// # Errors
    /// AWS's.
    pub(super) async fn create(
        &self,
        manifest: ReleaseManifest,
    ) -> Result<Option<Stored>, BucketError> {
        self.write(manifest, &Condition::Absent).await
    }

    /// Writes a manifest over the one that was read or written last. `stored` is what lies in the
    /// bucket afterwards; after an error, and where this is dropped, it is what it was.
    ///
    /// # Errors
    /// AWS's; [`BucketError::Contended`] where somebody else has written it meanwhile, who had no
    /// right to unless our lease is gone.
    pub(crate) async fn replace(
        &self,
        stored: &mut Stored,
        manifest: ReleaseManifest,
    ) -> Result<(), BucketError> {
        let key = keys::manifest(&manifest.release);
        match self.try_replace(stored, manifest).await? {
            true => Ok(()),
            false => Err(self.contended(&key)),
        }
    }

    /// The same, for who has no lease: false where somebody else has written it meanwhile.
    ///
    /// # Errors
    /// AWS's.
    pub(crate) async fn try_replace(
        &self,
        stored: &mut Stored,
        manifest: ReleaseManifest,
    ) -> Result<bool, BucketError> {
        let condition = Condition::Unchanged(stored.etag.clone());
        let written = self.write(manifest, &condition).await?;
        Ok(match written {
            Some(written) => {
                *stored = written;
                true
            }
            None => false,
        })
    }

    async fn write(
        &self,
        manifest: ReleaseManifest,
        condition: &Condition,
    ) -> Result<Option<Stored>, BucketError> {
        let key = keys::manifest(&manifest.release);
        let put = self.put_json(&key, &manifest, condition).await?;
        Ok(match put {
            Put::Written(etag) => Some(Stored { manifest, etag }),
            Put::Refused => None,
        })
    }

    /// The releases of a line, newest first, published or not.
    ///
    /// # Errors
    /// AWS's.
    pub async fn releases(&self, line: &Line) -> Result<Vec<ReleaseId>, BucketError> {
        let found = self.list(&format!("releases/{line}-")).await?;
        Ok(keys::releases_of(line, found.iter().map(String::as_str)))
    }

    /// All releases that there are manifests of, published or not, and gone ones too.
    ///
    /// # Errors
    /// AWS's.
    pub async fn all_releases(&self) -> Result<BTreeSet<ReleaseId>, BucketError> {
        let found = self.list("releases/").await?;
        Ok(keys::releases(found.iter().map(String::as_str)))
    }

    /// The release before another that suits best: published, of the same profile and
    /// architecture, with the digests of its blocks, and such that `fits` says yes. Those of the
    /// same version come first, then the newest. Manifests that cannot be read are passed over.
    ///
    /// # Errors
    /// AWS's.
    pub async fn earlier(
        &self,
        release: &ReleaseId,
        mut fits: impl FnMut(&ReleaseManifest) -> bool,
    ) -> Result<Option<ReleaseManifest>, BucketError> {
        let prefix = format!("releases/{}-", release.line.profile);
        let found = self.list(&prefix).await?;
        for earlier in keys::earlier_than(release, found.iter().map(String::as_str)) {
            let manifest = match self.manifest(&earlier).await {
                Ok(Some(stored)) => stored.manifest,
                Ok(None) => continue,
                Err(error @ BucketError::Aws(_)) => return Err(error),
                Err(error) => {
                    tracing::warn!("passed over: {error}");
                    continue;
                }
            };
            let is_whole = manifest.state == State::Published
                && manifest.blocks.is_some()
                && !manifest.is_ending();
            if is_whole && fits(&manifest) {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    /// Writes an object beside a release's manifest, and returns what the manifest is to say of it.
    /// Runs of one release write the same bytes, so that nothing is lost if two do.
    ///
    /// # Errors
    /// AWS's.
    pub async fn attach(
        &self,
        release: &ReleaseId,
        name: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<Attachment, BucketError> {
        let bytes = bytes.into();
        let sha256 = digest::sha256(&bytes);
        let key = keys::attachment(release, name);
        let content_type = match name.ends_with(".json") {
            true => "application/json",
            false => "application/octet-stream",
        };
        self.put_object(&key, content_type, bytes, &Condition::Always)
            .await?;
        Ok(Attachment {
            name: name.to_owned(),
            sha256,
        })
    }

    /// Reads what is attached to a release.
    ///
    /// # Errors
    /// AWS's; it is gone, or is not what the manifest says.
    pub async fn attachment(
        &self,
        release: &ReleaseId,
        attachment: &Attachment,
    ) -> Result<Bytes, BucketError> {
        let key = keys::attachment(release, &attachment.name);
        let object = self.object(&key).await?;
        let object = object.ok_or_else(|| error::gone(self, &key))?;
        let found = digest::sha256(&object.bytes);
        if found == attachment.sha256 {
            return Ok(object.bytes);
        }
        Err(error::altered(self, &key, &attachment.sha256, found))
    }

    /// What time it is by AWS's clock, as its last answer said.
    pub(crate) fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + time::Duration::seconds(self.aws.clock_skew())
    }

    /// An object that others change faster than it can be read.
    pub(crate) fn contended(&self, key: &str) -> BucketError {
        error::contended(self, key)
    }

    /// An object that cannot be read.
    pub(crate) fn unreadable(&self, key: &str, why: String) -> BucketError {
        error::unreadable(self, key, why)
    }

    /// An object that was written by a newer version of this program.
    pub(crate) fn newer(&self, key: &str, schema: u32) -> BucketError {
        error::newer(self, key, schema)
    }

    /// The keys that begin so, without the bucket's prefix.
    pub(crate) async fn list(&self, under: &str) -> Result<Vec<String>, BucketError> {
        let prefix = format!("{}{under}", self.prefix);
        let keys = self.s3.list(&self.address, &prefix).await?;
        let strip = |key: &String| key.strip_prefix(&self.prefix).map(str::to_owned);
        Ok(keys.iter().filter_map(strip).collect())
    }

    /// Reads an object; nothing if there is none.
    ///
    /// # Errors
    /// AWS's.
    pub(crate) async fn object(&self, key: &str) -> Result<Option<Object>, BucketError> {
        let key = format!("{}{key}", self.prefix);
        Ok(self.s3.get(&self.address, &key, MOST_BYTES).await?)
    }

    async fn put_json(
        &self,
        key: &str,
        value: &impl Serialize,
        condition: &Condition,
    ) -> Result<Put, BucketError> {
        let mut text = serde_json::to_vec_pretty(value).expect("our types have a JSON form");
        text.push(b'\n');
        self.put_object(key, "application/json", text, condition)
            .await
    }

    /// Writes an object if the condition holds.
    ///
    /// # Errors
    /// AWS's.
    pub(crate) async fn put_object(
        &self,
        key: &str,
        content_type: &str,
        bytes: impl Into<Bytes>,
        condition: &Condition,
    ) -> Result<Put, BucketError> {
        let key = format!("{}{key}", self.prefix);
        let put = self
            .s3
            .put(&self.address, &key, content_type, bytes.into(), condition);
        Ok(put.await?)
    }

    fn parse<T: DeserializeOwned>(&self, key: &str, bytes: &[u8]) -> Result<T, BucketError> {
        let parsed = serde_json::from_slice(bytes);
        parsed.map_err(|why| error::unreadable(self, key, why.to_string()))
    }
}
