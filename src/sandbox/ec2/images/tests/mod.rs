//! The rules of this room, each with a call that breaks it.

mod copy;
mod create;
mod describe;
mod life;
mod register;
mod share;

use std::collections::BTreeSet;

use crate::sandbox::clock::Timestamp;
use crate::sandbox::ec2::snapshots::{Origin, Progress, Snapshot};
use crate::sandbox::error::ServiceError;
use crate::sandbox::service::Service;
use crate::sandbox::testing::{Bed, Xml};

/// Parameters of a call.
type Given<'a> = &'a [(&'a str, &'a str)];

const US: &str = "us-east-1";
const EU: &str = "eu-central-1";
const SNAPSHOT: &str = "snap-00000000000000001";

/// A completed snapshot of `publisher`, unencrypted, of 2 GiB, in `us-east-1`.
fn snapshot(bed: &Bed, id: &str) -> Snapshot {
    Snapshot {
        id: id.to_owned(),
        owner: bed.caller("publisher").account,
        region: US.parse().expect("a Region"),
        size_gib: 2,
        description: String::new(),
        started: Timestamp(0),
        key: None,
        volume_id: "vol-ffffffff".to_owned(),
        progress: Progress::Until {
            ready: Timestamp(0),
            done: true,
        },
        shared_with: BTreeSet::new(),
        public: false,
        origin: Origin::Direct {
            parent: None,
            timeout_minutes: 60,
        },
        lineage: id.to_owned(),
    }
}

/// Puts a snapshot into the world, changed as the test wants it.
fn put_snapshot(bed: &Bed, id: &str, change: impl FnOnce(&mut Snapshot)) {
    let mut snapshot = snapshot(bed, id);
    change(&mut snapshot);
    bed.shared
        .transact(|world| {
            world.ec2.snapshots.insert(id, snapshot);
            Ok(())
        })
        .expect("a snapshot");
}

/// A sandbox with [`SNAPSHOT`].
fn bed() -> Bed {
    let bed = Bed::new();
    put_snapshot(&bed, SNAPSHOT, |_| {});
    bed
}

/// The parameters of an ordinary image of [`SNAPSHOT`]; `more` are added or put in their place, and
/// those that are `-` are left out.
fn image_params<'a>(name: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut params = vec![
        ("Name", name),
        ("Architecture", "x86_64"),
        ("VirtualizationType", "hvm"),
        ("RootDeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.SnapshotId", SNAPSHOT),
        ("BlockDeviceMapping.1.Ebs.VolumeType", "gp3"),
    ];
    for (name, value) in more {
        params.retain(|(known, _)| known != name);
        if *value != "-" {
            params.push((name, value));
        }
    }
    params
}

/// Registers an image of `publisher` in `us-east-1`.
fn register(bed: &Bed, name: &str, more: &[(&str, &str)]) -> Result<String, ServiceError> {
    let answer = bed.ec2("publisher", "RegisterImage", &image_params(name, more))?;
    Ok(answer.text("imageId").to_owned())
}

/// DescribeImages in `us-east-1`.
fn describe(bed: &Bed, account: &str, params: &[(&str, &str)]) -> Result<Xml, ServiceError> {
    bed.ec2(account, "DescribeImages", params)
}

/// The names of the images that a call finds.
fn found(bed: &Bed, account: &str, params: &[(&str, &str)]) -> Vec<String> {
    let answer = describe(bed, account, params).expect("images");
    let mut names: Vec<String> = answer
        .0
        .iter()
        .filter(|(path, _)| path.ends_with("]/name"))
        .map(|(_, name)| name.clone())
        .collect();
    names.sort();
    names
}

/// Calls in `us-east-1`, and gives the code of the error; panics where there is none.
fn code(bed: &Bed, account: &str, action: &str, params: &[(&str, &str)]) -> String {
    match bed.ec2(account, action, params) {
        Ok(answer) => panic!("{action} {params:?} succeeded: {answer:?}"),
        Err(error) => error.code.into_owned(),
    }
}

/// Calls in `us-east-1`, and must succeed.
fn ok(bed: &Bed, account: &str, action: &str, params: &[(&str, &str)]) -> Xml {
    ok_in(bed, account, US, action, params)
}

/// Calls in a Region, and must succeed.
fn ok_in(bed: &Bed, account: &str, region: &str, action: &str, params: &[(&str, &str)]) -> Xml {
    bed.query(Service::Ec2, account, region, action, params)
        .unwrap_or_else(|error| panic!("{action} {params:?}: {error}"))
}

/// Shares an image with `customer`.
fn share_with_customer(bed: &Bed, id: &str) {
    let customer = bed.caller("customer").account;
    let params = [
        ("ImageId", id),
        ("LaunchPermission.Add.1.UserId", customer.as_str()),
    ];
    ok(bed, "publisher", "ModifyImageAttribute", &params);
}

/// What `launchable` says to an account.
fn launchable(bed: &Bed, account: &str, id: &str) -> Result<(), String> {
    let request = crate::sandbox::testing::request("POST", "/", &[], b"");
    let context = bed.context(Service::Ec2, "RunInstances", account, US, request);
    context
        .read(|world| super::launchable(&context, world, id))
        .map(|_| ())
        .map_err(|error| error.code.into_owned())
}

/// Lets images be made public, in `us-east-1`.
fn unblock(bed: &Bed) {
    ok(bed, "publisher", "DisableImageBlockPublicAccess", &[]);
}
