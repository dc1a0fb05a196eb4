//! Repositories that are missing, silent, unsigned, damaged or lying: one clear error each.

mod downloads;
mod hostile;
mod kills;
mod place;
pub mod server;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::place::{APP, LIB, Place};
use self::server::Mirror;
use super::support::{Crafted, Ended, keys, repository, run, test_keys};

fn resolve(repository: &str, keys: &Path, constraints: &[&str]) -> Ended {
    let keys = keys.to_str().expect("UTF-8");
    let args = [
        "packages", "resolve", "--arch", "x86_64", "--output", "json",
    ];
    let sources = ["--repository", repository, "--keys-dir", keys];
    run(args.iter().chain(&sources).chain(constraints))
}

fn small() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let packages = [
        Crafted::new("app", "2.0-r1", "depend = lib>1").file("usr/bin/app", "app"),
        Crafted::new("app", "1.9-r0", "depend = lib"),
        Crafted::new("lib", "1.5-r0", "provides = so:lib.so.1=1.5").file("usr/lib/lib.so.1", "lib"),
    ];
    let arch = repository(dir.path(), &packages, test_keys());
    (dir, arch)
}

/// The folder with the public half of the key that tests sign with.
fn trusted() -> &'static Path {
    &test_keys().public_dir
}

#[test]
fn what_is_resolved_is_printed_in_order_of_installation() {
    let (dir, arch) = small();
    let base = dir.path().to_str().expect("UTF-8");
    let printed: Value =
        serde_json::from_str(&resolve(base, trusted(), &["app"]).done()).expect("JSON");
    let packages = printed["packages"].as_array().expect("a list");
    let names: Vec<_> = packages
        .iter()
        .map(|one| format!("{}-{}", one["name"], one["version"]).replace('"', ""))
        .collect();
    assert_eq!(names, ["lib-1.5-r0", "app-2.0-r1"]);
    let lib = packages[0].as_object().expect("an object");
    let keys: Vec<_> = lib.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "name",
            "version",
            "arch",
            "checksum",
            "repository",
            "size",
            "installed_size"
        ]
    );
    assert!(
        lib["checksum"]
            .as_str()
            .is_some_and(|sum| sum.starts_with("Q1"))
    );
    assert_eq!(lib["repository"], base);
    assert_eq!(lib["arch"], "x86_64");
    assert_eq!(lib["installed_size"], 3);
    let size = fs::metadata(arch.join("lib-1.5-r0.apk"))
        .expect("a package")
        .len();
    assert_eq!(lib["size"], size);
}

#[test]
fn what_cannot_be_had_is_named_with_who_asked_for_it() {
    let (dir, _) = small();
    let base = dir.path().to_str().expect("UTF-8");
    let missing = resolve(base, trusted(), &["ap"]).failed(1);
    assert!(
        missing.contains("ap") && missing.contains("next: "),
        "{missing}"
    );
    let version = resolve(base, trusted(), &["app>3"]).failed(1);
    assert!(
        version.contains("app>3") && version.contains("2.0-r1"),
        "{version}"
    );
    let bad = resolve(base, trusted(), &["app>3.x"]);
    assert_eq!(bad.status, 2);
    assert!(bad.stderr.contains("3.x"), "{}", bad.stderr);
}

#[test]
fn an_index_that_nobody_trusted_signed_is_refused() {
    let (dir, arch) = small();
    let base = dir.path().to_str().expect("UTF-8");
    let stranger = keys("stranger.rsa");
    let unknown = resolve(base, &stranger.public_dir, &["app"]).failed(1);
    assert!(
        unknown.contains("it is signed by test.rsa.pub, which is not among the trusted keys"),
        "{unknown}"
    );
    assert!(unknown.contains("--keys-dir"), "{unknown}");

    // The same name, another key: what a swapped mirror looks like.
    let impostor = keys("test.rsa");
    let forged = resolve(base, &impostor.public_dir, &["app"]).failed(1);
    assert!(
        forged.contains("the signature by test.rsa.pub does not match"),
        "{forged}"
    );

    let index = arch.join("APKINDEX.tar.gz");
    let signed = fs::read(&index).expect("an index");
    let mut reader = signed.as_slice();
    alpine_ami::apk::member::read_member(&mut reader, 1 << 20).expect("the signature");
    fs::write(&index, reader).expect("the index without it");
    let unsigned = resolve(base, trusted(), &["app"]).failed(1);
    assert!(unsigned.contains("it is not signed"), "{unsigned}");

    for length in [0, 10, signed.len() / 2, signed.len() - 1] {
        fs::write(&index, &signed[..length]).expect("a cut index");
        let cut = resolve(base, trusted(), &["app"]).failed(1);
        assert!(
            cut.contains("is damaged") || cut.contains("cannot trust"),
            "{cut}"
        );
    }
    let mut longer = signed.clone();
    longer.extend_from_slice(b"more");
    fs::write(&index, longer).expect("a longer index");
    resolve(base, trusted(), &["app"]).failed(1);
    fs::write(&index, "<html>Welcome to our hotel</html>").expect("another page");
    let page = resolve(base, trusted(), &["app"]).failed(1);
    assert!(page.contains("is damaged"), "{page}");
}

#[test]
fn a_mirror_that_is_not_there_is_named() {
    let none = resolve("/nonexistent", trusted(), &["app"]).failed(1);
    assert!(
        none.contains("/nonexistent/x86_64/APKINDEX.tar.gz: there is no such file"),
        "{none}"
    );
    let unused = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = unused.local_addr().expect("an address");
    drop(unused);
    let refused = resolve(&format!("http://{address}"), trusted(), &["app"]).failed(1);
    assert!(
        refused.contains("Connection refused") && refused.contains("next: check the address"),
        "{refused}"
    );
}

#[test]
fn packages_come_over_http_and_stay_in_the_store() {
    let place = Place::new();
    let mirror = Mirror::honest(place.repository());
    let missing = resolve(&format!("{}/v9", mirror.base), trusted(), &["app"]).failed(1);
    assert!(
        missing.contains("there is no such file (HTTP 404)"),
        "{missing}"
    );
    place.install(&mirror.base, "one").done();
    place.is_installed("one");
    assert_eq!(place.kept(), 2);
    // The mirror has dropped them since; the store has not.
    for file in [APP, LIB] {
        fs::remove_file(place.packages().join(file)).expect("a package");
    }
    place.install(&mirror.base, "two").done();
    place.is_installed("two");
}
