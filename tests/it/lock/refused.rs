//! What a lock keeps out, and what is wrong with a lock.

use std::fs;

use super::desk::{Desk, first_day, next_day, package, stored};

#[test]
fn an_index_older_than_the_lock_s_is_refused() {
    let desk = Desk::new();
    desk.mirror("mirror", &next_day());
    desk.lock(&[]).done();
    let text = desk.text();
    // Validly signed, as it was the day before: a mirror that is behind, or made to be.
    desk.mirror("mirror", &first_day());
    for more in [
        &[][..],
        &["--update"],
        &["--check"],
        &["--check", "--update"],
    ] {
        let error = desk.lock(more).failed(1);
        assert!(
            error.contains("the index of v3.15/main from ")
                && error.contains(
                    "is of 2023-11-14 22:13:20 UTC, older than that of 2023-11-15 22:13:20 UTC"
                ),
            "{more:?}: {error}"
        );
        assert!(
            error.contains("next: name another mirror with --mirror"),
            "{error}"
        );
        assert_eq!(desk.text(), text);
    }
    // Another mirror is not behind.
    desk.mirror("other", &next_day());
    let mirror = desk.path("other");
    desk.lock(&["--update", "--mirror", mirror.to_str().expect("UTF-8")])
        .done();
    // One that is behind is no harm where another one is not.
    let behind = desk.path("mirror");
    let both = ["--mirror", behind.to_str().expect("UTF-8"), "--mirror"];
    let both = [&both[..], &[mirror.to_str().expect("UTF-8")]].concat();
    for more in [&["--check"][..], &["--check", "--update"], &[]] {
        desk.lock(&[more, &both].concat()).done();
    }
    assert_eq!(desk.text(), text);
    // Whoever means it removes the lock.
    fs::remove_file(desk.lock_file()).expect("removed");
    desk.lock(&[]).done();
}

/// What a repository has is no measure of its age: it may have lost its newest package.
#[test]
fn an_index_is_as_old_as_it_says() {
    let desk = Desk::new();
    desk.mirror_of("mirror", &next_day(), Some(2));
    desk.lock(&[]).done();
    assert!(
        desk.text().contains("2023-11-16T22:13:20Z"),
        "{}",
        desk.text()
    );
    desk.mirror_of("mirror", &first_day(), Some(3));
    let said = desk.lock(&["--update"]).done();
    assert!(said.contains("~ app  1.1-r0 → 1.0-r0  DOWNGRADE"), "{said}");
    assert!(
        desk.text().contains("2023-11-17T22:13:20Z"),
        "{}",
        desk.text()
    );
    desk.mirror_of("mirror", &next_day(), Some(2));
    let error = desk.lock(&["--update"]).failed(1);
    assert!(
        error.contains("2023-11-16 22:13:20 UTC, older than"),
        "{error}"
    );
}

#[test]
fn a_build_takes_the_lock_that_fits_its_profile_and_no_other() {
    let desk = Desk::new();
    let build = |more: &[&str]| desk.run(&[&["build", "node"], more].concat());
    let none = build(&["--locked"]).failed(2);
    assert!(
        none.contains("there is no lock locks/node-x86_64.lock.toml, and --locked was given"),
        "{none}"
    );
    assert!(
        none.contains("next: `alpine-ami lock node --arch x86_64 --keys-dir "),
        "{none}"
    );
    // Without a lock it says so, and takes the newest; these make no system.
    let newest = build(&[]).failed(1);
    assert!(
        newest.contains(
            "node: there is no lock locks/node-x86_64.lock.toml: taking the newest packages"
        ),
        "{newest}"
    );
    assert!(newest.contains("installing 2 packages"), "{newest}");

    desk.lock(&[]).done();
    desk.mirror("mirror", &next_day());
    let locked = build(&["--locked"]).failed(1);
    assert!(
        locked.contains("taking the packages of locks/node-x86_64.lock.toml"),
        "{locked}"
    );
    assert!(!locked.contains("fetching indexes"), "{locked}");
    let unlocked = build(&["--unlocked"]).failed(1);
    assert!(unlocked.contains("fetching indexes"), "{unlocked}");
    assert!(build(&["--unlocked", "--locked"]).status == 2);

    desk.profile(&["jq", "curl?"]);
    let outdated = build(&[]).failed(2);
    for reason in [
        "the lock locks/node-x86_64.lock.toml is out of date:",
        "the package `jq` is asked for and not locked",
        "the package `app` is locked and not asked for",
        "the optional package `curl` is asked for and not locked",
        "next: `alpine-ami lock node --arch x86_64 ",
    ] {
        assert!(outdated.contains(reason), "{reason}: {outdated}");
    }
    desk.profile(&["app"]);
    let other = build(&["--set", "alpine=3.16"]).failed(2);
    assert!(
        other.contains("it was made from v3.15/main, packages are to come from v3.16/main")
            && other.contains("--set alpine=3.16"),
        "{other}"
    );
    let more = build(&["--repository", "/nowhere"]).failed(2);
    assert!(
        more.contains("from v3.15/main, packages are to come from v3.15/main, /nowhere"),
        "{more}"
    );
    assert!(
        !desk.path("build/node-x86_64").exists(),
        "a refused build left something"
    );
}

