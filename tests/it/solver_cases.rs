//! The rules of resolution, a file each: `cases/solver/*.case` say what there is, what is wanted and
//! what comes of it.
//!
//! A case is made of these lines; `#` starts a comment, and an indented line belongs to the one above:
//!
//! ```text
//! repository NAME [@tag]
//!   NAME-VERSION [needs D…] [; provides P…] [; with I…] [; priority N] [; arch A] [; build X]
//! arch A                     (x86_64 where there is no such line)
//! rules 2.12                 (those of apk-tools 2.12.7 instead of the newest)
//! world W…
//! optional W…                (wishes that are left out where nothing has their name)
//! kept PACKAGE…              (preferred to newer ones, as a lock prefers what is locked; apk is not asked)
//! expect PACKAGE[/repository]… in order of installation
//! left out W…
//! fails
//!   the error message
//! differs in apk 2.12: why   (the comparison with the real apk leaves this case out)
//! ```
//!
//! The same package line in two repositories is the same package; `build` tells two apart.
//! `{NAME-VERSION}` in a wish stands for the checksum of that package.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use alpine_ami::apk::dependency::Dependency;
use alpine_ami::apk::index::{Checksum, parse_index};
use alpine_ami::apk::solver::{Reason, Rules, Selected, Source, resolve_as, resolve_keeping};
use sha1::{Digest as _, Sha1};

/// A case file.
pub struct Case {
    pub path: PathBuf,
    pub repositories: Vec<CaseRepository>,
    pub arch: String,
    pub old_rules: bool,
    pub world: Vec<String>,
    pub optional: Vec<String>,
    /// Checksums of packages that are preferred.
    pub kept: HashSet<Checksum>,
    pub expected: Expected,
    pub differs: bool,
}

/// A repository of a case, and its index.
pub struct CaseRepository {
    pub name: String,
    pub tag: Option<String>,
    pub index: String,
}

/// What a case comes to.
pub enum Expected {
    Packages {
        selected: Vec<String>,
        left_out: Vec<String>,
    },
    Failure(String),
}

/// All cases, by name.
pub fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cases/solver");
    let entries = fs::read_dir(&folder).expect("the folder of cases");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "case")
    });
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a readable case");
        Case::parse(path, &text)
    };
    paths.into_iter().map(read).collect()
}

fn checksum(line: &str) -> Checksum {
    Checksum::Sha1(Sha1::digest(line.as_bytes()).into())
}

