//! Packages into a root: unpacking, scripts, triggers, and the database at the end.
//!
//! The order is apk's: for each package its pre-install script, its files, its post-install
//! script; triggers once, after the last package.

pub mod accounts;
mod ahead;
mod devices;
mod extract;
mod owners;
pub mod paths;
mod trigger;

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use self::accounts::Accounts;
use self::ahead::{Next, Opened};
use self::extract::{Target, extract};
use self::owners::{Owner, Owners};
use super::edit::Ids;
use super::error::ImageError;
use super::jail::{End, Jail, JailError};
use super::rootdir::RootDir;
use crate::apk::database::{self, Installed};
use crate::apk::dependency::Dependency;
use crate::apk::index::IndexPackage;
use crate::apk::keys::KeyRing;
use crate::apk::package::{PackageError, ScriptKind, Scripts};
use crate::apk::pkginfo::PkgInfo;
use crate::apk::record::Records;

/// A script that has not ended by then never will.
pub const SCRIPT_DEADLINE: Duration = Duration::from_secs(300);

/// A root that could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The package is not what its index says.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The package cannot be laid down.
    #[error("cannot unpack the package {package}: {source}")]
    Unpack {
        /// Name and version.
        package: String,
        /// Which entry and why.
        source: io::Error,
    },
    /// A script failed.
    #[error("the {script} script of {package} failed: {end}{}", indented(output))]
    Script {
        /// Name and version.
        package: String,
        /// Kind of the script.
        script: &'static str,
        /// How it ended.
        end: End,
        /// What it wrote.
        output: String,
    },
    /// The root cannot be read.
    #[error(transparent)]
    Read(#[from] ImageError),
    /// The package is not the one that the index lists under its name.
    #[error("the package {file} calls itself {found}, its index {expected}")]
    Misnamed {
        /// Its file.
        file: PathBuf,
        /// What its own description says.
        found: String,
        /// What the index says.
        expected: String,
    },
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// No scripts can be run.
    #[error(transparent)]
    Jail(#[from] JailError),
    /// The root cannot be written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn indented(output: &str) -> String {
    let lines: Vec<_> = output.lines().collect();
    let last = &lines[lines.len().saturating_sub(20)..];
    last.iter().map(|line| format!("\n  | {line}")).collect()
}

impl InstallError {
    /// What to do next.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            InstallError::Package(_) | InstallError::Misnamed { .. } => {
                Some("nothing of it was unpacked; fetch it again, or use another mirror")
            }
            InstallError::Unpack { source, .. } => match source.kind() {
                io::ErrorKind::AlreadyExists => {
                    Some("take one of the two packages out of the profile")
                }
                io::ErrorKind::PermissionDenied => Some(
                    "run as root, or as a user with sub-ids (/etc/subuid) and the package uidmap",
                ),
                io::ErrorKind::StorageFull => Some("make room, or put --out on another disk"),
                _ => None,
            },
            InstallError::Script { .. } => Some("run again with -v to see every script's output"),
            InstallError::Jail(_) => Some(
                "run as root, or as an ordinary user where user namespaces are allowed (kernel.unprivileged_userns_clone, apparmor_restrict_unprivileged_userns) with sub-ids in /etc/subuid and newuidmap (Debian's package uidmap)",
            ),
            InstallError::Interrupted => None,
            InstallError::Read(_) => Some("look at what the packages' scripts did to the root"),
            InstallError::Io { .. } => Some("name a folder that can be written and has room"),
        }
    }
}

/// A package to install and where its file is.
#[derive(Debug)]
pub struct Planned<'a> {
    /// Its index record.
    pub package: &'a IndexPackage,
    /// The tag of its repository.
    pub tag: Option<&'a str>,
    /// The verified file.
    pub file: PathBuf,
}

