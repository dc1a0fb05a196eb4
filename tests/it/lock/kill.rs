//! `lock`, killed: the lock is the one before or the next, and nothing else stays.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::desk::{Desk, next_day};
use crate::mirrors::server::{Mirror, Request};

/// A mirror of the desk's folder that never answers who asks for a file whose name ends so, and how many
/// have asked.
fn silent(desk: &Desk, end: &'static str) -> (Mirror, Arc<AtomicUsize>) {
    let stalled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&stalled);
    let mirror = Mirror::new(desk.path("mirror"), move |request: &Request, _, _| {
        if request.file().ends_with(end) {
            count.fetch_add(1, Ordering::SeqCst);
            loop {
                std::thread::park();
            }
        }
        None
    });
    (mirror, stalled)
}

#[test]
fn killed_while_it_fetches_the_lock_is_the_old_one() {
    let desk = Desk::new();
    desk.lock(&[]).done();
    let text = desk.text();
    desk.mirror("mirror", &next_day());
    for end in ["APKINDEX.tar.gz", ".apk"] {
        let (mirror, stalled) = silent(&desk, end);
        let mut child = desk
            .on(
                "store",
                &["lock", "node", "--update", "--mirror", &mirror.base],
            )
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        while stalled.load(Ordering::SeqCst) == 0 {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "it ended by itself");
            std::thread::yield_now();
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        assert_eq!(desk.text(), text);
        let names = fs::read_dir(desk.path("locks")).expect("a folder").count();
        assert_eq!(names, 1);
    }
    desk.lock(&["--update"]).done();
    assert_ne!(desk.text(), text);
}

#[test]
fn killed_while_it_writes_the_lock_is_the_old_or_the_new_one() {
    let desk = Desk::new();
    desk.lock(&[]).done();
    let old = desk.text();
    desk.mirror("mirror", &next_day());
    desk.lock(&["--update"]).done();
    let new = desk.text();
    assert_ne!(old, new);
    for _ in 0..10 {
        fs::remove_dir_all(desk.path("locks")).expect("removed");
        fs::create_dir(desk.path("locks")).expect("a folder");
        fs::write(desk.lock_file(), &old).expect("written");
        let mut child = desk
            .on("store", &["lock", "node", "--update"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        // From the moment at which something beside the lock shows that it is being written.
        let is_writing = || fs::read_dir(desk.path("locks")).expect("a folder").count() > 1;
        while !is_writing() && child.try_wait().expect("a child").is_none() {
            std::thread::yield_now();
        }
        child.kill().expect("killed, or gone");
        child.wait().expect("gone");
        let found = desk.text();
        assert!(found == old || found == new, "{found}");
    }
    fs::write(desk.lock_file(), &old).expect("written");
    // A folder that was made and not locked yet may be one that is just being made, for a minute.
    for entry in fs::read_dir(desk.path("locks")).expect("a folder") {
        let entry = fs::File::open(entry.expect("an entry").path()).expect("it opens");
        let earlier = SystemTime::now() - Duration::from_secs(120);
        entry.set_modified(earlier).expect("a time");
    }
    desk.lock(&["--update"]).done();
    assert_eq!(desk.text(), new);
    let names = fs::read_dir(desk.path("locks")).expect("a folder").count();
    assert_eq!(names, 1, "what killed runs left is still there");
}
