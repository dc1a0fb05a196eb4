//! The key of each Region, checked before anything is made.
//!
//! Only what is encrypted under a customer-managed key can be shared, and a key that turns out to be
//! no good shows hours later, as a copy that failed. So all keys of all Regions are looked up
//! first, and all that is wrong with them is said at once.

use std::collections::BTreeMap;
use std::fmt;

use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::settings::Keys;
use crate::aws::kms::{Key, KeyState, Kms};
use crate::aws::{Aws, AwsError, KeyArn, Kind, Region};

/// No more aliases are listed in an error.
const ALIASES_SHOWN: usize = 8;

/// What is wrong with the keys: one problem or more, those of the configuration or those that AWS
/// told.
#[derive(Debug, Clone)]
pub struct KeyErrors(pub Vec<KeyError>);

impl fmt::Display for KeyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return only.fmt(f);
        }
        write!(f, "the keys of {} Regions cannot be used:", self.0.len())?;
        for error in &self.0 {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for KeyErrors {}

impl KeyErrors {
    /// What to do next, for each problem.
    pub fn advice(&self) -> Option<String> {
        let mut advice: Vec<String> = self.0.iter().filter_map(KeyError::advice).collect();
        advice.dedup();
        (!advice.is_empty()).then(|| advice.join("\n"))
    }
}

/// What is wrong with the key of a Region.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The configuration names none.
    #[error("{region}: `[publish.keys]` names no key for this Region")]
    Missing {
        /// The Region.
        region: Region,
    },
    /// The name is neither an alias, nor a key's id, nor an ARN of these.
    #[error("{region}: `{name}` is no alias, no id of a key, and no ARN of either")]
    Malformed {
        /// The Region.
        region: Region,
        /// The name.
        name: String,
    },
    /// AWS's own key: what is encrypted under it cannot be shared.
    #[error(
        "{region}: {name} is managed by AWS, and what is encrypted under it cannot be shared with anyone"
    )]
    AwsManaged {
        /// The Region.
        region: Region,
        /// The name.
        name: String,
    },
    /// The ARN is one of another Region.
    #[error(
        "{region}: {name} is in {other}, and a Region's snapshots are encrypted under its own keys"
    )]
    OtherRegion {
        /// The Region.
        region: Region,
        /// The name.
        name: String,
        /// Where the key is.
        other: Region,
    },
    /// `multi_region` names a key that has no replicas.
    #[error(
        "{region}: `multi_region` names {key}, which is no multi-Region key (its id would begin with mrk-)"
    )]
    NotMultiRegion {
        /// The Region.
        region: Region,
        /// The key.
        key: KeyArn,
    },
    /// There is no such key.
    #[error("{region}: there is no {name}{}", there(nearest.as_deref(), aliases))]
    NotThere {
        /// The Region.
        region: Region,
        /// The name.
        name: String,
        /// The alias that is spelt most like it.
        nearest: Option<String>,
        /// The aliases that there are, as far as they could be read.
        aliases: Vec<String>,
    },
    /// It was switched off.
    #[error("{region}: {key} is disabled")]
    Disabled {
        /// The Region.
        region: Region,
        /// The key.
        key: KeyArn,
    },
    /// It will be deleted, and with it all that is encrypted under it.
    #[error("{region}: {key} will be deleted{}", on(*date))]
    PendingDeletion {
        /// The Region.
        region: Region,
        /// The key.
        key: KeyArn,
        /// When.
        date: Option<OffsetDateTime>,
    },
    /// It cannot be used in its present state.
    #[error("{region}: {key} cannot be used: it is {state}")]
    NotUsable {
        /// The Region.
        region: Region,
        /// The key.
        key: KeyArn,
        /// Its state.
        state: KeyState,
    },
    /// It is asymmetric or for HMACs.
    #[error("{region}: EBS cannot encrypt under {key}, which is a key of spec {spec} for {usage}")]
    NotForVolumes {
        /// The Region.
        region: Region,
        /// The key.
        key: KeyArn,
        /// Its spec.
        spec: String,
        /// Its usage.
        usage: String,
    },
    /// AWS does not tell.
    #[error("{region}: the key cannot be looked up: {error}")]
    Aws {
        /// The Region.
        region: Region,
        /// Why.
        error: Box<AwsError>,
    },
}

/// What aliases there are.
fn there(nearest: Option<&str>, aliases: &[String]) -> String {
    if let Some(nearest) = nearest {
        return format!("; is it {nearest}?");
    }
    let shown = aliases.iter().take(ALIASES_SHOWN).cloned();
    let shown = shown.collect::<Vec<_>>().join(", ");
    match aliases.len() {
        0 => String::new(),
        count if count > ALIASES_SHOWN => format!("; there are {count} aliases: {shown}, …"),
        _ => format!("; there is {shown}"),
    }
}

fn on(date: Option<OffsetDateTime>) -> String {
    date.map_or(String::new(), |date| format!(" on {}", date.date()))
}

