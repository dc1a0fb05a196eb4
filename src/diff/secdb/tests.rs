use serde_json::json;

use super::load::SecdbError;
use super::*;
use crate::diff::packages::{self, Package};

fn package(name: &str, origin: Option<&str>, version: &str) -> Package {
    Package {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: "x86_64".to_owned(),
        checksum: format!("Q1{version}"),
        size: 1,
        installed_size: 1,
        license: "MIT".to_owned(),
        origin: origin.map(str::to_owned),
    }
}

fn database() -> serde_json::Value {
    json!({
        "apkurl": "{{urlprefix}}/{{distroversion}}/{{reponame}}/{{arch}}/{{pkg.name}}-{{pkg.ver}}.apk",
        "archs": ["x86_64"], "urlprefix": "https://dl-cdn.alpinelinux.org/alpine",
        "distroversion": "v3.15", "reponame": "main",
        "packages": [
            {"pkg": {"name": "openssl", "secfixes": {
                "0": ["CVE-2022-1343"],
                "1.1.1l-r0": ["CVE-2021-3711", "CVE-2021-3712"],
                "1.1.1l-r8": ["CVE-2021-4160"],
                "1.1.1n-r0": ["CVE-2022-0778"]}}},
            {"pkg": {"name": "xen", "secfixes": {
                "4.9.0-r0": ["CVE-2017-10912 XSA-217", "XSA-218", "CVE_2019-2426"],
                "4.9.1_beta": ["CVE-2017-2616 (+ regression fix)"],
                "what": ["CVE-2000-0001"]}}},
            {"pkg": {"name": "empty", "secfixes": null}}
        ]
    })
}

fn secdb() -> Secdb {
    let mut secdb = Secdb::default();
    let text = database().to_string();
    secdb.add(text.as_bytes()).expect("a database");
    secdb
}

/// What is fixed and open again between two versions of packages of one source.
fn told(origin: &str, names: &[&str], from: &str, to: &str) -> (Vec<String>, Vec<String>) {
    let all = |version| -> Vec<_> {
        let one = |name: &&str| package(name, Some(origin), version);
        names.iter().map(one).collect()
    };
    let packages = packages::compare(&all(from), &all(to));
    let security = secdb().compare("v3.15", &packages).expect("a branch");
    let texts = |fixes: Vec<Fix>| {
        fixes
            .iter()
            .map(|fix| format!("{} {}", fix.id, fix.version))
            .collect()
    };
    (texts(security.fixed), texts(security.reopened))
}

#[test]
fn a_fix_counts_between_two_versions() {
    for (from, to, expected) in [
        (
            "1.1.1k-r0",
            "1.1.1l-r0",
            &["CVE-2021-3711 1.1.1l-r0", "CVE-2021-3712 1.1.1l-r0"][..],
        ),
        ("1.1.1l-r0", "1.1.1l-r7", &[]),
        ("1.1.1l-r7", "1.1.1l-r8", &["CVE-2021-4160 1.1.1l-r8"]),
        // By apk's order, in which r10 is after r8.
        ("1.1.1l-r7", "1.1.1l-r10", &["CVE-2021-4160 1.1.1l-r8"]),
        ("1.1.1l-r8", "1.1.1t-r0", &["CVE-2022-0778 1.1.1n-r0"]),
        ("1.1.1n-r0", "1.1.1t-r0", &[]),
        ("odd", "1.1.1t-r0", &[]),
    ] {
        let (fixed, reopened) = told("openssl", &["libssl1.1"], from, to);
        assert_eq!(fixed, expected, "{from} → {to}");
        assert!(reopened.is_empty());
        // The way back opens what the way there fixed.
        let (fixed, reopened) = told("openssl", &["libssl1.1"], to, from);
        assert!(fixed.is_empty());
        assert_eq!(reopened, expected, "{to} → {from}");
    }
}

#[test]
fn packages_of_one_source_have_its_fixes_once() {
    let from =
        ["libssl1.1", "libcrypto1.1"].map(|name| package(name, Some("openssl"), "1.1.1l-r7"));
    let to = ["libssl1.1", "libcrypto1.1"].map(|name| package(name, Some("openssl"), "1.1.1l-r8"));
    let security = secdb().compare("v3.15", &packages::compare(&from, &to));
    let expected = Fix {
        origin: "openssl".to_owned(),
        id: "CVE-2021-4160".to_owned(),
        version: "1.1.1l-r8".to_owned(),
        packages: vec!["libcrypto1.1".to_owned(), "libssl1.1".to_owned()],
    };
    assert_eq!(security.expect("a branch").fixed, [expected]);
    // Where no origin is told, the name is it.
    let change = packages::compare(
        &[package("openssl", None, "1.1.1l-r7")],
        &[package("openssl", None, "1.1.1l-r8")],
    );
    assert_eq!(
        secdb()
            .compare("v3.15", &change)
            .expect("a branch")
            .fixed
            .len(),
        1
    );
    // What comes new was never open.
    let added = packages::compare(&[], &to);
    assert!(
        secdb()
            .compare("v3.15", &added)
            .expect("a branch")
            .fixed
            .is_empty()
    );
    assert_eq!(secdb().compare("v3.16", &change), None);
}

