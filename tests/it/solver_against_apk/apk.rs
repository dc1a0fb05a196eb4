//! Alpine's own `apk` in a chroot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::super::solver_cases::Case;
use super::super::support::{shared_alpine, skip};
use super::{ARCH, REPOSITORIES};

const TESTS: &str = "solver_against_apk";

/// The shared Alpine data; where there is none, a line that says so, and nothing.
pub fn shared() -> Option<PathBuf> {
    let alpine = shared_alpine();
    if alpine.is_none() {
        skip(TESTS, "the shared Alpine data is not here");
    }
    alpine
}

/// A directory with Alpine's minimal root, the indexes, and an empty root to install into.
pub struct Apk {
    directory: tempfile::TempDir,
}

impl Apk {
    /// Nothing, and a line on stderr, where it cannot run here.
    pub fn prepare(alpine: &Path) -> Option<Apk> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        let archive = alpine.join("minirootfs-3.15.11-x86_64.tar.gz");
        let unpacked = Command::new("tar")
            .arg("xzf")
            .arg(archive)
            .arg("-C")
            .arg(root)
            .status();
        assert!(
            unpacked.is_ok_and(|status| status.success()),
            "tar cannot unpack the minimal root"
        );
        let target = root.join("target");
        for folder in ["etc/apk/keys", "lib/apk/db", "var/cache/apk"] {
            fs::create_dir_all(target.join(folder)).expect("a folder");
        }
        fs::write(target.join("lib/apk/db/installed"), "").expect("a file");
        fs::write(target.join("etc/apk/world"), "").expect("a file");
        fs::write(target.join("etc/apk/arch"), ARCH).expect("a file");
        for key in fs::read_dir(alpine.join("keys")).expect("keys") {
            let key = key.expect("a key").path();
            let name = key.file_name().expect("a name");
            fs::copy(&key, target.join("etc/apk/keys").join(name)).expect("a copy");
        }
        for repository in REPOSITORIES {
            let folder = format!("{repository}/{ARCH}");
            let into = root.join("repositories").join(&folder);
            fs::create_dir_all(&into).expect("a folder");
            let from = alpine
                .join("index/v3.19")
                .join(&folder)
                .join("APKINDEX.tar.gz");
            fs::copy(from, into.join("APKINDEX.tar.gz")).expect("a copy");
        }
        let apk = Apk { directory };
        match apk.run(&["--version"]) {
            Ok(output) if output.status.success() => Some(apk),
            outcome => {
                let why = format!("apk cannot run in a chroot, which needs root: {outcome:?}");
                skip(TESTS, &why);
                None
            }
        }
    }

    pub fn run(&self, arguments: &[&str]) -> std::io::Result<Output> {
        let mut command = Command::new("chroot");
        command.arg(self.directory.path()).arg("/sbin/apk");
        command.args(arguments).output()
    }

    /// What apk would install, in order, or its complaint.
    pub fn add(&self, world: &[String], repositories: &[&str]) -> Result<Vec<String>, String> {
        let mut arguments = vec!["add", "--root", "/target", "--simulate", "--no-network"];
        arguments.push("--allow-untrusted");
        // apk reads the last `-X` first.
        arguments.extend(
            repositories
                .iter()
                .rev()
                .flat_map(|repository| ["-X", repository]),
        );
        arguments.extend(world.iter().map(String::as_str));
        let output = self.run(&arguments).expect("apk runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(text + &String::from_utf8_lossy(&output.stderr));
        }
        let installed = text.lines().filter_map(|line| {
            let (_, package) = line.split_once(") Installing ")?;
            let (name, version) = package.split_once(" (")?;
            let name = name.split('@').next()?;
            Some(format!("{name}-{}", version.trim_end_matches(')')))
        });
        Ok(installed.collect())
    }
}

/// Writes an unsigned index, which apk reads with `--allow-untrusted`.
pub fn write_index(folder: &Path, text: &str) {
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join("APKINDEX"), text).expect("a file");
    let mut tar = Command::new("tar");
    tar.arg("czf").arg(folder.join("APKINDEX.tar.gz"));
    tar.arg("-C").arg(folder).arg("APKINDEX");
    assert!(tar.status().expect("tar runs").success());
}

/// What apk makes of a case.
pub fn add_case(apk: &Apk, name: &str, case: &Case) -> Result<Vec<String>, String> {
    let repositories = case.repositories.iter().map(|repository| {
        let path = format!("/cases/{name}/{}", repository.name);
        let folder = apk.directory.path().join(&path[1..]).join(ARCH);
        write_index(&folder, &repository.index);
        let tag = repository
            .tag
            .as_ref()
            .map_or_else(String::new, |tag| format!("@{tag} "));
        tag + &path
    });
    let repositories: Vec<String> = repositories.collect();
    let repositories: Vec<&str> = repositories.iter().map(String::as_str).collect();
    apk.add(&case.world, &repositories)
}
