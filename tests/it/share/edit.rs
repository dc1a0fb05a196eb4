//! Customers are added and removed, without an editor.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Ended, program};

const CONFIG: &str = r#"
[publish]
publisher = "tests"
home = "eu-central-1"
regions = ["us-east-1"]
bucket = "test-images"
keys = { eu-central-1 = "alias/x" }
"#;

const FILE: &str = "# Who gets what.\n\n# acme: ask Bob\n[customers.acme]\n\
    accounts = [ '111122223333' ] # production\nchannels=[\"stable\"]\n\n\
    [customers.globex]\naccounts = [\"333344445555\"]\nchannels = [\"nightly\"]\n";

/// A folder with a configuration.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(config: &str) -> Desk {
        let desk = Desk(tempfile::tempdir().expect("a folder"));
        fs::write(desk.path("alpine-ami.toml"), config).expect("written");
        desk
    }

    /// With customers.
    fn with(text: &str) -> Desk {
        let desk = Desk::new(CONFIG);
        fs::write(desk.path("customers.toml"), text).expect("written");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self) -> String {
        fs::read_to_string(self.path("customers.toml")).expect("a file")
    }

    /// `share`, without AWS and its credentials.
    fn share(&self, args: &[&str]) -> Ended {
        let mut share = program();
        share.current_dir(self.0.path()).arg("share").args(args);
        Ended::from(share.output().expect("it starts"))
    }

    /// The command is refused with that status, says all of this in one error, and nothing is
    /// changed.
    #[track_caller]
    fn refused(&self, args: &[&str], words: &[&str]) {
        let read = || fs::read(self.path("customers.toml")).ok();
        let before = read();
        let said = self.share(args).failed(2);
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        assert_eq!(read(), before, "{said}");
        let names: Vec<_> = fs::read_dir(self.0.path()).expect("a folder").collect();
        assert!(names.len() <= 2, "{names:?}");
    }
}

#[test]
fn a_customer_comes_and_goes() {
    let desk = Desk::with(FILE);
    let told = desk.share(&["add", "initech", "--account", "444455556666"]);
    assert_eq!(
        told.done(),
        "initech is added to customers.toml; `alpine-ami share plan` shows what comes of it\n"
    );
    let with = format!(
        "{FILE}\n[customers.initech]\naccounts = [\"444455556666\"]\nchannels = [\"stable\"]\n"
    );
    assert_eq!(desk.file(), with);
    let told = desk.share(&["remove", "initech"]).done();
    assert_eq!(
        told,
        "initech is removed from customers.toml; `alpine-ami share plan` shows what comes of it\n"
    );
    assert_eq!(desk.file(), FILE);
    desk.share(&["remove", "acme"]).done();
    let rest = FILE.split_once("[customers.globex]").expect("globex").1;
    assert_eq!(
        desk.file(),
        format!("# Who gets what.\n\n[customers.globex]{rest}")
    );
}

#[test]
fn every_option_is_written() {
    let config = format!(
        "{CONFIG}\n[share]\ncustomers = \"who.toml\"\n[[channels]]\nname = \"edge\"\n\
         [[channels]]\nname = \"lts\"\n"
    );
    let desk = Desk::new(&config);
    let organizations = "arn:aws:organizations::444455556666";
    let organization = format!("{organizations}:organization/o-a1b2c3d4e5");
    let unit = format!("{organizations}:ou/o-a1b2c3d4e5/ou-ab12-cd34ef56");
    let role = "arn:aws:iam::111122223333:role/a,b";
    let args = [
        ["add", "acme", "--output", "json"],
        [
            "--account",
            "111122223333, 222233334444",
            "--account",
            "333344445555",
        ],
        ["--organization", &organization, "--unit", &unit],
        ["--profile", "kubezero*", "--profile", "{base,gpu}"],
        ["--region", "eu-central-1,us-east-1", "--role", role],
        ["--start", "2026-01-31", "--end", "2026-12-31"],
        ["--grace-days", "7", "--channel", "lts,edge"],
    ];
    let args = [&args.concat()[..], &["--copy"]].concat();
    let told: Value = serde_json::from_str(&desk.share(&args).done()).expect("JSON");
    let expected = json!({ "file": "who.toml", "customer": "acme", "changed": true });
    assert_eq!(told, expected);
    let written = fs::read_to_string(desk.path("who.toml")).expect("it was made");
    let expected = format!(
        r#"[customers.acme]
accounts = ["111122223333", "222233334444", "333344445555"]
organizations = ["{organization}"]
units = ["{unit}"]
channels = ["lts", "edge"]
profiles = ["kubezero*", "{{base,gpu}}"]
regions = ["eu-central-1", "us-east-1"]
copy = true
roles = ["{role}"]
start = 2026-01-31
end = 2026-12-31
grace_days = 7
"#
    );
    assert_eq!(written, expected);

    // The default is the last channel.
    desk.share(&["add", "globex", "--account", "444455556666"])
        .done();
    let written = fs::read_to_string(desk.path("who.toml")).expect("it is there");
    assert!(written.ends_with("channels = [\"lts\"]\n"), "{written}");
    let told = desk.share(&["remove", "globex", "--output", "json"]).done();
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let gone = json!({ "file": "who.toml", "customer": "globex", "changed": true });
    assert_eq!(told, gone);
    assert_eq!(
        fs::read_to_string(desk.path("who.toml")).expect("read"),
        expected
    );
}

