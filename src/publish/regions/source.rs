//! Snapshots and AMIs that are there already, as what a release is made from.

use super::Origin;
use super::boot::{ROOT_DEVICE, default_mode};
use super::error::RegionError;
use crate::arch::Arch;
use crate::aws::ec2::images::architecture;
use crate::aws::ec2::{Image, ImageState, Snapshot, SnapshotState};
use crate::aws::tags::Tags;
use crate::aws::{AmiId, Aws, AwsError, KeyArn, Region, SnapshotId};
use crate::publish::manifest::Boot;
use crate::publish::release::ReleaseId;

/// An AMI that a release can be made from.
#[derive(Debug, Clone)]
pub struct SourceAmi {
    /// The AMI.
    pub image: Image,
    /// The snapshot of its root.
    pub snapshot: Snapshot,
    /// Where it is.
    pub region: Region,
    /// What it runs on.
    pub arch: Arch,
    /// How instances of it boot.
    pub boot: Boot,
    /// Size of its root volume, in GiB.
    pub volume_gib: u32,
}

impl SourceAmi {
    /// What the release's AMI in the home Region is made from: the snapshot itself if it lies there
    /// under the right key, else a copy of the AMI.
    pub fn origin(&self, home: &Region, key: &KeyArn) -> Origin {
        if self.region == *home && self.snapshot.key.as_ref() == Some(key) {
            Origin::Snapshot(self.snapshot.id.clone())
        } else {
            Origin::Ami {
                id: self.image.id.clone(),
                region: self.region.clone(),
            }
        }
    }
}

/// Looks whether a release can be made from a snapshot: it is the account's own, whole, encrypted
/// under the key of the home Region, and of no other release.
///
/// # Errors
/// It is not, and what to do about it.
pub async fn inspect_snapshot(
    aws: &Aws,
    home: &Region,
    id: &SnapshotId,
    key: &KeyArn,
    release: Option<&ReleaseId>,
) -> Result<Snapshot, RegionError> {
    let snapshot = aws.ec2(home).snapshot(id).await?;
    let account = aws.account();
    let release = release.map(ToString::to_string);
    let verdict = match &snapshot {
        None => Err(missing("snapshot", home)),
        Some(snapshot) if snapshot.owner.as_ref() != Some(account) => {
            Err(foreign(account.as_str()))
        }
        Some(snapshot) => check_snapshot(snapshot, release.as_deref())
            .and_then(|()| check_key(snapshot, home, key)),
    };
    match (snapshot, verdict) {
        (Some(snapshot), Ok(())) => Ok(snapshot),
        (_, Err(refusal)) => Err(refusal.on(home, id.as_str())),
        (None, Ok(())) => unreachable!("what is missing is refused"),
    }
}

/// Looks whether a release can be made from an AMI: it is the account's own, available, with one
/// disk, of an architecture and boot mode that this program knows.
///
/// # Errors
/// It is not, and what to do about it.
pub async fn inspect_ami(
    aws: &Aws,
    region: &Region,
    id: &AmiId,
    release: Option<&ReleaseId>,
) -> Result<SourceAmi, RegionError> {
    let ec2 = aws.ec2(region);
    let release = release.map(ToString::to_string);
    let refused = |refusal: Refusal| refusal.on(region, id.as_str());
    let Some(image) = ec2.image(id).await? else {
        return Err(refused(missing("AMI", region)));
    };
    if image.owner.as_ref() != Some(aws.account()) {
        return Err(refused(foreign(aws.account().as_str())));
    }
    let (arch, boot, root) = check_image(&image).map_err(refused)?;
    let Some(snapshot) = ec2.snapshot(&root).await? else {
        return Err(refused(missing("root's snapshot", region)));
    };
    check_snapshot(&snapshot, release.as_deref()).map_err(refused)?;
    let volume_gib = image.root().and_then(|root| root.volume_gib);
    Ok(SourceAmi {
        volume_gib: volume_gib.unwrap_or(snapshot.volume_gib),
        image,
        snapshot,
        region: region.clone(),
        arch,
        boot,
    })
}

/// Makes a snapshot that was there the release's, by its tags.
///
/// # Errors
/// Those of CreateTags.
pub async fn adopt_snapshot(
    aws: &Aws,
    home: &Region,
    id: &SnapshotId,
    tags: &Tags,
) -> Result<(), AwsError> {
    aws.ec2(home).tag(id.as_str(), tags).await
}

