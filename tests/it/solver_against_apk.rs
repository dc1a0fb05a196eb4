//! The solver, the versions and the index parser against Alpine's own: apk-tools 2.12.7 in a chroot,
//! with the full indexes of Alpine 3.19.
//!
//! It needs the shared Alpine data (`ALPINE_AMI_SHARED`, or `../shared` beside the checkout), root for
//! the chroot, and `tar`; where one is missing the tests say so and pass. `ALPINE_AMI_WORLDS` sets how
//! many random worlds are compared and `ALPINE_AMI_SEED` which.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use alpine_ami::apk::dependency::Dependency;
use alpine_ami::apk::index::{IndexPackage, parse_index};
use alpine_ami::apk::solver::{Rules, Source, resolve_as};
use alpine_ami::apk::version::Version;

const ARCH: &str = "x86_64";
const REPOSITORIES: [&str; 2] = ["main", "community"];

/// What apk 2.12.7 does.
const RULES: Rules = Rules {
    install_if_through_provides: false,
};

/// The shared Alpine data, or a line on stderr and nothing.
fn shared() -> Option<PathBuf> {
    let shared = std::env::var_os("ALPINE_AMI_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let alpine = shared.join("alpine");
    if alpine.join("index/v3.19").is_dir() {
        return Some(alpine);
    }
    eprintln!("skipped: there is no Alpine data in {}", shared.display());
    None
}

fn from_environment(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

/// The text of an index of the full release.
fn index_text(alpine: &Path, repository: &str) -> String {
    let path = alpine.join(format!("index/v3.19/{repository}/{ARCH}/APKINDEX.tar.gz"));
    let file = File::open(&path).expect("the index can be opened");
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
    for entry in archive.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry");
        if entry.path().expect("a path") == Path::new("APKINDEX") {
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("UTF-8");
            return text;
        }
    }
    panic!("{} holds no APKINDEX", path.display());
}

fn sources(alpine: &Path, community_tag: Option<&str>) -> Vec<Source> {
    REPOSITORIES
        .into_iter()
        .map(|repository| Source {
            name: repository.to_owned(),
            tag: community_tag
                .filter(|_| repository == "community")
                .map(str::to_owned),
            packages: parse_index(&index_text(alpine, repository)).expect("a valid index"),
        })
        .collect()
}

/// A directory with Alpine's minimal root, the indexes, and an empty root to install into.
struct Apk {
    directory: tempfile::TempDir,
}

impl Apk {
    /// Nothing, and a line on stderr, where it cannot run here.
    fn prepare(alpine: &Path) -> Option<Apk> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        let archive = alpine.join("minirootfs-3.15.11-x86_64.tar.gz");
        let unpacked = Command::new("tar")
            .arg("xzf")
            .arg(archive)
            .arg("-C")
            .arg(root)
            .status();
        if !unpacked.is_ok_and(|status| status.success()) {
            eprintln!("skipped: tar cannot unpack the minimal root");
            return None;
        }
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
                eprintln!("skipped: apk cannot run in a chroot, which needs root: {outcome:?}");
                None
            }
        }
    }

    fn run(&self, arguments: &[&str]) -> std::io::Result<Output> {
        let mut command = Command::new("chroot");
        command.arg(self.directory.path()).arg("/sbin/apk");
        command.args(arguments).output()
    }

    /// What apk would install, in order, or its complaint.
    fn add(&self, world: &[String], community: &str) -> Result<Vec<String>, String> {
        let mut arguments = vec!["add", "--root", "/target", "--simulate", "--no-network"];
        arguments.extend(["-X", "/repositories/main", "-X", community]);
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

/// Pseudo-random numbers that are the same everywhere: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        mixed as usize % limit
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// What nearly every image has: the conditions of most `install_if`, and the usual choices.
const COMMON: &[&str] = &[
    "alpine-base",
    "openrc",
    "docs",
    "bash",
    "bash-completion",
    "zsh",
    "fish",
    "openssh",
    "busybox-suid",
    "python3",
    "perl",
    "linux-virt",
    "linux-lts",
    "udev-init-scripts",
    "eudev",
    "mdevd",
    "dbus",
    "elogind",
    "polkit",
    "networkmanager",
    "gcc",
    "llvm17",
    "nodejs",
    "openjdk17-jre",
    "xorg-server",
    "gnome",
    "plasma",
    "xfce4",
    "s6",
    "systemd-boot",
    "doas",
    "sudo",
    "docker",
    "containerd",
    "cri-o",
    "kubelet",
    "rust",
    "go",
];

/// One wish: mostly a plain name, sometimes a version, a provided name or an exclusion.
///
/// With `tagged`, the packages from that number on need a tag, and mostly get one.
fn wish(random: &mut Random, packages: &[&IndexPackage], tagged: Option<usize>) -> String {
    let number = random.below(packages.len());
    let package = packages[number];
    let mut name = match random.below(8) {
        0 => (*random.pick(COMMON)).to_owned(),
        1 if !package.provides.is_empty() => random.pick(&package.provides).name.to_string(),
        _ => package.name.to_string(),
    };
    if random.one_in(12) {
        return format!("!{name}");
    }
    let plain = name == *package.name;
    let needs_tag = tagged.is_some_and(|first| number >= first);
    if tagged.is_some() && needs_tag != random.one_in(15) {
        name += "@community";
    }
    if plain && random.one_in(10) {
        let operator = random.pick(&["=", "<", "<=", ">", ">=", "~"]);
        let version = match random.below(3) {
            0 => package.version.upstream(),
            _ => package.version.as_str(),
        };
        return format!("{name}{operator}{version}");
    }
    name
}

fn world(random: &mut Random, packages: &[&IndexPackage], tagged: Option<usize>) -> Vec<String> {
    let size = match random.below(4) {
        0 => 1,
        1 => 1 + random.below(4),
        2 => 1 + random.below(10),
        _ => 1 + random.below(25),
    };
    let mut world: Vec<(Dependency, String)> = Vec::new();
    for _ in 0..size {
        let text = wish(random, packages, tagged);
        let parsed: Dependency = text.parse().expect("a wish of our own");
        // apk replaces an entry of the same name.
        if !world.iter().any(|(other, _)| other.name == parsed.name) {
            world.push((parsed, text));
        }
    }
    world.into_iter().map(|(_, text)| text).collect()
}

fn ours(sources: &[Source], world: &[String]) -> Result<Vec<String>, String> {
    let world: Vec<Dependency> = world
        .iter()
        .map(|text| text.parse().expect("a wish"))
        .collect();
    let selected = resolve_as(sources, &world, ARCH, RULES).map_err(|error| error.to_string())?;
    let label = |package: &IndexPackage| format!("{}-{}", package.name, package.version);
    Ok(selected
        .iter()
        .map(|selected| label(&selected.package))
        .collect())
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Verdict {
    Same,
    SameSet,
    Different,
}

fn compare(ours: &Result<Vec<String>, String>, theirs: &Result<Vec<String>, String>) -> Verdict {
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort();
        list
    };
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) if ours == theirs => Verdict::Same,
        (Ok(ours), Ok(theirs)) if sorted(ours) == sorted(theirs) => Verdict::SameSet,
        (Err(_), Err(_)) => Verdict::Same,
        _ => Verdict::Different,
    }
}