impl KeyError {
    /// The Region whose key it is about.
    pub fn region(&self) -> &Region {
        match self {
            KeyError::Missing { region }
            | KeyError::Malformed { region, .. }
            | KeyError::AwsManaged { region, .. }
            | KeyError::OtherRegion { region, .. }
            | KeyError::NotMultiRegion { region, .. }
            | KeyError::NotThere { region, .. }
            | KeyError::Disabled { region, .. }
            | KeyError::PendingDeletion { region, .. }
            | KeyError::NotUsable { region, .. }
            | KeyError::NotForVolumes { region, .. }
            | KeyError::Aws { region, .. } => region,
        }
    }

    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        let make = |region: &Region| {
            format!(
                "make a symmetric key (`aws kms create-key --region {region}`) and name it under `[publish.keys]`"
            )
        };
        Some(match self {
            KeyError::Missing { region } => format!(
                "add `{region} = \"alias/…\"` under `[publish.keys]`, or `multi_region = \"arn:…\"` for all Regions"
            ),
            KeyError::Malformed { region, .. } => {
                format!("write `{region} = \"alias/images\"`, a key's id, or its ARN")
            }
            KeyError::AwsManaged { region, .. } | KeyError::NotForVolumes { region, .. } => {
                make(region)
            }
            KeyError::OtherRegion { region, .. } => {
                format!("name a key of {region}, or one multi-Region key under `multi_region`")
            }
            KeyError::NotMultiRegion { .. } => {
                "a key cannot be made one afterwards: make one with `aws kms create-key --multi-region`, or name a key for each Region".to_owned()
            }
            KeyError::NotThere { region, name, .. } if name.contains("key/mrk-") => format!(
                "make a replica: `aws kms replicate-key --key-id {} --replica-region {region}`, called in its primary Region",
                name.rsplit('/').next().unwrap_or(name)
            ),
            KeyError::NotThere { region, nearest: Some(nearest), .. } => {
                format!("write `{region} = \"{nearest}\"` under `[publish.keys]`")
            }
            KeyError::NotThere { region, .. } => make(region),
            KeyError::Disabled { region, key } => format!(
                "enable it: `aws kms enable-key --region {region} --key-id {}`, or name another",
                key.key_id()
            ),
            KeyError::PendingDeletion { region, key, .. } => format!(
                "name another key; or keep this one: `aws kms cancel-key-deletion --region {region} --key-id {0}`, then `aws kms enable-key --region {region} --key-id {0}`",
                key.key_id()
            ),
            KeyError::NotUsable { .. } => "wait until it is enabled, or name another key".to_owned(),
            KeyError::Aws { error, .. } => match error.kind {
                Kind::Denied => format!(
                    "let the principal use the key: its key policy must allow it, or leave it to the account's IAM policies, and these must allow {}; `alpine-ami doctor --iam-policy` prints the least policy",
                    error.action
                ),
                _ => error.advice(),
            },
        })
    }
}

/// The name of each Region's key: what `[publish.keys]` says of the Region, or else the replica of
/// the multi-Region key there.
///
/// # Errors
/// All that is wrong with the configuration, of all Regions.
pub fn names(keys: &Keys, regions: &[Region]) -> Result<BTreeMap<Region, String>, KeyErrors> {
    let each = regions.iter().map(|region| {
        let name = name(keys, region);
        (region.clone(), name)
    });
    gather(each)
}

/// What the configuration says of a Region.
fn name(keys: &Keys, region: &Region) -> Result<String, KeyError> {
    if let Some(name) = keys.by_region.get(region) {
        return usable_name(region, name);
    }
    match &keys.multi_region {
        Some(key) if &key.region() == region => Ok(key.to_string()),
        Some(key) if !key.is_multi_region() => Err(KeyError::NotMultiRegion {
            region: region.clone(),
            key: key.clone(),
        }),
        Some(key) => Ok(key.in_region(region).to_string()),
        None => Err(KeyError::Missing {
            region: region.clone(),
        }),
    }
}

fn usable_name(region: &Region, name: &str) -> Result<String, KeyError> {
    let malformed = || KeyError::Malformed {
        region: region.clone(),
        name: name.to_owned(),
    };
    let mut resource = name;
    if name.starts_with("arn:") {
        // arn:aws:kms:<Region>:<account>:key/… or alias/…
        let parts: Vec<&str> = name.splitn(6, ':').collect();
        let [_, _, "kms", place, _, rest] = parts[..] else {
            return Err(malformed());
        };
        let other: Region = place.parse().map_err(|_| malformed())?;
        if &other != region {
            return Err(KeyError::OtherRegion {
                region: region.clone(),
                name: name.to_owned(),
                other,
            });
        }
        resource = rest;
        if rest.starts_with("key/") && name.parse::<KeyArn>().is_err() {
            return Err(malformed());
        }
    }
    if resource.starts_with("alias/aws/") {
        return Err(KeyError::AwsManaged {
            region: region.clone(),
            name: name.to_owned(),
        });
    }
    let is_id = |text: &str| {
        let is_good = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        let text = text.strip_prefix("mrk-").unwrap_or(text);
        text.len() >= 32 && text.bytes().all(is_good)
    };
    let is_alias = |text: &str| {
        let rest = text.strip_prefix("alias/").unwrap_or("");
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte);
        !rest.is_empty() && rest.bytes().all(is_good)
    };
    match resource {
        arn if arn.starts_with("key/") => Ok(name.to_owned()),
        text if is_alias(text) || is_id(text) => Ok(name.to_owned()),
        _ => Err(malformed()),
    }
}

