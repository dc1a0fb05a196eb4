//! What is said of a release besides what is in its AMIs: its bill of materials, who built it from
//! what, what its test came to; and the signed statements of all that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::book::Book;
use super::bucket::{Bucket, BucketError, keys};
use super::error::PublishError;
use super::manifest::ReleaseManifest;
use super::provenance;
use super::release::ReleaseId;
use super::subject::Subject;
use crate::aws::s3::{Condition, ETag, Put};
use crate::aws::{AccountId, Region};
use crate::image::manifest::Manifest;
use crate::image::sbom::{self, SBOM};
use crate::origin::Origin;
use crate::sign::{Envelope, KeyRing, OpenError, Opened, SignError, Signer};
use crate::vm::tested::Tested;

/// The object beside a release's manifest that holds it signed.
pub const SIGNED: &str = "release.json";
/// The object beside it that says, signed, how it came to be.
pub const PROVENANCE: &str = "provenance.intoto.json";
/// What kind of document a signed manifest is.
pub const MANIFEST_TYPE: &str = "application/vnd.alpine-ami.release+json";

/// So many others may be faster before this gives up.
const MOST_ROUNDS: u32 = 8;

/// A release that customers are not to use any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Withdrawal {
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String")]
    pub at: OffsetDateTime,
    /// Who withdrew it: a principal of AWS.
    pub by: String,
    /// Why, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Accounts that ran it, by Region: they keep the launch permission. Of a Region that is not here
    /// it is not known, and nothing is taken from anybody there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<BTreeMap<Region, BTreeSet<AccountId>>>,
}

/// Why a release has no signed statement.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StatementError {
    /// The bucket's.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The key cannot sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl StatementError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            StatementError::Bucket(error) => error.advice(),
            StatementError::Sign(error) => Some(error.advice()),
        }
    }
}

/// Adds to the manifest what is known of the image in the build's folder, where it does not say it.
pub(super) async fn add(
    bucket: &Bucket,
    book: &Book,
    subject: &Subject,
) -> Result<(), PublishError> {
    let manifest = book.manifest().await;
    let Some(image) = &manifest.image else {
        return Ok(());
    };
    let sbom = match manifest.sbom {
        Some(_) => None,
        None => {
            let mut text = serde_json::to_vec_pretty(&sbom::document(image))
                .expect("a bill of materials has a JSON form");
            text.push(b'\n');
            Some(bucket.attach(&manifest.release, SBOM, text).await?)
        }
    };
    let sha256 = image.image.sha256.clone();
    let own = subject
        .image()
        .filter(|own| own.image.sha256 == sha256)
        .cloned();
    let folder = subject.folder();
    let origin = folder.and_then(|folder| Origin::read(folder, &sha256));
    let tested = folder.and_then(|folder| Tested::read(folder, &sha256));
    let change = |manifest: &mut ReleaseManifest| {
        if sbom.is_some() {
            manifest.sbom = sbom;
        }
        if manifest.origin.is_none() {
            manifest.origin = origin;
        }
        // The latest test counts.
        let before = manifest.tested.as_ref().map(|tested| tested.at);
        if tested.as_ref().map(|tested| tested.at) > before {
            manifest.tested = tested;
        }
        // The same bytes, by another version of the program: what an unattended run compares.
        if let (Some(own), Some(image)) = (&own, &mut manifest.image) {
            image.tool.clone_from(&own.tool);
        }
    };
    Ok(book.change(change).await?)
}

/// Signs what a release's manifest says, and how it came to be, where that is not signed as it
/// stands. Whoever changes a manifest at the same time does so too: what is signed last is what lies
/// there then. Whether anything was signed.
///
/// # Errors
/// The bucket's; the key cannot sign.
pub async fn sign(
    bucket: &Bucket,
    signer: &Signer,
    release: &ReleaseId,
) -> Result<bool, StatementError> {
    let mut signed = false;
    let mut last = None;
    for _ in 0..MOST_ROUNDS {
        let Some(stored) = bucket.manifest(release).await? else {
            return Ok(signed);
        };
        if last.as_ref() == Some(&stored.manifest) {
            return Ok(signed);
        }
        signed |= sign_as_it_is(bucket, signer, &stored.manifest).await?;
        last = Some(stored.manifest);
    }
    Err(bucket.contended(&keys::attachment(release, SIGNED)).into())
}

