mod attributes;
mod describe;
mod devices;
mod launch;
mod power;

use crate::sandbox::error::ServiceError;
use crate::sandbox::service::Service;
use crate::sandbox::testing::{Bed, Xml};

/// A sandbox with an image, whose instances run without machines.
pub(in crate::sandbox) struct Lab {
    pub bed: Bed,
    pub image: String,
    pub snapshot: String,
}

pub(in crate::sandbox) type Params<'a> = &'a [(&'a str, &'a str)];

impl Lab {
    pub fn new() -> Lab {
        let bed = Bed::new();
        bed.shared.machines.pretend();
        let mut lab = Lab {
            bed,
            image: String::new(),
            snapshot: String::new(),
        };
        let volume = lab.ok(
            "CreateVolume",
            &[("AvailabilityZone", "us-east-1a"), ("Size", "2")],
        );
        let volume = volume.text("volumeId");
        let snapshot = lab.ok("CreateSnapshot", &[("VolumeId", volume)]);
        lab.snapshot = snapshot.text("snapshotId").to_owned();
        lab.ok("DeleteVolume", &[("VolumeId", volume)]);
        lab.image = lab.register("one", &[("ImdsSupport", "v2.0"), ("EnaSupport", "true")]);
        lab
    }

    /// Registers an image of the snapshot.
    pub fn register(&self, name: &str, more: Params<'_>) -> String {
        let mut params = vec![
            ("Name", name),
            ("RootDeviceName", "/dev/xvda"),
            ("VirtualizationType", "hvm"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.SnapshotId", &self.snapshot),
        ];
        if !more.iter().any(|(name, _)| *name == "Architecture") {
            params.push(("Architecture", "x86_64"));
        }
        params.extend(more);
        self.ok("RegisterImage", &params).text("imageId").to_owned()
    }

    pub fn call(&self, action: &str, params: Params<'_>) -> Result<Xml, ServiceError> {
        self.bed.ec2("publisher", action, params)
    }

    pub fn ok(&self, action: &str, params: Params<'_>) -> Xml {
        match self.call(action, params) {
            Ok(xml) => xml,
            Err(error) => panic!("{action} {params:?}: {error}"),
        }
    }

    /// The code of the error that a call ends with, or nothing.
    pub fn code(&self, action: &str, params: Params<'_>) -> String {
        match self.call(action, params) {
            Ok(_) => String::new(),
            Err(error) => error.code.into_owned(),
        }
    }

    /// RunInstances of the image, with other parameters in place of the usual ones or besides
    /// them. One with an empty name takes the usual one of its value away.
    pub fn run_as(&self, account: &str, other: Params<'_>) -> Result<Xml, ServiceError> {
        let mut params: Vec<(&str, &str)> = vec![
            ("ImageId", &self.image),
            ("InstanceType", "t3.micro"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
        ];
        params.retain(|(name, _)| {
            !other
                .iter()
                .any(|(given, value)| given == name || given.is_empty() && value == name)
        });
        params.extend(other.iter().filter(|(name, _)| !name.is_empty()));
        self.bed
            .query(Service::Ec2, account, "us-east-1", "RunInstances", &params)
    }

    pub fn run(&self, other: Params<'_>) -> Result<Xml, ServiceError> {
        self.run_as("publisher", other)
    }

    /// The id of an instance that was launched so.
    pub fn launched(&self, other: Params<'_>) -> String {
        match self.run(other) {
            Ok(xml) => xml.text("instancesSet/item[0]/instanceId").to_owned(),
            Err(error) => panic!("{other:?}: {error}"),
        }
    }

    /// A member of an instance, as DescribeInstances gives it; empty where it is not there.
    pub fn member(&self, id: &str, path: &str) -> String {
        let xml = self.ok("DescribeInstances", &[("InstanceId.1", id)]);
        let path = format!("reservationSet/item[0]/instancesSet/item[0]/{path}");
        xml.get(&path).unwrap_or_default().to_owned()
    }

    pub fn state(&self, id: &str) -> String {
        self.member(id, "instanceState/name")
    }
}
