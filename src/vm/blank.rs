//! Blank volumes of a machine that is tested, as if it had been launched with them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use super::command::AttachedVolume;
use crate::profile::TestVolume;

/// A blank volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlankVolume {
    /// The name that it is attached under, `/dev/xvdb`.
    pub device_name: String,
    /// Its size, in bytes.
    pub size: u64,
}

impl From<&TestVolume> for BlankVolume {
    fn from(volume: &TestVolume) -> BlankVolume {
        BlankVolume {
            device_name: volume.device.to_string(),
            size: volume.size.0,
        }
    }
}

/// The volumes' files in a folder, which take no room until the guest writes to them.
///
/// # Errors
/// A file cannot be made, or is there already.
pub fn attached(volumes: &[BlankVolume], folder: &Path) -> io::Result<Vec<AttachedVolume>> {
    // The first one is the root's.
    let numbered = volumes.iter().zip(2..);
    let made = numbered.map(|(volume, number)| {
        let file = folder.join(format!("volume-{number}.raw"));
        File::create_new(&file)?.set_len(volume.size)?;
        Ok(AttachedVolume {
            id: format!("vol-{number:017x}"),
            file,
            device_name: volume.device_name.clone(),
        })
    });
    made.collect()
}

/// What the metadata service says of the volumes that an instance was launched with.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html>
pub fn mappings(volumes: &[BlankVolume]) -> BTreeMap<String, String> {
    let numbered = volumes.iter().zip(1..);
    let named = numbered.map(|(volume, number)| {
        let name = &volume.device_name;
        let name = name.strip_prefix("/dev/").unwrap_or(name);
        (format!("block-device-mapping/ebs{number}"), name.to_owned())
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_volume_has_a_file_an_id_and_a_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let volumes = ["/dev/xvdb", "/dev/sdp"].map(|name| BlankVolume {
            device_name: name.to_owned(),
            size: 1 << 30,
        });
        let attached = attached(&volumes, folder.path()).expect("made");
        assert_eq!(attached[0].id, "vol-00000000000000002");
        assert_eq!(attached[1].id, "vol-00000000000000003");
        assert_eq!(attached[1].device_name, "/dev/sdp");
        for volume in attached {
            assert_eq!(volume.file.metadata().expect("a file").len(), 1 << 30);
        }
        let expected = [
            ("block-device-mapping/ebs1", "xvdb"),
            ("block-device-mapping/ebs2", "sdp"),
        ];
        let expected = expected.map(|(path, name)| (path.to_owned(), name.to_owned()));
        assert_eq!(mappings(&volumes), BTreeMap::from(expected));
    }
}
