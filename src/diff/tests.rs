use std::fs::File;
use std::io;
use std::path::Path;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::load::{LoadError, Remote, RemoteError, load};
use super::packages::Change;
use super::subject::{OnDisk, Subject, SubjectError, look, parse};
use super::*;
use crate::arch::Firmware;
use crate::aws::{AmiId, Region, SnapshotId};
use crate::image::contents::testing::{Disk, SIZE};
use crate::image::contents::{self, FILES};
use crate::image::manifest::{IMAGE, MANIFEST, Manifest};
use crate::publish::manifest::{Attachment, ReleaseManifest};
use crate::publish::release::ReleaseId;

pub(super) fn package(name: &str, version: &str) -> Package {
    Package {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: "x86_64".to_owned(),
        checksum: format!("Q1{name}{version}"),
        size: 100,
        installed_size: 1000,
        license: "MIT".to_owned(),
        origin: None,
    }
}

fn side(name: &str, packages: Vec<Package>) -> Side {
    Side {
        name: name.to_owned(),
        packages: Some(packages),
        ..Side::default()
    }
}

/// The manifest of an image with these packages.
pub(super) fn manifest(packages: &[Package]) -> Value {
    let package = |package: &Package| {
        let mut value = serde_json::to_value(package).expect("JSON");
        value["repository"] = json!("https://example.org/main");
        value
    };
    json!({
        "schema": 1, "tool": "alpine-ami 0.1.0", "profile": "base", "version": "3.15",
        "alpine": "3.15.11", "arch": "x86_64", "firmware": ["uefi", "bios"],
        "plan_digest": "aa", "packages_digest": "bb", "source_date_epoch": 1_700_000_000,
        "image": {"file": "image.raw", "size": SIZE, "sha256": "cc"},
        "root": {"uuid": "u", "label": "root", "capacity": 50_000_000, "used": 1_000_000},
        "kernel": {"release": "5.15.1", "cmdline": "root=PARTUUID=1 quiet", "initramfs": false},
        "packages": packages.iter().map(package).collect::<Vec<_>>(),
        "boot_packages": [], "left_out": [], "checks": {}
    })
}

fn change(difference: &Difference, name: &str) -> Change {
    let changed = &difference.packages.as_ref().expect("packages").changed;
    changed
        .iter()
        .find(|package| package.name == name)
        .expect(name)
        .change
}

#[test]
fn packages_come_go_and_change_by_apks_order() {
    let mut license = package("license", "1");
    license.license = "GPL-2.0-only".to_owned();
    let mut rebuilt = package("rebuilt", "1.0-r0");
    rebuilt.checksum = "Q1other".to_owned();
    let from = ["gone", "same", "license", "rebuilt"].map(|name| package(name, "1"));
    let mut from = from.to_vec();
    from[3].version = "1.0-r0".to_owned();
    from.extend([
        package("up", "1.9-r0"),
        package("down", "1.0"),
        package("rc", "2.0_rc1"),
        package("odd", "what"),
    ]);
    let to = [
        package("new", "3"),
        package("same", "1"),
        license,
        rebuilt,
        package("up", "1.10-r0"),
        package("down", "1.0_rc2"),
        package("rc", "2.0"),
        package("odd", "ever"),
    ];
    let difference = diff(&side("a", from), &side("b", to.to_vec()));
    let packages = difference.packages.as_ref().expect("packages");
    let names = |list: &[Package]| list.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&packages.added), ["new"]);
    assert_eq!(names(&packages.removed), ["gone"]);
    for (name, how) in [
        ("up", Change::Up),
        ("rc", Change::Up),
        ("down", Change::Down),
        ("rebuilt", Change::Rebuilt),
        ("license", Change::Other),
        ("odd", Change::Other),
    ] {
        assert_eq!(change(&difference, name), how, "{name}");
    }
    assert_eq!(packages.changed.len(), 6);
    assert!(!difference.is_empty());
}

