//! Where instances are launched, looked at before anything is made: base images, instance types,
//! subnets, the key, the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::InstanceBuildError;
use super::program::Program;
use super::settings::{BaseImage, BuildSettings};
use super::shelf::Shelf;
use crate::arch::Arch;
use crate::aws::ec2::images::architecture;
use crate::aws::ec2::{Ec2, Image, ImageState, Subnet};
use crate::aws::{AmiId, Aws, KeyArn, Place, Region, SubnetId};
use crate::publish::complete::Publisher;
use crate::publish::holder::new_run_id;
use crate::publish::keys;

/// Everything that builds of one run have in common.
#[derive(Debug, Clone)]
pub struct Site {
    /// The session.
    pub aws: Aws,
    /// The home Region, where instances run and snapshots are made.
    pub home: Region,
    /// The key that volumes, and so snapshots, are encrypted under.
    pub key: KeyArn,
    /// What lies in the bucket.
    pub shelf: Shelf,
    /// The run's id.
    pub run: String,
    /// How long a lease holds after its last renewal.
    pub lease: Duration,
    /// GiB of the volume that an image is built on.
    pub volume_gib: u32,
    /// How long an instance lives at most.
    pub life: Duration,
    /// Within which time it must report.
    pub report_within: Duration,
    /// Ids of security groups.
    pub security_groups: Vec<String>,
    /// What there is for each architecture.
    pub grounds: BTreeMap<Arch, Ground>,
}

/// What there is for instances of an architecture.
#[derive(Debug, Clone)]
pub struct Ground {
    /// What they boot.
    pub image: AmiId,
    /// Its root device.
    pub root_device: String,
    /// Types and zones in the order in which they are tried.
    pub offers: Vec<Offer>,
    /// What they run.
    pub program: Program,
}

impl Ground {
    /// Looks at what an architecture needs.
    ///
    /// # Errors
    /// What is missing, or no good.
    pub async fn look(
        ec2: &Ec2,
        settings: &BuildSettings,
        own: &Path,
        subnets: &[Subnet],
        arch: Arch,
    ) -> Result<Ground, InstanceBuildError> {
        let program = program(settings, own.to_owned(), arch).await?;
        let image = base_image(ec2, settings.base_image(arch)?, arch).await?;
        Ok(Ground {
            image: image.id,
            root_device: image.root_device.unwrap_or_else(|| "/dev/xvda".to_owned()),
            offers: offers(ec2, &settings.types(arch), subnets, arch).await?,
            program,
        })
    }
}

/// A type in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// `c7i.large`, …
    pub instance_type: String,
    /// Where.
    pub subnet: SubnetId,
    /// The subnet's zone.
    pub zone: String,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.instance_type, self.zone)
    }
}

impl Site {
    /// Looks at everything that builds for these architectures need.
    ///
    /// # Errors
    /// What is missing, or no good; nothing has been made.
    pub async fn look(
        aws: &Aws,
        publisher: &Publisher,
        settings: &BuildSettings,
        own: PathBuf,
        arches: &BTreeSet<Arch>,
    ) -> Result<Site, InstanceBuildError> {
        settings.check()?;
        let home = publisher.home.clone();
        let bucket = publisher.bucket(aws);
        let ec2 = aws.ec2(&home);
        let homes = [home.clone()];
        let (checked, keys, subnets) = tokio::join!(
            bucket.check(),
            keys::resolve(aws, &publisher.keys, &homes),
            subnets(&ec2, &settings.subnets),
        );
        checked?;
        let key = keys?.remove(&home).expect("the key that was asked for");
        let subnets = subnets?;
        let mut grounds = BTreeMap::new();
        for arch in arches {
            let ground = Ground::look(&ec2, settings, &own, &subnets, *arch).await?;
            grounds.insert(*arch, ground);
        }
        Ok(Site {
            aws: aws.clone(),
            key,
            shelf: Shelf::new(&bucket, settings.s3_endpoint.as_deref()),
            run: new_run_id(time::OffsetDateTime::now_utc()),
            lease: Duration::from_secs(publisher.lease_seconds),
            volume_gib: publisher.volume_gib,
            life: Duration::from_secs(u64::from(settings.minutes()) * 60),
            report_within: Duration::from_secs(settings.report_seconds().into()),
            security_groups: settings.security_groups.clone(),
            grounds,
            home,
        })
    }

    /// EC2 in the home Region.
    pub fn ec2(&self) -> Ec2 {
        self.aws.ec2(&self.home)
    }

    /// The home Region, for errors.
    pub fn place(&self) -> Place {
        self.ec2().place()
    }
}

