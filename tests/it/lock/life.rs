//! What a lock is for: the same packages, until somebody wants others.

use std::fs;
use std::path::Path;

use super::desk::{Desk, first_day, next_day, package, set, stored};

#[test]
fn a_lock_is_the_same_wherever_and_whenever_it_is_made() {
    let desk = Desk::new();
    let said = desk.lock(&[]).done();
    assert!(
        said.starts_with("node for x86_64: 3 packages, ")
            && said.contains("locks/node-x86_64.lock.toml"),
        "{said}"
    );
    let text = desk.text();
    assert_eq!(desk.locked(), set(["app-1.0-r0", "lib-1.5-r0"]));
    // In order of installation, one line a package, and nothing of this machine.
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.contains("checksum"))
        .collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, name) in lines.iter().zip(["lib", "app", "grub"]) {
        assert!(
            line.starts_with(&format!("    {{ name = \"{name}\", version = ")),
            "{line}"
        );
        assert!(
            line.contains("repository = \"v3.15/main\", size = "),
            "{line}"
        );
    }
    assert!(
        text.contains("index_date = \"2023-11-14T22:13:20Z\""),
        "{text}"
    );
    assert!(
        !text.contains(desk.path("").to_str().expect("UTF-8")),
        "{text}"
    );
    assert_eq!(
        stored(&desk.path("store")),
        3,
        "what is locked is in the store"
    );

    let again = desk.lock(&[]).done();
    assert!(again.contains("is up to date"), "{again}");
    assert_eq!(desk.text(), text);
    desk.lock(&["--check"]).done();
    desk.lock(&["--check", "--update"]).done();

    // Another machine, another mirror, another time zone.
    fs::remove_file(desk.lock_file()).expect("removed");
    desk.mirror("other", &first_day());
    let mirror = desk.path("other");
    let mirror = mirror.to_str().expect("UTF-8");
    let mut elsewhere = desk.on("store-2", &["lock", "node", "--mirror", mirror]);
    let output = elsewhere
        .env("TZ", "Asia/Tokyo")
        .env("LC_ALL", "C")
        .output();
    crate::support::Ended::from(output.expect("it starts")).done();
    assert_eq!(desk.text(), text);
}

#[test]
fn newer_packages_come_when_they_are_asked_for() {
    let desk = Desk::new();
    let missing = desk.lock(&["--check"]);
    assert_eq!(missing.status, 3, "{}", missing.stderr);
    assert!(
        missing.stdout.contains("there is no locks/node"),
        "{}",
        missing.stdout
    );
    assert!(
        !desk.path("locks").exists() && !desk.path("store").exists(),
        "a check made something"
    );

    desk.lock(&[]).done();
    let text = desk.text();
    desk.mirror("mirror", &next_day());
    desk.lock(&["--check"]).done();
    desk.lock(&[]).done();
    assert_eq!(desk.text(), text, "nobody asked for newer ones");

    let check = desk.lock(&["--check", "--update"]);
    assert_eq!(check.status, 3, "{}", check.stderr);
    assert_eq!(
        check.stdout,
        "node for x86_64: locks/node-x86_64.lock.toml is out of date: 2 changed, 1 as it was\n\
         \u{20} packages\n  ~ app  1.0-r0 → 1.1-r0\n  ~ lib  1.5-r0 → 1.6-r0\n"
    );
    assert_eq!(desk.text(), text);

    let json = desk.json(&["--update"], 0);
    assert_eq!(
        (&json["changed"], &json["new"]),
        (&true.into(), &false.into())
    );
    assert_eq!(json["changes"]["image"]["changed"][0]["name"], "app");
    assert_eq!(
        json["changes"]["image"]["changed"][0]["from"]["version"],
        "1.0-r0"
    );
    assert_eq!(json["changes"]["image"]["changed"][0]["change"], "up");
    let lib = &json["changes"]["image"]["changed"][1]["to"];
    let size = fs::metadata(desk.file("lib-1.6-r0"))
        .expect("a package")
        .len();
    assert_eq!(lib["size"], size);
    assert_eq!(desk.locked(), set(["app-1.1-r0", "lib-1.6-r0"]));
    assert!(
        desk.text().contains("2023-11-15T22:13:20Z"),
        "the index's date is the new one"
    );
    let unchanged = desk.json(&["--update"], 0);
    assert_eq!(unchanged["changed"], false);
}

#[test]
fn a_wish_more_changes_nothing_else() {
    let desk = Desk::new();
    desk.lock(&[]).done();
    let mut both = next_day();
    both.extend(first_day().into_iter().take(3));
    desk.mirror("mirror", &both);
    desk.profile(&["app", "jq", "none?"]);
    let check = desk.lock(&["--check"]);
    assert_eq!(check.status, 3, "{}", check.stderr);
    let said = desk.lock(&[]).done();
    assert_eq!(
        said,
        "node for x86_64: 1 added, 3 as they were\n\
         \u{20} asked for\n  + jq\n  + none?\n  not to be had\n  + none\n\
         \u{20} packages\n  + jq  1.7-r0\n"
    );
    assert_eq!(
        desk.locked(),
        set(["app-1.0-r0", "jq-1.7-r0", "lib-1.5-r0"])
    );

    // A wish that what is locked does not meet changes that, and what hangs on it.
    desk.profile(&["app", "lib>=1.6"]);
    let said = desk.lock(&[]).done();
    assert!(
        said.contains("~ lib  1.5-r0 → 1.6-r0") && said.contains("- jq"),
        "{said}"
    );
    assert_eq!(desk.locked(), set(["app-1.0-r0", "lib-1.6-r0"]));

    // And one that goes takes along what only it needed.
    desk.profile(&["jq"]);
    desk.lock(&[]).done();
    assert_eq!(desk.locked(), set(["jq-1.7-r0"]));
}

