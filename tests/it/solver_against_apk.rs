//! The solver, the versions and the index parser against Alpine's own: apk-tools 2.12.7 in a chroot,
//! with the full indexes of Alpine 3.19.
//!
//! It needs the shared Alpine data (`ALPINE_AMI_SHARED`, or `../shared` beside the checkout), root for
//! the chroot, and `tar`; where one is missing the tests say so and pass. `ALPINE_AMI_WORLDS` sets how
//! many random worlds are compared and `ALPINE_AMI_SEED` which.

mod apk;
mod toys;
mod worlds;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::thread;

use alpine_ami::apk::dependency::Dependency;
use alpine_ami::apk::index::{IndexPackage, parse_index};
use alpine_ami::apk::solver::{Rules, Source, resolve_as};
use alpine_ami::apk::version::Version;

use super::solver_cases::{Case, Expected, cases};
use apk::{Apk, add_case, shared};
use toys::Toy;
use worlds::{Random, world};

const ARCH: &str = "x86_64";
const REPOSITORIES: [&str; 2] = ["main", "community"];

/// What apk 2.12.7 does.
const RULES: Rules = Rules {
    install_if_through_provides: false,
};

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
            let (ours, theirs) = (
                ours(&sources, world),
                apk.add(world, &["/repositories/main", &community]),
            );
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
    for (index, a) in odd.iter().enumerate() {
        pairs.extend(odd[index..].iter().map(|b| (a.clone(), b.clone())));
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

#[test]
fn the_cases_come_out_as_with_apk() {
    let Some(alpine) = shared() else { return };
    let Some(apk) = Apk::prepare(&alpine) else {
        return;
    };
    let mut failed = Vec::new();
    for case in cases().into_iter().filter(|case| !case.differs) {
        let name = case
            .path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let theirs = add_case(&apk, &name, &case);
        let agrees = match (&case.expected, &theirs) {
            (Expected::Packages { selected, .. }, Ok(theirs)) => {
                let labels = selected
                    .iter()
                    .map(|label| label.split('/').next().unwrap_or(label));
                labels.eq(theirs.iter().map(String::as_str))
            }
            (Expected::Failure(_), Err(_)) => true,
            _ => false,
        };
        if !agrees {
            failed.push(format!("{name}: apk says {theirs:?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn toy_repositories_come_out_as_with_apk() {
    let Some(alpine) = shared() else { return };
    let Some(apk) = Apk::prepare(&alpine) else {
        return;
    };
    let mut random = Random(from_environment("ALPINE_AMI_SEED", 4711));
    let count = from_environment("ALPINE_AMI_WORLDS", 40) * 5;
    let (mut different, mut reordered, mut solvable) = (0, 0, 0);
    for _ in 0..count {
        let toy = Toy::new(&mut random);
        let case = Case::parse(PathBuf::from("toy"), &toy.text());
        let world: Vec<Dependency> = case
            .world
            .iter()
            .map(|wish| wish.parse().expect("a wish"))
            .collect();
        let ours =
            resolve_as(&case.sources(), &world, ARCH, RULES).map_err(|error| error.to_string());
        let label = |package: &IndexPackage| format!("{}-{}", package.name, package.version);
        let ours = ours.map(|selected| selected.iter().map(|one| label(&one.package)).collect());
        let theirs = add_case(&apk, "toy", &case);
        solvable += usize::from(theirs.is_ok());
        match compare(&ours, &theirs) {
            Verdict::Same => continue,
            Verdict::SameSet => reordered += 1,
            Verdict::Different => different += 1,
        }
        eprintln!("{}ours {ours:?}\napk {theirs:?}\n", toy.text());
    }
    eprintln!(
        "{count} toy repositories, {solvable} solvable: {different} different, {reordered} in another order"
    );
    assert!(
        different * 100 <= count,
        "{different} of {count} repositories differ"
    );
    assert!(
        reordered * 20 <= count,
        "{reordered} of {count} repositories are in another order"
    );
}