#[test]
fn growth_counts_packages_that_came_and_went() {
    let sized = |name: &str, size| Package {
        installed_size: size,
        ..package(name, "1")
    };
    let from = side(
        "a",
        vec![
            sized("gone", 50),
            sized("less", 30),
            sized("more", 10),
            sized("same", 5),
        ],
    );
    let to = side(
        "b",
        vec![
            sized("new", 70),
            sized("less", 20),
            sized("more", 110),
            sized("same", 5),
        ],
    );
    let sizes = diff(&from, &to).sizes;
    let growth: Vec<_> = sizes
        .growth
        .iter()
        .map(|g| (g.package.as_str(), g.bytes))
        .collect();
    assert_eq!(
        growth,
        [("more", 100), ("new", 70), ("less", -10), ("gone", -50)]
    );
    assert_eq!(sizes.packages, Some(Pair { from: 95, to: 205 }));
    assert_eq!((sizes.image, sizes.used), (None, None));
    assert_eq!(sizes::delta(0, u64::MAX), i64::MAX);
    assert_eq!(sizes::delta(u64::MAX, 0), i64::MIN);
}

#[test]
fn what_is_the_same_differs_in_nothing() {
    let disk = Disk::new().file("etc/a", 0o644, "a");
    let contents = contents::list(&disk.write()).expect("a list");
    let mut one = side("a", vec![package("a", "1")]);
    one.contents = Some(contents);
    one.sha256 = Some("cc".to_owned());
    one.image_size = Some(5);
    let same = diff(
        &one,
        &Side {
            name: "b".to_owned(),
            ..one.clone()
        },
    );
    assert!(same.is_empty() && !same.is_partial());
    assert_eq!(same.bytes_differ, Some(false));
    assert!(
        text::render(&same, false).contains("differs         nothing\n"),
        "{}",
        text::render(&same, false)
    );
    for other in [
        Side {
            sha256: Some("dd".to_owned()),
            ..one.clone()
        },
        Side {
            image_size: Some(6),
            ..one.clone()
        },
        Side {
            packages: Some(vec![]),
            ..one.clone()
        },
    ] {
        assert!(!diff(&one, &other).is_empty());
    }
    // What is not known of one side is no difference, but it is told.
    let partial = diff(
        &one,
        &Side {
            contents: None,
            sha256: None,
            notes: vec!["why".to_owned()],
            ..one.clone()
        },
    );
    assert!(partial.is_empty() && partial.is_partial());
    assert_eq!(partial.notes, ["a: why"]);
    assert!(text::render(&partial, false).contains("nothing in what could be compared"));
}

/// Two disks that differ in every way that a file can.
fn two_disks() -> (Disk, Disk) {
    let from = Disk::new()
        .file("etc/content", 0o644, "one")
        .file("etc/same-size", 0o644, "one")
        .file("etc/mode", 0o644, "")
        .file("etc/kind", 0o644, "file")
        .file("etc/removed", 0o644, "gone")
        .file("etc/same", 0o644, "same")
        .link("etc/target", "/a")
        .folder("var/cache/old");
    let to = Disk::new()
        .firmware(Firmware::Uefi)
        .file("etc/content", 0o644, "three")
        .file("etc/same-size", 0o644, "two")
        .file("etc/mode", 0o755, "")
        .link("etc/kind", "/somewhere")
        .file("etc/added", 0o644, [1; 5000])
        .file("etc/same", 0o644, "same")
        .link("etc/target", "/b")
        .folder("var/cache/new");
    (from, to)
}

#[tokio::test]
async fn images_differ_in_files() {
    let (from, to) = two_disks();
    let image = |disk: &Disk| Subject::Image(disk.write());
    let from = load("a", image(&from), None).await.expect("a side");
    let mut to = load("b", image(&to), None).await.expect("a side");
    // Images of tests belong to whoever runs them; an owner can only be changed here.
    let entries = &mut to.contents.as_mut().expect("a list").entries;
    entries
        .iter_mut()
        .find(|entry| entry.path == "/etc/same")
        .expect("it")
        .gid += 7;

    let difference = diff(&from, &to);
    let files = difference.files.as_ref().expect("files");
    let paths = |list: &[contents::Entry]| list.iter().map(|e| e.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&files.added), ["/etc/added", "/var/cache/new"]);
    assert_eq!(paths(&files.removed), ["/etc/removed", "/var/cache/old"]);
    let value = serde_json::to_value(&files.changed).expect("JSON");
    let changed: Vec<_> = value
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| {
            (
                change["path"].clone(),
                change["what"].clone(),
                change["size_delta"].clone(),
            )
        })
        .collect();
    let told = |path: &str, what: Value, delta: i64| (json!(path), what, json!(delta));
    assert_eq!(
        changed,
        [
            told("/etc/content", json!(["content"]), 2),
            told("/etc/kind", json!(["kind", "mode"]), -4),
            told("/etc/mode", json!(["mode"]), 0),
            told("/etc/same", json!(["owner"]), 0),
            told("/etc/same-size", json!(["content"]), 0),
            told("/etc/target", json!(["target"]), 0),
        ]
    );
    let partitions: Vec<_> = files
        .partitions
        .iter()
        .map(|p| (p.name.as_str(), p.to.is_some()))
        .collect();
    assert_eq!(partitions, [("bios-boot", false)]);
    assert_eq!(difference.values[0].name, "firmware");
    assert_eq!(
        difference.values[0].change,
        Pair {
            from: "bios, uefi".into(),
            to: "uefi".into()
        }
    );
    assert_eq!(difference.packages, None);
    assert_eq!(difference.notes.len(), 2);
}

