//! What a profile adds to the installed packages: users, overlays, services, repositories, keys.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

use super::install::accounts::Accounts;
use super::install::paths::{open_dir, remove};
use crate::overlay::{NodeKind, OverlayNode, Tree};
use crate::plan::Plan;
use crate::profile::error::nearest;
use crate::profile::{EntryMode, Runlevel, User};

/// A profile that does not fit its packages.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// A service that no package or overlay has.
    #[error(
        "no package or overlay has the service `{service}` (runlevel {runlevel}): there is no /etc/init.d/{service}"
    )]
    NoService {
        /// The service.
        service: String,
        /// Its runlevel.
        runlevel: &'static str,
        /// The nearest that there is.
        near: Option<String>,
    },
    /// A user or group that the root does not have.
    #[error("{what} belongs to {kind} `{name}`, which the image does not have")]
    NoAccount {
        /// A file of an overlay, or a user.
        what: String,
        /// `user` or `group`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Two users with one id or name.
    #[error("the user `{0}` cannot be added: its name or id is taken by a package's user or group")]
    UserTaken(String),
    /// The root cannot be written.
    #[error("cannot write {path} in the root: {source}")]
    Io {
        /// The path in the root.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ConfigureError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            ConfigureError::NoService { service, near, .. } => Some(match near {
                Some(near) => {
                    format!("did you mean `{near}`? where it need not be there, write `{service}?`")
                }
                None => format!(
                    "add the package that has it, or write `{service}?` where it need not be there"
                ),
            }),
            ConfigureError::NoAccount { .. } => Some(
                "add the package that makes it, or name another in overlay.toml or the profile"
                    .to_owned(),
            ),
            ConfigureError::UserTaken(_) => {
                Some("choose another name or `uid` in the profile".to_owned())
            }
            ConfigureError::Io { .. } => None,
        }
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> ConfigureError + '_ {
    move |source| ConfigureError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Brings the profile into a root whose packages are installed. `day` is today, in days since 1970,
/// as it is to stand in `etc/shadow`.
///
/// # Errors
/// See [`ConfigureError`].
pub fn configure(root: &Path, plan: &Plan, day: u64) -> Result<(), ConfigureError> {
    for (name, user) in &plan.profile.users {
        add_user(root, name, user, day)?;
    }
    lay_overlays(root, &plan.tree)?;
    enable_services(root, plan)?;
    let apk = root.join("etc/apk");
    let lines: String = plan
        .repositories
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    fs::create_dir_all(apk.join("keys")).map_err(at(&apk))?;
    fs::write(apk.join("repositories"), lines).map_err(at(&apk))?;
    for (name, pem) in plan.keys.iter() {
        let path = apk.join("keys").join(name);
        fs::write(&path, pem).map_err(at(&path))?;
    }
    Ok(())
}

/// Adds a user without a password, with a group of the same name and id.
///
/// Its password field is `*`, not `!`: sshd takes `!` for a locked account and refuses its keys too.
fn add_user(root: &Path, name: &str, user: &User, day: u64) -> Result<(), ConfigureError> {
    let accounts = Accounts::read(root);
    let uid = user.uid;
    let taken = accounts.has_uid(uid)
        || accounts.has_gid(uid)
        || accounts.user(name).is_some()
        || accounts.group(name).is_some();
    if taken {
        return Err(ConfigureError::UserTaken(name.to_owned()));
    }
    let shell = &user.shell;
    let home = format!("home/{name}");
    append(
        root,
        "etc/passwd",
        &format!("{name}:x:{uid}:{uid}::/{home}:{shell}\n"),
    )?;
    append(root, "etc/group", &format!("{name}:x:{uid}:\n"))?;
    append(
        root,
        "etc/shadow",
        &format!("{name}:*:{day}:0:99999:7:::\n"),
    )?;
    for group in &user.groups {
        join_group(root, name, &group.value)?;
    }
    let path = root.join(&home);
    fs::create_dir_all(&path).map_err(at(&path))?;
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)));
    let set = || -> io::Result<()> {
        rustix::fs::chown(&path, owner.0, owner.1)?;
        rustix::fs::chmod(&path, Mode::from_raw_mode(0o750))?;
        Ok(())
    };
    set().map_err(at(&path))
}

