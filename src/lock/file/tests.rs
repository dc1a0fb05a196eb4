use super::super::testing::{lock, package, wishes};
use super::*;

fn full() -> Lock {
    let mut full = lock(&["curl-8.0-r1", "musl-1.2.2-r9"]);
    full.wishes.optional = wishes(&["gone", "openssl@edge>=3"]);
    full.left_out = wishes(&["gone"]);
    full.repositories.push(LockedRepository {
        name: "@edge https://example.org/\"edge\"".to_owned(),
        index_date: None,
    });
    full.image.push(LockedPackage {
        arch: "noarch".to_owned(),
        repository: "@edge https://example.org/\"edge\"".to_owned(),
        ..package("tzdata-2024a-r0")
    });
    full
}

#[test]
fn what_is_written_is_read_and_written_the_same() {
    let lock = full();
    let text = lock.to_text();
    let read = Lock::parse("x.lock.toml", text.clone().into()).expect("a lock");
    assert_eq!(read, lock);
    assert_eq!(read.to_text(), text);
    assert_eq!(read.digest(), lock.digest());
    // A comment changes neither what is locked nor its digest.
    let commented = format!("# for Ada\n{text}");
    let read = Lock::parse("x.lock.toml", commented.into()).expect("a lock");
    assert_eq!(read.digest(), lock.digest());
}

#[test]
fn the_text_is_one_that_people_review() {
    let text = lock(&["curl-8.0-r1", "musl-1.2.2-r9"]).to_text();
    let sum = |id| package(id).checksum;
    let expected = format!(
        "\
# Packages of `base` for x86_64, chosen by `alpine-ami lock base --arch x86_64`.
# `lock` keeps what is here as far as it fits the profile, `lock --update` takes the newest.
schema = 1
profile = \"base\"
arch = \"x86_64\"

# What was asked for: a build that asks for something else does not take this lock.
[wishes]
required = [
    \"curl\",
]
optional = []
boot = []

# Where packages were chosen from, in order of preference; an older index is refused.
[[repositories]]
name = \"v3.15/main\"
index_date = \"2024-06-18T15:36:02Z\"

# What the image is made of, in order of installation.
[image]
packages = [
    {{ name = \"curl\", version = \"8.0-r1\", repository = \"v3.15/main\", size = 1000, checksum = \"{}\" }},
    {{ name = \"musl\", version = \"1.2.2-r9\", repository = \"v3.15/main\", size = 1000, checksum = \"{}\" }},
]
left_out = []

# What the boot loader is made with; these are not in the image.
[boot]
packages = [
    {{ name = \"grub\", version = \"2.06-r0\", repository = \"v3.15/main\", size = 1000, checksum = \"{}\" }},
]
",
        sum("curl-8.0-r1"),
        sum("musl-1.2.2-r9"),
        sum("grub-2.06-r0")
    );
    assert_eq!(text, expected);
}

/// One clear error each, with the line, or nothing where the text would still do.
#[test]
fn each_mistake_is_told_with_its_line() {
    let text = lock(&["curl-8.0-r1", "musl-1.2.2-r9"]).to_text();
    let cases = [
        (
            "schema = 1",
            "schema = 2",
            "x:3: the lock has format 2, this program knows 1",
        ),
        (
            "schema = 1",
            "schema = 0",
            "x:3:10: there is no format 0; it is 1",
        ),
        ("schema = 1\n", "", "missing field `schema`"),
        (
            "profile = \"base\"",
            "profil = \"base\"",
            "x:4:1: unknown key `profil`",
        ),
        ("arch = \"x86_64\"", "arch = \"vax\"", "x:5:8: "),
        ("\"curl\",\n", "\"curl>x\",\n", "x:10:5: "),
        ("2024-06-18T", "yesterday", "x:18:14: "),
        (
            "name = \"curl\"",
            "name = \"../curl\"",
            "x:23:14: `../curl` cannot be a package's name",
        ),
        (
            "name = \"curl\"",
            "name = \"musl\"",
            "x:24:14: the package `musl` is locked twice",
        ),
        ("8.0-r1", "8.0-1", "x:23:32: "),
        ("Q1", "Q9", "x:23:"),
        ("size = 1000", "size = -1", "x:23:"),
        ("size = 1000, ", "", "x:23:5: missing field `size`"),
        (
            "repository = \"v3.15/main\"",
            "repository = \"v3.15/mian\"",
            "x:23:55: the repository `v3.15/mian` is not among [[repositories]]",
        ),
        (
            "[image]",
            "<<<<<<< HEAD\n[image]",
            "x:21:9: key with no value",
        ),
        ("[boot]\n", "", "x:"),
        ("left_out = []", "left_out = [", "x:"),
    ];
    for (from, to, message) in cases {
        let wrong = text.replacen(from, to, 1);
        assert_ne!(wrong, text, "{from}");
        let error = Lock::parse("x", wrong.into()).expect_err(to);
        assert!(error.to_string().contains(message), "{to}: {error}");
        assert!(error.is_bad_input() && error.advice().is_some(), "{error}");
    }
    let error = Lock::parse("x", b"\xff".to_vec()).expect_err("no text");
    assert!(error.to_string().contains("not UTF-8"), "{error}");
    // Cut anywhere, it is not taken for a shorter lock.
    for length in (0..text.len()).filter(|&length| text.is_char_boundary(length)) {
        let cut = &text[..length];
        if let Ok(read) = Lock::parse("x", cut.into()) {
            assert_eq!(read.to_text(), text, "cut at {length}");
        }
    }
}

#[test]
fn a_lock_is_of_one_profile_and_architecture() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = Lock::path(folder.path(), "base", Arch::X86_64);
    assert!(path.ends_with("base-x86_64.lock.toml"));
    assert_eq!(Lock::read(&path, "base", Arch::X86_64).expect("none"), None);
    let lock = full();
    lock.write(&path).expect("written");
    assert_eq!(
        Lock::read(&path, "base", Arch::X86_64).expect("one"),
        Some(lock)
    );
    for (profile, arch, place) in [
        ("other", Arch::X86_64, ":4:"),
        ("base", Arch::Aarch64, ":5:"),
    ] {
        let error = Lock::read(&path, profile, arch).expect_err("another");
        let said = error.to_string();
        assert!(
            said.contains(place) && said.contains("`base` for x86_64"),
            "{said}"
        );
    }
}

#[test]
fn what_cannot_be_written_leaves_what_was_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("locks/base-x86_64.lock.toml");
    let (old, new) = (lock(&["a-1"]), lock(&["a-2"]));
    old.write(&path).expect("written");
    // What a killed run left, its lock free.
    let left = folder
        .path()
        .join("locks")
        .join(format!("{WORK_PREFIX}dead"));
    fs::create_dir(&left).expect("a folder");
    fs::write(left.join("lock"), "").expect("a file");
    fs::write(left.join("new"), "schema").expect("a file");
    new.write(&path).expect("written");
    assert_eq!(
        Lock::read(&path, "base", Arch::X86_64).expect("one"),
        Some(new.clone())
    );
    let names = fs::read_dir(folder.path().join("locks"))
        .expect("a folder")
        .count();
    assert_eq!(names, 1, "what a dead run left is still there");

    // A folder where the file should be.
    let blocked = folder.path().join("blocked");
    fs::create_dir_all(blocked.join("full")).expect("a folder");
    let error = new.write(&blocked).expect_err("a folder");
    assert!(matches!(error, LockError::Write { .. }) && !error.is_bad_input());
    assert!(blocked.join("full").is_dir());
}