#[tokio::test]
async fn a_bare_image_is_compared_with_a_build_by_its_database() {
    let records = "C:Q1musl1\nP:musl\nV:1\nA:x86_64\nS:100\nI:1000\nT:the C: library\nL:MIT\n\
                   F:lib\nR:ld-musl.so\na:0:0:755\nZ:Q1x=\nF:P:odd\n\nC:Q1new2\nP:new\nV:2\nA:x86_64\n\
                   S:100\nI:1000\nL:MIT\n\nV:no-name\n\n";
    let disk = Disk::new()
        .file("lib/apk/db/installed", 0o644, records)
        .file("etc/alpine-release", 0o644, "3.15.12\n")
        .file("etc/apk/arch", 0o644, "x86_64\n")
        .folder("lib/modules/5.15.1");
    let image = disk.write();
    let bare = load("bare", Subject::Image(image.clone()), None)
        .await
        .expect("a side");
    assert_eq!(
        bare.packages,
        Some(vec![package("musl", "1"), package("new", "2")])
    );

    let text = manifest(&[package("musl", "1")]).to_string();
    std::fs::write(disk.path().join(MANIFEST), text).expect("a manifest");
    let folder = Subject::Folder(disk.path().to_owned());
    let built = load("built", folder, None).await.expect("a side");
    let difference = diff(&built, &bare);
    let packages = difference.packages.as_ref().expect("packages");
    assert_eq!(packages.added, [package("new", "2")]);
    assert!(packages.removed.is_empty() && packages.changed.is_empty());
    assert!(difference.files.as_ref().expect("files").is_empty());
    let names: Vec<_> = difference
        .values
        .iter()
        .map(|value| value.name.as_str())
        .collect();
    assert_eq!(names, ["alpine"]);
    assert_eq!(difference.bytes_differ, None);
}

#[tokio::test]
async fn manifests_are_read_alone_and_a_release_with_its_list() {
    let disk = Disk::new().file("etc/a", 0o644, "a");
    let list = contents::list(&disk.write()).expect("a list").to_json();
    let dir = disk.path();
    let alone = dir.join("alone.json");
    std::fs::write(&alone, manifest(&[]).to_string()).expect("a manifest");
    let side = load("a", Subject::Manifest(alone.clone()), None)
        .await
        .expect("a side");
    assert_eq!((side.contents, side.notes.len()), (None, 1));

    let release = release(Some(&list));
    let path = dir.join("release.json");
    std::fs::write(&path, serde_json::to_string(&release).expect("JSON")).expect("a manifest");
    std::fs::write(dir.join(FILES), &list).expect("a list");
    let side = load("r", Subject::Manifest(path.clone()), None)
        .await
        .expect("a side");
    assert_eq!(side.contents.expect("a list").entries.len(), 6);
    std::fs::write(dir.join(FILES), format!("{list} ")).expect("another list");
    let error = load("r", Subject::Manifest(path), None)
        .await
        .expect_err("not the same");
    assert!(matches!(error, LoadError::Digest { .. }), "{error}");

    let newer = manifest(&[])
        .to_string()
        .replacen("\"schema\":1", "\"schema\":9", 1);
    std::fs::write(&alone, newer).expect("a manifest");
    let error = load("a", Subject::Manifest(alone), None)
        .await
        .expect_err("a later format");
    assert!(error.to_string().contains("has format 9"), "{error}");
}

