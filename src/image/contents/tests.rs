use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use super::testing::{Disk, SIZE};
use super::*;
use crate::digest::sha256;

fn sample() -> Disk {
    Disk::new()
        .file("bin/busybox", 0o4755, vec![9; 300_000])
        .link("bin/sh", "/bin/busybox")
        .link("etc/long", &"x".repeat(200))
        .file("etc/empty", 0o644, "")
        .file("etc/shadow", 0o600, "root:!::0:::::\n")
        .hard_link("etc/shadow-", "etc/shadow")
        .folder("var/cache/apk")
}

fn entry<'a>(contents: &'a Contents, path: &str) -> &'a Entry {
    contents
        .entries
        .iter()
        .find(|entry| entry.path == path)
        .expect(path)
}

#[test]
fn every_file_is_listed() {
    let contents = list(&sample().write()).expect("a list");
    let paths: Vec<_> = contents
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "/",
            "/bin",
            "/bin/busybox",
            "/bin/sh",
            "/dev",
            "/dev/console",
            "/etc",
            "/etc/empty",
            "/etc/long",
            "/etc/shadow",
            "/etc/shadow-",
            "/lost+found",
            "/var",
            "/var/cache",
            "/var/cache/apk",
        ]
    );
    let busybox = entry(&contents, "/bin/busybox");
    assert_eq!(
        (busybox.kind, busybox.mode, busybox.size),
        (EntryKind::File, 0o4755, Some(300_000))
    );
    assert_eq!(busybox.sha256, Some(sha256(&vec![9; 300_000])));
    let sh = entry(&contents, "/bin/sh");
    assert_eq!(
        (sh.kind, sh.target.as_deref()),
        (EntryKind::Symlink, Some("/bin/busybox"))
    );
    assert_eq!((sh.size, &sh.sha256), (None, &None));
    assert_eq!(entry(&contents, "/etc/long").target, Some("x".repeat(200)));
    assert_eq!(entry(&contents, "/etc/empty").sha256, Some(sha256(b"")));
    assert_eq!(
        entry(&contents, "/etc/shadow-").sha256,
        entry(&contents, "/etc/shadow").sha256
    );
    let console = entry(&contents, "/dev/console");
    assert_eq!((console.kind, console.mode), (EntryKind::CharDevice, 0o600));
    assert_eq!(entry(&contents, "/var/cache/apk").kind, EntryKind::Dir);
}

#[test]
fn other_partitions_have_a_digest_each() {
    let contents = list(&sample().write()).expect("a list");
    let [bios, esp] = contents.partitions.as_slice() else {
        panic!("{:?}", contents.partitions);
    };
    assert_eq!(
        (bios.number, bios.name.as_str(), bios.size),
        (1, "bios-boot", 1 << 20)
    );
    assert_eq!(bios.sha256, sha256(&vec![0; 1 << 20]));
    let mut bytes = vec![0; 8 << 20];
    bytes[..6].copy_from_slice(b"loader");
    assert_eq!((esp.name.as_str(), &esp.sha256), ("esp", &sha256(&bytes)));
}

#[test]
fn what_is_in_use_is_what_was_told_when_it_was_written() {
    let small = list(&Disk::new().write()).expect("a list").used;
    let large = list(&Disk::new().file("big", 0o644, vec![1; 1 << 20]).write())
        .expect("a list")
        .used;
    assert_eq!(large - small, 1 << 20);
}

