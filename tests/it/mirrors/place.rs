//! A repository, a cache and a root of a test's own, and the program between them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use alpine_ami::apk::fetch::{Fetcher, Limits};
use alpine_ami::apk::index::IndexPackage;
use alpine_ami::apk::keys::KeyRing;
use alpine_ami::apk::mirror::Repository;
use alpine_ami::apk::pack::{SigningKey, write_index};
use alpine_ami::apk::package::Package;
use alpine_ami::apk::store::Store;
use alpine_ami::arch::Arch;

use crate::support::{Crafted, Ended, program, repository, test_keys};

/// The package that is installed, and the one that it needs.
pub const APP: &str = "app-2.0-r1.apk";
pub const LIB: &str = "lib-1.5-r0.apk";
pub const INDEX: &str = "APKINDEX.tar.gz";

pub struct Place {
    dir: tempfile::TempDir,
}

/// Text that packing hardly makes shorter.
pub fn noise(bytes: usize, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..bytes).map(|_| random.alphanumeric()).collect()
}

impl Place {
    pub fn new() -> Place {
        Place::with(&[
            Crafted::new("app", "2.0-r1", "depend = lib").file("usr/bin/app", &noise(200_000, 1)),
            Crafted::new("lib", "1.5-r0", "").file("usr/lib/lib.so.1", "lib"),
        ])
    }

    pub fn with(packages: &[Crafted]) -> Place {
        let place = Place {
            dir: tempfile::tempdir().expect("a folder"),
        };
        repository(&place.repository(), packages, test_keys());
        let config = "[downloads]\nattempts = 2\nsilence_seconds = 2\n";
        fs::write(place.path("alpine-ami.toml"), config).expect("a configuration");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The repository's folder, and that of the packages in it.
    pub fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    pub fn packages(&self) -> PathBuf {
        self.repository().join("x86_64")
    }

    pub fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.packages().join(name)).expect(name)
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.path("cache/alpine-ami/packages")
    }

    /// The files of a folder of the store, by their names.
    pub fn stored(&self, folder: &str) -> Vec<(String, u64)> {
        let entries = fs::read_dir(self.store().join(folder))
            .into_iter()
            .flatten();
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("an entry"))
            // What is a download's at this moment may be gone at the next.
            .filter_map(|entry| {
                let size = entry.metadata().ok()?.len();
                Some((entry.file_name().to_string_lossy().into_owned(), size))
            })
            .collect();
        files.sort();
        files
    }

    /// How many packages the store has.
    pub fn kept_now(&self) -> usize {
        let folders = fs::read_dir(self.store()).into_iter().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.expect("an entry").path()));
        let files = files.flatten().map(|file| file.expect("an entry").path());
        files
            .filter(|file| file.extension().is_some_and(|end| end == "apk"))
            .count()
    }

    /// How many packages the store has; each is verified to be one of the repository's.
    #[track_caller]
    pub fn kept(&self) -> usize {
        let store = Store::new(self.store());
        let listed = self.listed();
        let there = listed.iter().filter(|one| {
            let path = store.path(&one.checksum);
            let verify = || Package::open(&path, &one.checksum, trusted());
            path.is_file() && verify().is_ok()
        });
        let whole = there.count();
        assert_eq!(
            whole,
            self.kept_now(),
            "something in the store is no package"
        );
        whole
    }

    /// That nothing half-done is left: neither in the store nor beside the root.
    #[track_caller]
    pub fn is_tidy(&self) {
        assert_eq!(self.stored("partial"), []);
        assert_eq!(self.stored("in-use"), []);
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.retain(|name| name.to_string_lossy().starts_with('.'));
        assert_eq!(names, [""; 0]);
    }

    /// The packages that the repository lists.
    pub fn listed(&self) -> Vec<IndexPackage> {
        let fetcher = Fetcher::new(Store::new(self.path("no-cache"))).expect("a fetcher");
        let repository = Repository::at(&self.repository().display().to_string());
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let index = fetcher.index(&repository, Arch::X86_64, trusted());
        runtime.block_on(index).expect("an index").packages
    }

    /// Writes the index anew, as if all packages had been built at that time.
    pub fn redate(&self, time: u64) {
        let mut packages = self.listed();
        for package in &mut packages {
            package.build_time = Some(time);
        }
        let key = SigningKey::read(&test_keys().private).expect("a key");
        write_index(&self.packages(), "test", &packages, &key).expect("an index");
    }

    /// Installs `app` into the folder `root`.
    pub fn installing(&self, base: &str, root: &str) -> Command {
        let mut command = program();
        command
            .current_dir(self.dir.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .args([
                "packages",
                "install",
                "--arch",
                "x86_64",
                "--repository",
                base,
            ])
            .arg("--root")
            .arg(self.path(root))
            .arg("--keys-dir")
            .arg(&test_keys().public_dir)
            .arg("app")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn install(&self, base: &str, root: &str) -> Ended {
        Ended::from(self.installing(base, root).output().expect("it starts"))
    }

    /// That the installed program is the packed one.
    #[track_caller]
    pub fn is_installed(&self, root: &str) {
        let program = fs::read(self.path(root).join("usr/bin/app")).expect("the program");
        assert!(program == noise(200_000, 1).into_bytes());
    }

    /// A fetcher with this place's store, whose deadlines are short.
    pub fn fetcher(&self) -> Fetcher {
        let limits = Limits {
            attempts: 2,
            silence: std::time::Duration::from_millis(300),
            pause: std::time::Duration::from_millis(1),
            ..Limits::default()
        };
        Fetcher::with_limits(Store::new(self.store()), limits).expect("a fetcher")
    }
}

/// The keys that tests sign with.
pub fn trusted() -> &'static KeyRing {
    static KEYS: LazyLock<KeyRing> = LazyLock::new(|| {
        let mut keys = KeyRing::default();
        keys.add_dir(&test_keys().public_dir).expect("keys");
        keys
    });
    &KEYS
}

/// Waits until something is so, which a broken program never makes it.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !is_so() {
        assert!(std::time::Instant::now() < limit, "it never comes: {what}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// The size of a file, 0 where there is none.
pub fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}
