//! What an instance's processes see of this machine: all of it, but for devices, processes, folders
//! that they write to, and the ways to switch it off.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::mount::{self, MountFlags};

use super::home::{self, FOLDERS, Setup};
use super::loops::Loop;

/// Device nodes of this machine's that they have; loop devices besides.
const DEVICES: [&str; 7] = [
    "null",
    "zero",
    "full",
    "random",
    "urandom",
    "tty",
    "loop-control",
];
/// Whoever writes `o` to it switches the machine off that the kernel runs on, which is this one.
const SYSRQ: &str = "/proc/sysrq-trigger";
/// Device number of `/dev/null`.
const NULL: (u32, u32) = (1, 3);
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What is read there is another UUID each time.
const NEW_UUID: &str = "/proc/sys/kernel/random/uuid";
/// What is written to it is the instance's console output.
pub(super) const CONSOLE: &str = "/dev/console";

/// Puts an instance's own things in the place of this machine's. For its first process, in a mount
/// namespace of its own from which no mount spreads, before anything is started in it.
///
/// # Errors
/// Something cannot be put there: nothing may be started.
pub(super) fn enter(setup: &Setup, loops: &[Loop]) -> io::Result<()> {
    let because = |what: &'static str| {
        move |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("cannot give it {what} of its own: {error}"),
            )
        }
    };
    // While this machine's own are still in sight.
    devices(&setup.home.join("dev"), loops).map_err(because("/dev"))?;
    processes(&setup.home).map_err(because("/proc"))?;
    kernel_objects().map_err(because("/sys"))?;
    folders(&setup.home).map_err(because("folders"))?;
    runtime_files().map_err(because("/run"))?;
    rustix::system::sethostname(setup.hostname.as_bytes())
        .map_err(|error| because("a host name")(error.into()))
}

/// Its `/dev`.
fn devices(dev: &Path, loops: &[Loop]) -> io::Result<()> {
    fs::create_dir_all(dev)?;
    mount::mount("dev", dev, "tmpfs", MountFlags::NOSUID, Some(c"mode=0755"))?;
    for name in DEVICES
        .map(str::to_owned)
        .into_iter()
        .chain(loop_devices()?)
    {
        let host = Path::new("/dev").join(&name);
        if host.exists() {
            let node = dev.join(&name);
            File::create(&node)?;
            mount::mount_bind(&host, &node)?;
        }
    }
    for attached in loops {
        symlink(&attached.path, dev.join(&attached.name))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, dev.join(name))?;
    }
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC;
    for (name, kind, options) in [
        ("pts", "devpts", c"newinstance,ptmxmode=0666,mode=0620"),
        ("shm", "tmpfs", c"mode=1777"),
    ] {
        fs::create_dir(dev.join(name))?;
        mount::mount(name, dev.join(name), kind, quiet, Some(options))?;
    }
    // Not the file itself, which whoever writes to it without appending would empty.
    let console = dev.join("console");
    mknodat(CWD, &console, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    Ok(mount::mount_move(dev, "/dev")?)
}

/// `loop0` and so on.
fn loop_devices() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/dev")? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("loop").unwrap_or_default();
        if number.parse::<u32>().is_ok() {
            names.push(name.into_owned());
        }
    }
    Ok(names)
}

/// Its `/proc`, where the trigger is none, and a boot of its own: user data tells by it whether it
/// is the first.
fn processes(home: &Path) -> io::Result<()> {
    let boot_id = home.join("boot-id");
    fs::write(&boot_id, fs::read(NEW_UUID)?)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount::mount("proc", "/proc", "proc", flags, None)?;
    mount::mount_bind(&boot_id, BOOT_ID)?;
    mask(SYSRQ)
}

/// Has a file be `/dev/null`. A kernel without the file needs no mask of it.
fn mask(file: &str) -> io::Result<()> {
    match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    mount::mount_bind("/dev/null", file)?;
    let (major, minor) = NULL;
    match fs::metadata(file)?.rdev() == makedev(major, minor) {
        true => Ok(()),
        false => Err(io::Error::other(format!("{file} is still the kernel's"))),
    }
}

/// This machine's `/sys`, in which nothing can be written: what is there can switch it off, too.
fn kernel_objects() -> io::Result<()> {
    mount::mount_bind("/sys", "/sys")?;
    let flags = MountFlags::BIND
        | MountFlags::RDONLY
        | MountFlags::NOSUID
        | MountFlags::NODEV
        | MountFlags::NOEXEC;
    Ok(mount::mount_remount("/sys", flags, c"")?)
}

/// Folders of its own, the one last that hides them all, where they are in one of these.
fn folders(home: &Path) -> io::Result<()> {
    let mut folders = FOLDERS.map(|(folder, _)| folder);
    folders.sort_by_key(|folder| hides(folder, home));
    for folder in folders {
        mount::mount_bind(home::own(home, folder), folder).map_err(|error| {
            let error = io::Error::from(error);
            io::Error::new(error.kind(), format!("{folder}: {error}"))
        })?;
    }
    Ok(())
}

/// Whether a mount on the folder takes the home out of sight. The folder may be a link.
fn hides(folder: &str, home: &Path) -> bool {
    fs::canonicalize(folder).is_ok_and(|folder| home.starts_with(folder))
}

/// An empty `/run`: in this machine's are sockets and pipes by which its own init is told to switch
/// off. Resolvers keep the names of their servers there, too, and the network is this machine's.
fn runtime_files() -> io::Result<()> {
    let resolver = fs::canonicalize("/etc/resolv.conf").ok();
    let resolver = resolver.filter(|path| path.starts_with("/run"));
    let kept = resolver.and_then(|path| Some((fs::read(&path).ok()?, path)));
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount::mount("run", "/run", "tmpfs", flags, Some(c"mode=0755"))?;
    if let Some((text, path)) = kept {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}
