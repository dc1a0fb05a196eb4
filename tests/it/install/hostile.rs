//! Packages that mean harm, each in a way of its own: every one is refused, and nothing is left.

use std::fs;
use std::path::PathBuf;

use alpine_ami::apk::index::parse_index;
use alpine_ami::apk::member::read_member;
use tar::EntryType::{Block, Char, Fifo, GNULongName, GNUSparse, Link, Regular, XHeader};

use super::evil::{
    Evil, announced, archive, device, entry, file, folder, gzip, link, pax, sign, sparse,
};
use super::place;
use crate::support::Crafted;

#[track_caller]
fn refused(evil: &Evil, message: &str) {
    let place = evil.place();
    place.refused(&["evil"], &["evil-1-r0", message]);
    let escaped = [
        PathBuf::from("/tmp/alpine-ami-escaped"),
        place.root.with_file_name("alpine-ami-escaped"),
    ];
    for path in escaped {
        assert!(!path.exists(), "{} was written", path.display());
    }
}

#[track_caller]
fn entries_refused(entries: &[Vec<u8>], message: &str) {
    refused(&Evil::entries(entries), message);
}

#[test]
fn names_that_leave_the_root() {
    entries_refused(&[file("/tmp/alpine-ami-escaped")], "is absolute");
    entries_refused(&[file("../alpine-ami-escaped")], "leaves the root");
    let climbing = [folder("a"), file("a/../../alpine-ami-escaped")];
    entries_refused(&climbing, "leaves the root");
    let hidden = [pax("path", "../alpine-ami-escaped"), file("harmless")];
    entries_refused(&hidden, "leaves the root");
    let hidden = [
        entry("long", GNULongName, "", b"/tmp/alpine-ami-escaped\0"),
        file("harmless"),
    ];
    entries_refused(&hidden, "is absolute");
}

#[test]
fn parents_that_are_links() {
    for target in ["/tmp", ".."] {
        let through = [link("out", target), file("out/alpine-ami-escaped")];
        entries_refused(&through, "symbolic link");
        let made = [link("out", target), folder("out/alpine-ami-escaped")];
        entries_refused(&made, "symbolic link");
    }
    entries_refused(&[file("a"), file("a/b")], "is not a folder");
}

#[test]
fn hard_links_to_what_is_not_the_packages() {
    let hard = |target: &str| entry("hard", Link, target, b"");
    entries_refused(&[hard("/etc/passwd")], "is absolute");
    entries_refused(&[hard("../../etc/passwd")], "leaves the root");
    let folder_linked = [folder("etc"), entry("hard", Link, "etc", b"")];
    entries_refused(&folder_linked, "no file that came before");
    // A link to a link would be one to its target, if it were followed.
    let followed = [link("out", "/etc"), entry("hard", Link, "out/passwd", b"")];
    entries_refused(&followed, "no file that came before");
    // Another package's file is not this one's to share.
    let place = place(&[Crafted::new("other", "1-r0", "").file("precious", "x")]);
    let arch = place.repository.join("x86_64");
    let mut packages = index(&arch);
    packages.push(Evil::entries(&[hard("precious")]).pack(&arch));
    sign(&arch, &packages);
    place.refused(
        &["other", "evil"],
        &["evil-1-r0", "no file that came before"],
    );
}

#[test]
fn entries_that_are_there_twice() {
    let message = "in the package twice";
    entries_refused(&[file("a"), file("a")], message);
    entries_refused(&[folder("a"), folder("a/")], message);
    entries_refused(&[file("a"), link("a", "/tmp")], message);
    entries_refused(&[link("a", "/tmp"), folder("a")], message);
}

