use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::evict::{Kept, too_much};
use super::*;

fn checksum(number: u8) -> Checksum {
    Checksum::Sha1([number; 20])
}

fn put(store: &Store, number: u8, size: usize) -> PathBuf {
    let mut partial = ours(store, number);
    partial
        .file()
        .write_all(&vec![number; size])
        .expect("bytes");
    store.keep(partial, &checksum(number)).expect("it is kept")
}

fn ours(store: &Store, number: u8) -> Partial {
    match store.partial(&checksum(number)).expect("a partial") {
        Opened::Ours(partial) => partial,
        Opened::Theirs(bytes) => panic!("somebody else has {bytes} bytes"),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// As if it had last been used so many hours ago.
fn age(path: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(3600 * hours);
    let file = File::open(path).expect("a file");
    file.set_modified(then).expect("a time");
}

#[test]
fn what_was_not_used_for_the_longest_time_goes_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let paths: Vec<_> = {
        let before = Store::new(dir.path().to_owned());
        (1..=4).map(|number| put(&before, number, 100)).collect()
    };
    for (path, hours) in paths.iter().zip([1, 3, 2, 9]) {
        age(path, hours);
    }
    let store = Store::with_limit(dir.path().to_owned(), 400);
    // The oldest of all is used again.
    assert_eq!(store.claim(&checksum(4)).as_ref(), Some(&paths[3]));
    put(&store, 5, 50);
    // 450 bytes are too much, and 360 are left at most.
    let there: Vec<_> = paths.iter().map(|path| path.exists()).collect();
    assert_eq!(there, [true, false, true, true]);
    put(&store, 6, 100);
    let there: Vec<_> = paths.iter().map(|path| path.exists()).collect();
    assert_eq!(there, [true, false, false, true]);
}

#[test]
fn what_is_not_whole_goes_before_what_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("partial");
    let whole = put(&Store::new(dir.path().to_owned()), 1, 100);
    age(&whole, 9);
    fs::write(folder.join("left.part"), [0; 300]).expect("a download");
    age(&folder.join("left.part"), 1);
    let store = Store::with_limit(dir.path().to_owned(), 400);
    let mut held = ours(&store, 2);
    held.file().write_all(&[0; 50]).expect("bytes");
    put(&store, 3, 10);
    // 460 bytes were too much; what is held stays, and there is room for the rest.
    assert_eq!(names(&folder).len(), 1);
    assert!(held.path().exists() && whole.exists());
    drop(held);
    put(&store, 4, 300);
    assert!(!whole.exists());
    assert_eq!(names(&folder), [""; 0]);
}

#[test]
fn nothing_goes_that_a_running_process_needs() {
    let dir = tempfile::tempdir().expect("a folder");
    let theirs = Store::new(dir.path().to_owned());
    let needed = put(&theirs, 1, 100);
    age(&needed, 9);
    // Claimed before it is there.
    assert_eq!(theirs.claim(&checksum(2)), None);
    let ours = Store::with_limit(dir.path().to_owned(), 50);
    let late = put(&ours, 2, 100);
    assert!(needed.exists() && late.exists());
    drop(ours);
    // What holds nothing any more protects nothing.
    drop(theirs);
    let next = Store::with_limit(dir.path().to_owned(), 50);
    put(&next, 3, 10);
    assert!(!needed.exists() && !late.exists());
    assert_eq!(names(&dir.path().join("in-use")).len(), 1);
}

#[test]
fn lists_of_dead_processes_are_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("in-use");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("dead"), "x.apk\n").expect("a list");
    let store = Store::new(dir.path().to_owned());
    store.claim(&checksum(1));
    let left = names(&folder);
    assert!(left.len() == 1 && left[0] != "dead", "{left:?}");
    drop(store);
    assert_eq!(names(&folder), [""; 0]);
}

