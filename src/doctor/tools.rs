//! What this machine must have to build images and to boot them. Publishing needs none of it, so
//! that nothing missing here is a failure; the finding says which command it is for.

use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Check, Group};

/// Firmware for virtual machines with UEFI, where distributions put it.
const FIRMWARE: [(&str, &str, &[&str]); 2] = [
    (
        "UEFI firmware (x86_64)",
        "ovmf",
        &[
            "usr/share/OVMF/OVMF_CODE_4M.fd",
            "usr/share/OVMF/OVMF_CODE.fd",
            "usr/share/edk2/ovmf/OVMF_CODE.fd",
            "usr/share/edk2/x64/OVMF_CODE.4m.fd",
        ],
    ),
    (
        "UEFI firmware (aarch64)",
        "qemu-efi-aarch64",
        &[
            "usr/share/AAVMF/AAVMF_CODE.no-secboot.fd",
            "usr/share/AAVMF/AAVMF_CODE.fd",
            "usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
        ],
    ),
];

/// Programs: name, what they are for, Debian's package.
const PROGRAMS: [(&str, &str, &str); 4] = [
    (
        "qemu-system-x86_64",
        "`test` and `sandbox` boot x86_64 images",
        "qemu-system-x86",
    ),
    (
        "qemu-system-aarch64",
        "`test` and `sandbox` boot aarch64 images",
        "qemu-system-arm",
    ),
    ("unshare", "`build` makes root trees", "util-linux"),
    ("setpriv", "`build` makes root trees", "util-linux"),
];

/// A machine as far as it is looked at.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where programs are looked for.
    pub path: Vec<PathBuf>,
    /// What `/` is.
    pub root: PathBuf,
    /// The user who runs this program, by number.
    pub uid: u32,
    /// The user's name.
    pub user: Option<String>,
}

impl Machine {
    /// The one that this program runs on.
    pub fn this() -> Machine {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Machine {
            path: std::env::split_paths(&path).collect(),
            root: PathBuf::from("/"),
            uid: rustix::process::geteuid().as_raw(),
            user: std::env::var("USER").ok(),
        }
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        let places = self.path.iter().map(|folder| folder.join(program));
        places.into_iter().find(|file| is_program(file))
    }
}

fn is_program(file: &Path) -> bool {
    let is_one = |data: std::fs::Metadata| data.is_file() && data.permissions().mode() & 0o111 != 0;
    std::fs::metadata(file).is_ok_and(is_one)
}

/// What there is and what is missing.
pub fn checks(machine: &Machine) -> Vec<Check> {
    let mut checks: Vec<Check> = PROGRAMS
        .iter()
        .map(|(name, use_, package)| program(machine, name, use_, package))
        .collect();
    checks.extend(FIRMWARE.map(|(name, package, files)| firmware(machine, name, package, files)));
    checks.push(kvm(machine));
    checks.push(privileges(machine));
    checks
}

fn install(package: &str) -> String {
    format!("install it: `apt-get install {package}` on Debian, or what holds it elsewhere")
}

fn program(machine: &Machine, name: &str, what_for: &str, package: &str) -> Check {
    match machine.find(name) {
        Some(file) => Check::ok(Group::Tools, name, file.display().to_string()),
        None => {
            let found = format!("is not installed; with it, {what_for}");
            Check::warning(Group::Tools, name, found, install(package))
        }
    }
}

fn firmware(machine: &Machine, name: &str, package: &str, files: &[&str]) -> Check {
    let files = files.iter().map(|file| machine.root.join(file));
    match files.into_iter().find(|file| file.is_file()) {
        Some(file) => Check::ok(Group::Tools, name, file.display().to_string()),
        None => {
            let found = "is not installed; with it, `test` boots images by UEFI";
            Check::warning(Group::Tools, name, found, install(package))
        }
    }
}