/// What a root is made of, beside its packages.
#[derive(Debug)]
pub struct InstallPlan<'a> {
    /// In order of installation.
    pub packages: &'a [Planned<'a>],
    /// What was asked for: `etc/apk/world`.
    pub world: &'a [Dependency],
    /// `etc/apk/arch`.
    pub arch: &'a str,
    /// Trusted keys.
    pub keys: &'a KeyRing,
    /// This program's executable, which scripts are run with.
    pub program: &'a Path,
    /// A script that is still running after so long is stopped, and with it the installation.
    pub script_deadline: Duration,
}

/// Fills the empty folder `root` and returns what was installed.
///
/// # Errors
/// See [`InstallError`]; the root is then of no use.
pub fn install(root: &Path, plan: &InstallPlan<'_>) -> Result<Vec<Installed>, InstallError> {
    let handle = RootDir::open(root)?;
    let installer = Installer {
        root,
        handle,
        plan,
        jail: None,
        owners: Owners::default(),
        installed: Vec::new(),
    };
    std::thread::scope(|scope| {
        let (sender, receiver) = ahead::channel();
        scope.spawn(move || ahead::open(plan.packages, plan.keys, &sender));
        // It is dropped at the end of this, whatever that is: the other thread stops when it sends.
        installer.run(receiver)
    })
}

struct Installer<'a> {
    root: &'a Path,
    handle: RootDir,
    plan: &'a InstallPlan<'a>,
    jail: Option<Jail>,
    owners: Owners,
    installed: Vec<Installed>,
}

