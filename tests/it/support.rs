//! What several tests need: the program, keys, crafted packages and repositories.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use alpine_ami::apk::fetch::Fetcher;
use alpine_ami::apk::index::IndexPackage;
use alpine_ami::apk::pack::{self, SigningKey};
use alpine_ami::apk::store::Store;
use alpine_ami::arch::Arch;
use alpine_ami::builder::draft::Draft;
use alpine_ami::config::Config;
use alpine_ami::plan::{Plan, SourceOverrides};
use alpine_ami::profile::ProfileSource;

/// The program, with a cache of the test's own.
pub fn program() -> Command {
    static CACHE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let cache = CACHE.get_or_init(|| tempfile::tempdir().expect("a cache"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_alpine-ami"));
    command
        .env("XDG_CACHE_HOME", cache.path())
        .env_remove("RUST_LOG");
    command
}

/// How a command ended: status, standard output, standard error.
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Ended {
            status: output.status.code().expect("it exited"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Ended {
    /// Standard output, of a command that succeeded.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.status, 0, "{}", self.stderr);
        self.stdout
    }

    /// Standard error, of a command that ended with `status`.
    #[track_caller]
    pub fn failed(self, status: i32) -> String {
        assert_eq!(self.status, status, "{}{}", self.stdout, self.stderr);
        assert!(
            self.stderr.starts_with("error: ") || self.stderr.contains("\nerror: "),
            "{}",
            self.stderr
        );
        self.stderr
    }
}

/// Runs the program.
pub fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    let output = program().args(args).output().expect("it starts");
    Ended::from(output)
}

/// Says, past the test runner's capture, that something was not tested, and why.
pub fn skip(test: &str, why: &str) {
    let line = format!("skipped: {test}: {why}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error is open");
}

/// The folder of real Alpine data, where there is one.
pub fn shared_alpine() -> Option<PathBuf> {
    let shared = std::env::var_os("ALPINE_AMI_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    Some(shared.join("alpine")).filter(|alpine| alpine.join("v3.19").is_dir())
}

/// The demo mirror, which `scripts/test` has made.
pub fn demo_mirror() -> PathBuf {
    let mirror = std::env::var_os("ALPINE_AMI_DEMO_MIRROR").map(PathBuf::from);
    let mirror =
        mirror.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/demo-mirror"));
    assert!(
        mirror.join("v3.15").is_dir(),
        "there is no demo mirror in {}: run scripts/test, or scripts/demo-mirror first",
        mirror.display()
    );
    mirror
}

/// `build PROFILE` for x86_64 into `out` from the demo mirror, or from another one that `more` names.
pub fn build(profile: &str, out: &Path, more: &[&str]) -> Ended {
    let mirror = demo_mirror();
    let keys = mirror.join("keys");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (mirror, keys, out) = (text(&mirror), text(&keys), text(out));
    let mut args = vec!["build", profile, "--arch", "x86_64", "--output", "json"];
    args.extend(["--keys-dir", &keys, "--out", &out]);
    if !more.contains(&"--mirror") {
        args.extend(["--mirror", &mirror]);
    }
    args.extend(more);
    run(args)
}

/// What a build of the profile `base` for x86_64 needs, out of the demo mirror; files go to `cache`.
pub async fn base_draft(cache: &Path) -> Draft {
    let source = ProfileSource {
        arch: Some(Arch::X86_64),
        ..ProfileSource::new("base")
    };
    let plan = Plan::new(&Config::default().library(), &source).expect("a plan");
    let mirror = demo_mirror();
    let overrides = SourceOverrides {
        mirrors: vec![mirror.display().to_string()],
        key_dirs: vec![mirror.join("keys")],
        ..SourceOverrides::default()
    };
    let sources = plan.sources(&overrides).expect("sources");
    let fetcher = Fetcher::new(Store::new(cache.to_owned())).expect("a fetcher");
    Draft::new(plan, &sources, None, &fetcher)
        .await
        .expect("a draft")
}

/// A key pair made by openssl: the private key, and the folder with the public one.
pub struct Keys {
    _dir: tempfile::TempDir,
    pub private: PathBuf,
    pub public_dir: PathBuf,
}

pub fn keys(name: &str) -> Keys {
    let dir = tempfile::tempdir().expect("a folder");
    let private = dir.path().join(name);
    let public_dir = dir.path().join("public");
    fs::create_dir(&public_dir).expect("a folder");
    let openssl = |args: &[&str], out: &Path| {
        let output = Command::new("openssl")
            .args(args)
            .arg("-out")
            .arg(out)
            .output()
            .expect("openssl");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    openssl(
        &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ],
        &private,
    );
    let input = private.to_str().expect("UTF-8");
    openssl(
        &["pkey", "-pubout", "-in", input],
        &public_dir.join(format!("{name}.pub")),
    );
    Keys {
        _dir: dir,
        private,
        public_dir,
    }
}

/// One key pair for all tests that do not care which.
pub fn test_keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| keys("test.rsa"))
}

/// A package to craft.
#[derive(Default)]
pub struct Crafted {
    pub info: String,
    pub files: Vec<(String, Vec<u8>)>,
    pub scripts: Vec<(&'static str, &'static str)>,
}

/// When crafted packages were built, in seconds since 1970.
const BUILT: u64 = 1_700_000_000;

impl Crafted {
    /// A package without files; `more` holds further lines of its PKGINFO.
    pub fn new(name: &str, version: &str, more: &str) -> Crafted {
        let info = format!(
            "pkgname = {name}\npkgver = {version}\narch = x86_64\nlicense = MIT\nbuilddate = {BUILT}\n{more}\n"
        );
        Crafted {
            info,
            ..Crafted::default()
        }
    }

    pub fn file(mut self, path: &str, content: &str) -> Crafted {
        self.files.push((path.to_owned(), content.into()));
        self
    }

    pub fn script(mut self, kind: &'static str, text: &'static str) -> Crafted {
        self.scripts.push((kind, text));
        self
    }

    fn pack(&self, out: &Path, key: &SigningKey) -> IndexPackage {
        let stage = tempfile::tempdir().expect("a stage");
        fs::write(stage.path().join("PKGINFO"), &self.info).expect("PKGINFO");
        for (path, content) in &self.files {
            let path = stage.path().join("data").join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(&path, content).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        for (kind, text) in &self.scripts {
            fs::write(stage.path().join(kind), text).expect("a script");
        }
        set_times(&stage.path().join("data"));
        pack::pack(stage.path(), out, key).expect("it packs")
    }
}

/// Gives all that is below a path the time of crafted packages' build: the same package has the same
/// bytes whenever it is made.
fn set_times(path: &Path) {
    let Ok(file) = fs::File::open(path) else {
        return;
    };
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            set_times(&entry.expect("an entry").path());
        }
    }
    let built = UNIX_EPOCH + Duration::from_secs(BUILT);
    file.set_modified(built).expect("a time");
}

/// Makes a signed repository in `dir` and returns the folder with its packages.
pub fn repository(dir: &Path, packages: &[Crafted], keys: &Keys) -> PathBuf {
    repository_of(dir, packages, keys, None)
}

/// The same, of an index that was made at a time, in seconds since 1970.
pub fn repository_of(dir: &Path, packages: &[Crafted], keys: &Keys, made: Option<u64>) -> PathBuf {
    let out = dir.join("x86_64");
    fs::create_dir_all(&out).expect("a folder");
    let key = SigningKey::read(&keys.private).expect("a key");
    let packed: Vec<_> = packages
        .iter()
        .map(|package| package.pack(&out, &key))
        .collect();
    match made {
        None => pack::write_index(&out, "test", &packed, &key),
        Some(made) => pack::write_index_of(&out, "test", &packed, made, &key),
    }
    .expect("an index");
    out
}
