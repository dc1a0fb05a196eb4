//! What a profile adds to the installed packages: users, overlays, services, repositories, keys.

use std::io;

use super::edit::Ids;
use super::error::ImageError;
use super::install::accounts::Accounts;
use super::rootdir::RootDir;
use crate::overlay::{NodeKind, Tree};
use crate::plan::Plan;
use crate::profile::error::nearest;
use crate::profile::{EntryMode, Name, User};

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
    /// A file of an overlay cannot be laid down.
    #[error("cannot lay /{path} of the overlay `{overlay}` over the packages: {source}")]
    Overlay {
        /// The path in the image.
        path: String,
        /// The overlay.
        overlay: String,
        /// Why.
        source: io::Error,
    },
    /// The packages bring no accounts.
    #[error("the image has no /{0}: no package with accounts is among its packages")]
    NoAccounts(&'static str),
    /// Something in the root cannot be read.
    #[error(transparent)]
    Read(#[from] ImageError),
    /// The root cannot be written.
    #[error("cannot write /{path} of the image: {source}")]
    Io {
        /// The path in the image.
        path: String,
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
            ConfigureError::NoAccounts(_) => {
                Some("add `alpine-base` or `alpine-baselayout` to the packages".to_owned())
            }
            ConfigureError::Overlay { .. }
            | ConfigureError::Io { .. }
            | ConfigureError::Read(_) => Some(
                "look at what the packages put there: a symbolic link on the way is not followed"
                    .to_owned(),
            ),
        }
    }
}

fn at(path: &str) -> impl Fn(io::Error) -> ConfigureError + '_ {
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
pub fn configure(root: &RootDir, plan: &Plan, day: u64) -> Result<(), ConfigureError> {
    for (name, user) in &plan.profile.users {
        add_user(root, name, user, day)?;
    }
    lay_overlays(root, &plan.tree)?;
    enable_services(root, plan)?;
    let put = |path: &str, bytes: &[u8]| {
        root.put_file(path, bytes, 0o644, Ids::ROOT)
            .map_err(at(path))
    };
    // An overlay of the profile's own may say more than its repositories do.
    let path = "etc/apk/repositories";
    if !plan.tree.contains_key(path) {
        let lines: String = plan
            .repositories
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        put(path, lines.as_bytes())?;
    }
    for (name, pem) in plan.keys.iter() {
        put(&format!("etc/apk/keys/{name}"), pem)?;
    }
    Ok(())
}

/// Adds a user without a password, with a group of the same name and id.
///
/// Its password field is `*`, not `!`: sshd takes `!` for a locked account and refuses its keys too.
fn add_user(root: &RootDir, name: &Name, user: &User, day: u64) -> Result<(), ConfigureError> {
    let accounts = Accounts::read(root)?;
    let uid = user.uid;
    let taken = accounts.has_uid(uid)
        || accounts.has_gid(uid)
        || accounts.user(name).is_some()
        || accounts.group(name).is_some();
    if taken {
        return Err(ConfigureError::UserTaken(name.to_string()));
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
    let ids = Ids { uid, gid: uid };
    root.set_folder(&home, 0o750, ids).map_err(at(&home))
}

/// The text of one of the files with accounts, which `alpine-baselayout` brings.
fn accounts_file(root: &RootDir, path: &'static str) -> Result<String, ConfigureError> {
    root.read_text(path)?
        .ok_or(ConfigureError::NoAccounts(path))
}

fn append(root: &RootDir, path: &'static str, line: &str) -> Result<(), ConfigureError> {
    let mut text = accounts_file(root, path)?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    root.rewrite(path, &text).map_err(at(path))
}

/// Adds a user to the last field of a group's line.
fn join_group(root: &RootDir, user: &str, group: &str) -> Result<(), ConfigureError> {
    let path = "etc/group";
    let text = accounts_file(root, path)?;
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
    root.rewrite(path, &text).map_err(at(path))
}

fn lay_overlays(root: &RootDir, tree: &Tree) -> Result<(), ConfigureError> {
    let accounts = Accounts::read(root)?;
    for (path, node) in tree {
        let account = |kind: &'static str, name: &str, id: Option<u32>| {
            id.ok_or_else(|| ConfigureError::NoAccount {
                what: format!("/{path} of the overlay `{}`", node.overlay),
                kind,
                name: name.to_owned(),
            })
        };
        let ids = Ids {
            uid: account("user", &node.owner, accounts.user(&node.owner))?,
            gid: account("group", &node.group, accounts.group(&node.group))?,
        };
        match &node.kind {
            NodeKind::File(bytes) => root.put_file(path, bytes, node.mode, ids),
            NodeKind::Directory => root.set_folder(path, node.mode, ids),
            NodeKind::Symlink(target) => root.put_link(path, target, ids),
        }
        .map_err(|source| ConfigureError::Overlay {
            path: path.clone(),
            overlay: node.overlay.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Links services into their runlevels, as `rc-update add` does.
fn enable_services(root: &RootDir, plan: &Plan) -> Result<(), ConfigureError> {
    for (runlevel, services) in &plan.profile.services {
        let runlevel = runlevel.as_str();
        let dir = format!("etc/runlevels/{runlevel}");
        root.make_folder(&dir).map_err(at(&dir))?;
        for service in services {
            let name = &service.value;
            if root.file(&format!("etc/init.d/{name}"))?.is_none() {
                if service.mode == EntryMode::Optional {
                    tracing::info!("service {name} is left out: no package has it");
                    continue;
                }
                return Err(no_service(root, name, runlevel));
            }
            let link = format!("{dir}/{name}");
            let target = format!("/etc/init.d/{name}");
            root.put_link(&link, &target, Ids::ROOT)
                .map_err(at(&link))?;
        }
    }
    Ok(())
}

fn no_service(root: &RootDir, service: &str, runlevel: &'static str) -> ConfigureError {
    let there = root.names("etc/init.d").ok().flatten().unwrap_or_default();
    ConfigureError::NoService {
        service: service.to_owned(),
        runlevel,
        near: nearest(service, there.iter().map(String::as_str)).map(str::to_owned),
    }
}