fn append(root: &Path, file: &str, line: &str) -> Result<(), ConfigureError> {
    let path = root.join(file);
    let mut text = fs::read_to_string(&path).map_err(at(&path))?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    fs::write(&path, text).map_err(at(&path))
}

/// Adds a user to the last field of a group's line.
fn join_group(root: &Path, user: &str, group: &str) -> Result<(), ConfigureError> {
    let path = root.join("etc/group");
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    let mut found = false;
    let lines = text.lines().map(|line| {
        if line.split(':').next() != Some(group) {
            return format!("{line}\n");
        }
        found = true;
        let separator = if line.ends_with(':') { "" } else { "," };
        format!("{line}{separator}{user}\n")
    });
    let text: String = lines.collect();
    if !found {
        return Err(ConfigureError::NoAccount {
            what: format!("the user `{user}`"),
            kind: "group",
            name: group.to_owned(),
        });
    }
    fs::write(&path, text).map_err(at(&path))
}

fn lay_overlays(root: &Path, tree: &Tree) -> Result<(), ConfigureError> {
    let accounts = Accounts::read(root);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle =
        rustix::fs::open(root, flags, Mode::empty()).map_err(|error| at(root)(error.into()))?;
    for (path, node) in tree {
        let account = |kind: &'static str, name: &str, id: Option<u32>| {
            id.ok_or_else(|| ConfigureError::NoAccount {
                what: format!("/{path} of the overlay `{}`", node.overlay),
                kind,
                name: name.to_owned(),
            })
        };
        let uid = account("user", &node.owner, accounts.user(&node.owner))?;
        let gid = account("group", &node.group, accounts.group(&node.group))?;
        lay(&handle, path, node, uid, gid).map_err(at(Path::new(path)))?;
    }
    Ok(())
}

fn lay(root: &OwnedFd, path: &str, node: &OverlayNode, uid: u32, gid: u32) -> io::Result<()> {
    let (dir, base) = path.rsplit_once('/').unwrap_or(("", path));
    let parent = make_dirs(root, dir)?;
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    let mode = Mode::from_raw_mode(node.mode);
    match &node.kind {
        NodeKind::Directory => {
            let made = make_dirs(&parent, base)?;
            rustix::fs::fchown(&made, owner.0, owner.1)?;
            rustix::fs::fchmod(&made, mode)?;
        }
        NodeKind::Symlink(target) => {
            remove(&parent, base)?;
            rustix::fs::symlinkat(target, &parent, base)?;
            let nofollow = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(&parent, base, owner.0, owner.1, nofollow)?;
        }
        NodeKind::File(bytes) => {
            remove(&parent, base)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&parent, base, flags, Mode::from_raw_mode(0o600))?;
            let mut file = fs::File::from(file);
            io::Write::write_all(&mut file, bytes)?;
            rustix::fs::fchown(&file, owner.0, owner.1)?;
            rustix::fs::fchmod(&file, mode)?;
        }
    }
    Ok(())
}

/// The folder `path`; what is missing of it is made, `0755 root:root`.
fn make_dirs(root: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    let mut handle = root.try_clone()?;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match rustix::fs::mkdirat(&handle, part, Mode::from_raw_mode(0o700)) {
            Ok(()) => {
                let made = open_dir(&handle, part)?;
                rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))?;
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        handle = open_dir(&handle, part)?;
    }
    Ok(handle)
}

/// Links services into their runlevels, as `rc-update add` does.
fn enable_services(root: &Path, plan: &Plan) -> Result<(), ConfigureError> {
    let init = root.join("etc/init.d");
    for (runlevel, services) in &plan.profile.services {
        let dir = root.join("etc/runlevels").join(runlevel.as_str());
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        for service in services {
            let name = &service.value;
            if !init.join(name).is_file() {
                if service.mode == EntryMode::Optional {
                    tracing::info!("service {name} is left out: no package has it");
                    continue;
                }
                return Err(no_service(&init, name, *runlevel));
            }
            let link = dir.join(name);
            match std::os::unix::fs::symlink(format!("/etc/init.d/{name}"), &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(at(&link)(error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn no_service(init: &Path, service: &str, runlevel: Runlevel) -> ConfigureError {
    let there: Vec<_> = fs::read_dir(init)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    ConfigureError::NoService {
        service: service.to_owned(),
        runlevel: runlevel.as_str(),
        near: nearest(service, there.iter().map(String::as_str)).map(str::to_owned),
    }
}