#[test]
fn an_id_is_read_out_of_what_people_write() {
    let (fixed, _) = told("xen", &["xen"], "4.8.0-r0", "4.10.0-r0");
    assert_eq!(
        fixed,
        [
            "CVE-2017-10912 4.9.0-r0",
            "CVE-2017-2616 4.9.1_beta",
            "CVE-2019-2426 4.9.0-r0",
            "XSA-218 4.9.0-r0",
        ]
    );
    for (text, expected) in [
        ("CVE-2016-9818 XSA-201", &["CVE-2016-9818"][..]),
        (
            "CVE-2019-0001, CVE-2019-0002",
            &["CVE-2019-0001", "CVE-2019-0002"],
        ),
        ("CVE N/A ZBX-11023", &["ZBX-11023"]),
        (
            "GHSA-h6cc-rc6q-23j4 (+regression fix)",
            &["GHSA-h6cc-rc6q-23j4"],
        ),
        ("(CVE-2020-14342)", &[]),
        ("", &[]),
        ("CVE-2020-1](http://evil) \x1b[2J", &[]),
    ] {
        assert_eq!(ids(text), expected, "{text}");
    }
    assert!(is_cve("CVE-2021-3711") && is_cve("CVE-2021-1234567"));
    assert!(!is_cve("CVE-2021-371x") && !is_cve("CVE-21-3711") && !is_cve("XSA-1"));
}

#[test]
fn a_release_is_of_a_branch() {
    for (alpine, expected) in [
        ("3.15.11", "v3.15"),
        ("3.15", "v3.15"),
        ("v3.19", "v3.19"),
        ("edge", "edge"),
        ("3.17_alpha20220715", "3.17_alpha20220715"),
        ("../x", "../x"),
    ] {
        assert_eq!(branch(alpine), expected);
    }
}

async fn load(source: &str, branch: Option<&str>) -> Result<Secdb, SecdbError> {
    Secdb::load(&[source.to_owned()], branch).await
}

#[tokio::test]
async fn databases_are_read_from_files_and_folders() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let main = path("main.json");
    std::fs::write(&main, database().to_string()).expect("written");
    assert_eq!(load(&main, None).await.expect("a database"), secdb());
    // A folder, and one as a mirror has it.
    std::fs::write(path("README"), "nothing").expect("written");
    assert_eq!(load(&path(""), Some("v3.16")).await.expect("one"), secdb());
    std::fs::create_dir_all(path("mirror/v3.15")).expect("a folder");
    std::fs::rename(&main, path("mirror/v3.15/main.json")).expect("moved");
    assert_eq!(
        load(&path("mirror"), Some("v3.15")).await.expect("one"),
        secdb()
    );

    for (source, branch, said) in [
        (path("mirror"), Some("v3.16"), "holds no security database"),
        (
            path("nothing.json"),
            None,
            "cannot read the security database",
        ),
        (
            path("README"),
            None,
            "is no security database of Alpine's: expected",
        ),
        (
            "http://example.com/main.json".to_owned(),
            None,
            "everybody could change it",
        ),
        (
            "s3://bucket/main.json".to_owned(),
            None,
            "is no address of a security database",
        ),
        (
            "http://127.0.0.1:9/".to_owned(),
            None,
            "does not tell its Alpine release",
        ),
        (
            "http://127.0.0.1:9/".to_owned(),
            Some("../../x"),
            "does not tell its Alpine release",
        ),
    ] {
        let error = load(&source, branch).await.expect_err(said);
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.is_bad_input() && error.advice().is_some());
    }
    std::fs::write(
        path("not.json"),
        "{\"distroversion\": \"\x1b[2J\", \"packages\": 1}",
    )
    .expect("written");
    let error = load(&path("not.json"), None)
        .await
        .expect_err("no database");
    assert!(!error.to_string().contains('\x1b'), "{error}");
    let large = std::fs::File::create(path("large.json")).expect("a file");
    large.set_len(1 << 30).expect("long");
    let error = load(&path("large.json"), None)
        .await
        .expect_err("too large");
    assert!(crate::causes::chain(&error).contains("more than 16777216 bytes"));
}