async fn sign_as_it_is(
    bucket: &Bucket,
    signer: &Signer,
    manifest: &ReleaseManifest,
) -> Result<bool, StatementError> {
    let release = &manifest.release;
    let text = to_json(manifest);
    let key = keys::attachment(release, SIGNED);
    let mut signed = seal(bucket, signer, &key, MANIFEST_TYPE, &text).await?;
    if let Some(statement) = provenance::statement(manifest) {
        let text = serde_json::to_vec(&statement).expect("a statement has a JSON form");
        let key = keys::attachment(release, PROVENANCE);
        signed |= seal(bucket, signer, &key, provenance::TYPE, &text).await?;
    }
    Ok(signed)
}

/// What of a manifest is signed: how far `prune` has come is the publisher's own affair.
fn signed_part(manifest: &ReleaseManifest) -> ReleaseManifest {
    ReleaseManifest {
        retired: None,
        ..manifest.clone()
    }
}

/// A manifest as it is signed.
fn to_json(manifest: &ReleaseManifest) -> Vec<u8> {
    serde_json::to_vec(&signed_part(manifest)).expect("a manifest has a JSON form")
}

/// Writes a signed document, unless it is there, signed by this key.
async fn seal(
    bucket: &Bucket,
    signer: &Signer,
    key: &str,
    payload_type: &str,
    payload: &[u8],
) -> Result<bool, StatementError> {
    let ring = KeyRing(vec![signer.public().clone()]);
    let mut envelope = None;
    for _ in 0..MOST_ROUNDS {
        let found = bucket.object(key).await?;
        let opened = found.as_ref().map(|object| {
            let envelope = Envelope::parse(&object.bytes)?;
            envelope.open(payload_type, &ring)
        });
        if matches!(&opened, Some(Ok(opened)) if opened.payload == payload) {
            return Ok(false);
        }
        let condition = match found {
            Some(object) => Condition::Unchanged(object.etag),
            None => Condition::Absent,
        };
        let sealed = match envelope.take() {
            Some(sealed) => sealed,
            None => Envelope::sign(signer, payload_type, payload).await?,
        };
        let put = bucket.put_object(key, "application/json", sealed.to_json(), &condition);
        match put.await? {
            Put::Written(_) => return Ok(true),
            Put::Refused => envelope = Some(sealed),
        }
    }
    Err(bucket.contended(key).into())
}

/// Why a signed manifest cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UntrustedManifest {
    /// There is none.
    #[error("it is not signed")]
    Missing,
    /// The envelope is not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was signed, and what is in it cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It is of a newer version of this program.
    #[error("it has format {0}, and this program knows {newest}", newest = super::manifest::SCHEMA)]
    Newer(u32),
    /// It is another release's.
    #[error("it is that of {0}")]
    Other(ReleaseId),
    /// The publisher's own manifest says something else.
    #[error("it does not say what the manifest says: one of them was changed")]
    Differs,
}

/// Opens a signed manifest: what it says, and the key that signed it.
///
/// # Errors
/// It cannot be trusted.
pub fn open(bytes: &[u8], ring: &KeyRing) -> Result<(ReleaseManifest, String), UntrustedManifest> {
    let Opened { payload, key } = Envelope::parse(bytes)?.open(MANIFEST_TYPE, ring)?;
    Ok((parse(&payload)?, key))
}

/// What a signed manifest says.
///
/// # Errors
/// It cannot be read.
pub fn parse(payload: &[u8]) -> Result<ReleaseManifest, UntrustedManifest> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let unreadable = |why: serde_json::Error| UntrustedManifest::Unreadable(why.to_string());
    let Schema { schema } = serde_json::from_slice(payload).map_err(unreadable)?;
    if schema > super::manifest::SCHEMA {
        return Err(UntrustedManifest::Newer(schema));
    }
    serde_json::from_slice(payload).map_err(unreadable)
}

