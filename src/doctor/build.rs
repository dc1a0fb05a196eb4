//! What build instances need: base images, instance types, a network, workers.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Check, Group};
use crate::arch::Arch;
use crate::aws::{Aws, Kind, Region};
use crate::builder::ec2::InstanceBuildError;
use crate::builder::ec2::settings::BuildSettings;
use crate::builder::ec2::site::{Ground, subnets};

/// What there is for each architecture that a base image is named for. `own` is this program.
pub async fn checks(aws: &Aws, settings: &BuildSettings, home: &Region, own: &Path) -> Vec<Check> {
    let ec2 = aws.ec2(home);
    if let Err(error) = settings.check() {
        return vec![failed("settings", &error.into())];
    }
    let subnets = match subnets(&ec2, &settings.subnets).await {
        Ok(subnets) => subnets,
        Err(error) => return vec![failed("network", &error)],
    };
    let ids: Vec<_> = subnets.iter().map(|subnet| subnet.id.as_str()).collect();
    let mut checks = vec![Check::ok(Group::Build, "network", ids.join(", "))];
    for arch in settings.base_images.keys() {
        let found = Ground::look(&ec2, settings, own, &subnets, *arch).await;
        checks.push(match found {
            Ok(ground) => Check::ok(Group::Build, arch.to_string(), told(&ground, *arch)),
            Err(error) => failed(arch.as_str(), &error),
        });
    }
    checks
}

fn told(ground: &Ground, arch: Arch) -> String {
    let offers = ground.offers.iter();
    let types: BTreeSet<_> = offers.map(|offer| offer.instance_type.as_str()).collect();
    let types: Vec<_> = types.into_iter().collect();
    format!(
        "boots {}; worker for {arch}: {}; {} in {} zones and subnets",
        ground.image,
        ground.program.path.display(),
        types.join(", "),
        ground.offers.len()
    )
}

/// Who may not look says nothing of what is there: the role may be another command's.
fn failed(name: &str, error: &InstanceBuildError) -> Check {
    match error {
        InstanceBuildError::Aws(error) if error.kind == Kind::Denied => Check::skipped(
            Group::Build,
            name,
            format!("{error}; look with the role of `build`: --command build"),
        ),
        error => Check::failed(Group::Build, name, error.to_string(), error.advice()),
    }
}