/// The index record of a package line, and its label.
fn record(line: &str) -> (String, String) {
    let mut parts = line.split(';').map(str::trim);
    let first = parts.next().expect("a package");
    let (label, needs) = first.split_once(" needs ").unwrap_or((first, ""));
    // The version starts at the last dash with a digit behind it.
    let is_split =
        |&(at, _): &(usize, _)| label[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    let (at, _) = label
        .rmatch_indices('-')
        .find(is_split)
        .expect("name-version");
    let (name, version) = (&label[..at], &label[at + 1..]);
    let (mut arch, mut fields) = ("x86_64", String::new());
    if !needs.is_empty() {
        writeln!(fields, "D:{needs}").expect("a String");
    }
    for part in parts {
        let (key, value) = part.split_once(' ').expect("a key and a value");
        match key {
            "provides" => writeln!(fields, "p:{value}").expect("a String"),
            "with" => writeln!(fields, "i:{value}").expect("a String"),
            "priority" => fields.insert_str(0, &format!("k:{value}\n")),
            "arch" => arch = value,
            "build" => {}
            other => panic!("unknown part `{other}` of `{line}`"),
        }
    }
    let checksum = checksum(line);
    let head = format!("C:{checksum}\nP:{name}\nV:{version}\nA:{arch}\nS:1\nI:1\nT:\nU:\nL:\n");
    (head + &fields + "\n", label.to_owned())
}

impl Case {
    /// Reads a case.
    pub fn parse(path: PathBuf, text: &str) -> Case {
        let mut case = Case {
            path,
            repositories: Vec::new(),
            arch: "x86_64".to_owned(),
            old_rules: false,
            world: Vec::new(),
            optional: Vec::new(),
            kept: HashSet::new(),
            expected: Expected::Failure(String::new()),
            differs: false,
        };
        let (mut left_out_of, mut packages, mut message) = (Vec::new(), Vec::new(), None);
        let mut kept = Vec::new();
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for line in text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            match (key, value) {
                ("", _) if message.is_some() => {
                    let message: &mut String = message.as_mut().expect("a message");
                    writeln!(message, "{}", &line[2..]).expect("a String");
                }
                ("", package) => {
                    let (record, label) = record(package.trim());
                    packages.push((label, checksum(package.trim())));
                    let repository = case.repositories.last_mut().expect("a repository");
                    repository.index += &record;
                }
                ("repository", value) => {
                    let (name, tag) = value.split_once(" @").unzip();
                    case.repositories.push(CaseRepository {
                        name: name.unwrap_or(value).to_owned(),
                        tag: tag.map(str::to_owned),
                        index: String::new(),
                    });
                }
                ("arch", arch) => case.arch = arch.to_owned(),
                ("rules", "2.12") => case.old_rules = true,
                ("world", wishes) => case.world = words(wishes),
                ("optional", wishes) => case.optional = words(wishes),
                ("kept", labels) => kept = words(labels),
                ("expect", list) => {
                    let (selected, left_out) = (words(list), Vec::new());
                    case.expected = Expected::Packages { selected, left_out };
                }
                ("left", list) => left_out_of = words(list.trim_start_matches("out")),
                ("fails", _) => message = Some(String::new()),
                ("differs", _) => case.differs = true,
                _ => panic!("{}: unknown line `{line}`", case.path.display()),
            }
        }
        match (message, &mut case.expected) {
            (Some(message), expected) => {
                *expected = Expected::Failure(message.trim_end().to_owned())
            }
            (None, Expected::Packages { left_out, .. }) => *left_out = left_out_of,
            (None, Expected::Failure(_)) => panic!("{} expects nothing", case.path.display()),
        }
        // What is kept is told to apk by a database, which these cases have none of.
        case.differs |= !kept.is_empty();
        for wanted in kept {
            let mut known = packages.iter();
            let found = known.find(|(label, _)| *label == wanted);
            case.kept.insert(found.expect("a kept package").1);
        }
        for wish in case.world.iter_mut().chain(&mut case.optional) {
            for (label, checksum) in &packages {
                *wish = wish.replace(&format!("{{{label}}}"), &checksum.to_string());
            }
        }
        case
    }

    /// The repositories with their indexes read.
    pub fn sources(&self) -> Vec<Source> {
        let source = |repository: &CaseRepository| Source {
            name: repository.name.clone(),
            tag: repository.tag.clone(),
            packages: parse_index(&repository.index).expect("a valid index"),
        };
        self.repositories.iter().map(source).collect()
    }

    /// What the solver makes of it, in the words of the file.
    fn outcome(&self) -> String {
        let sources = self.sources();
        let parse = |wishes: &[String]| -> Vec<Dependency> {
            wishes
                .iter()
                .map(|wish| wish.parse().expect("a wish"))
                .collect()
        };
        let (world, optional) = (parse(&self.world), parse(&self.optional));
        let resolved = if self.old_rules {
            let rules = Rules {
                install_if_through_provides: false,
            };
            resolve_as(&sources, &world, &self.arch, rules).map(|selected| (selected, Vec::new()))
        } else {
            resolve_keeping(&sources, &world, &optional, &self.arch, &self.kept)
                .map(|resolution| (resolution.selected, resolution.left_out))
        };
        match resolved {
            Ok((selected, left_out)) => {
                let several = sources.len() > 1;
                let label = |one: &Selected| {
                    let label = format!("{}-{}", one.package.name, one.package.version);
                    match several {
                        true => format!("{label}/{}", sources[one.source].name),
                        false => label,
                    }
                };
                let selected: Vec<String> = selected.iter().map(label).collect();
                let left_out: Vec<String> = left_out.iter().map(ToString::to_string).collect();
                listing(&selected, &left_out)
            }
            Err(unsolvable) => unsolvable.to_string(),
        }
    }
}

fn listing(selected: &[String], left_out: &[String]) -> String {
    let mut text = format!("expect {}", selected.join(" "));
    if !left_out.is_empty() {
        write!(text, "\nleft out {}", left_out.join(" ")).expect("a String");
    }
    text
}

#[test]
fn every_case_comes_out_as_it_says() {
    let cases = cases();
    assert!(cases.len() >= 25, "only {} cases were found", cases.len());
    let mut failed = Vec::new();
    for case in &cases {
        let expected = match &case.expected {
            Expected::Packages { selected, left_out } => listing(selected, left_out),
            Expected::Failure(message) => message.clone(),
        };
        let outcome = case.outcome();
        if outcome != expected {
            let name = case.path.display();
            failed.push(format!(
                "{name}\n--- expected\n{expected}\n--- but it is\n{outcome}\n"
            ));
        }
    }
    assert!(
        failed.is_empty(),
        "{} cases failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn reasons_say_what_brought_a_package_in() {
    let (app, _) = record("app-1 needs cmd:tool");
    let (tool, _) = record("tool-1; provides cmd:tool=1");
    let (doc, _) = record("tool-doc-1; with tool=1");
    let source = Source {
        name: "main".to_owned(),
        tag: None,
        packages: parse_index(&(app + &tool + &doc)).expect("a valid index"),
    };
    let world = ["app".parse().expect("a wish")];
    let selected = resolve_as(&[source], &world, "x86_64", Rules::default()).expect("solvable");
    let reasons: Vec<(&str, &Reason)> = selected
        .iter()
        .map(|one| (&*one.package.name, &one.reason))
        .collect();
    let entry = |text: &str| text.parse::<Dependency>().expect("a dependency");
    let of_app = Reason::Dependency {
        of: "app".into(),
        entry: entry("cmd:tool"),
    };
    let with_tool = Reason::InstallIf {
        with: "tool".into(),
    };
    let wanted = Reason::World {
        entry: entry("app"),
    };
    assert_eq!(
        reasons,
        [
            ("tool", &of_app),
            ("tool-doc", &with_tool),
            ("app", &wanted)
        ]
    );
}