/// Sees that a release's manifest is signed as it stands; by which key.
///
/// # Errors
/// The bucket's; in the inner one, why it cannot be trusted.
pub async fn check(
    bucket: &Bucket,
    manifest: &ReleaseManifest,
    ring: &KeyRing,
) -> Result<Result<String, UntrustedManifest>, BucketError> {
    let key = keys::attachment(&manifest.release, SIGNED);
    let Some(object) = bucket.object(&key).await? else {
        return Ok(Err(UntrustedManifest::Missing));
    };
    Ok(compared(&object.bytes, manifest, ring))
}

fn compared(
    bytes: &[u8],
    manifest: &ReleaseManifest,
    ring: &KeyRing,
) -> Result<String, UntrustedManifest> {
    let (signed, key) = open(bytes, ring)?;
    agree(&signed, manifest).map(|()| key)
}

/// Whether what was signed is what a release's manifest says.
fn agree(signed: &ReleaseManifest, manifest: &ReleaseManifest) -> Result<(), UntrustedManifest> {
    if signed.release != manifest.release {
        return Err(UntrustedManifest::Other(signed.release.clone()));
    }
    match signed_part(signed) == signed_part(manifest) {
        true => Ok(()),
        false => Err(UntrustedManifest::Differs),
    }
}

/// The signed papers of a release, as they lie in the bucket.
#[derive(Debug, Clone)]
pub struct Papers {
    /// What they say.
    pub manifest: ReleaseManifest,
    etag: ETag,
}

/// The signed papers of a release, if they say all that its manifest says but for its withdrawal: to
/// that of the papers another one may be added, which is all that a withdrawal signs.
///
/// # Errors
/// The bucket's; in the inner one, why the manifest cannot be trusted.
pub async fn but_for_withdrawal(
    bucket: &Bucket,
    manifest: &ReleaseManifest,
    ring: &KeyRing,
) -> Result<Result<Papers, UntrustedManifest>, BucketError> {
    let key = keys::attachment(&manifest.release, SIGNED);
    let Some(object) = bucket.object(&key).await? else {
        return Ok(Err(UntrustedManifest::Missing));
    };
    let signed = match open(&object.bytes, ring) {
        Ok((signed, _)) => signed,
        Err(why) => return Ok(Err(why)),
    };
    let as_if = ReleaseManifest {
        withdrawn: signed.withdrawn.clone(),
        ..manifest.clone()
    };
    Ok(agree(&signed, &as_if).map(|()| Papers {
        manifest: signed,
        etag: object.etag,
    }))
}

impl Papers {
    /// Signs what they say and that the release is withdrawn, in their place. False if somebody else
    /// has written them meanwhile.
    ///
    /// # Errors
    /// The bucket's; the key cannot sign.
    pub async fn withdraw(
        &self,
        bucket: &Bucket,
        signer: &Signer,
        withdrawn: &Withdrawal,
    ) -> Result<bool, StatementError> {
        let manifest = ReleaseManifest {
            withdrawn: Some(withdrawn.clone()),
            ..self.manifest.clone()
        };
        let sealed = Envelope::sign(signer, MANIFEST_TYPE, &to_json(&manifest)).await?;
        let key = keys::attachment(&manifest.release, SIGNED);
        let condition = Condition::Unchanged(self.etag.clone());
        let put = bucket.put_object(&key, "application/json", sealed.to_json(), &condition);
        Ok(matches!(put.await?, Put::Written(_)))
    }
}

impl Subject {
    /// The manifest of what a build made.
    fn image(&self) -> Option<&Manifest> {
        match self {
            Subject::Image(image) => Some(&image.manifest),
            Subject::Snapshot(_, _, Some(built)) => Some(&built.manifest),
            _ => None,
        }
    }

    /// The folder that a build made.
    fn folder(&self) -> Option<&Path> {
        match self {
            Subject::Image(image) => Some(&image.folder),
            Subject::Snapshot(_, _, Some(built)) => Some(&built.folder),
            _ => None,
        }
    }
}
