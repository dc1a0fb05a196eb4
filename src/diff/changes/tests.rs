use serde_json::json;

use super::*;
use crate::diff::Package;
use crate::diff::files::FilesDifference;
use crate::diff::tests::{manifest, package, release};
use crate::image::contents::{Entry, EntryKind};

fn of(name: &str, origin: &str, version: &str) -> Package {
    Package {
        origin: Some(origin.to_owned()),
        ..package(name, version)
    }
}

/// A release with these packages.
fn published(id: &str, alpine: &str, kernel: &str, packages: &[Package]) -> ReleaseManifest {
    let mut image = manifest(packages);
    image["alpine"] = json!(alpine);
    image["kernel"]["release"] = json!(kernel);
    image["kernel"]["cmdline"] = json!(format!("root=PARTUUID=1 console=ttyS0 {}", &kernel[..4]));
    ReleaseManifest {
        release: id.parse().expect("an id"),
        image: Some(serde_json::from_value(image).expect("a manifest")),
        ..release(None)
    }
}

/// What a week may bring: fixes, a kernel, something back, and others.
fn week() -> Changes {
    let from = [
        of("libssl1.1", "openssl", "1.1.1l-r0"),
        of("libcrypto1.1", "openssl", "1.1.1l-r0"),
        of("linux-virt", "linux-lts", "5.15.10-r0"),
        package("kubelet", "1.22.8-r0"),
        package("crun", "1.4-r1"),
        package("zlib", "1.2.12-r0"),
        package("gone", "1"),
        package("apk-tools", "2.12.7-r3"),
    ];
    let mut licensed = package("apk-tools", "2.12.9-r0");
    licensed.license = "GPL|2 <b>".to_owned();
    let to = [
        of("libssl1.1", "openssl", "1.1.1n-r0"),
        of("libcrypto1.1", "openssl", "1.1.1n-r0"),
        of("linux-virt", "linux-lts", "5.15.20-r0"),
        package("kubelet", "1.22.9-r0"),
        package("crun", "1.4.5-r0"),
        package("zlib", "1.2.11-r3"),
        package("a-new-one", "3"),
        licensed,
    ];
    let mut secdb = Secdb::default();
    let database = json!({"distroversion": "v3.15", "packages": [
        {"pkg": {"name": "openssl", "secfixes": {
            "1.1.1l-r8": ["CVE-2021-4160"], "1.1.1n-r0": ["CVE-2022-0778"]}}},
        {"pkg": {"name": "zlib", "secfixes": {"1.2.12-r0": ["CVE-2018-25032"]}}}
    ]});
    secdb
        .add(database.to_string().as_bytes())
        .expect("a database");
    Changes::between(
        &published(
            "base-3.15-x86_64-20260130.1",
            "3.15.10",
            "5.15.10-0-virt",
            &from,
        ),
        &published(
            "base-3.15-x86_64-20260206.1",
            "3.15.11",
            "5.16.20-0-virt",
            &to,
        ),
        &secdb,
    )
}

#[test]
fn for_people() {
    let expected = "\
base-3.15-x86_64-20260130.1 → base-3.15-x86_64-20260206.1
! DOWNGRADE: zlib 1.2.12-r0 → 1.2.11-r3
! OPEN AGAIN: CVE-2018-25032 (zlib)

image           base 3.15 x86_64
alpine          3.15.10 → 3.15.11
kernel          5.15.10-0-virt → 5.16.20-0-virt
boot            bios, uefi; uefi
root used       976.6 KiB
image size      64.0 MiB
packages' size  7.8 KiB
packages        6 upgraded, 1 DOWNGRADED, 1 added, 1 removed, 1 under another licence
security        2 vulnerabilities fixed, 1 OPEN AGAIN
files           not compared
image bytes     the same

open again
  zlib  1.2.12-r0  CVE-2018-25032

fixed
  openssl  1.1.1n-r0  CVE-2021-4160, CVE-2022-0778

packages
  ↓ zlib          1.2.12-r0 → 1.2.11-r3             DOWNGRADE
  ↑ libcrypto1.1  1.1.1l-r0 → 1.1.1n-r0
  ↑ libssl1.1     1.1.1l-r0 → 1.1.1n-r0
  ↑ linux-virt    5.15.10-r0 → 5.15.20-r0
  ↑ kubelet       1.22.8-r0 → 1.22.9-r0
  ↑ crun          1.4-r1 → 1.4.5-r0
  + a-new-one     3                        +1000 B
  - gone          1                        -1000 B
  ↑ apk-tools     2.12.7-r3 → 2.12.9-r0             licence MIT → GPL|2 <b>

other values
  kernel command line  console=ttyS0 5.15 → console=ttyS0 5.16

growth by package
  +1000 B  a-new-one
  -1000 B  gone
";
    let changes = week();
    let told = changes.text();
    assert_eq!(told, expected);
    assert!(told.lines().count() <= 40);
    let line = "kernel 5.15.10-0-virt → 5.16.20-0-virt; 6 upgraded, 1 DOWNGRADED, 1 added, 1 removed, \
                1 under another licence; fixes 2 vulnerabilities; OPENS AGAIN 1 vulnerability";
    assert_eq!(changes.line(), line);
}

