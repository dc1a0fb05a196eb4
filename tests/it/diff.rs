//! `diff` as its users run it: manifests, Alpine's security database, text, Markdown and JSON.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{self, Ended};
use crate::worker::bucket::Bucket;

/// A folder with the manifests of two images, `a.json` and `b.json`, and a security database.
fn desk() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, value: Value| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, value.to_string()).expect("written");
    };
    write(
        "a.json",
        manifest("3.15.10", "5.15.10-0-virt", "1.1.1l-r0", "1.2.12-r0"),
    );
    write(
        "b.json",
        manifest("3.15.11", "5.15.20-0-virt", "1.1.1n-r0", "1.2.11-r3"),
    );
    write("secdb/v3.15/main.json", database());
    folder
}

fn manifest(alpine: &str, kernel: &str, openssl: &str, zlib: &str) -> Value {
    let package = |name: &str, origin: Option<&str>, version: &str| {
        let mut package = json!({
            "name": name, "version": version, "arch": "x86_64",
            "checksum": format!("Q1{name}{version}"), "repository": "main",
            "size": 1, "installed_size": 1000, "license": "MIT",
        });
        if let Some(origin) = origin {
            package["origin"] = json!(origin);
        }
        package
    };
    json!({
        "schema": 1, "tool": "alpine-ami 0.1.0", "profile": "base", "version": "3.15",
        "alpine": alpine, "arch": "x86_64", "firmware": ["uefi", "bios"],
        "plan_digest": "aa", "packages_digest": "bb", "source_date_epoch": 0,
        "image": {"file": "image.raw", "size": 1 << 31, "sha256": alpine},
        "root": {"uuid": "u", "label": "root", "capacity": 50_000_000, "used": 1_000_000},
        "kernel": {"release": kernel, "cmdline": "quiet", "initramfs": true},
        "packages": [
            package("libssl1.1", Some("openssl"), openssl),
            // As manifests were before they told the source package.
            package("zlib", None, zlib),
        ],
        "boot_packages": [], "left_out": [], "checks": {}
    })
}

fn database() -> Value {
    json!({"distroversion": "v3.15", "reponame": "main", "packages": [
        {"pkg": {"name": "openssl", "secfixes": {
            "0": ["CVE-2022-1343"], "1.1.1n-r0": ["CVE-2022-0778"]}}},
        {"pkg": {"name": "zlib", "secfixes": {"1.2.12-r0": ["CVE-2018-25032 XSA-1"]}}}
    ]})
}

fn program(folder: &Path) -> Command {
    let mut command = support::program();
    command.current_dir(folder).env("NO_PROXY", "127.0.0.1");
    command
}

fn diff(folder: &Path, args: &[&str]) -> Ended {
    let mut command = program(folder);
    let output = command
        .args(["diff", "a.json", "b.json"])
        .args(args)
        .output();
    Ended::from(output.expect("it starts"))
}

#[test]
fn a_release_engineer_sees_what_matters_on_one_screen() {
    let desk = desk();
    let said = diff(desk.path(), &["--secdb", "secdb"]).done();
    let expected = "\
a.json → b.json
! DOWNGRADE: zlib 1.2.12-r0 → 1.2.11-r3
! OPEN AGAIN: CVE-2018-25032 (zlib)

image           base 3.15 x86_64
alpine          3.15.10 → 3.15.11
kernel          5.15.10-0-virt → 5.15.20-0-virt
boot            bios, uefi
root used       976.6 KiB
image size      2.0 GiB
packages' size  2.0 KiB
packages        1 upgraded, 1 DOWNGRADED
security        1 vulnerability fixed, 1 OPEN AGAIN
files           not compared
image bytes     differ

open again
  zlib  1.2.12-r0  CVE-2018-25032

fixed
  openssl  1.1.1n-r0  CVE-2022-0778

packages
  ↓ zlib       1.2.12-r0 → 1.2.11-r3    DOWNGRADE
  ↑ libssl1.1  1.1.1l-r0 → 1.1.1n-r0

note: a.json: a manifest does not list files; name the folder to compare them
note: b.json: a manifest does not list files; name the folder to compare them
";
    assert_eq!(said, expected);
    // For machines it is the same in every format.
    let args = [
        "--secdb", "secdb", "--output", "json", "--format", "markdown",
    ];
    let told: Value = serde_json::from_str(&diff(desk.path(), &args).done()).expect("JSON");
    assert_eq!(
        told["security"]["fixed"],
        json!([{"origin": "openssl", "id": "CVE-2022-0778", "version": "1.1.1n-r0",
                "packages": ["libssl1.1"]}])
    );
    assert_eq!(told["security"]["branch"], "v3.15");
    assert_eq!(told["packages"]["changed"][0]["to"]["origin"], "openssl");
    let alpine = json!({"name": "alpine", "from": "3.15.10", "to": "3.15.11"});
    assert!(
        told["about"].as_array().expect("a list").contains(&alpine),
        "{told:#}"
    );
    assert_eq!(told["values"][0], alpine);
}

