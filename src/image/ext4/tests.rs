use super::*;
use mkext4::sink::VecSink;

fn options(size_bytes: u64) -> FsOptions {
    FsOptions {
        size_bytes,
        uuid: [7; 16],
        label: "test".to_owned(),
        placement: Placement::Homes(BTreeMap::new()),
    }
}

fn sample() -> (tempfile::TempDir, RootDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    std::fs::write(dir.path().join("etc/a"), "husky").unwrap();
    std::fs::hard_link(dir.path().join("etc/a"), dir.path().join("etc/b")).unwrap();
    std::fs::write(dir.path().join("big"), vec![9u8; 3 << 20]).unwrap();
    let root = RootDir::open(dir.path()).unwrap();
    let mut tree = Tree::read(&root, 1_700_000_000).unwrap();
    tree.add_char_device("dev/console", 0o600, 5, 1).unwrap();
    (dir, root, tree)
}

#[test]
fn a_tree_is_written_and_read_back() {
    let (_dir, root, tree) = sample();
    let mut sink = VecSink::default();
    let usage = write(&tree, &root, &options(64 << 20), &mut sink).unwrap();

    let fs = mkext4::reader::Fs::open(&sink.buf[..]).unwrap();
    assert!(fs.verify().unwrap().is_empty());
    let a = fs.resolve("/etc/a").unwrap();
    assert_eq!(fs.read_file(a).unwrap(), b"husky");
    assert_eq!(
        fs.resolve("/etc/b").unwrap(),
        a,
        "a hard link became a copy"
    );
    assert!(
        usage.used_bytes > 3 << 20 && usage.free_bytes > 40 << 20,
        "{usage:?}"
    );
    assert!(usage.free_inodes >= SPARE_INODES);
}

#[test]
fn too_small_names_a_size_that_does() {
    let (_dir, root, tree) = sample();
    let error = write(&tree, &root, &options(9 << 20), &mut VecSink::default()).unwrap_err();
    let ImageError::TooSmall { needed_bytes, .. } = error else {
        panic!("{error}");
    };
    let fits = |size| write(&tree, &root, &options(size), &mut VecSink::default()).is_ok();
    assert!(fits(needed_bytes));
    assert!(!fits(needed_bytes - (1 << 20)));
}

#[test]
fn a_file_that_changed_meanwhile_is_an_error() {
    let (dir, root, tree) = sample();
    std::fs::write(dir.path().join("etc/a"), "much longer than before").unwrap();
    let error = write(&tree, &root, &options(64 << 20), &mut VecSink::default()).unwrap_err();
    assert!(matches!(error, ImageError::Changed { .. }), "{error}");
}

/// Folders with a file each, as packages would have them; the one that is named has another block.
fn packages(grown: Option<usize>) -> (tempfile::TempDir, RootDir, Tree, Placement) {
    let dir = tempfile::tempdir().unwrap();
    let mut owners = BTreeMap::new();
    for number in 0..80usize {
        let path = format!("p{number:02}/file");
        std::fs::create_dir(dir.path().join(format!("p{number:02}"))).unwrap();
        let more = usize::from(grown == Some(number));
        let size = (1 + number * number / 10 + more) * BLOCK_SIZE as usize;
        std::fs::write(dir.path().join(&path), vec![number as u8 + 1; size]).unwrap();
        owners.insert(format!("/{path}"), format!("package-{number:02}"));
    }
    let root = RootDir::open(dir.path()).unwrap();
    let tree = Tree::read(&root, 1_700_000_000).unwrap();
    (dir, root, tree, Placement::Homes(owners))
}

#[test]
fn a_package_that_grows_moves_no_other() {
    let image = |grown, packed| {
        let (_dir, root, tree, homes) = packages(grown);
        let placement = if packed { Placement::Packed } else { homes };
        let options = FsOptions {
            placement,
            ..options(512 << 20)
        };
        let mut sink = VecSink::default();
        write(&tree, &root, &options, &mut sink).unwrap();
        let fs = mkext4::reader::Fs::open(&sink.buf[..]).unwrap();
        assert_eq!(fs.verify().unwrap(), []);
        let file = fs.resolve("/p79/file").unwrap();
        assert!(fs.read_file(file).unwrap().iter().all(|byte| *byte == 80));
        sink.buf
    };
    // How many blocks of a snapshot have data, and how many differ when package 3 has grown.
    let compare = |packed| {
        let (before, after) = (image(None, packed), image(Some(3), packed));
        let chunks = before.chunks(512 << 10).zip(after.chunks(512 << 10));
        let filled = |chunk: &&[u8]| chunk.iter().any(|byte| *byte != 0);
        let differ = chunks.filter(|(one, other)| one != other).count();
        (before.chunks(512 << 10).filter(filled).count(), differ)
    };
    let ((all, homes), (_, packed)) = (compare(false), compare(true));
    assert!(packed > 40 && homes < 8, "{homes} or {packed} of {all}");
}

#[test]
fn a_disk_without_room_for_homes_is_packed() {
    let (_dir, root, tree, homes) = packages(None);
    let small = |placement| {
        let options = FsOptions {
            placement,
            ..options(90 << 20)
        };
        let mut sink = VecSink::default();
        write(&tree, &root, &options, &mut sink).map(|usage| (usage, sink.buf))
    };
    let (one, other) = (small(homes).unwrap(), small(Placement::Packed).unwrap());
    assert!(one == other, "homes were found");
}