#[test]
fn devices_of_this_machine() {
    let message = "which no package may bring";
    let dev = || folder("dev");
    entries_refused(&[dev(), device("dev/sda", Block, 8, 0)], message);
    entries_refused(&[device("disk", Block, 8, 0)], message);
    entries_refused(&[dev(), device("dev/mem", Char, 1, 1)], message);
    // A name that is allowed for another device, and a device that is allowed under another name.
    entries_refused(&[dev(), device("dev/null", Char, 1, 1)], message);
    entries_refused(&[device("null", Char, 1, 3)], message);
    entries_refused(
        &[file("a"), entry("a2", GNUSparse, "", b"")],
        "have no place",
    );

    let harmless = [device("pipe", Fifo, 0, 0)];
    Evil::entries(&harmless).place().install(&["evil"]).done();
}

#[test]
fn names_that_are_too_long() {
    let part = "x".repeat(256);
    entries_refused(
        &[pax("path", &part), file("a")],
        "has a part that is too long",
    );
    let whole = "x/".repeat(2048);
    entries_refused(&[pax("path", &whole), file("a")], "is too long");
    let endless = "x".repeat(100_000);
    let long = entry("long", GNULongName, "", endless.as_bytes());
    entries_refused(&[long, file("a")], "more than 65536");
}

#[test]
fn bombs() {
    // A thousand times its size.
    let zeros = vec![0; 80 << 20];
    let large = [entry("zeros", Regular, "", &zeros)];
    entries_refused(&large, "out of all proportion");
    // What no image has room for, and a number that overflows where it is rounded up to a block.
    for size in [(16 << 30) + 1, u64::MAX] {
        let announced = [announced("huge", size)];
        entries_refused(&announced, "announce more than 17179869184 bytes");
    }
    // As many in what only describes an entry, which would be held in memory.
    let records = [entry("x", XHeader, "", &zeros[..2 << 20]), file("a")];
    entries_refused(&records, "more than 1048576");
    // A gzip member without end in the place of the control part.
    let mut control = Evil::entries(&[]);
    control.control = vec![entry("zeros", Regular, "", &zeros)];
    refused(&control, "larger than 16777216 bytes");
    // A hole of seven gigabytes, which a reader would fill with zeros.
    control.control = vec![sparse(".post-install", "70000000000")];
    refused(&control, "has holes");
}

#[test]
fn too_many_entries() {
    // Different enough that their ratio gives nothing away; names with a dot are passed over.
    let mut bytes = Vec::with_capacity(110 << 20);
    let mut random = 1_u64;
    for _ in 0..200_001 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        bytes.extend(entry(
            &format!(".{random:016x}{:016x}", random.rotate_left(21)),
            Regular,
            "",
            b"",
        ));
    }
    refused(&Evil::data(gzip(&bytes)), "more than 200000 entries");
}

#[test]
fn what_is_cut_short() {
    let whole = archive(&[file("a")]);
    let packed = gzip(&whole);
    // After the hash was taken.
    let mut cut = Evil::data(packed[..packed.len() - 1].to_vec());
    cut.hashed = Some(packed.clone());
    refused(&cut, "does not match its datahash");
    // Before.
    refused(
        &Evil::data(packed[..packed.len() - 9].to_vec()),
        "cut short",
    );
    refused(
        &Evil::data(gzip(&whole[..512])),
        "cut short in the middle of an entry",
    );
    refused(
        &Evil::data(gzip(&whole[..1024])),
        "its end marker is missing",
    );
    refused(&Evil::data(Vec::new()), "cut short");
}

#[test]
fn what_goes_on_after_its_end() {
    let packed = gzip(&archive(&[file("a")]));
    let second = gzip(&archive(&[file("hidden")]));
    let message = "more in the file after its data";
    refused(&Evil::data([packed.as_slice(), &second].concat()), message);
    refused(
        &Evil::data([packed.as_slice(), b"trailing"].concat()),
        message,
    );
    let mut unhashed = Evil::data([packed.as_slice(), &second].concat());
    unhashed.hashed = Some(packed);
    refused(&unhashed, "does not match its datahash");
    let two = [archive(&[file("a")]), archive(&[file("hidden")])].concat();
    refused(&Evil::data(gzip(&two)), "more after its end");
}

