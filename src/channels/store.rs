//! Channels in the publisher's bucket.

use super::document::{self, DocumentError, Seal};
use super::{Channel, Entry, Listed, ListedAmi, SCHEMA, Stay};
use crate::aws::AccountId;
use crate::aws::s3::{Condition, Object, Put};
use crate::publish::bucket::{Bucket, BucketError, keys};
use crate::publish::manifest::ReleaseManifest;
use crate::publish::papers::{self, SIGNED, UntrustedManifest};
use crate::publish::release::ReleaseId;
use crate::sign::{KeyRing, OpenError, SignError, Signer};

/// So many others may be faster before this gives up.
const MOST_ROUNDS: u32 = 16;

/// The object that a channel is.
pub fn key(channel: &str) -> String {
    format!("channels/{channel}.json")
}

/// The object that an earlier version of a channel is.
pub fn earlier_key(channel: &str, serial: u64) -> String {
    format!("channels/{channel}/{serial}.json")
}

/// Why a channel is not read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The bucket's.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The key cannot sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// What is in a channel cannot be trusted.
    #[error("the manifest of {release}, which is in the channel, cannot be trusted: {why}")]
    Release {
        /// The release.
        release: ReleaseId,
        /// Why.
        why: Box<UntrustedManifest>,
    },
    /// Somebody wrote a document whose signature is not the publisher's.
    #[error("the channel {place} cannot be trusted: {why}")]
    Untrusted {
        /// Where it is: `s3://…`.
        place: String,
        /// Why.
        why: DocumentError,
    },
}

impl StoreError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            StoreError::Bucket(error) => error.advice(),
            StoreError::Sign(error) => Some(error.advice()),
            StoreError::Release { release, why } => Some(match **why {
                UntrustedManifest::Missing => {
                    format!("sign it as it is: `alpine-ami publish {release}`")
                }
                _ => "find out who changed it".to_owned(),
            }),
            StoreError::Untrusted { .. } => Some(
                "if another key signed it before, name that key in [signing] trusted; if not, \
                 somebody changed it: what it was before lies beside it, by its serial, and the \
                 bucket's access log says who"
                    .to_owned(),
            ),
        }
    }

    /// Whether it is what the user wrote that is wrong.
    pub fn is_bad_input(&self) -> bool {
        match self {
            StoreError::Bucket(BucketError::Missing { .. } | BucketError::Elsewhere { .. }) => true,
            StoreError::Bucket(_) | StoreError::Untrusted { .. } | StoreError::Release { .. } => {
                false
            }
            StoreError::Sign(error) => error.is_bad_input(),
        }
    }
}

/// Reads a channel, whoever signed it; none if nothing was ever in it.
///
/// # Errors
/// AWS's; it cannot be read, or was written by a newer version of this program.
pub async fn find(bucket: &Bucket, name: &str) -> Result<Option<Channel>, BucketError> {
    let key = key(name);
    let Some(object) = bucket.object(&key).await? else {
        return Ok(None);
    };
    match document::read(name, &object.bytes, None) {
        Ok(document) => Ok(Some(document.channel)),
        Err(error) => Err(broken(bucket, &key, error)),
    }
}

fn broken(bucket: &Bucket, key: &str, error: DocumentError) -> BucketError {
    match error {
        DocumentError::Newer(schema) => bucket.newer(key, schema),
        error => bucket.unreadable(key, error.to_string()),
    }
}

/// The publisher's channels.
#[derive(Debug, Clone)]
pub struct Store {
    /// Where they are.
    pub bucket: Bucket,
    /// Whose they are: the first part of AMIs' names.
    pub publisher: String,
    /// The publisher's account.
    pub account: AccountId,
    /// Who signs them, if anybody does.
    pub signer: Option<Signer>,
    /// Whose signatures are trusted: where nobody signs, nobody's are asked for.
    pub ring: Option<KeyRing>,
}

/// A channel that was read.
struct Seen {
    channel: Channel,
    object: Option<Object>,
    /// Whether somebody signed it.
    is_signed: bool,
}

