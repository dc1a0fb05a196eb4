//! The folders of an instance that runs as processes: those that it writes to, which are its own
//! and last from one of its starts to the next, as a root volume does.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::sandbox::ec2::instances::{self, Instance, Phase};
use crate::sandbox::machines::console_file;
use crate::sandbox::shared::Shared;
use crate::sandbox::world::World;

/// Folders of this machine that have one of the instance's own in their place, with its mode: those
/// that user data writes to, and the first of its `PATH`, where its `poweroff` is. All are disk.
pub(super) const FOLDERS: [(&str, u32); 5] = [
    ("/var/lib", 0o755),
    ("/var/tmp", 0o1777),
    ("/root", 0o700),
    ("/tmp", 0o1777),
    ("/usr/local/sbin", 0o755),
];

/// The user data, if it is a script, in the instance's own `/var/lib`.
pub(super) const USER_DATA: &str = "user-data";
/// Is there once that was started: it runs once in an instance's life, as images have it.
pub(super) const USER_DATA_RAN: &str = "user-data.ran";
const POWEROFF: &str = include_str!("poweroff.sh");

/// What the first process is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    /// Has the instance's own folders, each at the path that it takes the place of.
    pub(super) home: PathBuf,
    /// What is written to `/dev/console` goes there.
    pub(super) console: PathBuf,
    /// The instance's host name.
    pub(super) hostname: String,
    /// Its volumes, the root volume left out.
    pub(super) volumes: Vec<Volume>,
}

/// A volume of an instance.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Volume {
    /// The name that it was attached under, such as `/dev/sdf`.
    pub(super) device: String,
    /// Its data.
    pub(super) file: PathBuf,
}

/// Where [`FOLDERS`] are in an instance's home.
pub(super) fn own(home: &Path, folder: &str) -> PathBuf {
    home.join(folder.trim_start_matches('/'))
}

/// Makes what is missing of an instance's folders, and a new file for its console. An error says
/// why it does not run.
pub(super) fn prepare(shared: &Shared, id: &str) -> Result<Setup, String> {
    let folder = folder(shared, id)?;
    let home = folder.join("home");
    let failed = |error: io::Error| format!("cannot use {}: {error}", folder.display());
    let (setup, script) = shared.read(|world| {
        let instance = world.ec2.instances.get(id);
        let instance = instance.ok_or("the instance is not there any more")?;
        let setup = Setup {
            home: home.clone(),
            console: folder.join("console.log"),
            hostname: instances::private_name(instance),
            volumes: volumes(shared, world, instance)?,
        };
        Ok::<_, String>((setup, script(instance)))
    })?;
    furnish(&home, script.as_deref())
        .and_then(|()| File::create(&setup.console))
        .map_err(failed)?;
    Ok(setup)
}

/// An instance's folder, made where it is missing. It has no links in it, so that what has another
/// folder mounted over it can be told by its name.
fn folder(shared: &Shared, id: &str) -> Result<PathBuf, String> {
    let console = console_file(shared, id);
    let folder = console.parent().unwrap_or(&shared.folder);
    fs::create_dir_all(folder)
        .and_then(|()| folder.canonicalize())
        .map_err(|error| format!("cannot use {}: {error}", folder.display()))
}

/// The volumes but for the first, which is the root volume.
fn volumes(shared: &Shared, world: &World, instance: &Instance) -> Result<Vec<Volume>, String> {
    let attached = instances::volumes(world, instance);
    let others = attached.into_iter().filter_map(|volume| {
        let attachment = volume.attachment.as_ref()?;
        let device = attachment.device.clone();
        (device != instance.root_device_name).then(|| {
            let file = shared.blocks.volume_file(&volume.id);
            let file = fs::canonicalize(&file)
                .map_err(|error| format!("cannot use {}: {error}", file.display()))?;
            Ok(Volume { device, file })
        })
    });
    others.collect()
}

/// An instance's user data, if it is a script.
fn script(instance: &Instance) -> Option<Vec<u8>> {
    // It was checked when it came in.
    let text = BASE64_STANDARD.decode(instance.user_data.as_ref()?).ok()?;
    text.starts_with(b"#!").then_some(text)
}

fn furnish(home: &Path, script: Option<&[u8]>) -> io::Result<()> {
    for (folder, mode) in FOLDERS {
        let own = own(home, folder);
        fs::create_dir_all(&own)?;
        fs::set_permissions(&own, fs::Permissions::from_mode(mode))?;
    }
    program(
        &own(home, "/usr/local/sbin").join("poweroff"),
        POWEROFF.as_bytes(),
    )?;
    match script {
        Some(text) => program(&own(home, "/var/lib").join(USER_DATA), text),
        None => Ok(()),
    }
}

fn program(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.set_permissions(fs::Permissions::from_mode(0o755))
}

/// Removes the folders of an instance that is gone for good; its console is still looked at.
pub(in crate::sandbox::machines) fn clear(shared: &Shared, id: &str) {
    let is_gone = shared.read(|world| {
        let instance = world.ec2.instances.get(id);
        instance.is_none_or(|instance| matches!(instance.phase, Phase::Terminated { .. }))
    });
    let home = shared.folder.join("machines").join(id).join("home");
    if is_gone
        && home.exists()
        && let Err(error) = fs::remove_dir_all(&home)
    {
        tracing::warn!(%error, folder = %home.display(), "sandbox: cannot remove");
    }
}
