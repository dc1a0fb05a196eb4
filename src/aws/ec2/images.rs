//! AMIs: described, registered, copied, deregistered.

use std::fmt;

use aws_sdk_ec2::operation::describe_images::DescribeImagesOutput;
use aws_sdk_ec2::operation::describe_images::builders::DescribeImagesFluentBuilder;
use aws_sdk_ec2::types::{self, ResourceType};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::retirement::is_gone;
use super::{Ec2, PAGE, filter, specification, tags_from};
use crate::arch::Arch;
use crate::aws::error::{AwsError, Kind};
use crate::aws::names::{AccountId, AmiId, KeyArn, Region, SnapshotId};
use crate::aws::retry::Call;
use crate::aws::tags::{self, Tags};

/// An AMI, as DescribeImages shows it to those who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: AmiId,
    /// Unique in the account and Region.
    pub name: String,
    /// How far it is.
    pub state: ImageState,
    /// Why it is in that state, where AWS says so: of a failed copy, what went wrong.
    pub state_reason: Option<String>,
    /// EC2's name: `x86_64`, `arm64`.
    pub architecture: String,
    /// `legacy-bios`, `uefi` or `uefi-preferred`; none where the instance's type decides.
    pub boot_mode: Option<String>,
    /// The device of the root volume.
    pub root_device: Option<String>,
    /// Whether it can use the Elastic Network Adapter.
    pub ena: bool,
    /// `v2.0` where instances get version 2 of the metadata service only.
    pub imds: Option<String>,
    /// `v2.0` where instances get a TPM.
    pub tpm: Option<String>,
    /// What customers read.
    pub description: Option<String>,
    /// Whose it is.
    pub owner: Option<AccountId>,
    /// When it was made.
    pub created: Option<OffsetDateTime>,
    /// From when on it is deprecated, if it is to be.
    pub deprecation: Option<OffsetDateTime>,
    /// When it was last launched, as its owner's account sees it: a day late, and perhaps without
    /// other accounts' launches. Nothing is to be removed on that alone.
    pub last_launched: Option<OffsetDateTime>,
    /// Its tags, as the caller's account sees them.
    pub tags: Tags,
    /// Its disks.
    pub mappings: Vec<Mapping>,
    /// Whether everybody may launch it.
    pub public: bool,
}

/// A disk of an AMI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// `/dev/xvda`.
    pub device: String,
    /// What it begins with. A pending AMI may not show it yet.
    pub snapshot: Option<SnapshotId>,
    /// In GiB.
    pub volume_gib: Option<u32>,
    /// `gp3`, …
    pub volume_type: Option<String>,
    /// Whether the volume is encrypted, where AWS says so.
    pub encrypted: Option<bool>,
    /// Whether the volume dies with its instance.
    pub delete_on_termination: bool,
}

/// How far an AMI is.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Image.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    /// It is being made.
    Pending,
    /// It can be launched.
    Available,
    /// It could not be made.
    Failed,
    /// Its owner disabled it.
    Disabled,
    /// It is no more.
    Deregistered,
    /// AWS's `error`, `invalid`, `transient`, and what is new to this program.
    Other(String),
}

impl ImageState {
    /// AWS's word.
    pub fn as_str(&self) -> &str {
        match self {
            ImageState::Pending => "pending",
            ImageState::Available => "available",
            ImageState::Failed => "failed",
            ImageState::Disabled => "disabled",
            ImageState::Deregistered => "deregistered",
            ImageState::Other(word) => word,
        }
    }

