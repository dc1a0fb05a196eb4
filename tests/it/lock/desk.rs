//! A publisher with one profile, a mirror of its own, and a machine with a store.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{self, Crafted, Ended, repository_of, test_keys};

/// A day, in seconds.
pub const DAY: u64 = 86_400;
/// The first day of the tests' mirrors, in seconds since 1970.
const FIRST: u64 = 1_700_000_000;

pub struct Desk {
    folder: tempfile::TempDir,
}

/// A package that was built on a day.
pub fn package(name: &str, version: &str, day: u64, more: &str) -> Crafted {
    let mut crafted = Crafted::new(name, version, more);
    let time = FIRST + day * DAY;
    crafted.info = crafted.info.replace(
        &format!("builddate = {FIRST}"),
        &format!("builddate = {time}"),
    );
    assert!(crafted.info.contains(&time.to_string()), "{}", crafted.info);
    crafted.file(&format!("usr/share/{name}"), version)
}

/// What the mirror has on its first day.
pub fn first_day() -> Vec<Crafted> {
    vec![
        package("app", "1.0-r0", 0, "depend = lib"),
        package("lib", "1.5-r0", 0, "provides = so:lib.so.1=1.5"),
        package("jq", "1.6-r0", 0, ""),
        package("grub", "2.06-r0", 0, ""),
    ]
}

/// What it has on the next: newer packages of the same names, and none of the old.
pub fn next_day() -> Vec<Crafted> {
    vec![
        package("app", "1.1-r0", 1, "depend = lib"),
        package("lib", "1.6-r0", 1, "provides = so:lib.so.1=1.6"),
        package("jq", "1.7-r0", 1, ""),
        package("grub", "2.06-r0", 0, ""),
    ]
}

impl Desk {
    pub fn new() -> Desk {
        let desk = Desk {
            folder: tempfile::tempdir().expect("a folder"),
        };
        fs::create_dir(desk.path("profiles")).expect("a folder");
        fs::write(
            desk.path("alpine-ami.toml"),
            "[paths]\nprofiles = [\"profiles\"]\n",
        )
        .expect("a configuration");
        desk.profile(&["app"]);
        desk.mirror("mirror", &first_day());
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the profile: what it asks for.
    pub fn profile(&self, packages: &[&str]) {
        let text = format!(
            "description = \"of a test\"\nversion = \"1\"\nalpine = \"3.15\"\narch = [\"x86_64\"]\n\
             firmware = [\"bios\"]\nmirrors = [\"{}\"]\nrepositories = [\"main\"]\n\
             packages = {packages:?}\n\
             [kernel]\nflavor = \"virt\"\ninitramfs = \"never\"\n\
             [boot]\npackages = [\"grub\"]\n[disk]\nsize = \"64MiB\"\nlabel = \"root\"\n",
            self.path("mirror").display()
        );
        fs::write(self.path("profiles/node.toml"), text).expect("a profile");
    }

    /// Makes a mirror that has these packages and no others.
    pub fn mirror(&self, name: &str, packages: &[Crafted]) {
        self.mirror_of(name, packages, None);
    }

    /// The same, of an index that was made on a day.
    pub fn mirror_of(&self, name: &str, packages: &[Crafted], day: Option<u64>) {
        let base = self.path(name).join("v3.15/main");
        if base.exists() {
            fs::remove_dir_all(&base).expect("removed");
        }
        let made = day.map(|day| FIRST + day * DAY);
        repository_of(&base, packages, test_keys(), made);
    }

    /// A package's file in the mirror.
    pub fn file(&self, id: &str) -> PathBuf {
        self.path("mirror/v3.15/main/x86_64")
            .join(format!("{id}.apk"))
    }

    pub fn lock_file(&self) -> PathBuf {
        self.path("locks/node-x86_64.lock.toml")
    }

    /// The lock's text.
    #[track_caller]
    pub fn text(&self) -> String {
        fs::read_to_string(self.lock_file()).expect("a lock")
    }

    /// Names and versions that are locked, but for the boot loader's.
    #[track_caller]
    pub fn locked(&self) -> BTreeSet<String> {
        let text = self.text();
        let lock: toml::Table = text.parse().expect("TOML");
        let packages = lock["image"]["packages"].as_array().expect("packages");
        let id = |package: &toml::Value| {
            let text = |key: &str| package[key].as_str().expect(key).to_owned();
            format!("{}-{}", text("name"), text("version"))
        };
        packages.iter().map(id).collect()
    }

    /// The program in the publisher's folder, with a store of that name.
    pub fn on(&self, store: &str, args: &[&str]) -> Command {
        let mut command = support::program();
        command
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", self.path(store))
            .env("NO_PROXY", "127.0.0.1")
            .args(args)
            .args(["--arch", "x86_64", "--keys-dir"])
            .arg(&test_keys().public_dir);
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::from(self.on("store", args).output().expect("it starts"))
    }

    /// `lock node`, with more arguments.
    pub fn lock(&self, more: &[&str]) -> Ended {
        self.run(&[&["lock", "node"], more].concat())
    }

    /// What it says as JSON, of a command that ended with this status.
    #[track_caller]
    pub fn json(&self, more: &[&str], status: i32) -> Value {
        let ended = self.lock(&[&["--output", "json"], more].concat());
        assert_eq!(ended.status, status, "{}", ended.stderr);
        let told: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        told["locks"][0].clone()
    }
}

/// How many packages a store has.
pub fn stored(store: &Path) -> usize {
    let mut count = 0;
    let mut folders = vec![store.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false => count += usize::from(path.extension().is_some_and(|name| name == "apk")),
            }
        }
    }
    count
}

pub fn set<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.into_iter().map(str::to_owned).collect()
}