fn kvm(machine: &Machine) -> Check {
    let device = machine.root.join("dev/kvm");
    let name = "/dev/kvm";
    let slow = "machines are emulated, which takes ten times as long";
    match OpenOptions::new().read(true).write(true).open(&device) {
        Ok(_) => Check::ok(Group::Tools, name, "can be used"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Check::warning(
            Group::Tools,
            name,
            format!("is not there: {slow}"),
            "switch virtualization on, in the firmware or for this virtual machine",
        ),
        Err(error) => Check::warning(
            Group::Tools,
            name,
            format!("cannot be opened: {error}; {slow}"),
            "add this user to the group kvm",
        ),
    }
}

/// `build` needs root, or a user namespace with sub-ids.
fn privileges(machine: &Machine) -> Check {
    let name = "sub-ids";
    if machine.uid == 0 {
        return Check::ok(Group::Tools, name, "not needed: this is root");
    }
    let programs = ["newuidmap", "newgidmap"];
    let missing = programs.iter().find(|name| machine.find(name).is_none());
    if let Some(missing) = missing {
        let found = format!("{missing} is not installed; with it, `build` needs no root");
        return Check::warning(Group::Tools, name, found, install("uidmap"));
    }
    let files = ["etc/subuid", "etc/subgid"];
    let empty = files.iter().find(|file| !has_range(machine, file));
    match empty {
        None => Check::ok(Group::Tools, name, "granted to this user"),
        Some(file) => {
            let user = machine.user.as_deref().unwrap_or("USER");
            Check::warning(
                Group::Tools,
                name,
                format!("/{file} grants this user none; with them, `build` needs no root"),
                format!(
                    "as root: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`"
                ),
            )
        }
    }
}

/// `user:first:count`, by name or number (subuid(5)).
fn has_range(machine: &Machine, file: &str) -> bool {
    let text = std::fs::read_to_string(machine.root.join(file)).unwrap_or_default();
    let uid = machine.uid.to_string();
    text.lines().any(|line| {
        let owner = line.split(':').next();
        owner == Some(&uid) || (owner.is_some() && owner == machine.user.as_deref())
    })
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn what_is_missing_is_named_and_what_is_there_is_shown() {
        let root = tempfile::tempdir().expect("a folder");
        let bin = root.path().join("bin");
        std::fs::create_dir(&bin).expect("a folder");
        let machine = Machine {
            path: vec![bin.clone()],
            root: root.path().to_owned(),
            uid: 1000,
            user: Some("me".to_owned()),
        };
        let status = |name: &str| {
            let checks = checks(&machine);
            let check = checks.iter().find(|check| check.name == name);
            let check = check.expect("the check").clone();
            (check.status, check.advice.unwrap_or_default())
        };
        let all = checks(&machine);
        assert!(all.iter().all(|check| check.status == Status::Warning));
        assert!(all.iter().all(|check| check.advice.is_some()));

        let install = |name: &str, mode| {
            let file = bin.join(name);
            std::fs::write(&file, "").expect("a file");
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, mode).expect("its mode");
        };
        install("unshare", 0o644);
        assert_eq!(status("unshare").0, Status::Warning, "it cannot be run");
        install("unshare", 0o755);
        assert_eq!(status("unshare").0, Status::Ok);

        let ovmf = root.path().join("usr/share/edk2/x64");
        std::fs::create_dir_all(&ovmf).expect("a folder");
        std::fs::write(ovmf.join("OVMF_CODE.4m.fd"), "").expect("a file");
        assert_eq!(status("UEFI firmware (x86_64)").0, Status::Ok);

        assert!(status("sub-ids").1.contains("uidmap"));
        install("newuidmap", 0o755);
        install("newgidmap", 0o755);
        let etc = root.path().join("etc");
        std::fs::create_dir(&etc).expect("a folder");
        std::fs::write(etc.join("subuid"), "you:1:2\nme:100000:65536\n").expect("a file");
        assert!(status("sub-ids").1.contains("usermod"));
        std::fs::write(etc.join("subgid"), "1000:100000:65536\n").expect("a file");
        assert_eq!(status("sub-ids").0, Status::Ok);

        let dev = root.path().join("dev");
        std::fs::create_dir(&dev).expect("a folder");
        std::fs::write(dev.join("kvm"), "").expect("a file");
        assert_eq!(status("/dev/kvm").0, Status::Ok);
    }
}