    fn of(word: &str) -> ImageState {
        match word {
            "pending" => ImageState::Pending,
            "available" => ImageState::Available,
            "failed" => ImageState::Failed,
            "disabled" => ImageState::Disabled,
            "deregistered" => ImageState::Deregistered,
            other => ImageState::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for ImageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Image {
    /// The mapping of the root device.
    pub fn root(&self) -> Option<&Mapping> {
        let root = self.root_device.as_deref()?;
        self.mappings.iter().find(|mapping| mapping.device == root)
    }

    /// The snapshot of the root device.
    pub fn root_snapshot(&self) -> Option<&SnapshotId> {
        self.root()?.snapshot.as_ref()
    }

    /// Its snapshots.
    pub fn snapshots(&self) -> impl Iterator<Item = &SnapshotId> {
        self.mappings
            .iter()
            .filter_map(|mapping| mapping.snapshot.as_ref())
    }

    /// The release that it is tagged with.
    pub fn release(&self) -> Option<&str> {
        self.tags.get(tags::RELEASE)
    }
}

/// What RegisterImage is given, all in one call: an AMI that gets its properties one after the
/// other can be launched without them.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The AMI's name.
    pub name: &'a str,
    /// What customers read; ASCII, at most 255 characters.
    pub description: &'a str,
    /// What it runs on.
    pub arch: Arch,
    /// `legacy-bios`, `uefi` or `uefi-preferred`.
    pub boot_mode: &'a str,
    /// Whether instances get a TPM.
    pub tpm: bool,
    /// The device of the root volume.
    pub root_device: &'a str,
    /// What the root volume begins with; completed.
    pub snapshot: &'a SnapshotId,
    /// Size of the root volume, in GiB.
    pub volume_gib: u32,
    /// The AMI's tags.
    pub tags: &'a Tags,
}

/// What CopyImage is given.
#[derive(Debug, Clone, Copy)]
pub struct ImageCopy<'a> {
    /// The AMI.
    pub source: &'a AmiId,
    /// Where it is.
    pub source_region: &'a Region,
    /// The copy's name.
    pub name: &'a str,
    /// What customers read of the copy.
    pub description: &'a str,
    /// The key that the copy's snapshots are encrypted under, in the copy's Region.
    pub key: &'a KeyArn,
    /// The same token makes the same copy, once.
    pub token: &'a str,
    /// Tags of the copy and of its snapshots.
    pub tags: &'a Tags,
}

impl Ec2 {
    /// The AMI of that id, of whatever state, whoever's it is: the account's own, or one that is
    /// public or shared with it. None if there is none, or none that the account may see.
    ///
    /// # Errors
    /// Those of DescribeImages.
    pub async fn image(&self, id: &AmiId) -> Result<Option<Image>, AwsError> {
        let call = Call::new("ec2:DescribeImages", id);
        let request = self.client.describe_images().image_ids(id.as_str());
        let request = request.include_deprecated(true).include_disabled(true);
        let answer = self
            .caller
            .run(call.clone(), || request.clone().send())
            .await;
        match answer {
            Ok(answer) => Ok(self.images(&call, answer.images())?.pop()),
            // `Unavailable` is said of ids that were AMIs once.
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) if error.code.as_deref() == Some("InvalidAMIID.Unavailable") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The account's own AMIs of that name, of whatever state.
    ///
    /// # Errors
    /// Those of DescribeImages.
    pub async fn images_named(&self, name: &str) -> Result<Vec<Image>, AwsError> {
        self.own_images(name, filter("name", [name])).await
    }

    /// The account's own AMIs that are tagged with the release.
    ///
    /// # Errors
    /// Those of DescribeImages.
    pub async fn images_of_release(&self, release: &str) -> Result<Vec<Image>, AwsError> {
        let filter = filter(format!("tag:{}", tags::RELEASE), [release]);
        self.own_images(release, filter).await
    }

    /// The account's own AMIs that have one of these snapshots.
    ///
    /// # Errors
    /// Those of DescribeImages.
    pub async fn images_with(&self, snapshots: &[SnapshotId]) -> Result<Vec<Image>, AwsError> {
        if snapshots.is_empty() {
            return Ok(Vec::new());
        }
        let list: Vec<&str> = snapshots.iter().map(SnapshotId::as_str).collect();
        let filter = filter("block-device-mapping.snapshot-id", snapshots);
        self.own_images(&list.join(","), filter).await
    }

    /// The newest AMI of an owner's whose name is of a pattern, with `*` and `?` for wildcards:
    /// available, for machines of that architecture, and not deprecated unless it is the account's
    /// own. `owner` is an account's id, `self`, or an alias as `amazon`.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html>
    ///
    /// # Errors
    /// Those of DescribeImages.
    pub async fn newest_image(
        &self,
        owner: &str,
        name: &str,
        arch: Arch,
    ) -> Result<Option<Image>, AwsError> {
        let call = Call::new("ec2:DescribeImages", format!("{name} of {owner}"));
        // Taken as it is, where `filter` takes names without wildcards.
        let pattern = types::Filter::builder().name("name").values(name).build();
        let request = self
            .client
            .describe_images()
            .owners(owner)
            .filters(pattern)
            .filters(filter("architecture", [architecture(arch)]))
            .filters(filter("state", ["available"]))
            .filters(filter("virtualization-type", ["hvm"]))
            .max_results(PAGE);
        let images = self.all_images(&call, request).await?;
        let age = |image: &Image| (image.created, image.id.clone());
        Ok(images.into_iter().max_by_key(age))
    }

    /// The AMIs of an account that the caller may use, available, those that are deprecated too,
    /// whose name is of a pattern, with `*` and `?` for wildcards. Whoever else has AMIs of such
    /// names, they are none of these.
    ///
    /// # Errors
    /// Those of DescribeImages.
    pub async fn images_of(&self, owner: &AccountId, name: &str) -> Result<Vec<Image>, AwsError> {
        let call = Call::new("ec2:DescribeImages", format!("the AMIs of {owner}"));
        // Taken as it is, where `filter` takes names without wildcards.
        let pattern = types::Filter::builder().name("name").values(name).build();
        let request = self
            .client
            .describe_images()
            .owners(owner.as_str())
            .filters(pattern)
            .filters(filter("state", ["available"]))
            .include_deprecated(true)
            .max_results(PAGE);
        let mut images = self.all_images(&call, request).await?;
        images.retain(|image| image.owner.as_ref() == Some(owner));
        Ok(images)
    }

    pub(super) async fn own_images(
        &self,
        what: &str,
        filter: types::Filter,
    ) -> Result<Vec<Image>, AwsError> {
        let call = Call::new("ec2:DescribeImages", what);
        let request = self.client.describe_images().owners("self").filters(filter);
        let request = request.include_deprecated(true).include_disabled(true);
        self.all_images(&call, request.max_results(PAGE)).await
    }

    async fn all_images(
        &self,
        call: &Call,
        request: DescribeImagesFluentBuilder,
    ) -> Result<Vec<Image>, AwsError> {
        let ask = |token| request.clone().set_next_token(token).send();
        let mut images = Vec::new();
        for page in self
            .pages(call, ask, DescribeImagesOutput::next_token)
            .await?
        {
            images.extend(self.images(call, page.images())?);
        }
        Ok(images)
    }

    /// Registers an AMI. The call takes no client token: whoever gets no answer looks for the name.
    ///
    /// # Errors
    /// Those of RegisterImage; [`Kind::Exists`] where the account has an AMI of that name, which may
    /// be the one that an attempt before made.
    pub async fn register(&self, wanted: &Registration<'_>) -> Result<AmiId, AwsError> {
        let call = Call::new("ec2:RegisterImage", wanted.name);
        let request = self.registration(wanted);
        let answer = self
            .caller
            .run(call.clone(), || request.clone().send())
            .await?;
        self.made(&call, answer.image_id())
    }

    pub(super) fn registration(
        &self,
        wanted: &Registration<'_>,
    ) -> aws_sdk_ec2::operation::register_image::builders::RegisterImageFluentBuilder {
        let volume = types::EbsBlockDevice::builder()
            .snapshot_id(wanted.snapshot.as_str())
            .volume_size(i32::try_from(wanted.volume_gib).unwrap_or(i32::MAX))
            .volume_type(types::VolumeType::Gp3)
            .delete_on_termination(true)
            .build();
        let mapping = types::BlockDeviceMapping::builder()
            .device_name(wanted.root_device)
            .ebs(volume)
            .build();
        self.client
            .register_image()
            .name(wanted.name)
            .description(wanted.description)
            .architecture(architecture(wanted.arch).into())
            .virtualization_type("hvm")
            .boot_mode(wanted.boot_mode.into())
            .ena_support(true)
            .sriov_net_support("simple")
            .imds_support(types::ImdsSupportValues::V20)
            .set_tpm_support(wanted.tpm.then_some(types::TpmSupportValues::V20))
            .root_device_name(wanted.root_device)
            .block_device_mappings(mapping)
            .tag_specifications(specification(ResourceType::Image, wanted.tags))
    }

    /// Begins a copy into this Region. Keys are looked at later: what is wrong with one shows in the
    /// state of the copy.
    ///
    /// # Errors
    /// Those of CopyImage; [`Kind::Exists`] where the account has an AMI of that name,
    /// [`Kind::Conflict`] where the token was used with other parameters, [`Kind::Quota`] where too
    /// many copies into the Region are going on.
    pub async fn copy_image(&self, copy: &ImageCopy<'_>) -> Result<AmiId, AwsError> {
        let call = Call::new(
            "ec2:CopyImage",
            format!("{} from {}", copy.source, copy.source_region),
        );
        let request = self.copying(copy);
        let answer = self
            .caller
            .run(call.clone(), || request.clone().send())
            .await?;
        self.made(&call, answer.image_id())
    }

    pub(super) fn copying(
        &self,
        copy: &ImageCopy<'_>,
    ) -> aws_sdk_ec2::operation::copy_image::builders::CopyImageFluentBuilder {
        self.client
            .copy_image()
            .source_image_id(copy.source.as_str())
            .source_region(copy.source_region.as_str())
            .name(copy.name)
            .description(copy.description)
            .encrypted(true)
            .kms_key_id(copy.key.as_str())
            .client_token(copy.token)
            .tag_specifications(specification(ResourceType::Image, copy.tags))
            .tag_specifications(specification(ResourceType::Snapshot, copy.tags))
    }

    /// Deregisters an AMI, and deletes its snapshots if asked to; those that another AMI has too
    /// stay. One that is not there is no error.
    ///
    /// # Errors
    /// Those of DeregisterImage; it is protected, with what to do about it; a snapshot that could not
    /// be deleted.
    pub async fn deregister(&self, id: &AmiId, with_snapshots: bool) -> Result<(), AwsError> {
        let call = Call::new("ec2:DeregisterImage", id);
        let request = self.client.deregister_image().image_id(id.as_str());
        let request = request.delete_associated_snapshots(with_snapshots);
        let answer = match self
            .caller
            .run(call.clone(), || request.clone().send())
            .await
        {
            Ok(answer) => answer,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(self.protected(id, error)),
        };
        let failed = answer.delete_snapshot_results().iter().find(|result| {
            let code = result.return_code().map(|code| code.as_str());
            !matches!(code, Some("success" | "skipped") | None)
        });
        match failed.and_then(|result| Some((result.snapshot_id()?, result.return_code()?))) {
            None => Ok(()),
            Some((snapshot, code)) => {
                let kind = match code.as_str() {
                    "missing-permissions" => Kind::Denied,
                    "internal-error" => Kind::Server,
                    _ => Kind::Invalid,
                };
                let call = Call::new("ec2:DeleteSnapshot", snapshot);
                let why = format!("{id} is deregistered, but its snapshot is not deleted: {code}");
                Err(self.caller.refuse(&call, kind, why))
            }
        }
    }

    fn made(&self, call: &Call, id: Option<&str>) -> Result<AmiId, AwsError> {
        let id = id.unwrap_or_default().parse::<AmiId>();
        id.map_err(|error| self.caller.refuse(call, Kind::Invalid, error.to_string()))
    }

    fn images(&self, call: &Call, images: &[types::Image]) -> Result<Vec<Image>, AwsError> {
        images.iter().map(|image| self.typed(call, image)).collect()
    }

    fn typed(&self, call: &Call, image: &types::Image) -> Result<Image, AwsError> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let moment = |date: &str| OffsetDateTime::parse(date, &Rfc3339).ok();
        let reason = image.state_reason().and_then(|reason| reason.message());
        Ok(Image {
            id: self.made(call, image.image_id())?,
            name: image.name().unwrap_or_default().to_owned(),
            state: ImageState::of(image.state().map_or("", |state| state.as_str())),
            state_reason: text(reason),
            architecture: image
                .architecture()
                .map_or("", |arch| arch.as_str())
                .to_owned(),
            boot_mode: text(image.boot_mode().map(|mode| mode.as_str())),
            root_device: text(image.root_device_name()),
            ena: image.ena_support().unwrap_or(false),
            imds: text(image.imds_support().map(|imds| imds.as_str())),
            tpm: text(image.tpm_support().map(|tpm| tpm.as_str())),
            description: text(image.description()),
            owner: image.owner_id().and_then(|owner| owner.parse().ok()),
            created: image.creation_date().and_then(moment),
            deprecation: image.deprecation_time().and_then(moment),
            last_launched: image.last_launched_time().and_then(moment),
            tags: tags_from(image.tags()),
            mappings: image
                .block_device_mappings()
                .iter()
                .filter_map(mapping)
                .collect(),
            public: image.public().unwrap_or(false),
        })
    }
}

/// EC2's name of an architecture.
pub fn architecture(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64",
        Arch::Aarch64 => "arm64",
    }
}

/// A mapping of a volume; one of an instance store is none.
fn mapping(mapping: &types::BlockDeviceMapping) -> Option<Mapping> {
    let volume = mapping.ebs()?;
    Some(Mapping {
        device: mapping.device_name()?.to_owned(),
        snapshot: volume.snapshot_id().and_then(|id| id.parse().ok()),
        volume_gib: volume.volume_size().and_then(|gib| u32::try_from(gib).ok()),
        volume_type: volume.volume_type().map(|kind| kind.as_str().to_owned()),
        encrypted: volume.encrypted(),
        delete_on_termination: volume.delete_on_termination().unwrap_or(false),
    })
}
