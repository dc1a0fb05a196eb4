//! The publisher's catalog: its channels, as customers may read them.
//!
//! A catalog is not signed. It says in which channel a release is, and cannot add one: what is listed
//! is what the publisher's account owns.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use reqwest::Url;
use serde::Deserialize;

use super::ListError;
use crate::aws::s3::{BucketAddress, BucketSeen, S3};
use crate::aws::{AccountId, Aws, Region};
use crate::channels::settings::{ChannelSettings, names};
use crate::channels::{Channel, SCHEMA, store};
use crate::publish::release::ReleaseId;
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

    fn take(&mut self, name: &str, place: &str, bytes: &[u8]) -> Result<(), ListError> {
        let channel = channel(name, place, bytes)?;
        let now = channel.current().cloned().collect();
        self.channels.insert(name.to_owned(), now);
        Ok(())
    }
}

/// A channel's document.
fn channel(name: &str, place: &str, bytes: &[u8]) -> Result<Channel, ListError> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let unreadable = |why: String| ListError::Unreadable {
        place: place.to_owned(),
        why,
    };
    // A newer document is told from a broken one before anything else of it is read.
    // The words of an error may be those of the document, which anybody may have written.
    let no_json = |error: serde_json::Error| unreadable(web::printable(&error.to_string()));
    let Schema { schema } = serde_json::from_slice(bytes).map_err(no_json)?;
    if schema > SCHEMA {
        let place = place.to_owned();
        return Err(ListError::Newer { place, schema });
    }
    let channel: Channel = serde_json::from_slice(bytes).map_err(no_json)?;
    match channel.channel == name {
        true => Ok(channel),
        false => Err(unreadable(format!("it is not that of the channel {name}"))),
    }
}

/// Whether a channel may be called so.
///
/// # Errors
/// It may not.
pub fn check_name(channel: &str) -> Result<(), ListError> {
    let name = channel.to_owned();
    names(&[ChannelSettings { name }])?;
    Ok(())
}

/// Reads a catalog. A bucket tells which channels it has; of a web server, those of `known` are asked
/// for.
///
/// # Errors
/// It is not there, may not be read, or is none.
pub async fn read(
    address: &CatalogAddress,
    aws: &Aws,
    home: &Region,
    known: &BTreeSet<String>,
) -> Result<Catalog, ListError> {
    match address {
        CatalogAddress::Bucket { bucket, prefix } => {
            let s3 = locate(aws, home, bucket).await?;
            read_bucket(&s3, bucket, prefix, address.text()).await
        }
        CatalogAddress::Web(base) => read_web(base, known).await,
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

async fn read_bucket(
    s3: &S3,
    bucket: &BucketAddress,
    prefix: &str,
    place: String,
) -> Result<Catalog, ListError> {
    let mut catalog = Catalog {
        place,
        ..Catalog::default()
    };
    let folder = format!("{prefix}channels/");
    let keys = s3
        .list(bucket, &folder)
        .await
        .map_err(ListError::CatalogCall)?;
    for key in keys {
        let name = key.strip_prefix(&folder);
        let name = name.and_then(|name| name.strip_suffix(".json"));
        // What else lies there is not ours to judge.
        let Some(name) = name.filter(|name| check_name(name).is_ok()) else {
            continue;
        };
        let read = s3.get(bucket, &key, MOST_BYTES).await;
        if let Some(object) = read.map_err(ListError::CatalogCall)? {
            let place = format!("s3://{}/{key}", bucket.name);
            catalog.take(name, &place, &object.bytes)?;
        }
    }
    Ok(catalog)
}

async fn read_web(base: &Url, known: &BTreeSet<String>) -> Result<Catalog, ListError> {
    let mut catalog = Catalog {
        place: base.to_string(),
        ..Catalog::default()
    };
    let http = web::client(base)?;
    for name in known {
        let url = format!("{base}{}", store::key(name));
        if let Some(bytes) = web::fetch(&http, &url, MOST_BYTES).await? {
            catalog.take(name, &url, &bytes)?;
        }
    }
    if catalog.channels.is_empty() {
        let tried: Vec<&str> = known.iter().map(String::as_str).collect();
        return Err(ListError::Web {
            url: format!("{base}channels/"),
            why: format!("it has none of the channels {}", tried.join(", ")),
        });
    }
    Ok(catalog)
}