#[test]
fn a_list_is_written_a_line_an_entry_and_read_again() {
    let contents = list(&sample().write()).expect("a list");
    let text = contents.to_json();
    assert_eq!(
        text.lines().count(),
        contents.entries.len() + contents.partitions.len() + 4
    );
    let line =
        "{\"path\":\"/bin/sh\",\"kind\":\"symlink\",\"mode\":\"777\",\"target\":\"/bin/busybox\"},";
    assert!(text.lines().any(|found| found == line), "{text}");
    assert_eq!(
        Contents::from_json(FILES, text.as_bytes()).expect("a list"),
        contents
    );

    let newer = text.replacen("\"schema\":1", "\"schema\":2", 1);
    let error = Contents::from_json(FILES, newer.as_bytes()).expect_err("a later format");
    assert!(
        matches!(error, ContentsError::Schema { found: 2, .. }),
        "{error}"
    );
    let wrong = text.replacen("\"mode\":\"777\"", "\"mode\":\"77777\"", 1);
    let error = Contents::from_json(FILES, wrong.as_bytes()).expect_err("no mode");
    assert!(
        error.to_string().contains("`77777` is no file mode"),
        "{error}"
    );
}

#[test]
fn names_that_a_terminal_would_obey_are_escaped() {
    let disk = Disk::new().file("a\x1b[2J\nä", 0o644, "x");
    // Trees of ours are UTF-8; the images of others need not be.
    assert_eq!(super::walk::text(b"a\xff"), "a\\xff");
    let contents = list(&disk.write()).expect("a list");
    assert_eq!(
        entry(&contents, "/a\\u{1b}[2J\\nä").sha256,
        Some(sha256(b"x"))
    );
}

#[test]
fn single_files_and_folders_can_be_read() {
    let image = DiskImage::open(&sample().write()).expect("an image");
    assert_eq!(
        image
            .read("/etc/shadow", 100)
            .expect("read")
            .expect("there"),
        b"root:!::0:::::\n"
    );
    assert_eq!(image.read("/etc/nothing", 100).expect("read"), None);
    let error = image.read("/bin/busybox", 100).expect_err("too large");
    assert!(
        error
            .to_string()
            .contains("it has 300000 bytes, more than 100"),
        "{error}"
    );
    assert_eq!(image.names("/var").expect("names"), ["cache"]);
    assert_eq!(image.names("/nowhere").expect("names"), [""; 0]);
    assert_eq!(image.partition_names(), ["bios-boot", "esp", "root"]);
}

/// Lists an image after something was written over a place of it.
fn overwritten(at: u64, bytes: &[u8]) -> Result<Contents> {
    let disk = sample();
    let image = disk.write();
    let file = OpenOptions::new()
        .write(true)
        .open(&image)
        .expect("an image");
    file.write_all_at(bytes, at).expect("written");
    list(&image)
}

#[test]
fn what_is_no_image_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let refused = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        list(&path).expect_err(name)
    };
    let error = refused("empty", b"");
    assert!(matches!(error, ContentsError::NoTable { .. }), "{error}");
    assert!(error.to_string().contains("it has only 0 bytes"), "{error}");
    let error = refused("zeros", &[0; 4096]);
    assert!(matches!(error, ContentsError::NoTable { .. }), "{error}");
    let error = refused(
        "noise",
        &(0..100_000u32)
            .map(|n| (n.wrapping_mul(n) >> 3) as u8)
            .collect::<Vec<_>>(),
    );
    assert!(matches!(error, ContentsError::NoTable { .. }), "{error}");
    let error = list(&dir.path().join("nothing")).expect_err("no file");
    assert!(matches!(error, ContentsError::Read { .. }), "{error}");
    let error = list(dir.path()).expect_err("a folder");
    assert!(error.to_string().contains("it is not a file"), "{error}");
}

#[test]
fn a_cut_off_image_is_refused() {
    let disk = sample();
    let image = disk.write();
    let file = OpenOptions::new()
        .write(true)
        .open(&image)
        .expect("an image");
    file.set_len(SIZE / 2).expect("cut");
    let error = list(&image).expect_err("half an image");
    assert!(
        error
            .to_string()
            .contains("partition 3 lies outside of the disk"),
        "{error}"
    );
}