/// What is said, and what is answered: the file would be wrong.
#[test]
fn mistakes_change_nothing() {
    let desk = Desk::with(FILE);
    let account = ["--account", "444455556666"];
    let role = "arn:aws:iam::999922223333:role/a";
    let unchanged = "nothing was changed, since customers.toml would have mistakes";
    for (more, words) in [
        (
            &["--account", "111122223333"][..],
            &[
                "customers.toml:13:",
                "111122223333 is `acme`'s already, in line 5",
            ][..],
        ),
        (
            &["--channel", "stabel"],
            &[
                "customers.toml:14:13: there is no channel `stabel`",
                "did you mean `stable`?",
            ],
        ),
        (
            &["--region", "eu-west-3"],
            &[
                "customers.toml:15:",
                "nothing is published to eu-west-3",
                "the publisher has",
            ],
        ),
        (
            &["--profile", "a["],
            &["customers.toml:15:", "`a[` is no pattern"],
        ),
        (
            &["--role", role],
            &[
                "customers.toml:15:",
                "not this customer's",
                "add 999922223333 to its accounts",
            ],
        ),
        (
            &["--start", "2026-02-01", "--end", "2026-01-31"],
            &["customers.toml:16:", "before it starts on 2026-02-01"],
        ),
    ] {
        let args = [&["add", "new"], &account[..], more].concat();
        desk.refused(&args, &[words, &[unchanged]].concat());
    }
    desk.refused(
        &[
            "add",
            "no name",
            "--account",
            "444455556666",
            "--channel",
            "x",
        ],
        &[unchanged, "`no name` is no word", "no channel `x`"],
    );
    let unit = "arn:aws:organizations::444455556666:ou/o-a1b2c3d4e5/ou-ab12-cd34ef56";
    desk.refused(
        &["add", "new", "--copy", "--unit", unit],
        &[unchanged, "may copy, but has no accounts"],
    );
}

#[test]
fn options_are_checked_first() {
    let desk = Desk::with(FILE);
    for (args, words) in [
        (&["--account", "12"][..], &["`12` is no account id"][..]),
        (&["--account", "111122223333,"], &["`` is no account id"]),
        (
            &["--organization", "o-a1b2c3d4e5"],
            &["is no ARN of an organization"],
        ),
        (
            &["--unit", "ou-1"],
            &["is no ARN of an organizational unit"],
        ),
        (
            &["--account", "444455556666", "--role", "x"],
            &["`x` is no ARN of a role"],
        ),
        (
            &["--account", "444455556666", "--region", "mars"],
            &["`mars` is no Region"],
        ),
        (
            &["--account", "444455556666", "--start", "31.1.2026"],
            &["`31.1.2026` is no day: one looks like 2026-01-31"],
        ),
        (
            &["--account", "444455556666", "--end", "2026-02-30"],
            &["`2026-02-30` is no day"],
        ),
        (&[], &["--account"]),
    ] {
        desk.refused(&[&["add", "new"], args].concat(), words);
    }
}

#[test]
fn names_that_are_there_or_are_not() {
    let desk = Desk::with(FILE);
    desk.refused(
        &["add", "acme", "--account", "444455556666"],
        &[
            "there is a customer `acme` already, in customers.toml, line 4; nothing was changed",
            "share remove acme",
        ],
    );
    desk.refused(
        &["remove", "akme"],
        &[
            "there is no customer `akme` in customers.toml",
            "did you mean `acme`?",
        ],
    );
    let desk = Desk::new(CONFIG);
    desk.refused(
        &["remove", "acme"],
        &[
            "there is no customer `acme` in customers.toml",
            "there are none",
        ],
    );
    assert!(!desk.path("customers.toml").exists());
}

#[test]
fn what_is_wrong_already_is_told() {
    let desk = Desk::with(&FILE.replace("stable", "stabel"));
    let words = [
        "customers.toml has mistakes, and was not changed",
        "customers.toml:6:11: there is no channel `stabel`",
        "did you mean `stable`?",
    ];
    desk.refused(&["add", "new", "--account", "444455556666"], &words);
    desk.refused(&["remove", "globex"], &words);

    let incomplete = CONFIG.replace("home = \"eu-central-1\"", "");
    let desk = Desk::new(&incomplete);
    desk.refused(
        &["add", "new", "--account", "444455556666"],
        &[
            "the configuration's [publish] lacks home",
            "home = \"eu-central-1\"",
        ],
    );
}