const RELEASE: &str = "base-3.15-x86_64-20260131.1";
const SNAPSHOT: &str = "snap-0123456789abcdef0";

pub(super) fn release(list: Option<&str>) -> ReleaseManifest {
    let image: Manifest =
        serde_json::from_value(manifest(&[package("musl", "1")])).expect("a manifest");
    let files = list.map(|list| Attachment {
        name: FILES.to_owned(),
        sha256: crate::digest::sha256(list.as_bytes()),
    });
    let value = json!({
        "schema": 1, "release": RELEASE, "state": "published", "name": "n", "description": "d",
        "tool": "t", "account": "111111111111", "created": "2026-01-31T00:00:00Z",
        "run": "20260131T000000Z-00000001", "end_of_life": "2026-02-07T00:00:00Z",
        "source": {"kind": "snapshot", "id": SNAPSHOT},
        "boot": {"mode": "uefi", "tpm": true, "root_device": "/dev/xvda"},
        "volume_gib": 2, "home": "us-east-1",
        "regions": {"us-east-1": {"ami": null, "snapshot": SNAPSHOT, "state": "available",
            "key": "arn:aws:kms:us-east-1:111111111111:key/1"}},
    });
    let mut release: ReleaseManifest = serde_json::from_value(value).expect("a manifest");
    release.image = files.is_some().then_some(image);
    release.files = files;
    release
}

/// A cloud with one release, one AMI, and one snapshot, which holds a file's bytes.
struct Cloud {
    release: ReleaseManifest,
    list: String,
    image: std::path::PathBuf,
}

#[async_trait]
impl Remote for Cloud {
    async fn release(&self, id: &ReleaseId) -> Result<Option<ReleaseManifest>, RemoteError> {
        Ok((*id == self.release.release).then(|| self.release.clone()))
    }

    async fn attachment(&self, _: &ReleaseId, files: &Attachment) -> Result<Vec<u8>, RemoteError> {
        assert_eq!(files.name, FILES);
        Ok(self.list.clone().into_bytes())
    }

    async fn root_snapshot(
        &self,
        _: &AmiId,
        region: Option<&Region>,
    ) -> Result<Option<SnapshotId>, RemoteError> {
        Ok(region.is_some().then(|| SNAPSHOT.parse().expect("an id")))
    }

    async fn download(
        &self,
        snapshot: &SnapshotId,
        region: Option<&Region>,
        mut into: &File,
    ) -> Result<(), RemoteError> {
        let failed = |text: &str| RemoteError {
            source: text.into(),
            advice: Some("wait".to_owned()),
        };
        if snapshot.as_str() != SNAPSHOT || region.is_none() {
            return Err(failed("no such snapshot"));
        }
        let mut image = File::open(&self.image).map_err(|_| failed("no image"))?;
        io::copy(&mut image, &mut into).map_err(|_| failed("no room"))?;
        Ok(())
    }
}

#[tokio::test]
async fn releases_amis_and_snapshots_are_compared() {
    let disk = Disk::new().file(
        "lib/apk/db/installed",
        0o644,
        "C:Q1musl1\nP:musl\nV:1\nA:x86_64\nS:100\nI:1000\nL:MIT\n\n",
    );
    let image = disk.write();
    let list = contents::list(&image).expect("a list").to_json();
    let mut cloud = Cloud {
        release: release(Some(&list)),
        list,
        image,
    };
    let published = read(&cloud, RELEASE).await.expect("a release");
    let ami = read(&cloud, "ami-0123456789abcdef0@eu-west-1")
        .await
        .expect("an AMI");
    let difference = diff(&published, &ami);
    assert!(
        difference.packages.as_ref().expect("packages").is_empty(),
        "{difference:?}"
    );
    assert!(difference.files.as_ref().expect("files").is_empty());
    assert_eq!(
        difference.sizes.image, None,
        "a volume is not as long as its image"
    );

    // One made from a snapshot has no manifest of its image: the snapshot tells.
    cloud.release = release(None);
    let bare = read(&cloud, RELEASE).await.expect("a release");
    assert_eq!(bare.packages, ami.packages);
    assert_eq!(bare.contents, ami.contents);
    assert!(bare.facts.contains(&facts::fact("boot mode", "uefi")));

    let error = read(&cloud, "base-3.15-x86_64-20260131.2")
        .await
        .expect_err("no release");
    assert!(
        error
            .to_string()
            .contains("there is no release base-3.15-x86_64-20260131.2"),
        "{error}"
    );
    let error = read(&cloud, "ami-0123456789abcdef0")
        .await
        .expect_err("no AMI");
    assert!(
        matches!(&error, LoadError::Missing { region: None, .. }),
        "{error}"
    );
    let error = read(&cloud, SNAPSHOT).await.expect_err("no snapshot there");
    assert_eq!(
        error.to_string(),
        format!("cannot read {SNAPSHOT}: no such snapshot")
    );
    assert_eq!(error.advice().as_deref(), Some("wait"));
    let offline = load(
        "x",
        Subject::Snapshot(SNAPSHOT.parse().expect("an id"), None),
        None,
    )
    .await;
    assert!(matches!(offline, Err(LoadError::Offline(_))));
}