#[test]
fn headers_that_would_make_the_reader_panic_are_refused() {
    // The size of an entry, in the second sector.
    let error = overwritten(512 + 84, &256u32.to_le_bytes()).expect_err("large entries");
    assert!(
        error.to_string().contains("128 entries of 256 bytes"),
        "{error}"
    );
    let error = overwritten(512 + 80, &u32::MAX.to_le_bytes()).expect_err("many entries");
    assert!(error.to_string().contains("4294967295 entries"), "{error}");
}

#[test]
fn a_broken_table_is_read_from_its_copy() {
    let whole = list(&sample().write()).expect("a list");
    assert_eq!(overwritten(512, &[0; 512]).expect("the copy"), whole);
}

#[test]
fn a_table_without_a_root_names_what_there_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("image.raw");
    let write = |names: &[(&str, bool)]| {
        let file = std::fs::File::create(&path).expect("a file");
        file.set_len(16 << 20).expect("a size");
        let mut device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .expect("a file");
        let mut table = gpt::GptConfig::new()
            .writable(true)
            .create_from_device(&mut device, None)
            .expect("a table");
        for (name, is_linux) in names {
            let kind = if *is_linux {
                gpt::partition_types::LINUX_FS
            } else {
                gpt::partition_types::EFI
            };
            table
                .add_partition(name, 1 << 20, kind, 0, None)
                .expect("a partition");
        }
        table.write().expect("written");
        list(&path).expect_err("no root").to_string()
    };
    assert!(write(&[]).ends_with("its table is empty"));
    assert!(write(&[("esp", false)]).ends_with("1 `esp` (other type)"));
    assert!(write(&[("a", true), ("b", true)]).ends_with("1 `a` (Linux), 2 `b` (Linux)"));
    // One that is named, or is the only one, is taken; it holds nothing here.
    assert!(write(&[("a", true), ("root", true)]).contains("partition 2 of"));
    assert!(write(&[("esp", false), ("a", true)]).contains("it has no superblock"));
}

#[test]
fn a_root_that_is_no_ext4_is_refused() {
    let (start, _) = sample().root();
    let superblock = start + 1024;
    for (at, bytes, why) in [
        (0x38, &[0, 0][..], "it has no superblock"),
        (0x4, &[0xff; 4], "more than the partition has room for"),
        (0x18, &[0xff; 4], "more than the partition has room for"),
        (0x20, &[0; 4], ""),
    ] {
        let error = overwritten(superblock + at, bytes).expect_err(why);
        assert!(matches!(error, ContentsError::NoExt4 { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// Damage everywhere, a little at a time: each image is read or refused, none makes us panic.
#[test]
fn garbage_in_the_file_system_is_an_error_or_a_list() {
    let disk = sample();
    let image = disk.write();
    let (start, _) = disk.root();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&image)
        .expect("an image");
    let whole = list(&image).expect("a list");
    let mut random = fastrand::Rng::with_seed(7);
    // Superblock, group descriptors, bitmaps, inodes, folders: wherever there is something.
    let mut head = vec![0; 8 << 20];
    file.read_exact_at(&mut head, start).expect("read");
    let pieces = (0u64..).zip(head.chunks(64));
    let used: Vec<u64> = pieces
        .filter(|(_, piece)| piece.iter().any(|byte| *byte != 0))
        .map(|(number, _)| number * 64)
        .collect();
    let mut errors = 0;
    for _ in 0..150 {
        let at = start + used[random.usize(..used.len())];
        let mut before = [0; 64];
        file.read_exact_at(&mut before, at).expect("read");
        let after: Vec<u8> = (0..64).map(|_| random.u8(..)).collect();
        file.write_all_at(&after, at).expect("written");
        match list(&image) {
            Err(ContentsError::NoExt4 { .. } | ContentsError::Broken { .. }) => errors += 1,
            Err(error) => panic!("{error}"),
            Ok(_) => {}
        }
        file.write_all_at(&before, at).expect("written");
    }
    assert!(errors > 10, "{errors} of 150 were found");
    assert_eq!(list(&image).expect("a list"), whole);
}