#[test]
fn a_package_that_was_swapped_is_not_taken() {
    let desk = Desk::new();
    desk.lock(&[]).done();
    let good = fs::read(desk.file("lib-1.5-r0")).expect("a package");
    // Signed by the same key, under the same name.
    let mut swapped = first_day();
    swapped[1] = package(
        "lib",
        "1.5-r0",
        0,
        "provides = so:lib.so.1=1.5\nreplaces = app",
    );
    desk.mirror("mirror", &swapped);
    assert_ne!(fs::read(desk.file("lib-1.5-r0")).expect("a package"), good);
    let build = |store: &str| {
        let output = desk.on(store, &["build", "node", "--locked"]).output();
        crate::support::Ended::from(output.expect("it starts"))
    };
    let error = build("fresh").failed(1);
    assert!(
        error.contains("the locked package lib-1.5-r0 from v3.15/main cannot be had: ")
            && error.contains("listed for it"),
        "{error}"
    );
    assert!(
        error.contains("`alpine-ami lock node --arch x86_64` replace it"),
        "{error}"
    );
    assert_eq!(stored(&desk.path("fresh")), 0);
    // Gone, which another mirror may mend.
    fs::remove_file(desk.file("lib-1.5-r0")).expect("removed");
    let error = build("fresh").failed(1);
    assert!(
        error.contains("lib-1.5-r0") && error.contains("there is no such file"),
        "{error}"
    );
    // Where the store has it, nobody is asked.
    let error = build("store").failed(1);
    assert!(error.contains("installing 2 packages"), "{error}");
}

#[test]
fn a_lock_that_somebody_damaged_is_told_with_its_line() {
    let desk = Desk::new();
    desk.lock(&[]).done();
    let text = desk.text();
    let with = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        fs::write(desk.lock_file(), changed).expect("written");
    };
    let file = "locks/node-x86_64.lock.toml";
    let line = 1 + text
        .lines()
        .position(|line| line.contains("\"lib\""))
        .expect("its line");
    let cases = [
        (
            "schema = 1",
            "schema = 2",
            format!("{file}:3: the lock has format 2"),
        ),
        (
            "\"node\"",
            "\"other\"",
            format!("{file}:4:1: it is the lock of `other` for x86_64"),
        ),
        (
            "checksum = \"Q1",
            "checksum = \"Q",
            format!("{file}:{line}:"),
        ),
        (
            "version = \"1.5-r0\"",
            "versoin = \"1.5-r0\"",
            format!("{file}:{line}:"),
        ),
        ("[image]", "=======\n[image]", format!("{file}:")),
    ];
    for (from, to, message) in cases {
        with(from, to);
        for args in [
            &["build", "node"][..],
            &["lock", "node"],
            &["lock", "node", "--check"],
        ] {
            let error = desk.run(args).failed(2);
            assert!(error.contains(&message), "{to}: {error}");
            assert_eq!(error.matches("error: ").count(), 1, "{error}");
            assert!(error.contains("next: "), "{error}");
        }
    }
    // A line that a merge has lost: only the packages say what is missing.
    let lost: Vec<_> = text
        .lines()
        .filter(|line| !line.contains("\"lib\""))
        .collect();
    fs::write(desk.lock_file(), lost.join("\n")).expect("written");
    let error = desk.run(&["build", "node"]).failed(2);
    assert!(
        error.contains("the lock of node for x86_64 does not hold together:\n  `lib` is not locked, and app-1.0-r0 needs it"),
        "{error}"
    );
    // `lock` mends it, and no more than that.
    let check = desk.lock(&["--check"]);
    assert_eq!(check.status, 3, "{}", check.stderr);
    assert!(
        check.stdout.contains("  + lib  1.5-r0\n")
            && check
                .stdout
                .contains("note: `lib` is not locked, and app-1.0-r0 needs it"),
        "{}",
        check.stdout
    );
    desk.lock(&[]).done();
    assert_eq!(desk.text(), text);
    // As it does with what a hand has changed, and the checksum does not bear out.
    for (from, to) in [("1.5-r0", "1.5-r1"), ("size = ", "size = 1")] {
        with(from, to);
        let check = desk.lock(&["--check"]);
        assert_eq!(check.status, 3, "{}", check.stderr);
        assert!(
            check
                .stdout
                .contains("is locked, and what has its checksum is lib-1.5-r0 for "),
            "{}",
            check.stdout
        );
        desk.lock(&[]).done();
        assert_eq!(desk.text(), text);
    }
}
