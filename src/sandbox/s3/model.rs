//! What S3 remembers: buckets, objects with their versions, uploads under way and their parts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::checksum::{Algorithm, Checksum, Kind};
use crate::sandbox::clock::Timestamp;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::shelf::{AnyShelf, Shelf};

/// S3's state.
#[derive(Debug, Clone)]
pub struct S3State {
    /// Buckets by name: names are unique among all accounts.
    pub(super) buckets: Shelf<Bucket>,
    /// Objects by `bucket/key`, so that a bucket's objects stand together in S3's order.
    pub(super) objects: Shelf<Record>,
    /// Uploads under way by id.
    pub(super) uploads: Shelf<Upload>,
    /// Their parts by `upload/number`, the number with five digits.
    pub(super) parts: Shelf<Part>,
}

impl Default for S3State {
    fn default() -> S3State {
        S3State {
            buckets: Shelf::new("s3-bucket"),
            objects: Shelf::new("s3-object"),
            uploads: Shelf::new("s3-upload"),
            parts: Shelf::new("s3-part"),
        }
    }
}

impl S3State {
    /// Its shelves.
    pub fn shelves(&mut self) -> Vec<&mut dyn AnyShelf> {
        vec![
            &mut self.buckets,
            &mut self.objects,
            &mut self.uploads,
            &mut self.parts,
        ]
    }

    /// The parts of an upload, in the order of their numbers.
    pub(super) fn parts_of<'a>(&'a self, upload: &'a str) -> impl Iterator<Item = &'a Part> {
        self.parts
            .from_key(upload)
            .take_while(move |(key, _)| key.starts_with(upload))
            .map(|(_, part)| part)
    }

    /// Forgets an upload. Returns the files of its parts.
    pub(super) fn forget_upload(&mut self, upload: &str) -> Vec<String> {
        let parts: Vec<Part> = self.parts_of(upload).cloned().collect();
        self.uploads.remove(upload);
        for part in &parts {
            self.parts.remove(&part_key(upload, part.number));
        }
        parts.into_iter().filter_map(|part| part.file).collect()
    }
}

/// Where a part stands on its shelf.
pub fn part_key(upload: &str, number: i32) -> String {
    format!("{upload}/{number:05}")
}

/// Where an object stands on its shelf.
pub fn object_key(bucket: &str, key: &str) -> String {
    format!("{bucket}/{key}")
}

/// Whether a bucket keeps old versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Versioning {
    /// It never did.
    Never,
    /// It does.
    Enabled,
    /// It did: what is there stays, and what is written replaces the version `null`.
    Suspended,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Its owner.
    pub account: AccountId,
    /// Where it is.
    pub region: Region,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it keeps old versions.
    pub versioning: Versioning,
    /// Its policy document, as it was given.
    pub policy: Option<String>,
    /// What it blocks of public access.
    pub block: Option<PublicAccessBlock>,
    /// Whether its ownership controls were not deleted.
    pub ownership_controls: bool,
    /// How objects are encrypted that do not say it.
    pub encryption: Encryption,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Bucket {
    /// Whether it is the very same bucket, however it has changed, and not another of its name.
    pub fn is_same(&self, other: &Bucket) -> bool {
        self.name == other.name && self.account == other.account && self.created == other.created
    }
}

/// What a bucket blocks of public access; all of it for a new bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicAccessBlock {
    /// Public ACLs are refused.
    pub block_public_acls: bool,
    /// Public ACLs have no effect.
    pub ignore_public_acls: bool,
    /// Public policies are refused.
    pub block_public_policy: bool,
    /// A public policy has effect only within the owner's account.
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// Everything is blocked.
    pub const ALL: PublicAccessBlock = PublicAccessBlock {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };
}

/// How an object is encrypted on AWS's disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encryption {
    /// With keys of S3's own.
    Aes256,
    /// With a key of KMS.
    Kms {
        /// The key's ARN; none for the account's AWS-managed key `aws/s3`.
        key: Option<String>,
        /// Whether a bucket key is used.
        bucket_key: bool,
    },
}

/// All versions of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// Newest first; never empty.
    pub versions: Vec<Version>,
}

impl Record {
    /// What a reader without a version id gets; nothing after a delete marker.
    pub fn current(&self) -> Option<(&Version, &Content)> {
        let version = self.versions.first()?;
        Some((version, version.content.as_ref()?))
    }
}

/// A version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The version's id; `null` for what was written without versioning.
    pub id: String,
    /// When it was written.
    pub modified: Timestamp,
    /// What was written; nothing for a delete marker.
    pub content: Option<Content>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The file with the data; none for an empty object.
    pub file: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The ETag, without quotes.
    pub etag: String,
    /// The checksum.
    pub checksum: Checksum,
    /// What the writer said of it.
    pub kept: Kept,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// The parts that it was uploaded in; empty for one put at once.
    pub parts: Vec<PartOf>,
}

/// A part of a finished upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartOf {
    /// Its number.
    pub number: i32,
    /// Bytes.
    pub size: u64,
    /// Its checksum, if it was uploaded with one.
    pub checksum: Option<String>,
}

/// What a writer says of an object, and a reader is told again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Expires`.
    pub expires: Option<Timestamp>,
    /// `x-amz-website-redirect-location`.
    pub website_redirect: Option<String>,
    /// The storage class; none is `STANDARD`.
    pub storage_class: Option<String>,
    /// `x-amz-meta-…`.
    pub metadata: BTreeMap<String, String>,
}

/// A multipart upload under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Its id.
    pub id: String,
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// ARN of who began it.
    pub initiator: String,
    /// When.
    pub initiated: Timestamp,
    /// What was said of the object.
    pub kept: Kept,
    /// The object's tags.
    pub tags: BTreeMap<String, String>,
    /// How it will be encrypted.
    pub encryption: Encryption,
    /// The checksum algorithm and kind that were asked for.
    pub checksum: Option<(Algorithm, Kind)>,
}

/// A part of an upload under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its number, 1 to 10,000.
    pub number: i32,
    /// The file with the data; none for an empty part.
    pub file: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The ETag, without quotes.
    pub etag: String,
    /// Its checksum.
    pub checksum: Option<(Algorithm, String)>,
    /// When it was uploaded.
    pub modified: Timestamp,
}