#[test]
fn release_notes_are_markdown() {
    let desk = desk();
    let args = ["--secdb", "secdb/v3.15/main.json", "--format", "markdown"];
    let said = diff(desk.path(), &args).done();
    for part in [
        "## a.json → b.json\n",
        "> [!WARNING]\n> DOWNGRADE: zlib",
        "| Kernel | 5.15.10-0-virt | **5.15.20-0-virt** |\n",
        "[CVE-2022-0778](https://security.alpinelinux.org/vuln/CVE-2022-0778)",
        "| `libssl1.1` | upgraded, security | `1.1.1l-r0` | `1.1.1n-r0` |  |\n",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn the_configuration_may_name_the_database() {
    let desk = desk();
    let inner = desk.path().join("etc");
    fs::create_dir(&inner).expect("a folder");
    let config = "[diff]\nsecdb = [\"../secdb\"]\n";
    fs::write(inner.join("ami.toml"), config).expect("written");
    let said = diff(desk.path(), &["--config", "etc/ami.toml"]).done();
    assert!(
        said.contains("1 vulnerability fixed, 1 OPEN AGAIN"),
        "{said}"
    );
    // Without any nothing is said of vulnerabilities.
    let said = diff(desk.path(), &[]).done();
    assert!(said.contains("security        not looked up"), "{said}");

    let server = Bucket::start();
    server.put("/v3.15/main.json", database().to_string().into_bytes());
    let community = json!({"distroversion": "v3.15", "packages": []});
    server.put("/v3.15/community.json", community.to_string().into_bytes());
    for path in ["/", "/v3.15/main.json"] {
        let said = diff(desk.path(), &["--secdb", &server.url(path)]).done();
        assert!(
            said.contains("1 vulnerability fixed, 1 OPEN AGAIN"),
            "{said}"
        );
    }
}

#[test]
fn a_database_that_is_none_is_one_clear_error() {
    let desk = desk();
    fs::write(desk.path().join("bad.json"), "[]").expect("written");
    fs::create_dir(desk.path().join("empty")).expect("a folder");
    let unused = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr();
    let refused = format!("http://{}/v3.15/main.json", unused.expect("an address"));
    let server = Bucket::start();
    for (secdb, status, said) in [
        (
            "bad.json",
            2,
            "error: bad.json is no security database of Alpine's",
        ),
        (
            "none.json",
            2,
            "error: cannot read the security database none.json",
        ),
        (
            "empty",
            2,
            "error: the folder empty holds no security database",
        ),
        (
            "http://example.org/",
            2,
            "everybody could change it: use https://",
        ),
        (&refused, 1, "Connection refused"),
        (&server.url("/v3.15/main.json"), 1, "there is no such file"),
    ] {
        let error = diff(desk.path(), &["--secdb", secdb]).failed(status);
        assert!(
            error.contains(said) && error.contains("  next: "),
            "{secdb}: {error}"
        );
        assert_eq!(error.matches("error: ").count(), 1, "{error}");
    }
}