impl Installer<'_> {
    fn run(mut self, opened: Receiver<Next>) -> Result<Vec<Installed>, InstallError> {
        for planned in self.plan.packages {
            if crate::interrupt::raised() {
                return Err(InstallError::Interrupted);
            }
            let package = opened
                .recv()
                .expect("one comes for each that is planned, or an error");
            self.package(planned, package?)?;
        }
        self.triggers()?;
        self.finish()
    }

    fn package(&mut self, planned: &Planned<'_>, package: Opened) -> Result<(), InstallError> {
        let index = planned.package;
        let Opened {
            info,
            scripts,
            data,
        } = package;
        let id = format!("{}-{}", index.name, index.version);
        tracing::debug!(package = %id, "installing");
        if info.id().as_deref() != Some(id.as_str()) {
            return Err(InstallError::Misnamed {
                file: planned.file.clone(),
                found: info.id().unwrap_or_default(),
                expected: id,
            });
        }
        if scripts.contains_key(&ScriptKind::PostInstall) {
            // It gets ready while the files are laid down.
            self.jail()?;
        }
        // apk tells these scripts the version (apk-tools, `src/database.c`).
        let version = index.version.as_str();
        self.script(&id, ScriptKind::PreInstall, &scripts, &[version])?;
        let records = self.unpack(&info, data).map_err(|source| match source {
            Unpacking::Read(error) => InstallError::Read(error),
            Unpacking::Data(source) => InstallError::Unpack {
                package: id.clone(),
                source,
            },
        })?;
        self.script(&id, ScriptKind::PostInstall, &scripts, &[version])?;
        self.installed.push(Installed {
            info,
            checksum: index.checksum,
            arch: index.arch.to_string(),
            size: index.size,
            tag: planned.tag.map(str::to_owned),
            scripts: scripts.into_iter().collect(),
            records,
        });
        Ok(())
    }

    /// Lays down the files of a package, and takes those that it took over from other packages.
    fn unpack(&mut self, info: &PkgInfo, data: impl BufRead) -> Result<Records, Unpacking> {
        let accounts = Accounts::read(&self.handle).map_err(Unpacking::Read)?;
        let mut target = Target {
            root: self.handle.handle(),
            accounts: &accounts,
            owners: &mut self.owners,
        };
        let records = extract(data, &Rc::new(owner(info)), &mut target).map_err(Unpacking::Data)?;
        for (path, before) in &records.taken_over {
            let loser = self
                .installed
                .iter_mut()
                .find(|installed| installed.info.get("pkgname") == Some(before.as_str()));
            if let Some(loser) = loser {
                loser.records.remove_file(path);
            }
        }
        Ok(records)
    }

    /// Runs every trigger with the folders it watches, all of which are new in a fresh root.
    fn triggers(&mut self) -> Result<(), InstallError> {
        let directories = trigger::directories(&self.installed);
        let fired: Vec<_> = self
            .installed
            .iter()
            .filter_map(|package| {
                let globs: Vec<_> = package.info.words("triggers").collect();
                let matched = trigger::matching(&globs, &directories);
                let scripts: Scripts = package.scripts.iter().cloned().collect();
                (!matched.is_empty()).then(|| (package.id(), scripts, matched))
            })
            .collect();
        for (id, scripts, matched) in fired {
            let args: Vec<_> = matched.iter().map(String::as_str).collect();
            self.script(&id, ScriptKind::Trigger, &scripts, &args)?;
        }
        Ok(())
    }

    /// The jail, which is started when it is first needed.
    fn jail(&mut self) -> Result<&mut Jail, JailError> {
        let jail = match self.jail.take() {
            Some(jail) => jail,
            None => Jail::spawn(self.plan.program, self.root)?,
        };
        Ok(self.jail.insert(jail))
    }

    /// Runs one script as apk does: from `lib/apk/exec`, with the root as `/`.
    fn script(
        &mut self,
        id: &str,
        kind: ScriptKind,
        scripts: &Scripts,
        args: &[&str],
    ) -> Result<(), InstallError> {
        let Some(text) = scripts.get(&kind) else {
            return Ok(());
        };
        let name = format!("{id}.{}", kind.as_str());
        let deadline = self.plan.script_deadline;
        let outcome = self.jail()?.script(&name, text, args, deadline)?;
        for line in outcome.output.lines() {
            tracing::debug!(script = %name, "{line}");
        }
        if outcome.end != End::Exited(0) {
            return Err(InstallError::Script {
                package: id.to_owned(),
                script: kind.as_str(),
                end: outcome.end,
                output: outcome.output,
            });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Installed>, InstallError> {
        // Its mounts go with it, before anything reads the root.
        drop(self.jail.take());
        let world: Vec<_> = self.plan.world.iter().map(ToString::to_string).collect();
        let time = newest_build(self.plan.packages.iter().map(|planned| planned.package));
        let write = || -> io::Result<()> {
            for (path, bytes, mode) in
                database::files(&self.installed, &world, self.plan.arch, time)?
            {
                self.handle.put_file(path, &bytes, mode, Ids::ROOT)?;
            }
            Ok(())
        };
        write().map_err(|source| InstallError::Io {
            action: "write the package database of",
            path: self.root.to_owned(),
            source,
        })?;
        Ok(self.installed)
    }
}

/// The time of a set of packages: when the newest of them was built, in seconds since 1970. It
/// stands in for the clock wherever an image needs a time (`SOURCE_DATE_EPOCH`).
pub fn newest_build<'a>(packages: impl Iterator<Item = &'a IndexPackage>) -> u64 {
    packages
        .filter_map(|package| package.build_time)
        .max()
        .unwrap_or(0)
}

/// What came between a package and its place.
enum Unpacking {
    /// The root cannot be read.
    Read(ImageError),
    /// The package cannot be laid down.
    Data(io::Error),
}

fn owner(info: &PkgInfo) -> Owner {
    let name = |text: &str| {
        let end = text.find(['<', '>', '=', '~']).unwrap_or(text.len());
        text[..end].to_owned()
    };
    Owner {
        name: info.get("pkgname").unwrap_or_default().to_owned(),
        origin: info.get("origin").map(str::to_owned),
        replaces: info.words("replaces").map(name).collect(),
        replaces_priority: info
            .get("replaces_priority")
            .and_then(|number| number.parse().ok())
            .unwrap_or(0),
    }
}
