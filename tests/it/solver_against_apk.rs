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
use alpine_ami::apk::solver::{Rules, Source, Unsolvable, resolve_as};
use alpine_ami::apk::version::Version;
use alpine_ami::lock::closure;

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

fn ours(sources: &[Source], world: &[String]) -> Result<Vec<String>, Unsolvable> {
    let world: Vec<Dependency> = world
        .iter()
        .map(|text| text.parse().expect("a wish"))
        .collect();
    let selected = resolve_as(sources, &world, ARCH, RULES)?;
    let label = |package: &IndexPackage| format!("{}-{}", package.name, package.version);
    // What a lock is held against finds nothing to complain of.
    let packages = selected.iter().map(|one| IndexPackage::clone(&one.package));
    let unmet = closure::unmet(&world, &packages.collect::<Vec<_>>());
    assert!(unmet.is_empty(), "{unmet:?}");
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

fn compare<A, B>(ours: &Result<Vec<String>, A>, theirs: &Result<Vec<String>, B>) -> Verdict {
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

/// What is wrong with the way in which a world is refused that apk refuses too: each problem names
/// the constraint, who asked for it and what there is instead, and one of them is apk's.
fn faults(refusal: &Unsolvable, complaint: &str) -> Option<String> {
    let name = |constraint: &str| {
        let constraint = constraint.trim_start_matches('!');
        let end = constraint.find(['@', '<', '=', '>', '~', ' ']);
        constraint[..end.unwrap_or(constraint.len())].to_owned()
    };
    for problem in &refusal.problems {
        if problem.constraint.is_empty() || problem.what.is_empty() || problem.wanted_by.is_empty()
        {
            return Some(format!("something is missing in {problem:?}"));
        }
    }
    let mut names = refusal
        .problems
        .iter()
        .map(|problem| name(&problem.constraint));
    match names.any(|name| complaint.contains(&name)) {
        true => None,
        false => Some(format!("apk complains of something else: {complaint}")),
    }
}

/// How a world came out.
struct Outcome {
    world: String,
    verdict: Verdict,
    is_solvable: bool,
    /// The constraints that we say cannot be met.
    unmet: Vec<String>,
    /// What is wrong with a refusal.
    fault: Option<String>,
}

impl Outcome {
    /// Whether the table beside this file says why it comes out otherwise than with apk: it names
    /// the world, or a constraint that we cannot meet.
    fn is_explained(&self) -> bool {
        let table = include_str!("solver_against_apk/differences.md");
        table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
            .any(|(key, _)| key == self.world || self.unmet.iter().any(|unmet| unmet == key))
    }
}

fn judge(sources: &[Source], apk: &Apk, repositories: &[&str], world: &[String]) -> Outcome {
    let (ours, theirs) = (ours(sources, world), apk.add(world, repositories));
    let verdict = compare(&ours, &theirs);
    if verdict != Verdict::Same {
        eprintln!(
            "{verdict:?}: {}\n  ours {ours:?}\n  apk {theirs:?}",
            world.join(" ")
        );
    }
    let fault = match (&ours, &theirs) {
        (Err(refusal), Err(complaint)) => faults(refusal, complaint)
            .map(|fault| format!("{}: {refusal}\n{fault}", world.join(" "))),
        _ => None,
    };
    Outcome {
        world: world.join(" "),
        verdict,
        is_solvable: theirs.is_ok(),
        unmet: match &ours {
            Ok(_) => Vec::new(),
            Err(refusal) => refusal
                .problems
                .iter()
                .map(|problem| problem.constraint.clone())
                .collect(),
        },
        fault,
    }
}

/// Compares `count` random worlds and panics unless nearly all come out the same, and all that do
/// not are explained.
fn compare_worlds(community_tag: Option<&str>, count: u64, seed: u64) {
    let Some(alpine) = shared() else { return };
    let Some(apk) = Apk::prepare(&alpine) else {
        return;
    };
    let community = match community_tag {
        Some(tag) => format!("@{tag} /repositories/community"),
        None => "/repositories/community".to_owned(),
    };
    let repositories = ["/repositories/main", community.as_str()];
    let sources = sources(&alpine, community_tag);
    let packages: Vec<&IndexPackage> = sources.iter().flat_map(|source| &source.packages).collect();
    let mut random = Random(seed);
    let tagged = community_tag.map(|_| sources[0].packages.len());
    let worlds: Vec<Vec<String>> = (0..count)
        .map(|_| world(&mut random, &packages, tagged))
        .collect();

    let halves = worlds.chunks(worlds.len().div_ceil(2));
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let judge = |world: &Vec<String>| judge(&sources, &apk, &repositories, world);
        let threads: Vec<_> = halves
            .map(|half| scope.spawn(move || half.iter().map(judge).collect::<Vec<_>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a half"))
            .collect()
    });
    conclude(&outcomes);
}

/// Counts how worlds came out, and panics where that is not well enough.
fn conclude(outcomes: &[Outcome]) {
    let count = |of: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|one| of(one)).count();
    let solvable = count(&|one| one.is_solvable);
    let different = count(&|one| one.is_solvable && one.verdict == Verdict::Different);
    let reordered = count(&|one| one.verdict == Verdict::SameSet);
    eprintln!(
        "{} worlds, {solvable} solvable: {different} different, {reordered} in another order",
        outcomes.len()
    );
    let unexplained: Vec<&str> = outcomes
        .iter()
        .filter(|one| one.verdict != Verdict::Same && !one.is_explained())
        .map(|one| one.world.as_str())
        .collect();
    assert!(
        unexplained.is_empty(),
        "not in differences.md:\n{}",
        unexplained.join("\n")
    );
    let faults: Vec<&str> = outcomes
        .iter()
        .filter_map(|one| one.fault.as_deref())
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    // Of a few worlds, one may be what is one in a hundred.
    assert!(
        different * 100 <= solvable.max(100),
        "{different} of {solvable} worlds differ"
    );
    assert!(
        reordered * 20 <= solvable.max(20),
        "{reordered} of {solvable} worlds are in another order"
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
        let ours = resolve_as(&case.sources(), &world, ARCH, RULES);
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