/// Why something cannot be published, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    why: String,
    next: String,
}

impl Refusal {
    fn new(why: impl Into<String>, next: impl Into<String>) -> Refusal {
        Refusal {
            why: why.into(),
            next: next.into(),
        }
    }

    fn on(self, region: &Region, id: &str) -> RegionError {
        RegionError::Source {
            region: region.clone(),
            source_id: id.to_owned(),
            why: self.why,
            next: self.next,
        }
    }
}

fn missing(what: &str, region: &Region) -> Refusal {
    Refusal::new(
        format!("there is no such {what} in {region} that the account may see"),
        "check the id and the Region, and whose credentials these are",
    )
}

fn foreign(account: &str) -> Refusal {
    Refusal::new(
        format!("it is not account {account}'s own"),
        "copy it into the account under the account's own key, and publish the copy",
    )
}

pub(super) fn check_snapshot(snapshot: &Snapshot, release: Option<&str>) -> Result<(), Refusal> {
    match (&snapshot.state, snapshot.release()) {
        (SnapshotState::Completed, None) => Ok(()),
        (SnapshotState::Completed, Some(other)) if Some(other) != release => Err(Refusal::new(
            format!("its snapshot {} is of the release {other}", snapshot.id),
            format!("publish {other} again to finish it, or publish a copy of the snapshot"),
        )),
        (SnapshotState::Completed, Some(_)) => Ok(()),
        (SnapshotState::Pending, _) => Err(Refusal::new(
            format!("its snapshot {} is not completed yet", snapshot.id),
            "wait until it is, then run the same command again",
        )),
        (state, _) => Err(Refusal::new(
            format!(
                "its snapshot {} is in the state {}: {}",
                snapshot.id,
                state.as_str(),
                snapshot
                    .state_message
                    .as_deref()
                    .unwrap_or("no reason given")
            ),
            "make it again",
        )),
    }
}

pub(super) fn check_key(snapshot: &Snapshot, home: &Region, key: &KeyArn) -> Result<(), Refusal> {
    let id = &snapshot.id;
    let copy = format!(
        "copy it under the right key and publish the copy: aws ec2 copy-snapshot --region {home} --source-region {home} --source-snapshot-id {id} --encrypted --kms-key-id {key}"
    );
    match &snapshot.key {
        _ if !snapshot.encrypted => Err(Refusal::new("it is not encrypted", copy)),
        Some(is) if is == key => Ok(()),
        Some(is) => {
            let why = format!("it is encrypted under {is}, not under {home}'s key {key}");
            Err(Refusal::new(why, copy))
        }
        None => Err(Refusal::new(
            "AWS does not say which key it is encrypted under",
            copy,
        )),
    }
}

pub(super) fn check_image(image: &Image) -> Result<(Arch, Boot, SnapshotId), Refusal> {
    if image.state != ImageState::Available {
        let why = format!("it is {}", image.state);
        return Err(Refusal::new(why, "publish one that is available"));
    }
    let arch = Arch::ALL
        .into_iter()
        .find(|arch| architecture(*arch) == image.architecture);
    let arch = arch.ok_or_else(|| {
        let why = format!("its architecture is {}", image.architecture);
        Refusal::new(why, "publish an AMI for x86_64 or arm64")
    })?;
    let only = match (image.snapshots().count(), image.root_snapshot()) {
        (1, Some(snapshot)) => snapshot.clone(),
        (count, _) => {
            let why = format!("it has {count} snapshots; a release has one, of the root device");
            return Err(Refusal::new(why, "publish an AMI with one disk"));
        }
    };
    let root_device = image
        .root_device
        .clone()
        .unwrap_or_else(|| ROOT_DEVICE.to_owned());
    if !image.ena {
        let next = "publish its snapshot instead: the AMI is then registered with what is needed";
        return Err(Refusal::new("it has no ENA support", next));
    }
    if image.imds.as_deref() != Some("v2.0") {
        let next = format!(
            "set it: aws ec2 modify-image-attribute --image-id {} --imds-support v2.0",
            image.id
        );
        return Err(Refusal::new(
            "it does not ask for version 2 of the metadata service",
            next,
        ));
    }
    let mode = image
        .boot_mode
        .as_deref()
        .unwrap_or(default_mode(arch))
        .to_owned();
    let tpm = image.tpm.is_some();
    Ok((
        arch,
        Boot {
            mode,
            tpm,
            root_device,
        },
        only,
    ))
}
