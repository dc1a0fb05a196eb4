//! The publisher's catalog: its channels, as customers may read them.
//!
//! It says in which channel a release is, and cannot add one: what is listed is what the publisher's
//! account owns. Where a publisher's public key is named, its channels must be signed by that key.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use reqwest::Url;

use super::ListError;
use crate::aws::s3::{BucketAddress, BucketSeen, S3};
use crate::aws::{AccountId, AmiId, Aws, Kind, Region};
use crate::channels::document::{self, Document, DocumentError, Seal};
use crate::channels::index::{self, Index};
use crate::channels::settings::{ChannelSettings, is_word, names};
use crate::channels::store;
use crate::publish::release::ReleaseId;
use crate::sign::{KeyRing, OpenError};
use crate::web;

/// No channel's document has more bytes: one of a release each night for ten years has two million.
const MOST_BYTES: usize = 16 << 20;

/// Where a catalog is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogAddress {
    /// In a bucket.
    Bucket {
        /// The bucket.
        bucket: BucketAddress,
        /// What its keys begin with: nothing, or what ends with `/`.
        prefix: String,
    },
    /// On a web server, under a URL that ends with `/`.
    Web(Url),
}

impl CatalogAddress {
    /// The publisher's own bucket.
    pub fn own(bucket: &str, prefix: &str, owner: &AccountId) -> CatalogAddress {
        CatalogAddress::Bucket {
            bucket: BucketAddress {
                name: bucket.to_owned(),
                owner: Some(owner.clone()),
            },
            prefix: ending_in_slash(prefix),
        }
    }

    /// As people write it.
    pub fn text(&self) -> String {
        match self {
            CatalogAddress::Bucket { bucket, prefix } => {
                format!("s3://{}/{prefix}", bucket.name)
            }
            CatalogAddress::Web(url) => url.to_string(),
        }
    }
}

impl FromStr for CatalogAddress {
    type Err = ListError;

    fn from_str(text: &str) -> Result<CatalogAddress, ListError> {
        address(text).map_err(|why| ListError::Address {
            text: text.to_owned(),
            why,
        })
    }
}

fn address(text: &str) -> Result<CatalogAddress, &'static str> {
    if let Some(rest) = text.strip_prefix("s3://") {
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        if !(3..=63).contains(&name.len()) || !name.bytes().all(is_letter) {
            return Err("no bucket has that name");
        }
        return Ok(CatalogAddress::Bucket {
            bucket: BucketAddress {
                name: name.to_owned(),
                owner: None,
            },
            prefix: ending_in_slash(prefix),
        });
    }
    if !text.contains("://") {
        return Err("it is neither s3://… nor https://…");
    }
    let mut url = web::address(text)?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(CatalogAddress::Web(url))
}

fn ending_in_slash(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        words => format!("{words}/"),
    }
}

/// Which releases are in which channel now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Where it was read.
    pub place: String,
    /// By channel.
    pub channels: BTreeMap<String, BTreeSet<ReleaseId>>,
    /// The AMIs that a trusted key vouches for; nothing where no key is named.
    pub signed: Option<BTreeSet<AmiId>>,
}

impl Catalog {
    /// The channels that a release is in.
    pub fn channels_of(&self, release: &ReleaseId) -> Vec<String> {
        let holding = self
            .channels
            .iter()
            .filter(|(_, held)| held.contains(release));
        holding.map(|(name, _)| name.clone()).collect()
    }

    /// Sees that there is such a channel.
    ///
    /// # Errors
    /// There is none.
    pub fn check(&self, channel: &str) -> Result<(), ListError> {
        match self.channels.contains_key(channel) {
            true => Ok(()),
            false => Err(ListError::UnknownChannel {
                channel: channel.to_owned(),
                catalog: self.place.clone(),
                known: self.channels.keys().cloned().collect(),
            }),
        }
    }

    /// Takes what is in a channel; that a key is named and the channel is not signed is an error.
    fn take(
        &mut self,
        name: &str,
        place: &str,
        bytes: &[u8],
        ring: Option<&KeyRing>,
    ) -> Result<(), ListError> {
        let Document { channel, seal } = channel(name, place, bytes, ring)?;
        if ring.is_some() && seal == Seal::Unsigned {
            let place = place.to_owned();
            let why = OpenError::Unsigned;
            return Err(ListError::Untrusted { place, why });
        }
        if ring.is_some() {
            let listed = channel.releases.iter();
            let amis = listed.flat_map(|release| release.regions.values().map(|place| &place.ami));
            self.signed.get_or_insert_default().extend(amis.cloned());
        }
        let now = channel.current().cloned().collect();
        self.channels.insert(name.to_owned(), now);
        Ok(())
    }
}

/// A channel's document. The words of an error may be those of the document, which anybody may have
/// written.
fn channel(
    name: &str,
    place: &str,
    bytes: &[u8],
    ring: Option<&KeyRing>,
) -> Result<Document, ListError> {
    let place = place.to_owned();
    document::read(name, bytes, ring).map_err(|error| match error {
        DocumentError::Newer(schema) => ListError::Newer { place, schema },
        DocumentError::Untrusted(why) => ListError::Untrusted { place, why },
        error => ListError::Unreadable {
            place,
            why: web::printable(&error.to_string()),
        },
    })
}

/// Whether a channel may be called so.
///
/// # Errors
/// It may not.
pub fn check_name(channel: &str) -> Result<(), ListError> {
    let settings = ChannelSettings {
        name: channel.to_owned(),
        ..ChannelSettings::default()
    };
    names(&[settings])?;
    Ok(())
}