#[test]
fn for_release_notes() {
    let expected = "\
## base-3.15-x86\\_64-20260130.1 → base-3.15-x86\\_64-20260206.1

> [!WARNING]
> DOWNGRADE: zlib 1.2.12-r0 → 1.2.11-r3<br>
> OPEN AGAIN: CVE-2018-25032 (zlib)<br>

|  | Before | After |
| --- | --- | --- |
| Release | base-3.15-x86\\_64-20260130.1 | **base-3.15-x86\\_64-20260206.1** |
| Image | base 3.15 x86\\_64 | base 3.15 x86\\_64 |
| Alpine | 3.15.10 | **3.15.11** |
| Kernel | 5.15.10-0-virt | **5.16.20-0-virt** |
| Boot | bios, uefi; uefi | bios, uefi; uefi |
| Root used | 976.6 KiB | 976.6 KiB |
| Image size | 64.0 MiB | 64.0 MiB |

### Open again

| Package | Fixed in | Vulnerabilities |
| --- | --- | --- |
| `zlib` | `1.2.12-r0` | [CVE-2018-25032](https://security.alpinelinux.org/vuln/CVE-2018-25032) |

### Security fixes

| Package | Fixed in | Vulnerabilities |
| --- | --- | --- |
| `openssl` | `1.1.1n-r0` | [CVE-2021-4160](https://security.alpinelinux.org/vuln/CVE-2021-4160), [CVE-2022-0778](https://security.alpinelinux.org/vuln/CVE-2022-0778) |

### Packages

6 upgraded, 1 DOWNGRADED, 1 added, 1 removed, 1 under another licence.

| Package |  | Before | After | Size |
| --- | --- | --- | --- | --- |
| `zlib` | **downgraded** | `1.2.12-r0` | `1.2.11-r3` |  |
| `libcrypto1.1` | upgraded, security | `1.1.1l-r0` | `1.1.1n-r0` |  |
| `libssl1.1` | upgraded, security | `1.1.1l-r0` | `1.1.1n-r0` |  |
| `linux-virt` | upgraded | `5.15.10-r0` | `5.15.20-r0` |  |
| `kubelet` | upgraded | `1.22.8-r0` | `1.22.9-r0` |  |
| `crun` | upgraded | `1.4-r1` | `1.4.5-r0` |  |
| `a-new-one` | added |  | `3` | +1000 B |
| `gone` | removed | `1` |  | -1000 B |
| `apk-tools` | upgraded, licence MIT → GPL\\|2 &lt;b&gt; | `2.12.7-r3` | `2.12.9-r0` |  |

### Other values

| Value | Before | After |
| --- | --- | --- |
| kernel command line | `console=ttyS0 5.15` | `console=ttyS0 5.16` |
";
    assert_eq!(week().markdown(), expected);
}

#[test]
fn long_tables_are_folded() {
    let many = |version: &str| -> Vec<_> {
        (0..40)
            .map(|n| package(&format!("p{n:02}"), version))
            .collect()
    };
    let side = |version| Side {
        packages: Some(many(version)),
        ..Side::default()
    };
    let told = Changes::from(diff(&side("1"), &side("2"))).markdown();
    assert!(
        told.contains("<summary>25 more packages</summary>\n\n| Package |"),
        "{told}"
    );
    assert_eq!(told.matches("\n| `p").count(), 40);
}

#[test]
fn a_database_of_another_branch_says_nothing() {
    let mut secdb = Secdb::default();
    secdb
        .add(br#"{"distroversion": "v3.14"}"#)
        .expect("a database");
    let one = published("base-3.15-x86_64-20260130.1", "3.15.10", "5.15.10", &[]);
    let changes = Changes::between(&one, &one, &secdb);
    let difference = changes.difference();
    assert_eq!(difference.security, None);
    assert_eq!(
        difference.notes,
        ["the security databases at hand are for v3.14, the image is of v3.15: fixes are not told"]
    );
    assert_eq!(changes.line(), "nothing");
}

/// An entry of a package, if any.
fn entry(path: &str, content: &str, package: Option<&str>) -> Entry {
    Entry {
        path: path.to_owned(),
        kind: EntryKind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: Some(1),
        sha256: Some(content.to_owned()),
        target: None,
        package: package.map(str::to_owned),
    }
}

#[test]
fn files_are_told_that_no_package_accounts_for() {
    let side = |version: &str, entries: Vec<Entry>| Side {
        packages: Some(vec![package("up", version), package("same", "1")]),
        contents: Some(crate::image::contents::Contents {
            schema: 1,
            partitions: Vec::new(),
            used: 0,
            entries,
        }),
        ..Side::default()
    };
    let from = vec![
        entry("/etc/own", "1", None),
        entry("/etc/same.conf", "1", Some("same")),
        entry("/lib/apk/db/installed", "1", None),
        entry("/usr/bin/up", "1", Some("up")),
    ];
    let mut to = from.clone();
    for entry in &mut to {
        entry.sha256 = Some("2".to_owned());
    }
    to.push(entry("/usr/share/up", "1", Some("up")));
    to.push(entry("/var/new", "1", None));
    let difference = diff(&side("1", from.clone()), &side("2", to.clone()));
    let files: &FilesDifference = difference.files.as_ref().expect("files");
    let outside = files.outside_packages.as_ref().expect("owners are known");
    // A file of a package that is the same was changed by something else.
    assert_eq!(*outside, ["/etc/own", "/etc/same.conf", "/var/new"]);
    let told = text::render(&difference, false);
    let expected = "
files that no package accounts for
  + /var/new        1 B
  ~ /etc/own        content
  ~ /etc/same.conf  content
";
    assert!(told.contains(expected), "{told}");
    assert!(
        told.contains("2 added, 4 changed; 3 of them not by a package"),
        "{told}"
    );
    assert!(text::render(&difference, true).contains("/usr/bin/up"));
    // Where nobody says whose a file is, all are told.
    let strip = |mut entries: Vec<Entry>| {
        entries.iter_mut().for_each(|entry| entry.package = None);
        entries
    };
    let difference = diff(&side("1", strip(from)), &side("2", strip(to)));
    assert!(text::render(&difference, false).contains("\nfiles\n  + /usr/share/up"));
}
