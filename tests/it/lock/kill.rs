//! `lock`, killed: the lock is the one before or the next, and nothing else stays.

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::desk::{Desk, next_day};
use crate::mirrors::serve;

/// What asked for something that is not answered.
static STALLED: AtomicUsize = AtomicUsize::new(0);

fn stall() -> ! {
    STALLED.fetch_add(1, Ordering::SeqCst);
    loop {
        std::thread::park();
    }
}

#[test]
fn killed_while_it_fetches_the_lock_is_the_old_one() {
    let desk = Desk::new();
    desk.lock(&[]).done();
    let text = desk.text();
    desk.mirror("mirror", &next_day());
    let no_index = serve(desk.path("mirror"), |_, _| stall());
    let no_package = serve(desk.path("mirror"), |path, body| {
        match path.ends_with(".apk") {
            true => stall(),
            false => body,
        }
    });
    for mirror in [no_index.as_str(), no_package.as_str()] {
        let before = STALLED.load(Ordering::SeqCst);
        let mut child = desk
            .on("store", &["lock", "node", "--update", "--mirror", mirror])
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        while STALLED.load(Ordering::SeqCst) == before {
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
    desk.lock(&["--update"]).done();
    assert_eq!(desk.text(), new);
    let names = fs::read_dir(desk.path("locks")).expect("a folder").count();
    assert_eq!(names, 1, "what killed runs left is still there");
}