/// Reads a catalog. Where nothing tells which channels it has, those of `known` are asked for.
///
/// # Errors
/// It is not there, may not be read, or is none.
pub async fn read(
    address: &CatalogAddress,
    aws: &Aws,
    home: &Region,
    known: &BTreeSet<String>,
    ring: Option<&KeyRing>,
) -> Result<Catalog, ListError> {
    let source = Source::open(address, aws, home).await?;
    let mut catalog = Catalog {
        place: address.text(),
        ..Catalog::default()
    };
    let names = source.channels(known).await?;
    let mut denied = None;
    for name in &names.names {
        let path = store::key(name);
        match source.fetch(&path).await {
            Ok(Some(bytes)) => catalog.take(name, &source.url(&path), &bytes, ring)?,
            Ok(None) => {}
            // It may not be there: S3 says so also then, to those who may not list the bucket.
            Err(error) if error.is_denied() && !names.are_told => denied = Some(error),
            Err(error) => return Err(error),
        }
    }
    if let (Some(error), true) = (denied, catalog.channels.is_empty()) {
        return Err(error);
    }
    match (&source, catalog.channels.is_empty()) {
        (Source::Web { base, .. }, true) => {
            let tried: Vec<&str> = known.iter().map(String::as_str).collect();
            Err(ListError::Web {
                url: format!("{base}channels/"),
                why: format!("it has none of the channels {}", tried.join(", ")),
            })
        }
        _ => Ok(catalog),
    }
}

/// The channels that there may be.
pub struct Names {
    /// They.
    pub names: Vec<String>,
    /// Whether the catalog says that they are there.
    pub are_told: bool,
}

/// A catalog that documents are fetched from.
pub enum Source {
    /// A bucket, where it is.
    Bucket {
        /// S3 there.
        s3: Box<S3>,
        /// The bucket.
        bucket: BucketAddress,
        /// What its keys begin with.
        prefix: String,
    },
    /// A web server.
    Web {
        /// Asks it.
        http: reqwest::Client,
        /// What its URLs begin with.
        base: Url,
    },
}

impl Source {
    /// Finds out where a catalog is.
    ///
    /// # Errors
    /// There is no such bucket.
    pub async fn open(
        address: &CatalogAddress,
        aws: &Aws,
        home: &Region,
    ) -> Result<Source, ListError> {
        Ok(match address {
            CatalogAddress::Bucket { bucket, prefix } => Source::Bucket {
                s3: Box::new(locate(aws, home, bucket).await?),
                bucket: bucket.clone(),
                prefix: prefix.clone(),
            },
            CatalogAddress::Web(base) => Source::Web {
                http: web::client(base)?,
                base: base.clone(),
            },
        })
    }

    /// Where a document is, as people write it.
    pub fn url(&self, path: &str) -> String {
        match self {
            Source::Bucket { bucket, prefix, .. } => format!("s3://{}/{prefix}{path}", bucket.name),
            Source::Web { base, .. } => format!("{base}{path}"),
        }
    }

    /// A document; nothing if there is none.
    ///
    /// # Errors
    /// It may not be read.
    pub async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, ListError> {
        match self {
            Source::Bucket { s3, bucket, prefix } => {
                let key = format!("{prefix}{path}");
                let read = s3.get(bucket, &key, MOST_BYTES).await;
                let found = read.map_err(ListError::CatalogCall)?;
                Ok(found.map(|object| object.bytes.to_vec()))
            }
            Source::Web { http, .. } => Ok(web::fetch(http, &self.url(path), MOST_BYTES).await?),
        }
    }

    /// The channels that there may be. Customers may not list the bucket, and nobody lists a web
    /// server: there the catalog's index says it, or, where it has none, those of `known` are asked
    /// for.
    ///
    /// # Errors
    /// What says it cannot be read.
    pub async fn channels(&self, known: &BTreeSet<String>) -> Result<Names, ListError> {
        let told = |names| {
            let are_told = true;
            Ok(Names { names, are_told })
        };
        if let Source::Bucket { s3, bucket, prefix } = self {
            let folder = format!("{prefix}channels/");
            match s3.list(bucket, &folder).await {
                Err(error) if error.kind == Kind::Denied => {}
                keys => {
                    let keys = keys.map_err(ListError::CatalogCall)?;
                    let name = |key: &String| {
                        let name = key.strip_prefix(&folder)?.strip_suffix(".json")?;
                        // What else lies there is not ours to judge.
                        is_word(name).then(|| name.to_owned())
                    };
                    return told(keys.iter().filter_map(name).collect());
                }
            }
        }
        let indexed = match self.fetch(index::KEY).await {
            Err(error) if error.is_denied() => None,
            indexed => indexed?,
        };
        match indexed.map(|bytes| Index::read(&bytes)) {
            Some(Ok(names)) => told(names),
            Some(Err(why)) => Err(ListError::Unreadable {
                place: self.url(index::KEY),
                why: web::printable(&why),
            }),
            None => Ok(Names {
                names: known.iter().cloned().collect(),
                are_told: false,
            }),
        }
    }
}

/// S3 where the bucket is. A policy that lets the channels be listed need not let the whole bucket be
/// looked at: that it may not be says nothing yet.
async fn locate(aws: &Aws, home: &Region, bucket: &BucketAddress) -> Result<S3, ListError> {
    let s3 = aws.s3(home);
    let wrong = |why| {
        Err(ListError::Bucket {
            bucket: bucket.name.clone(),
            why,
        })
    };
    match s3
        .head_bucket(bucket)
        .await
        .map_err(ListError::CatalogCall)?
    {
        BucketSeen::Here | BucketSeen::Denied => Ok(s3),
        BucketSeen::Elsewhere(Some(region)) => Ok(aws.s3(&region)),
        BucketSeen::Elsewhere(None) => wrong("S3 does not say in which Region it is"),
        BucketSeen::Missing => wrong("there is no bucket of that name"),
    }
}