/// Compares `count` random worlds and panics unless nearly all come out the same.
fn compare_worlds(community_tag: Option<&str>, count: u64, seed: u64) {
    let Some(alpine) = shared() else { return };
    let Some(apk) = Apk::prepare(&alpine) else {
        return;
    };
    let community = match community_tag {
        Some(tag) => format!("@{tag} /repositories/community"),
        None => "/repositories/community".to_owned(),
    };
    let sources = sources(&alpine, community_tag);
    let packages: Vec<&IndexPackage> = sources.iter().flat_map(|source| &source.packages).collect();
    let mut random = Random(seed);
    let tagged = community_tag.map(|_| sources[0].packages.len());
    let worlds: Vec<Vec<String>> = (0..count)
        .map(|_| world(&mut random, &packages, tagged))
        .collect();

    let halves = worlds.chunks(worlds.len().div_ceil(2));
    let verdicts: Vec<(Verdict, bool)> = thread::scope(|scope| {
        let judge = |world: &Vec<String>| {
            let (ours, theirs) = (ours(&sources, world), apk.add(world, &community));
            let verdict = compare(&ours, &theirs);
            if verdict != Verdict::Same {
                eprintln!(
                    "{verdict:?}: {}\n  ours {ours:?}\n  apk {theirs:?}",
                    world.join(" ")
                );
            }
            (verdict, theirs.is_ok())
        };
        let threads: Vec<_> = halves
            .map(|half| scope.spawn(move || half.iter().map(judge).collect::<Vec<_>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a half"))
            .collect()
    });

    let total = verdicts.len();
    let tally = |wanted: Verdict| {
        verdicts
            .iter()
            .filter(|(verdict, _)| *verdict == wanted)
            .count()
    };
    let solvable = verdicts.iter().filter(|(_, solvable)| *solvable).count();
    let (different, reordered) = (tally(Verdict::Different), tally(Verdict::SameSet));
    eprintln!(
        "{total} worlds, {solvable} solvable: {different} different, {reordered} in another order"
    );
    assert!(
        different * 100 <= total,
        "{different} of {total} worlds differ"
    );
    assert!(
        reordered * 20 <= total,
        "{reordered} of {total} worlds are in another order"
    );
}

#[test]
fn random_worlds_come_out_as_with_apk() {
    let count = from_environment("ALPINE_AMI_WORLDS", 40);
    compare_worlds(None, count, from_environment("ALPINE_AMI_SEED", 20_240_119));
}

#[test]
fn random_worlds_with_a_tagged_repository_come_out_as_with_apk() {
    let count = from_environment("ALPINE_AMI_WORLDS", 40).div_ceil(2);
    compare_worlds(
        Some("community"),
        count,
        from_environment("ALPINE_AMI_SEED", 5_150),
    );
}

#[test]
fn versions_compare_as_with_apk() {
    let Some(alpine) = shared() else { return };
    let Some(apk) = Apk::prepare(&alpine) else {
        return;
    };
    let parsed = sources(&alpine, None);
    let packages: Vec<&IndexPackage> = parsed.iter().flat_map(|source| &source.packages).collect();
    let mut random = Random(from_environment("ALPINE_AMI_SEED", 7));
    // apk 2.12 reads a component with a leading zero otherwise, see `version.rs`.
    let has_zero = |version: &Version| {
        version
            .as_str()
            .split('.')
            .skip(1)
            .any(|part| part.starts_with('0'))
    };
    let texts = "1 1.1 1.1a 1.1b1 1.1_alpha 1.1_alpha2 1.1_beta 1.1_pre3 1.1_rc1 1.1_cvs 1.1_svn1 1.1_git20240101 \
                 1.1_hg 1.1_p 1.1_p1 1.1_p1_alpha 1.1_rc1_p 1.1-r0 1.1-r1 1.1-r10 1.1_rc1-r1 1.1.1 1.1.2 1.10 2 010";
    let odd: Vec<Version> = texts
        .split_whitespace()
        .map(|text| text.parse().expect("a version"))
        .collect();
    let mut pairs: Vec<(Version, Version)> = Vec::new();
    for _ in 0..from_environment("ALPINE_AMI_WORLDS", 40) * 5 {
        let (a, b) = (
            random.pick(&packages).version.clone(),
            random.pick(&packages).version.clone(),
        );
        if !has_zero(&a) && !has_zero(&b) {
            pairs.push((a, b));
        }
    }
    for a in &odd {
        pairs.extend(odd.iter().map(|b| (a.clone(), b.clone())));
    }
    for (a, b) in pairs {
        let output = apk
            .run(&["version", "-t", a.as_str(), b.as_str()])
            .expect("apk runs");
        let theirs = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let ours = match a.cmp(&b) {
            std::cmp::Ordering::Less => "<",
            std::cmp::Ordering::Equal => "=",
            std::cmp::Ordering::Greater => ">",
        };
        assert_eq!(ours, theirs, "{a} and {b}");
    }
}

#[test]
fn full_indexes_are_read_and_written_back() {
    let Some(alpine) = shared() else { return };
    for repository in REPOSITORIES {
        let text = index_text(&alpine, repository);
        let packages = parse_index(&text).expect("a valid index");
        let mut records = text.split_inclusive("\n\n");
        for package in &packages {
            let record = records.next().expect("a record for each package");
            if package.unreadable.is_empty() {
                assert_eq!(package.to_index_record(), record);
            }
        }
        assert_eq!(records.next(), None);
    }
}