async fn read(cloud: &Cloud, word: &str) -> load::Result<Side> {
    let subject = parse(word, |_| Ok(None)).expect(word);
    assert!(subject.is_remote());
    load(word, subject, Some(cloud)).await
}

#[test]
fn words_mean_one_thing() {
    let nothing = |_: &Path| Ok(None);
    let ami: AmiId = "ami-0123456789abcdef0".parse().expect("an id");
    let ireland: Region = "eu-west-1".parse().expect("a Region");
    let snapshot: SnapshotId = SNAPSHOT.parse().expect("an id");
    for (word, subject) in [
        (RELEASE, Subject::Release(RELEASE.parse().expect("an id"))),
        ("ami-0123456789abcdef0", Subject::Ami(ami.clone(), None)),
        (
            "ami-0123456789abcdef0@eu-west-1",
            Subject::Ami(ami, Some(ireland.clone())),
        ),
        (SNAPSHOT, Subject::Snapshot(snapshot.clone(), None)),
        (
            "snap-0123456789abcdef0@eu-west-1",
            Subject::Snapshot(snapshot, Some(ireland)),
        ),
    ] {
        assert_eq!(parse(word, nothing).expect(word), subject);
        // A path that exists wins, whatever it looks like.
        let there = parse(word, |_| Ok(Some(OnDisk::Folder { manifest: true })));
        assert_eq!(there.expect(word), Subject::Folder(word.into()));
    }
    for (word, said) in [
        ("", "`` is nothing that can be compared"),
        ("target/image.raw", "there is no such file or folder"),
        ("ami-1", "`ami-1` is no AMI id"),
        ("snap-x@eu-west-1", "`snap-x` is no snapshot id"),
        ("ami-0123456789abcdef0@mars", "`mars` is no Region"),
        (
            "base-3.15-x86_64-20260131.1@eu-west-1",
            "is nothing that can be compared",
        ),
    ] {
        let error = parse(word, nothing).expect_err(word);
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.advice().expect("advice").contains("a raw disk image"));
    }
}

#[test]
fn files_are_told_by_how_they_begin() {
    let mut boot_sector = vec![0; 512];
    boot_sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let meant = |name: &str, head: &[u8]| {
        parse(name, |_| {
            Ok(Some(OnDisk::File {
                head: head.to_vec(),
            }))
        })
    };
    assert_eq!(
        meant("disk", &boot_sector).expect("an image"),
        Subject::Image("disk".into())
    );
    assert_eq!(
        meant("zeros.raw", &[0; 512]).expect("an image"),
        Subject::Image("zeros.raw".into())
    );
    assert_eq!(
        meant("x", b"\n {").expect("a manifest"),
        Subject::Manifest("x".into())
    );
    assert_eq!(
        meant("base.lock.toml", b"schema = 1").expect("a lock"),
        Subject::Lock("base.lock.toml".into())
    );
    for (name, head) in [("base.lock", &b"schema = 1"[..]), ("empty", b"")] {
        let error = meant(name, head).expect_err(name);
        assert!(
            error.to_string().contains("nor a manifest nor a lock"),
            "{error}"
        );
    }
    let error =
        parse("dir", |_| Ok(Some(OnDisk::Folder { manifest: false }))).expect_err("no build");
    assert!(matches!(error, SubjectError::NoBuild(_)), "{error}");
    let error = parse("x", |_| Err(io::Error::other("no"))).expect_err("unreadable");
    assert_eq!(error.to_string(), "cannot read x: no");
}