/// Whether a key can take a Region's snapshots.
///
/// # Errors
/// It cannot.
pub fn check(region: &Region, key: Key) -> Result<KeyArn, KeyError> {
    let region = region.clone();
    let date = key.deletion_date;
    if key.arn.region() != region {
        return Err(KeyError::OtherRegion {
            region,
            name: key.arn.to_string(),
            other: key.arn.region(),
        });
    }
    if !key.customer_managed {
        let name = key.arn.to_string();
        return Err(KeyError::AwsManaged { region, name });
    }
    if !key.encrypts_volumes() {
        return Err(KeyError::NotForVolumes {
            region,
            key: key.arn,
            spec: key.spec,
            usage: key.usage,
        });
    }
    let Key {
        arn: key, state, ..
    } = key;
    match state {
        KeyState::Enabled | KeyState::Updating => Ok(key),
        KeyState::Disabled => Err(KeyError::Disabled { region, key }),
        KeyState::PendingDeletion | KeyState::PendingReplicaDeletion => {
            Err(KeyError::PendingDeletion { region, key, date })
        }
        state => Err(KeyError::NotUsable { region, key, state }),
    }
}

/// The keys of all Regions, looked up in all of them at once.
///
/// # Errors
/// All that is wrong, of all Regions: with the configuration, or else with the keys.
pub async fn resolve(
    aws: &Aws,
    keys: &Keys,
    regions: &[Region],
) -> Result<BTreeMap<Region, KeyArn>, KeyErrors> {
    gather(resolve_each(aws, keys, regions).await)
}

/// The same for whoever can use what is good of it: what is wrong with one Region's key says
/// nothing of the others.
pub async fn resolve_each(
    aws: &Aws,
    keys: &Keys,
    regions: &[Region],
) -> BTreeMap<Region, Result<KeyArn, KeyError>> {
    let mut asked = JoinSet::new();
    let mut found = BTreeMap::new();
    for region in regions {
        match name(keys, region) {
            Ok(name) => {
                let (kms, region) = (aws.kms(region), region.clone());
                asked.spawn(async move {
                    let key = look_up(&kms, &region, &name).await;
                    (region, key)
                });
            }
            Err(error) => {
                found.insert(region.clone(), Err(error));
            }
        }
    }
    while let Some(answer) = asked.join_next().await {
        let (region, key) = answer.expect("a look-up does not panic");
        found.insert(region, key);
    }
    found
}

/// The key of one Region, by its name.
///
/// # Errors
/// It is not there, may not be seen, or is no good.
pub async fn look_up(kms: &Kms, region: &Region, name: &str) -> Result<KeyArn, KeyError> {
    match kms.describe(name).await {
        Ok(key) => check(region, key),
        Err(error) if error.kind == Kind::NotFound => Err(not_there(kms, region, name).await),
        Err(error) => Err(KeyError::Aws {
            region: region.clone(),
            error: Box::new(error),
        }),
    }
}

async fn not_there(kms: &Kms, region: &Region, name: &str) -> KeyError {
    let mut aliases = Vec::new();
    if name.starts_with("alias/") {
        // Who may not list them is told what is missing all the same.
        aliases = kms.aliases().await.unwrap_or_default();
    }
    KeyError::NotThere {
        region: region.clone(),
        name: name.to_owned(),
        nearest: nearest(name, &aliases),
        aliases,
    }
}

/// The alias that is spelt most like the name, if one is like it at all.
fn nearest(name: &str, aliases: &[String]) -> Option<String> {
    let likeness = |alias: &String| {
        let bare = |text: &str| text.trim_start_matches("alias/").to_ascii_lowercase();
        strsim::jaro_winkler(&bare(name), &bare(alias))
    };
    let best = aliases
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.8).then(|| best.clone())
}

/// All that was found, or all that is wrong.
fn gather<T>(
    each: impl IntoIterator<Item = (Region, Result<T, KeyError>)>,
) -> Result<BTreeMap<Region, T>, KeyErrors> {
    let mut good = BTreeMap::new();
    let mut bad = Vec::new();
    for (region, result) in each {
        match result {
            Ok(found) => {
                good.insert(region, found);
            }
            Err(error) => bad.push(error),
        }
    }
    match bad.is_empty() {
        true => Ok(good),
        false => Err(KeyErrors(bad)),
    }
}

#[cfg(test)]
mod tests;
