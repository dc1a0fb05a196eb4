//! Volumes that come to a machine while it runs, as AttachVolume brings them to an instance.
//!
//! PCI Express devices come to a running machine behind a port, and a machine has those that it was
//! started with. QEMU makes the device while the processors stand still, so that it has the names of an
//! EBS volume (see [`super::nvme_identity`]) when the guest looks at it first.

use std::path::Path;

use serde_json::{Value, json};

use super::command::{AttachedVolume, volume_serial};
use super::nvme_identity::Identity;

/// How many volumes a machine can be given while it runs.
pub const PORTS: usize = 4;

/// QEMU's arguments for the ports.
pub fn ports() -> impl Iterator<Item = String> {
    // Zero is the chassis of what is on the board.
    (0..PORTS).map(|port| {
        format!(
            "pcie-root-port,id={},chassis={},slot={port}",
            name(port),
            port + 1
        )
    })
}

fn name(port: usize) -> String {
    format!("port{port}")
}

/// What QEMU is told for a volume to come to a port: command and arguments.
pub fn commands(volume: &AttachedVolume, port: usize) -> [(&'static str, Value); 2] {
    let serial = volume_serial(&volume.id);
    [
        ("blockdev-add", disk(&serial, &volume.file)),
        (
            "device_add",
            json!({
                "driver": "nvme", "id": format!("{serial}-disk"), "drive": serial, "serial": serial,
                "bus": name(port),
            }),
        ),
    ]
}

/// As [`super::command`] has volumes that are there from the start.
fn disk(serial: &str, file: &Path) -> Value {
    json!({
        "driver": "raw", "node-name": serial, "discard": "unmap",
        "file": { "driver": "file", "filename": file, "discard": "unmap" },
    })
}

/// What the volume says of itself.
pub fn identity(volume: &AttachedVolume) -> Identity {
    Identity {
        serial: volume_serial(&volume.id),
        device_name: volume.device_name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_comes_to_a_port_of_its_own() {
        let volume = AttachedVolume {
            id: "vol-0b".to_owned(),
            file: "/v/b,c.raw".into(),
            device_name: "/dev/sdf".to_owned(),
        };
        let [(_, disk), (_, device)] = commands(&volume, 3);
        assert_eq!(disk["node-name"], device["drive"]);
        assert_eq!(disk["file"]["filename"], "/v/b,c.raw");
        assert_eq!(
            (&device["bus"], &device["serial"]),
            (&json!("port3"), &json!("vol0b"))
        );
        let ports: Vec<String> = ports().collect();
        assert_eq!(ports.len(), PORTS);
        assert_eq!(ports[3], "pcie-root-port,id=port3,chassis=4,slot=3");
    }
}
