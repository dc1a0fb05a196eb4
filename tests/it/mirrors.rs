//! Repositories that are missing, silent, unsigned, damaged or lying: one clear error each.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::Value;

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

/// A server for one folder; `answer` may give other bytes for a path.
pub fn serve(dir: PathBuf, answer: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let count = stream.read(&mut buffer).expect("a request");
                request.extend_from_slice(&buffer[..count]);
            }
            let request = String::from_utf8(request).expect("UTF-8");
            let path = request.split(' ').nth(1).expect("a path");
            let (status, body) = match fs::read(dir.join(path.trim_start_matches('/'))) {
                Ok(body) => ("200 OK", answer(path, body)),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // A client that has seen enough hangs up.
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&body));
        }
    });
    format!("http://{address}")
}

fn install(repository: &str, root: &Path, cache: &Path) -> Ended {
    let mut command = super::support::program();
    command
        .env("XDG_CACHE_HOME", cache)
        .args([
            "packages",
            "install",
            "--arch",
            "x86_64",
            "--repository",
            repository,
            "--root",
        ])
        .arg(root)
        .arg("--keys-dir")
        .arg(trusted())
        .arg("app");
    Ended::from(command.output().expect("it starts"))
}

fn stored(cache: &Path) -> usize {
    let mut count = 0;
    let mut folders = vec![cache.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path)
            } else {
                count += 1
            }
        }
    }
    count
}

#[test]
fn packages_come_over_http_and_stay_in_the_store() {
    let (dir, arch) = small();
    let work = tempfile::tempdir().expect("a folder");
    let base = serve(dir.path().to_owned(), |_, body| body);
    let missing = resolve(&format!("{base}/v9"), trusted(), &["app"]).failed(1);
    assert!(
        missing.contains("there is no such file (HTTP 404)"),
        "{missing}"
    );
    let cache = work.path().join("cache");
    install(&base, &work.path().join("one"), &cache).done();
    assert_eq!(
        fs::read(work.path().join("one/usr/bin/app")).expect("a file"),
        b"app"
    );
    assert_eq!(stored(&cache), 2);
    // The mirror has dropped them since; the store has not.
    for file in ["app-2.0-r1.apk", "lib-1.5-r0.apk"] {
        fs::remove_file(arch.join(file)).expect("a package");
    }
    install(&base, &work.path().join("two"), &cache).done();
}

/// What a lying mirror makes of a file.
pub type Lie = fn(&str, Vec<u8>) -> Vec<u8>;

#[test]
fn nothing_of_a_lying_mirror_is_used_or_stored() {
    let lies: [(&str, Lie); 4] = [
        ("bytes that its index says", |path, mut body| {
            if path.ends_with("app-2.0-r1.apk") {
                body.truncate(body.len() / 2)
            }
            body
        }),
        ("more than the", |path, mut body| {
            if path.ends_with("app-2.0-r1.apk") {
                body.extend_from_slice(b"x")
            }
            body
        }),
        ("does not match its datahash", |path, mut body| {
            if path.ends_with("app-2.0-r1.apk") {
                let last = body.len() - 1;
                body[last] ^= 1
            }
            body
        }),
        ("is damaged", |path, mut body| {
            if path.ends_with("app-2.0-r1.apk") {
                body[0] ^= 0xff
            }
            body
        }),
    ];
    for (message, lie) in lies {
        let (dir, _) = small();
        let work = tempfile::tempdir().expect("a folder");
        let (root, cache) = (work.path().join("root"), work.path().join("cache"));
        let base = serve(dir.path().to_owned(), lie);
        let error = install(&base, &root, &cache).failed(1);
        assert!(
            error.contains(message) && error.contains("app-2.0-r1.apk"),
            "{error}"
        );
        assert!(!root.exists(), "{message}: a root was left");
        assert!(stored(&cache) <= 1, "{message}: it was stored");
    }
}