#[test]
fn contents_that_contradict_themselves() {
    let sum = pax("APK-TOOLS.checksum.SHA1", &"0".repeat(40));
    entries_refused(&[sum.clone(), file("a")], "does not match its checksum");
    entries_refused(&[sum, link("a", "b")], "does not match its checksum");
    entries_refused(&[pax("size", "7"), file("a")], "two sizes");
    let attribute = pax("SCHILY.xattr.trusted.overlay.redirect", "/etc");
    entries_refused(&[attribute, file("a")], "has no place in a package");
    let mut twice = Evil::entries(&[]);
    twice.control = vec![entry(".PKGINFO", Regular, "", b"pkgname = good\n")];
    refused(&twice, "two entries .PKGINFO");
    let script = || entry(".post-install", Regular, "", b"#!/bin/sh\n");
    twice.control = vec![script(), script()];
    refused(&twice, "two entries .post-install");
}

/// What the index of a repository lists.
fn index(arch: &std::path::Path) -> Vec<alpine_ami::apk::index::IndexPackage> {
    let index = fs::read(arch.join("APKINDEX.tar.gz")).expect("an index");
    let mut reader = index.as_slice();
    read_member(&mut reader, 1 << 20).expect("the signature");
    let index = read_member(&mut reader, 1 << 20).expect("the index");
    let text = tar::Archive::new(index.content.as_slice())
        .entries()
        .expect("a tar")
        .map(|entry| std::io::read_to_string(entry.expect("an entry")).expect("text"))
        .last()
        .expect("an index");
    parse_index(&text).expect("an index")
}

#[test]
fn a_link_that_a_package_or_script_leaves_leads_us_nowhere() {
    let outside = tempfile::tempdir().expect("a folder");
    let target = outside.path().to_str().expect("UTF-8");
    // A package that makes apk's own folder a link to this machine's.
    let entries = [folder("lib"), link("lib/apk", target)];
    let evil = Evil::entries(&entries).place();
    evil.refused(&["evil"], &["package database"]);

    // A package that makes `dev` one: the jail has its devices there, and makes the folder.
    let evil = place(&[
        Crafted::new("later", "1-r0", "depend = evil\ndepend = busybox")
            .script("post-install", "#!/bin/sh\ntrue\n"),
    ]);
    let arch = evil.repository.join("x86_64");
    let mut packages = index(&arch);
    packages.push(Evil::entries(&[link("dev", &format!("{target}/made"))]).pack(&arch));
    sign(&arch, &packages);
    evil.refused(
        &["later", "evil"],
        &["cannot run scripts in namespaces", "symbolic link"],
    );

    // A script that does so once it runs.
    let script: &'static str = Box::leak(
        format!("#!/bin/sh\nmv /lib/apk /lib/old 2>/dev/null; ln -s {target} /lib/apk\n")
            .into_boxed_str(),
    );
    let app = Crafted::new("app", "1-r0", "depend = busybox").script("post-install", script);
    let again =
        Crafted::new("later", "1-r0", "depend = app").script("post-install", "#!/bin/sh\ntrue\n");
    let place = place(&[app, again]);
    assert_ne!(place.install(&["later"]).status, 0);
    let left: Vec<_> = fs::read_dir(outside.path()).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_a_script_leaves_in_the_place_of_configuration_is_not_waited_for() {
    let app = Crafted::new("app", "1-r0", "depend = busybox")
        .file("etc/app.conf", "packaged")
        .script(
            "pre-install",
            "#!/bin/sh\nmkdir -p /etc\nmkfifo /etc/app.conf\n",
        );
    let place = place(&[app]);
    place.install(&["app"]).done();
    assert_eq!(place.read("etc/app.conf.apk-new"), "packaged");
}

#[test]
fn a_package_under_another_name_than_its_own_is_refused() {
    let place = place(&[]);
    let arch = place.repository.join("x86_64");
    let mut package = Evil::entries(&[file("x")]).pack(&arch);
    package.name = "good".into();
    fs::rename(arch.join("evil-1-r0.apk"), arch.join("good-1-r0.apk")).expect("renamed");
    sign(&arch, &[package]);
    place.refused(&["good"], &["calls itself evil-1-r0, its index good-1-r0"]);
}