impl Store {
    /// Reads a channel; one that nothing was in yet is empty. One that is not signed, though there is
    /// a key, was written before there was: it is taken as it is, and told.
    ///
    /// # Errors
    /// AWS's; it cannot be read or trusted, or was written by a newer version of this program.
    pub async fn read(&self, name: &str) -> Result<Channel, StoreError> {
        Ok(self.seen(name).await?.channel)
    }

    async fn seen(&self, name: &str) -> Result<Seen, StoreError> {
        let key = key(name);
        let Some(object) = self.bucket.object(&key).await? else {
            return Ok(Seen {
                channel: Channel::empty(name),
                object: None,
                is_signed: false,
            });
        };
        let read = document::read(name, &object.bytes, self.ring.as_ref());
        let document = read.map_err(|error| match error {
            DocumentError::Untrusted(_) => StoreError::Untrusted {
                place: self.bucket.url(&key),
                why: error,
            },
            error => broken(&self.bucket, &key, error).into(),
        })?;
        let is_signed = document.seal != Seal::Unsigned;
        if !is_signed && self.ring.is_some() {
            // Documents of the first format were never signed.
            if document.channel.serial > 0 {
                return Err(StoreError::Untrusted {
                    place: self.bucket.url(&key),
                    why: DocumentError::Untrusted(OpenError::Unsigned),
                });
            }
            tracing::warn!(
                "{} is not signed: it was written before there was a key, or not by this program",
                self.bucket.url(&key)
            );
        }
        Ok(Seen {
            channel: document.channel,
            object: Some(object),
            is_signed,
        })
    }

    /// Brings a release into a channel, in the place of the one that is there. Two that do it at once
    /// lose nothing of each other's. `entry` is this run's alone: by it the run knows its own write
    /// where the answer to that was lost.
    ///
    /// # Errors
    /// AWS's; others change the channel all the time.
    pub async fn enter(
        &self,
        name: &str,
        release: &ReleaseId,
        entry: &Entry,
    ) -> Result<Entered, EnterError> {
        for _ in 0..MOST_ROUNDS {
            let seen = self.seen(name).await?;
            // An attempt whose answer was lost did it, and somebody else has written since.
            if let Some(before) = seen.channel.entered(release, entry) {
                return Ok(Entered::Now { before });
            }
            let Some((next, before)) = seen.channel.with(release, entry.clone()) else {
                let stay = seen.channel.stay(release).cloned();
                let stay = stay.expect("it is in the channel: it would take no place");
                return Ok(Entered::Already(stay));
            };
            match self.replace(&seen, next).await {
                Ok(true) => return Ok(Entered::Now { before }),
                Ok(false) => {}
                // No attempt got an answer. One of them may have done it all the same.
                Err(error) => {
                    let channel = self.read(name).await.ok();
                    let before = channel.and_then(|channel| channel.entered(release, entry));
                    return match before {
                        Some(before) => Ok(Entered::Now { before }),
                        None => Err(EnterError {
                            may_be_done: !was_refused(&error),
                            source: error,
                        }),
                    };
                }
            }
        }
        Err(StoreError::from(self.bucket.contended(&key(name))).into())
    }

    /// Takes a release out of a channel and puts nothing in its place. Whether it was in it.
    ///
    /// # Errors
    /// AWS's; others change the channel all the time.
    pub async fn leave(&self, name: &str, release: &ReleaseId) -> Result<bool, StoreError> {
        for _ in 0..MOST_ROUNDS {
            let seen = self.seen(name).await?;
            let Some(next) = seen.channel.without(release, self.bucket.now()) else {
                return Ok(false);
            };
            if self.replace(&seen, next).await? {
                return Ok(true);
            }
        }
        Err(self.bucket.contended(&key(name)).into())
    }

    /// Writes a channel anew if what it says of its releases is not what their manifests say: one was
    /// withdrawn, or published in another Region. Whether it was written.
    ///
    /// # Errors
    /// AWS's; others change the channel all the time.
    pub async fn refresh(&self, name: &str) -> Result<bool, StoreError> {
        for _ in 0..MOST_ROUNDS {
            let seen = self.seen(name).await?;
            let is_new = seen.object.is_none() || seen.channel.serial == 0;
            let listed = self.listed(&seen.channel).await?;
            if is_new || listed == seen.channel.releases {
                return Ok(false);
            }
            if self.replace(&seen, seen.channel.clone()).await? {
                return Ok(true);
            }
        }
        Err(self.bucket.contended(&key(name)).into())
    }