#[test]
fn what_is_on_disk_is_looked_at() {
    let dir = tempfile::tempdir().expect("a folder");
    assert_eq!(look(&dir.path().join("nothing")).expect("looked"), None);
    assert_eq!(
        look(dir.path()).expect("looked"),
        Some(OnDisk::Folder { manifest: false })
    );
    let manifest = dir.path().join(MANIFEST);
    std::fs::write(&manifest, vec![b'{'; 1000]).expect("written");
    assert_eq!(
        look(dir.path()).expect("looked"),
        Some(OnDisk::Folder { manifest: true })
    );
    assert_eq!(
        look(&manifest).expect("looked"),
        Some(OnDisk::File {
            head: vec![b'{'; 512]
        })
    );
    assert_eq!(look(&manifest.join(IMAGE)).expect("below a file"), None);
    assert!(look(Path::new("/dev/null")).is_err());
}

#[test]
fn the_text_has_the_summary_first_and_fits_a_screen() {
    let many = |count: usize, version: &str| {
        (0..count)
            .map(|n| package(&format!("p{n:03}"), version))
            .collect::<Vec<_>>()
    };
    let mut from = side("old", many(40, "1.0-r0"));
    let mut to = side("new", many(40, "1.1-r0"));
    to.packages.as_mut().expect("packages")[0].license = "ISC".to_owned();
    to.packages
        .as_mut()
        .expect("packages")
        .push(package("zlib", "1.3"));
    from.facts = vec![
        facts::fact("kernel", "5.15.1"),
        facts::fact("packages left out", ""),
    ];
    to.facts = vec![
        facts::fact("kernel", "5.15.2"),
        facts::fact("packages left out", "x"),
    ];
    (from.used, to.used) = (Some(10 << 20), Some((10 << 20) + 4096));
    let difference = diff(&from, &to);
    let expected = "\
old → new

kernel          5.15.1 → 5.15.2
root used       10.0 MiB → 10.0 MiB (+4.0 KiB)
packages' size  39.1 KiB → 40.0 KiB (+1000 B)
packages        40 upgraded, 1 added, 1 under another licence
security        not looked up; --secdb names Alpine's database
files           not compared

packages
  + zlib  1.3              +1000 B
  ↑ p000  1.0-r0 → 1.1-r0           licence MIT → ISC
";
    let told = text::render(&difference, false);
    assert!(told.starts_with(expected), "{told}");
    let rest = "
  … and 18 more; --all shows them

other values
  packages left out  (none) → x

growth by package
  +1000 B  zlib
";
    assert!(told.ends_with(rest), "{told}");
    assert_eq!(told.lines().count(), 40);
    let all = text::render(&difference, true);
    assert!(all.contains("p039") && !all.contains("--all"), "{all}");
}

#[test]
fn every_line_fits_the_screen() {
    let mut to = side("b", vec![package("long", &"1".repeat(300))]);
    to.notes = vec!["why ".repeat(100)];
    let difference = diff(&side("a", vec![]), &to);
    let told = text::render(&difference, false);
    assert!(
        told.lines().all(|line| line.chars().count() <= 100),
        "{told}"
    );
    assert!(text::render(&difference, true).contains(&"1".repeat(300)));
}

#[test]
fn what_images_say_does_not_reach_the_terminal_as_commands() {
    let to = side("b", vec![package("evil", "1\x1b[2J")]);
    let told = text::render(&diff(&side("a", vec![]), &to), true);
    assert!(told.contains("1\u{fffd}[2J"), "{told:?}");
}

#[test]
fn long_values_are_told_from_where_they_differ() {
    let line = |end: &str| format!("{} {end} {}", "a=1".repeat(30), "b=2".repeat(30));
    let mut sides = [side("a", vec![]), side("b", vec![])];
    for (side, end) in sides.iter_mut().zip(["quiet", "loud"]) {
        side.facts = vec![facts::fact("kernel command line", line(end))];
    }
    let difference = diff(&sides[0], &sides[1]);
    let told = text::render(&difference, false);
    let row = told
        .lines()
        .find(|line| line.starts_with("  kernel command line"))
        .expect("it");
    assert!(
        row.contains("quiet") && row.contains("loud") && row.chars().count() < 160,
        "{row}"
    );
    assert!(text::render(&difference, true).contains(&line("quiet")));
}