#[test]
fn what_the_mirror_has_dropped_stays_where_the_store_has_it() {
    let desk = Desk::new();
    desk.lock(&[]).done();
    desk.mirror("mirror", &next_day());
    desk.profile(&["app", "jq"]);
    desk.lock(&[]).done();
    assert_eq!(
        desk.locked(),
        set(["app-1.0-r0", "jq-1.7-r0", "lib-1.5-r0"])
    );

    // A machine that never had them.
    let text = desk.text();
    let fresh = |args: &[&str]| {
        let output = desk.on("fresh", args).output();
        crate::support::Ended::from(output.expect("it starts"))
    };
    let check = fresh(&["lock", "node", "--check"]);
    assert_eq!(check.status, 3, "{}", check.stderr);
    assert!(
        check.stdout.contains(
            "note: app-1.0-r0 is gone from v3.15/main, and it is not in this machine's store"
        ),
        "{}",
        check.stdout
    );
    assert_eq!(desk.text(), text);
    let said = fresh(&["lock", "node"]).done();
    assert!(said.contains("~ app  1.0-r0 → 1.1-r0"), "{said}");
    assert_eq!(
        desk.locked(),
        set(["app-1.1-r0", "jq-1.7-r0", "lib-1.6-r0"])
    );
}

#[test]
fn what_is_gone_is_replaced_and_no_more_than_that() {
    let desk = Desk::new();
    desk.lock(&[]).done();
    // Only `lib` has gone; a newer `app` is there beside the old one.
    desk.mirror(
        "mirror",
        &[
            package("app", "1.0-r0", 0, "depend = lib"),
            package("app", "1.1-r0", 1, "depend = lib"),
            package("lib", "1.6-r0", 1, "provides = so:lib.so.1=1.6"),
            package("grub", "2.06-r0", 0, ""),
        ],
    );
    let output = desk.on("fresh", &["lock", "node"]).output();
    let said = crate::support::Ended::from(output.expect("it starts")).done();
    assert!(said.contains("1 changed, 2 as they were"), "{said}");
    assert_eq!(desk.locked(), set(["app-1.0-r0", "lib-1.6-r0"]));

    // The same version, built again: another package.
    let fresh = Desk::new();
    fresh.lock(&[]).done();
    let mut rebuilt = first_day();
    rebuilt[1] = package("lib", "1.5-r0", 2, "provides = so:lib.so.1=1.5");
    fresh.mirror("mirror", &rebuilt);
    let output = fresh.on("fresh", &["lock", "node"]).output();
    let said = crate::support::Ended::from(output.expect("it starts")).done();
    assert!(said.contains("~ lib  1.5-r0 rebuilt"), "{said}");
}

#[test]
fn several_locks_are_made_and_compared() {
    let desk = Desk::new();
    fs::copy(
        desk.path("profiles/node.toml"),
        desk.path("profiles/other.toml"),
    )
    .expect("copied");
    let config = "[paths]\nprofiles = [\"profiles\"]\nlocks = \"kept/here\"\n";
    fs::write(desk.path("alpine-ami.toml"), config).expect("a configuration");
    let said = desk.run(&["lock", "node", "other"]).done();
    assert!(
        said.contains("node for x86_64: ") && said.contains("\nother for x86_64: "),
        "{said}"
    );
    let path = |name: &str| desk.path("kept/here").join(name);
    let old = path("old.lock.toml");
    fs::copy(path("node-x86_64.lock.toml"), &old).expect("copied");
    desk.mirror("mirror", &next_day());
    desk.lock(&["--update"]).done();

    let diff = |a: &Path, b: &Path, more: &[&str]| {
        let mut command = crate::support::program();
        let command = command.arg("diff").arg(a).arg(b).args(more);
        crate::support::Ended::from(command.output().expect("it starts"))
    };
    let new = path("node-x86_64.lock.toml");
    let said = diff(&old, &new, &["--check"]);
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert!(
        said.stdout.contains("packages  2 upgraded"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("↑ app  1.0-r0 → 1.1-r0"),
        "{}",
        said.stdout
    );
    for word in ["files", "licence", "size", "not compared"] {
        assert!(!said.stdout.contains(word), "{word}: {}", said.stdout);
    }
    let same = diff(&new, &new, &["--check"]).done();
    assert!(same.contains("differs   nothing\n"), "{same}");
    let config = desk.path("alpine-ami.toml");
    let none = diff(&old, &config, &[]).failed(2);
    assert!(
        none.contains("alpine-ami.toml:1:") && none.contains("unknown key `paths`"),
        "{none}"
    );
}