    /// Writes a channel over the one that was seen. False if somebody else has written it meanwhile.
    async fn replace(&self, seen: &Seen, mut next: Channel) -> Result<bool, StoreError> {
        if seen.is_signed && self.signer.is_none() {
            return Err(SignError::NoKey.into());
        }
        next.schema = SCHEMA;
        next.serial = seen.channel.serial + 1;
        next.publisher.clone_from(&self.publisher);
        next.account = Some(self.account.clone());
        next.releases = self.listed(&next).await?;
        self.keep(seen).await?;
        let key = key(&next.channel);
        let text = document::write(&next, self.signer.as_ref()).await?;
        let condition = match &seen.object {
            Some(object) => Condition::Unchanged(object.etag.clone()),
            None => Condition::Absent,
        };
        let put = self.bucket.put_object(&key, JSON, text, &condition);
        Ok(matches!(put.await?, Put::Written(_)))
    }

    /// Keeps what is to be replaced, before it is.
    async fn keep(&self, seen: &Seen) -> Result<(), BucketError> {
        let Some(object) = &seen.object else {
            return Ok(());
        };
        let key = earlier_key(&seen.channel.channel, seen.channel.serial);
        // Refused: an earlier attempt has kept it.
        let keep = self
            .bucket
            .put_object(&key, JSON, object.bytes.clone(), &Condition::Absent);
        keep.await?;
        Ok(())
    }

    /// What is in a channel now, as its manifests say.
    async fn listed(&self, channel: &Channel) -> Result<Vec<Listed>, StoreError> {
        let mut listed = Vec::new();
        for release in channel.current() {
            let Some(stored) = self.bucket.manifest(release).await? else {
                continue;
            };
            // What is signed here must have been signed there.
            if let Some(ring) = &self.ring
                && let Err(why) = papers::check(&self.bucket, &stored.manifest, ring).await?
            {
                return Err(StoreError::Release {
                    release: release.clone(),
                    why: Box::new(why),
                });
            }
            listed.push(Listed::of(&stored.manifest));
        }
        Ok(listed)
    }
}

const JSON: &str = "application/json";

impl Listed {
    /// What a channel says of a release.
    pub fn of(manifest: &ReleaseManifest) -> Listed {
        let line = &manifest.release.line;
        let image = manifest.image.as_ref();
        let regions = manifest.regions.iter().filter_map(|(region, place)| {
            let listed = ListedAmi {
                ami: place.ami.clone()?,
                snapshot: place.snapshot.clone(),
                key: place.key.clone(),
            };
            Some((region.clone(), listed))
        });
        Listed {
            release: manifest.release.clone(),
            profile: line.profile.clone(),
            version: line.version.clone(),
            arch: line.arch,
            alpine: image.map(|image| image.alpine.clone()),
            kernel: image.map(|image| image.kernel.release.clone()),
            name: manifest.name.clone(),
            created: manifest.created,
            regions: regions.collect(),
            manifest: keys::attachment(&manifest.release, SIGNED),
            withdrawn: manifest.withdrawn.clone(),
        }
    }
}

/// The one attempt of a write was answered, with a no.
fn was_refused(error: &StoreError) -> bool {
    let StoreError::Bucket(BucketError::Aws(error)) = error else {
        // Nothing was sent yet.
        return true;
    };
    let is_write = error.action == "s3:PutObject";
    !is_write || (error.attempts == 1 && !error.kind.is_transient())
}

/// Why a release was not brought into a channel.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{source}")]
pub struct EnterError {
    /// Why.
    pub source: StoreError,
    /// Whether it may have been all the same: AWS has not answered, and cannot be asked.
    pub may_be_done: bool,
}

impl From<StoreError> for EnterError {
    fn from(source: StoreError) -> EnterError {
        EnterError {
            source,
            may_be_done: false,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entered {
    /// It was brought in.
    Now {
        /// What was in the channel before, of the same profile and architecture.
        before: Option<ReleaseId>,
    },
    /// It is there already, and nothing was changed.
    Already(Stay),
}
