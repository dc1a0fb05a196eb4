//! Verification: whether an AMI is what the publisher signed, and whether a file is.
//!
//! Nothing that is not signed is believed: which release an AMI is, its name says; what that release
//! is, the signed manifest says; and AWS says what the AMI is.

mod error;
mod verdict;

use std::collections::BTreeSet;
use std::path::Path;

use crate::aws::ec2::images::architecture;
use crate::aws::ec2::{Image, Mapping};
use crate::aws::{AmiId, Aws, Region};
use crate::channels::document::{self, CHANNEL_TYPE, Document, DocumentError, Seal};
use crate::channels::store;
use crate::list::catalog::{CatalogAddress, Source};
use crate::publish::bucket::keys;
use crate::publish::manifest::{Place, ReleaseManifest};
use crate::publish::papers::{self, MANIFEST_TYPE, SIGNED, UntrustedManifest};
use crate::publish::provenance;
use crate::publish::release::{AmiName, ReleaseId};
use crate::sign::key::short;
use crate::sign::{Envelope, KeyRing, OpenError};
use verdict::check;

pub use error::VerifyError;
pub use verdict::{Check, Verdict};

/// Verifies an AMI: against the signed manifest of the release that its name says it is, and the
/// channels that hold that.
///
/// # Errors
/// The AMI is not to be seen, or the catalog cannot be read: nothing can be said.
pub async fn ami(
    aws: &Aws,
    (ami, region): (&AmiId, &Region),
    (catalog, home): (&CatalogAddress, &Region),
    (ring, channels): (&KeyRing, &BTreeSet<String>),
) -> Result<Verdict, VerifyError> {
    let what = format!("{ami} in {region}");
    let image = aws.ec2(region).image(ami).await?;
    let image = image.ok_or_else(|| VerifyError::NoAmi {
        ami: ami.clone(),
        region: region.clone(),
        account: aws.account().to_string(),
    })?;
    let Some(AmiName { release, .. }) = AmiName::parse(&image.name) else {
        let told = format!("`{}` is no name that alpine-ami gives", image.name);
        return Ok(Verdict::of(
            what,
            None,
            None,
            vec![check("name", false, told)],
        ));
    };
    let source = Source::open(catalog, aws, home).await?;
    let path = keys::attachment(&release, SIGNED);
    let url = source.url(&path);
    let signed = match source.fetch(&path).await? {
        None => Err(UntrustedManifest::Missing),
        Some(bytes) => papers::open(&bytes, ring),
    };
    let (manifest, key) = match signed {
        Ok(signed) => signed,
        Err(why) => {
            let checks = vec![check("manifest", false, format!("{url}: {why}"))];
            return Ok(Verdict::of(what, Some(release), None, checks));
        }
    };
    let told = format!("{url}, signed by the key {}…", short(&key));
    let mut checks = vec![check("manifest", true, told)];
    checks.extend(compared(&image, region, &release, &manifest));
    let names = source.channels(channels).await?;
    for name in &names.names {
        match source.fetch(&store::key(name)).await {
            Ok(Some(bytes)) => checks.extend(in_channel(name, &bytes, ring, &manifest)),
            Ok(None) => {}
            // It may not be there: S3 says so also then, to those who may not list the bucket.
            Err(error) if error.is_denied() && !names.are_told => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Verdict::of(what, Some(release), Some(&manifest), checks))
}

/// What AWS says of an AMI, and what the publisher says.
fn compared(
    image: &Image,
    region: &Region,
    release: &ReleaseId,
    manifest: &ReleaseManifest,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let is_its = manifest.release == *release && manifest.name == image.name;
    checks.push(check("name", is_its, image.name.clone()));
    let owner = image.owner.as_ref();
    let told = owner.map_or("nobody".to_owned(), ToString::to_string);
    checks.push(check(
        "owner",
        owner == Some(&manifest.account),
        format!("account {told}"),
    ));
    let Some(place) = manifest.regions.get(region) else {
        let told = format!("{release} was not published in {region}");
        checks.push(check("ami", false, told));
        return checks;
    };
    let is_it = place.ami.as_ref() == Some(&image.id);
    let told = match (&place.ami, is_it) {
        (_, true) => image.id.to_string(),
        (Some(ami), false) => format!("the publisher's is {ami}, this is {}", image.id),
        (None, false) => "the publisher has none there".to_owned(),
    };
    checks.push(check("ami", is_it, told));
    checks.extend([
        snapshot(image, place),
        encrypted(image),
        boot(image, manifest),
    ]);
    checks
}

fn snapshot(image: &Image, place: &Place) -> Check {
    let found: Vec<String> = image
        .mappings
        .iter()
        .map(|disk| {
            disk.snapshot
                .as_ref()
                .map_or("none".to_owned(), ToString::to_string)
        })
        .collect();
    let expected: Vec<String> = place.snapshot.iter().map(ToString::to_string).collect();
    let told = match found == expected {
        true => expected.join(", "),
        false => format!(
            "the publisher's is {}, this AMI's is {}",
            expected.join(", "),
            found.join(", ")
        ),
    };
    check("snapshot", found == expected, told)
}

fn encrypted(image: &Image) -> Check {
    let is_encrypted = |disk: &Mapping| disk.encrypted == Some(true);
    let passed = !image.mappings.is_empty() && image.mappings.iter().all(is_encrypted);
    check(
        "encrypted",
        passed,
        if passed {
            "every disk"
        } else {
            "not every disk"
        },
    )
}

fn boot(image: &Image, manifest: &ReleaseManifest) -> Check {
    let arch = architecture(manifest.release.line.arch);
    let mode = image.boot_mode.as_deref().unwrap_or("none");
    let passed = image.architecture == arch && mode == manifest.boot.mode;
    let told = match passed {
        true => format!("{arch}, {mode}"),
        false => format!(
            "the publisher's is {arch}, {}; this AMI is {}, {mode}",
            manifest.boot.mode, image.architecture
        ),
    };
    check("boot", passed, told)
}

/// A channel, if it holds the release or cannot be trusted.
fn in_channel(
    name: &str,
    bytes: &[u8],
    ring: &KeyRing,
    manifest: &ReleaseManifest,
) -> Option<Check> {
    let title = format!("channel {name}");
    let channel = match document::read(name, bytes, Some(ring)) {
        Err(why) => return Some(check(title, false, why.to_string())),
        Ok(Document {
            seal: Seal::Unsigned | Seal::Unverified,
            ..
        }) => return Some(check(title, false, OpenError::Unsigned.to_string())),
        Ok(Document { channel, .. }) => channel,
    };
    let listed = channel
        .releases
        .iter()
        .find(|one| one.release == manifest.release)?;
    let mut places = listed.regions.iter();
    let agrees = places.all(|(region, listed)| {
        let place = manifest.regions.get(region);
        place.is_some_and(|place| {
            place.ami.as_ref() == Some(&listed.ami) && place.snapshot == listed.snapshot
        })
    });
    let agrees = agrees && listed.withdrawn == manifest.withdrawn;
    let told = match agrees {
        true => "signed, and it holds the release",
        false => "it says something else than the release's manifest",
    };
    Some(check(title, agrees, told))
}

/// Verifies a file: a signed manifest, a provenance statement, or a channel. AWS is not asked.
///
/// # Errors
/// It cannot be read, or is no signed document.
pub fn file(path: &Path, ring: &KeyRing) -> Result<Verdict, VerifyError> {
    let bytes = std::fs::read(path).map_err(|why| VerifyError::Read {
        path: path.to_owned(),
        why,
    })?;
    let envelope = Envelope::parse(&bytes).map_err(|why| VerifyError::NoEnvelope {
        path: path.to_owned(),
        why,
    })?;
    let what = path.display().to_string();
    let signed = |key: &str| format!("signed by the key {}…", short(key));
    let verdict = |name: &str, told: Result<String, String>| {
        let (passed, told) = match told {
            Ok(told) => (true, told),
            Err(told) => (false, told),
        };
        Verdict::of(what.clone(), None, None, vec![check(name, passed, told)])
    };
    Ok(match envelope.payload_type.as_str() {
        CHANNEL_TYPE => {
            let opened = envelope.open(CHANNEL_TYPE, ring);
            let told = opened.map(|opened| signed(&opened.key));
            verdict(
                "channel",
                told.map_err(|why| DocumentError::from(why).to_string()),
            )
        }
        provenance::TYPE => {
            let opened = envelope.open(provenance::TYPE, ring);
            let told = opened.map(|opened| signed(&opened.key));
            verdict("provenance", told.map_err(|why| why.to_string()))
        }
        MANIFEST_TYPE => match papers::open(&bytes, ring) {
            Err(why) => verdict("manifest", Err(why.to_string())),
            Ok((manifest, key)) => {
                let mut checks = vec![check("manifest", true, signed(&key))];
                let places = manifest.regions.iter();
                checks.extend(places.filter_map(|(region, place)| {
                    Some(check(
                        region.as_str(),
                        true,
                        place.ami.as_ref()?.to_string(),
                    ))
                }));
                Verdict::of(
                    what,
                    Some(manifest.release.clone()),
                    Some(&manifest),
                    checks,
                )
            }
        },
        other => {
            return Err(VerifyError::NoEnvelope {
                path: path.to_owned(),
                why: OpenError::OtherType {
                    found: other.chars().filter(char::is_ascii_graphic).collect(),
                    expected: MANIFEST_TYPE.to_owned(),
                },
            });
        }
    })
}