/// Reads a whole file: off the threads that others wait on.
async fn program(
    settings: &BuildSettings,
    own: PathBuf,
    arch: Arch,
) -> Result<Program, InstanceBuildError> {
    let named = settings.workers.get(&arch).cloned();
    let find = move || Program::find(named.as_deref(), &own, arch);
    let found = tokio::task::spawn_blocking(find).await;
    Ok(found.expect("reading does not panic")?)
}

fn refused(ec2: &Ec2, what: impl ToString, why: &str, next: impl ToString) -> InstanceBuildError {
    InstanceBuildError::Ground {
        place: ec2.place(),
        what: what.to_string(),
        why: why.to_owned(),
        next: next.to_string(),
    }
}

async fn base_image(ec2: &Ec2, named: &BaseImage, arch: Arch) -> Result<Image, InstanceBuildError> {
    let what = format!("the base image {named} for {arch}");
    let found = match named {
        BaseImage::Id(id) => ec2.image(id).await?,
        BaseImage::Newest { owner, name } => ec2.newest_image(owner, name, arch).await?,
    };
    let Some(image) = found else {
        return Err(refused(
            ec2,
            what,
            "there is none that this account may launch",
            "correct it under [build.base_images]; it must be in the home Region, and be the account's own, public, or shared with it",
        ));
    };
    if image.architecture != architecture(arch) {
        let why = format!("it is for {}", image.architecture);
        return Err(refused(ec2, what, &why, format!("name one for {arch}")));
    }
    if image.state != ImageState::Available {
        let why = format!("it is {}", image.state);
        return Err(refused(ec2, what, &why, "name one that is available"));
    }
    Ok(image)
}

/// The subnets that are named, or those of the default network, that a way leads out of.
///
/// # Errors
/// There is none.
pub async fn subnets(ec2: &Ec2, named: &[SubnetId]) -> Result<Vec<Subnet>, InstanceBuildError> {
    let mut subnets = Vec::new();
    for id in named {
        let subnet = ec2.subnet(id).await?;
        subnets.push(subnet.ok_or_else(|| {
            let next = "correct build.subnets: they are in the home Region, and this account's or shared with it";
            refused(ec2, id, "there is no such subnet", next)
        })?);
    }
    if named.is_empty() {
        subnets = ec2.default_subnets().await?;
    }
    if subnets.is_empty() {
        let next = "name subnets under build.subnets, or make a default network: aws ec2 create-default-vpc";
        return Err(refused(ec2, "the default network", "there is none", next));
    }
    let mut ways = Vec::new();
    let mut shut = Vec::new();
    for subnet in subnets {
        match ec2.routes_out(&subnet).await? {
            true => ways.push(subnet),
            false => shut.push(subnet.id.to_string()),
        }
    }
    if ways.is_empty() {
        let next = "an instance fetches its job from S3: give the subnet a gateway endpoint for S3, or a route to a NAT or internet gateway";
        let what = shut.join(", ");
        return Err(refused(ec2, what, "no route leads out of it to S3", next));
    }
    if !shut.is_empty() {
        tracing::warn!("passed over: no route leads out of {}", shut.join(", "));
    }
    Ok(ways)
}

/// Every type in every zone that has it, the types in their order.
async fn offers(
    ec2: &Ec2,
    types: &[String],
    subnets: &[Subnet],
    arch: Arch,
) -> Result<Vec<Offer>, InstanceBuildError> {
    let (zones, arches) = tokio::try_join!(ec2.offered(types), ec2.architectures(types))?;
    let next = format!("correct [build.instance_types]: {arch} = [\"…\"]");
    for (kind, runs) in &arches {
        if !runs.contains(&arch) {
            let why = format!("instances of this type do not run {arch}");
            return Err(refused(ec2, kind, &why, next));
        }
    }
    let mut offers = Vec::new();
    for kind in types {
        let Some(zones) = zones.get(kind) else {
            continue;
        };
        let fitting = subnets.iter().filter(|subnet| zones.contains(&subnet.zone));
        offers.extend(fitting.map(|subnet| Offer {
            instance_type: kind.clone(),
            subnet: subnet.id.clone(),
            zone: subnet.zone.clone(),
        }));
    }
    if offers.is_empty() {
        let zones: BTreeSet<&str> = subnets.iter().map(|subnet| subnet.zone.as_str()).collect();
        let zones: Vec<&str> = zones.into_iter().collect();
        let what = types.join(", ");
        let why = format!("none of these types is offered in {}", zones.join(", "));
        return Err(refused(ec2, what, &why, next));
    }
    Ok(offers)
}
