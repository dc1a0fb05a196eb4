//! Commands that are killed while they download, and run again; and several that download at once.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;

use super::place::{APP, INDEX, LIB, Place, size, wait_until};
use super::server::{Mirror, head, hold, honest_head, read_last};
use crate::support::{Ended, demo_mirror, program};

/// A mirror that gives the first bytes of a file, once, and then says nothing more.
fn stalling(place: &Place, file: &'static str, bytes: usize, is_headless: bool) -> Mirror {
    Mirror::new(place.repository(), move |request, content, stream| {
        (request.file() == file && request.before == 0).then(|| {
            read_last(stream)?;
            if !is_headless {
                stream.write_all(honest_head(request, content).as_bytes())?;
                stream.write_all(&content[..bytes])?;
            }
            hold(stream)
        })
    })
}

fn killed(mut child: Child) {
    child.kill().expect("killed");
    child.wait().expect("gone");
}

#[test]
fn an_install_that_is_killed_while_it_downloads_goes_on_where_it_was() {
    let whole = Place::new().file(APP).len();
    for bytes in [1, 100, 600, 3000, whole / 2, whole - 1] {
        let place = Place::new();
        let mirror = stalling(&place, APP, bytes, false);
        let child = place.installing(&mirror.base, "root").spawn();
        let child = child.expect("it starts");
        let partial = || place.stored("partial");
        wait_until("the bytes", || {
            let there = partial();
            there.iter().any(|(_, size)| *size == bytes as u64) && place.kept_now() == 1
        });
        killed(child);
        // What is not whole is nowhere but there, and the other package is.
        assert_eq!((partial().len(), place.kept()), (1, 1), "{bytes}");
        assert!(!place.path("root").exists());

        place.install(&mirror.base, "root").done();
        place.is_installed("root");
        assert_eq!(mirror.ranges_of(APP), [None, Some(bytes)]);
        assert_eq!(mirror.requests_for(LIB).len(), 1, "it was there");
        assert_eq!(place.kept(), 2);
        place.is_tidy();
    }
}

#[test]
fn an_install_that_is_killed_before_anything_came_begins_again() {
    for (file, bytes, is_headless) in [
        (INDEX, 0, true),
        (INDEX, 10, false),
        (APP, 0, true),
        (APP, 0, false),
    ] {
        let place = Place::new();
        let mirror = stalling(&place, file, bytes, is_headless);
        let child = place.installing(&mirror.base, "root").spawn();
        let child = child.expect("it starts");
        wait_until("the request", || !mirror.requests_for(file).is_empty());
        killed(child);
        place.install(&mirror.base, "root").done();
        place.is_installed("root");
        assert_eq!(mirror.ranges_of(file), [None, None], "{file}");
        place.is_tidy();
    }
}

#[test]
fn several_that_download_at_once_fetch_each_package_once() {
    let place = Place::new();
    fs::write(place.path("alpine-ami.toml"), "").expect("the usual settings");
    let all = Barrier::new(4);
    let mirror = Mirror::new(place.repository(), move |request, bytes, stream| {
        (request.file() == INDEX).then(|| {
            read_last(stream)?;
            // None is ahead of the others.
            all.wait();
            stream.write_all(head("200 OK", bytes.len(), "").as_bytes())?;
            stream.write_all(bytes)
        })
    });
    let roots = ["one", "two", "three", "four"];
    let children: Vec<_> = roots
        .iter()
        .map(|root| place.installing(&mirror.base, root).spawn())
        .collect();
    for (root, child) in roots.iter().zip(children) {
        let output = child.expect("it starts").wait_with_output();
        Ended::from(output.expect("it ends")).done();
        place.is_installed(root);
    }
    assert_eq!(mirror.requests_for(APP).len(), 1);
    assert_eq!(mirror.requests_for(LIB).len(), 1);
    assert_eq!(place.kept(), 2);
    place.is_tidy();
}

#[test]
fn a_download_that_another_process_holds_and_does_not_go_on_with_is_not_waited_for() {
    let place = Place::new();
    let mirror = stalling(&place, APP, 3000, false);
    let stopped = place.installing(&mirror.base, "one").spawn();
    let stopped = stopped.expect("it starts");
    wait_until("the bytes", || {
        place
            .stored("partial")
            .iter()
            .any(|(_, size)| *size == 3000)
    });
    let pid = rustix::process::Pid::from_child(&stopped);
    let signal = |signal| rustix::process::kill_process(pid, signal).expect("a signal");
    signal(rustix::process::Signal::STOP);
    place.install(&mirror.base, "two").done();
    place.is_installed("two");
    assert_eq!(mirror.ranges_of(APP), [None, None]);
    // The one that was stopped goes on, and puts the same in the same place.
    signal(rustix::process::Signal::CONT);
    let output = stopped.wait_with_output().expect("it ends");
    Ended::from(output).done();
    place.is_installed("one");
    assert_eq!(place.kept(), 2);
    place.is_tidy();
}

#[test]
fn a_build_that_is_killed_while_it_downloads_goes_on_where_it_was() {
    const KERNEL: &str = "linux-virt-";
    let work = tempfile::tempdir().expect("a folder");
    let (out, cache) = (work.path().join("image"), work.path().join("cache"));
    let keys = demo_mirror().join("keys");
    let mirror = Mirror::new(demo_mirror(), |request, bytes, stream| {
        (request.file().starts_with(KERNEL) && request.before < 2).then(|| {
            read_last(stream)?;
            let from = request.from.unwrap_or(0);
            stream.write_all(honest_head(request, bytes).as_bytes())?;
            stream.write_all(&bytes[from..from + 1_000_000])?;
            hold(stream)
        })
    });
    let start = || -> Command {
        let mut command = program();
        command
            .env("XDG_CACHE_HOME", &cache)
            .args([
                "build",
                "base",
                "--arch",
                "x86_64",
                "--mirror",
                &mirror.base,
            ])
            .arg("--keys-dir")
            .arg(&keys)
            .arg("--out")
            .arg(&out)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let partial = cache.join("alpine-ami/packages/partial");
    let largest = || {
        let entries = fs::read_dir(&partial).into_iter().flatten();
        let sizes = entries.map(|entry| size(&entry.expect("an entry").path()));
        sizes.max().unwrap_or(0)
    };
    for bytes in [1_000_000, 2_000_000] {
        let child = start().spawn().expect("it starts");
        wait_until("the bytes", || largest() == bytes);
        killed(child);
        assert!(!out.join("manifest.json").exists());
    }
    Ended::from(start().output().expect("it starts")).done();
    assert!(out.join("manifest.json").exists() && out.join("image.raw").exists());
    let kernel = mirror.requests().into_iter();
    let kernel: Vec<_> = kernel
        .filter(|one| one.file().starts_with(KERNEL))
        .collect();
    let ranges: Vec<_> = kernel.iter().map(|one| one.from).collect();
    assert_eq!(ranges, [None, Some(1_000_000), Some(2_000_000)]);
    let left =
        |folder: &str| fs::read_dir(partial.with_file_name(folder)).map_or(0, Iterator::count);
    assert_eq!((left("partial"), left("in-use")), (0, 0));
}
