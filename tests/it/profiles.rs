//! Profiles from the outside: what is listed, where values come from, and each mistake's message.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{Ended, run};

/// A configuration with one folder of profiles, in which `files` are.
fn library(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(dir.path().join("profiles")).expect("a folder");
    fs::write(
        dir.path().join("c.toml"),
        "[paths]\nprofiles = [\"profiles\"]\n",
    )
    .expect("a file");
    for (name, text) in files {
        let path = dir.path().join("profiles").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    dir
}

fn with(dir: &Path, args: &[&str]) -> Ended {
    let config = dir.join("c.toml");
    run(["--config", config.to_str().expect("UTF-8")]
        .iter()
        .chain(args))
}

/// The error of `profile check mine`, without the folder's own name.
fn mistake(text: &str) -> String {
    let dir = library(&[("mine.toml", text)]);
    let error = with(dir.path(), &["profile", "check", "mine"]).failed(2);
    error.replace(&format!("{}/profiles/", dir.path().display()), "")
}

#[test]
fn the_shipped_profiles_are_listed_and_fine() {
    let listed: Value =
        serde_json::from_str(&run(["profile", "list", "--output", "json"]).done()).expect("JSON");
    let names: Vec<_> = listed["profiles"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["name"].as_str())
        .collect();
    let expected = ["base", "builder", "kubezero-controller", "kubezero-worker"];
    assert_eq!(names, expected.map(Some));
    for name in names.into_iter().flatten() {
        run(["profile", "check", name]).done();
    }
}

#[test]
fn the_schema_accepts_every_shipped_profile_and_refuses_mistakes() {
    let schema: Value = serde_json::from_str(&run(["profile", "schema"]).done()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let as_json = |text: &str| {
        let value: toml::Table = toml::from_str(text).expect("TOML");
        serde_json::to_value(value).expect("JSON")
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut seen = 0;
    for entry in fs::read_dir(folder).expect("profiles") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let profile = as_json(&fs::read_to_string(&path).expect("text"));
            let errors: Vec<_> = validator
                .iter_errors(&profile)
                .map(|error| error.to_string())
                .collect();
            assert_eq!(errors, [""; 0], "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 2, "there are profiles to look at");
    for wrong in [
        "packges = [\"a\"]",
        "alpine = 3.15",
        "arch = [\"sparc\"]",
        "[disk]\nsize = 2",
    ] {
        assert!(!validator.is_valid(&as_json(wrong)), "{wrong}");
    }
}

#[test]
fn values_say_where_they_were_written() {
    let dir = library(&[(
        "mine.toml",
        "include = [\"base\"]\ndescription = \"x\"\n\n[disk]\nsize = \"4GiB\"\n",
    )]);
    let shown = with(
        dir.path(),
        &[
            "profile",
            "show",
            "mine",
            "--output",
            "json",
            "--set",
            "alpine=3.20",
            "--arch",
            "x86_64",
        ],
    )
    .done();
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["profile"]["alpine"], "3.20");
    assert_eq!(shown["profile"]["version"], "3.20");
    assert_eq!(shown["profile"]["disk"]["size"], "4GiB");
    let origin = |path: &str| {
        let values = shown["values"].as_array().expect("a list");
        let leaf = values.iter().find(|leaf| leaf["path"] == path).expect(path);
        format!(
            "{}:{}",
            leaf["file"].as_str().expect("a file"),
            leaf["line"]
        )
    };
    assert!(
        origin("disk.size").ends_with("mine.toml:5"),
        "{}",
        origin("disk.size")
    );
    assert!(origin("disk.label").starts_with("built-in profiles/core.toml:"));
    assert_eq!(origin("alpine"), "--set alpine=3.20:0");
}

#[test]
fn layers_add_take_away_and_depend_on_conditions() {
    let dir = library(&[(
        "mine.toml",
        "include = [\"base\"]\npackages = [\"-chrony\", \"bash>5\"]\nservices.default = [\"-chronyd\"]\n\
         [[when]]\nalpine = \">=3.18\"\nset.packages = [\"new\"]\n\
         [[when]]\narch = \"aarch64\"\nset.kernel.cmdline = [\"arm\"]\n",
    )]);
    let packages = |args: &[&str]| {
        let all = [&["profile", "show", "mine", "--output", "json"], args].concat();
        let shown: Value = serde_json::from_str(&with(dir.path(), &all).done()).expect("JSON");
        format!(
            "{} {}",
            shown["profile"]["packages"], shown["profile"]["kernel"]["cmdline"]
        )
    };
    let old = packages(&["--arch", "x86_64"]);
    assert!(
        !old.contains("chrony")
            && old.contains("\"bash>5\"")
            && !old.contains("new")
            && !old.contains("arm"),
        "{old}"
    );
    let new = packages(&["--set", "alpine=3.19", "--arch", "aarch64"]);
    assert!(new.contains("\"new\"") && new.contains("\"arm\""), "{new}");
}

#[test]
fn mistakes_are_named_with_file_line_column_and_the_right_spelling() {
    let cases = [
        (
            "include = [\"base\"]\npackges = [\"a\"]\n",
            "error: mine.toml:2:1: unknown key `packges`\n  next: did you mean `packages`?\n",
        ),
        (
            "include = [\"base\"]\n[disk]\nsize = 2\n",
            "error: mine.toml:3:8: invalid type: integer `2`, expected a string\n",
        ),
        (
            "include = [\"base\"]\narch = [\"x86-64\"]\n",
            "error: mine.toml:2:9: unknown value `x86-64`\n  next: did you mean `x86_64`?\n",
        ),
        (
            "include = [\"bse\"]\n",
            "error: mine.toml:1:12: unknown layer `bse`\n  next: did you mean `base`?\n",
        ),
        (
            "include = [\"base\", \"mine\"]\n",
            "error: mine.toml:1:20: the layers include one another: mine -> mine\n",
        ),
        (
            "include = [\"base\"]\noverlays = [\"bas\"]\n",
            "error: mine.toml:2:13: missing overlay `bas`\n  next: did you mean `base`?\n",
        ),
        (
            "include = [\"base\"]\npackages = [\"-chroni\"]\n",
            "error: mine.toml:2:13: \"-chroni\" takes nothing away from packages\n  next: no lower layer has it: take the line out\n",
        ),
        (
            "include = [\"base\"]\n[disk]\nlabel = \"a-label-of-17-chr\"\n",
            "error: profile `mine`: `disk.label` must have 1 to 16 bytes\n  next: `alpine-ami profile show` tells where each value comes from\n",
        ),
        ("include = [\"base\"]\n[disk\n", "error: mine.toml:2:6: "),
    ];
    for (text, expected) in cases {
        let error = mistake(text);
        assert!(
            error.starts_with(expected),
            "{text}\ngave {error}\nnot  {expected}"
        );
    }
    let bad = mistake("include = [\"base\"]\npackages = [\"a>1.x\"]\n");
    assert!(
        bad.starts_with("error: mine.toml:2:12: ") && bad.contains("1.x"),
        "{bad}"
    );
}

#[test]
fn a_cycle_over_several_layers_is_an_error() {
    let dir = library(&[
        ("a.toml", "include = [\"b\"]\n"),
        ("b.toml", "include = [\"c\"]\n"),
        ("c.toml", "include = [\"a\"]\n"),
    ]);
    let error = with(dir.path(), &["profile", "check", "a"]).failed(2);
    assert!(
        error.contains("c.toml:1:12: the layers include one another: a -> b -> c -> a"),
        "{error}"
    );
}

#[test]
fn what_is_asked_for_on_the_command_line_is_checked_too() {
    let error = |args: &[&str]| run(["profile", "check"].iter().chain(args)).failed(2);
    assert!(error(&["bse"]).contains("did you mean `base`?"));
    assert!(error(&["../base"]).contains("there is no profile `../base`"));
    let set = error(&["base", "--set", "alpne=3.19"]);
    assert!(
        set.contains("--set alpne=3.19: unknown key `alpne`; did you mean `alpine`?"),
        "{set}"
    );
    assert!(error(&["base", "--set", "alpine"]).contains("there is no `KEY=` in it"));
    assert!(error(&["base", "--set", "alpine=edge"]).contains("not an Alpine release"));
    let include = error(&["base", "--set", "include=[\"kubezero\"]"]);
    assert!(
        include.contains("`include` belongs into a profile's file"),
        "{include}"
    );
    let control = error(&["base", "--set", "ntp_server=a\nb"]);
    assert!(
        control.contains("values.ntp_server` holds a line break"),
        "{control}"
    );
    let idle = error(&["base", "--set", "checks.x.run= "]);
    assert!(idle.contains("`checks.x.run` is empty"), "{idle}");
    let empty = run(["profile", "check", "base", "--mirror", ""]);
    assert_eq!(empty.status, 2, "{}", empty.stderr);
    let arch = run(["profile", "check", "base", "--arch", "sparc"]);
    assert_eq!(arch.status, 2);
    assert!(
        arch.stderr
            .contains("unknown architecture `sparc`: use x86_64 or aarch64"),
        "{}",
        arch.stderr
    );
    let missing = run(["--config", "/nonexistent.toml", "profile", "list"]).failed(2);
    assert!(
        missing.contains("cannot read the configuration /nonexistent.toml"),
        "{missing}"
    );
}