#[test]
fn more_than_enough_is_not_removed() {
    let there: Vec<_> = [(1, 30), (2, 30), (3, 30)]
        .map(|(age, size)| Kept {
            path: PathBuf::from(format!("{age}.apk")),
            size,
            used: SystemTime::UNIX_EPOCH + Duration::from_secs(age),
        })
        .into();
    let none = HashSet::new();
    let gone = |limit, needed: &HashSet<String>| -> Vec<_> {
        let gone = too_much(there.clone(), needed, limit);
        gone.iter()
            .map(|kept| kept.path.display().to_string())
            .collect()
    };
    assert_eq!(gone(90, &none), [""; 0]);
    assert_eq!(gone(89, &none), ["1.apk"]);
    assert_eq!(gone(59, &none), ["1.apk", "2.apk"]);
    assert_eq!(gone(0, &none).len(), 3);
    let first = HashSet::from(["1.apk".to_owned()]);
    assert_eq!(gone(89, &first), ["2.apk"]);
    assert_eq!(gone(0, &first).len(), 2);
}

#[test]
fn a_download_is_one_process_s_until_it_lets_go() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::new(dir.path().to_owned());
    let mut partial = ours(&store, 1);
    partial.file().write_all(b"begin").expect("bytes");
    assert!(matches!(store.partial(&checksum(1)), Ok(Opened::Theirs(5))));
    drop(partial);
    let mut text = String::new();
    let mut partial = ours(&store, 1);
    partial.file().read_to_string(&mut text).expect("bytes");
    assert_eq!(text, "begin");
    let path = store.keep(partial, &checksum(1)).expect("it is kept");
    assert_eq!(fs::read(path).expect("a package"), b"begin");
    // The name is free again, and one that stays empty leaves nothing.
    drop(ours(&store, 1));
    ours(&store, 2).discard();
    let private = store.private_partial("a.apk").expect("a private one");
    assert!(private.path().exists());
    drop(private);
    assert_eq!(names(&dir.path().join("partial")), [""; 0]);
}

#[test]
fn what_lies_elsewhere_is_copied_once() {
    let (dir, elsewhere) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::NamedTempFile::new().expect("a file"),
    );
    fs::write(elsewhere.path(), "bytes").expect("a package");
    let store = Store::new(dir.path().to_owned());
    let copy = || store.copy(elsewhere.path(), &checksum(1));
    let path = copy().expect("it is copied");
    assert_eq!(path, store.path(&checksum(1)));
    assert_eq!(fs::read(&path).expect("a package"), b"bytes");
    fs::remove_file(elsewhere.path()).expect("the package");
    assert_eq!(copy().expect("it is there"), path);
    assert_eq!(names(&dir.path().join("partial")), [""; 0]);
}

#[test]
fn downloads_that_nobody_goes_on_with_are_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("partial");
    fs::create_dir_all(&folder).expect("a folder");
    for name in ["aa.part", "bb.part", "cc.x1y2.part"] {
        fs::write(folder.join(name), "begin").expect("a download");
    }
    age(&folder.join("bb.part"), 8 * 24);
    Store::new(dir.path().to_owned()).claim(&checksum(1));
    assert_eq!(names(&folder), ["aa.part"]);
}

#[test]
fn an_address_that_goes_back_is_noticed() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::new(dir.path().to_owned());
    let saw = |url, date| store.saw(url, date).expect("it is noted");
    assert_eq!(saw("http://a", 5), None);
    assert_eq!(saw("http://a", 5), None);
    assert_eq!(saw("http://b", 3), None);
    assert_eq!(saw("http://a", 7), None);
    let (newest, memory) = saw("http://a", 6).expect("it is older");
    assert_eq!(newest, 7);
    // What was older changed nothing; what cannot be read remembers nothing.
    assert_eq!(saw("http://a", 6).map(|found| found.0), Some(7));
    fs::write(memory, "{").expect("a damaged memory");
    assert_eq!(saw("http://a", 6), None);
}
