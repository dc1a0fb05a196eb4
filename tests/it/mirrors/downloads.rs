//! Downloads that break off, are gone on with, come from several mirrors, through a proxy, or not at
//! all because all of it is there.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Barrier, Mutex, mpsc};

use alpine_ami::apk::member::read_member;
use alpine_ami::apk::mirror::Repository;
use alpine_ami::arch::Arch;

use super::place::{APP, INDEX, LIB, Place, noise, trusted};
use super::server::{Mirror, OPEN_HEAD, head, hold, honest, honest_head, read_last};
use crate::support::{Crafted, Ended};

fn of(bases: &[&str]) -> Repository {
    Repository {
        bases: bases.iter().map(|&base| base.to_owned()).collect(),
        tag: None,
        alias: None,
        id: None,
    }
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_did() {
    let place = Place::new();
    let mirror = Mirror::new(place.repository(), |request, bytes, stream| {
        (request.file() == APP && request.before == 0).then(|| {
            read_last(stream)?;
            stream.write_all(honest_head(request, bytes).as_bytes())?;
            stream.write_all(&bytes[..70_000])
        })
    });
    place.install(&mirror.base, "root").done();
    place.is_installed("root");
    assert_eq!(mirror.ranges_of(APP), [None, Some(70_000)]);
    assert_eq!(place.kept(), 2);
    place.is_tidy();
}

#[test]
fn a_mirror_that_knows_no_ranges_is_asked_for_all_of_it() {
    let place = Place::new();
    let mirror = Mirror::new(place.repository(), |request, bytes, stream| {
        (request.file() == APP).then(|| {
            read_last(stream)?;
            stream.write_all(head("200 OK", bytes.len(), "").as_bytes())?;
            match request.before {
                0 => stream.write_all(&bytes[..70_000]),
                _ => stream.write_all(bytes),
            }
        })
    });
    place.install(&mirror.base, "root").done();
    place.is_installed("root");
    assert_eq!(mirror.ranges_of(APP), [None, Some(70_000)]);
    place.is_tidy();
}

/// What it is, what an earlier run left of a package, and what a mirror is asked for then.
type Left<'a> = (&'a str, Vec<u8>, &'a [Option<usize>]);

#[test]
fn what_an_earlier_run_left_is_used_as_far_as_it_is_of_use() {
    let place = Place::new();
    let whole = place.file(APP);
    let changed = |at: usize, length: usize| {
        let mut bytes = whole[..length].to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let length = whole.len();
    let mut behind = whole.as_slice();
    read_member(&mut behind, 1 << 20).expect("the signature");
    let control = length - behind.len();
    let cases: [Left<'_>; 8] = [
        ("nothing", Vec::new(), &[None]),
        ("a byte", whole[..1].to_vec(), &[Some(1)]),
        ("half", whole[..length / 2].to_vec(), &[Some(length / 2)]),
        ("all of it", whole.clone(), &[]),
        ("another control part", changed(control + 30, 3000), &[None]),
        // Only the end shows that these are not of one package.
        ("other data", changed(50_000, 70_000), &[Some(70_000), None]),
        ("all of it, damaged", changed(50_000, length), &[None]),
        ("more than all", [&whole[..], b"x"].concat(), &[None]),
    ];
    let app = place.listed().into_iter().find(|one| &*one.name == "app");
    let sum = app.expect("app").checksum;
    for (what, left, expected) in cases {
        let partial = place.store().join("partial");
        fs::create_dir_all(&partial).expect("a folder");
        let name = alpine_ami::digest::hex(sum.as_bytes());
        fs::write(partial.join(format!("{name}.part")), left).expect("a download");
        let mirror = Mirror::honest(place.repository());
        place.install(&mirror.base, "root").done();
        place.is_installed("root");
        assert_eq!(mirror.ranges_of(APP), expected, "{what}");
        place.is_tidy();
        fs::remove_dir_all(place.path("root")).expect("the root");
        fs::remove_dir_all(place.store()).expect("the store");
    }
}

#[test]
fn what_the_store_has_and_is_damaged_comes_again() {
    let place = Place::new();
    let mirror = Mirror::honest(place.repository());
    place.install(&mirror.base, "one").done();
    let app = place.listed().into_iter().find(|one| &*one.name == "app");
    let store = alpine_ami::apk::store::Store::new(place.store());
    let stored = store.path(&app.expect("app").checksum);
    let mut bytes = fs::read(&stored).expect("a package");
    bytes[90_000] ^= 1;
    fs::write(&stored, bytes).expect("a damaged package");
    place.install(&mirror.base, "two").done();
    place.is_installed("two");
    assert_eq!(mirror.requests_for(APP).len(), 2);
    assert_eq!(mirror.requests_for(LIB).len(), 1);
    assert_eq!(place.kept(), 2);
}

#[test]
fn so_many_packages_come_at_once_and_no_more() {
    // With the one that needs them they come in fours.
    let names: Vec<_> = (0..15).map(|number| format!("part{number}")).collect();
    let mut packages: Vec<_> = names
        .iter()
        .map(|name| Crafted::new(name, "1-r0", ""))
        .collect();
    let depends = format!("depend = {}", names.join(" "));
    packages.push(Crafted::new("app", "2.0-r1", &depends));
    let place = Place::with(&packages);
    fs::write(place.path("alpine-ami.toml"), "[downloads]\nparallel = 4\n").expect("settings");
    // Each answer waits until four are asked for; and never is a fifth.
    let (four, now) = (Barrier::new(4), AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let mirror = Mirror::new(place.repository(), move |request, bytes, stream| {
        request.file().ends_with(".apk").then(|| {
            read_last(stream)?;
            seen.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            four.wait();
            now.fetch_sub(1, SeqCst);
            honest(request, bytes, stream)
        })
    });
    place.install(&mirror.base, "root").done();
    assert_eq!(most.load(SeqCst), 4);
    assert_eq!(place.kept(), 16);
}

#[tokio::test]
async fn another_mirror_goes_on_with_what_one_began() {
    let place = Place::new();
    let broken = Mirror::new(place.repository(), |request, bytes, stream| {
        (request.file() == APP).then(|| {
            read_last(stream)?;
            stream.write_all(honest_head(request, bytes).as_bytes())?;
            let from = request.from.unwrap_or(0);
            stream.write_all(&bytes[from..from + 1000])?;
            hold(stream)
        })
    });
    let good = Mirror::honest(place.repository());
    let (fetcher, repository) = (place.fetcher(), of(&[&broken.base, &good.base]));
    let index = fetcher.index(&repository, Arch::X86_64, trusted()).await;
    for package in &index.expect("an index").packages {
        let path = fetcher.package(&repository, Arch::X86_64, package, trusted());
        let path = path.await.expect("a package");
        assert_eq!(
            fs::read(path).expect("a package"),
            place.file(&package.file_name())
        );
    }
    assert_eq!(broken.ranges_of(APP), [None, Some(1000)]);
    assert_eq!(good.ranges_of(APP), [Some(2000)]);
    // The one that did not answer is not asked first any more.
    assert_eq!(broken.requests_for(LIB), []);
}

#[tokio::test]
async fn a_mirror_that_fails_is_passed_over_and_if_all_do_each_is_told() {
    let place = Place::new();
    let lies = Mirror::new(place.repository(), |request, _, stream| {
        (request.file() != INDEX).then(|| {
            read_last(stream)?;
            stream.write_all(OPEN_HEAD.as_bytes())?;
            stream.write_all(b"<html>")
        })
    });
    let lacks = Mirror::new(place.repository(), |request, _, stream| {
        (request.file() != INDEX).then(|| {
            read_last(stream)?;
            stream.write_all(head("404 Not Found", 0, "").as_bytes())
        })
    });
    let nobody = "http://127.0.0.1:1";
    let good = Mirror::honest(place.repository());
    let fetcher = place.fetcher();
    let all = of(&[nobody, &lacks.base, &lies.base, &good.base]);
    let index = fetcher.index(&all, Arch::X86_64, trusted()).await;
    let packages = index.expect("an index").packages;
    let app = packages
        .iter()
        .find(|one| &*one.name == "app")
        .expect("app");
    let bad = of(&[nobody, &lacks.base, &lies.base]);
    let error = fetcher.package(&bad, Arch::X86_64, app, trusted()).await;
    let error = error.expect_err("none of them has it");
    let told = error.to_string();
    for words in [
        "none of 3 mirrors can be used:",
        "127.0.0.1:1/x86_64/app-2.0-r1.apk",
        "there is no such file (HTTP 404)",
        "it is a web page",
    ] {
        assert!(told.contains(words), "`{words}` is not in: {told}");
    }
    assert!(
        error.advice().contains("nothing of it was used"),
        "{}",
        error.advice()
    );
    assert_eq!(place.kept_now(), 0);
    let path = fetcher.package(&all, Arch::X86_64, app, trusted()).await;
    assert_eq!(
        fs::read(path.expect("a package")).expect("a package"),
        place.file(APP)
    );
}

#[tokio::test]
async fn a_folder_needs_no_copy_and_no_network() {
    let place = Place::new();
    let good = Mirror::honest(place.repository());
    let folder = place.repository().display().to_string();
    for base in [folder.clone(), format!("file://{folder}")] {
        let repository = of(&[&base, &good.base]);
        let fetcher = place.fetcher();
        let index = fetcher.index(&repository, Arch::X86_64, trusted()).await;
        for package in &index.expect("an index").packages {
            let path = fetcher.package(&repository, Arch::X86_64, package, trusted());
            let path = path.await.expect("a package");
            assert_eq!(path, place.packages().join(package.file_name()));
        }
    }
    assert!(!place.store().exists());
    // One that the folder lacks, or has with another length, comes from the mirror after it.
    let short = place.file(APP)[..1000].to_vec();
    let other = tempfile::tempdir().expect("a folder");
    let (there, app) = (
        other.path().join("x86_64"),
        other.path().join("x86_64").join(APP),
    );
    fs::create_dir(&there).expect("a folder");
    fs::write(app, short).expect("a short package");
    let repository = of(&[other.path().to_str().expect("UTF-8"), &good.base]);
    let fetcher = place.fetcher();
    let index = fetcher.index(&repository, Arch::X86_64, trusted()).await;
    for package in &index.expect("an index").packages {
        let path = fetcher.package(&repository, Arch::X86_64, package, trusted());
        assert!(path.await.expect("a package").starts_with(place.store()));
    }
}

#[tokio::test]
async fn a_full_store_needs_no_network() {
    let place = Place::new();
    let mirror = Mirror::honest(place.repository());
    let repository = of(&[&mirror.base]);
    let first = place.fetcher();
    let index = first.index(&repository, Arch::X86_64, trusted()).await;
    let packages = index.expect("an index").packages;
    for package in &packages {
        let path = first.package(&repository, Arch::X86_64, package, trusted());
        path.await.expect("a package");
    }
    drop(first);
    // The mirror has dropped all of it since.
    fs::remove_dir_all(place.repository()).expect("the repository");
    let asked = mirror.requests().len();
    let next = place.fetcher();
    for package in &packages {
        let path = next.package(&repository, Arch::X86_64, package, trusted());
        let path = path.await.expect("a package");
        assert_eq!(next.stored(&package.checksum, trusted()).await, Some(path));
    }
    assert_eq!(mirror.requests().len(), asked);
    // They are not given to who does not trust their signer.
    let nobody = alpine_ami::apk::keys::KeyRing::default();
    assert!(next.stored(&packages[0].checksum, &nobody).await.is_none());
    assert!(
        next.stored(&packages[0].checksum, trusted())
            .await
            .is_some()
    );
}

#[test]
fn a_proxy_is_taken_from_the_environment() {
    let place = Place::new();
    let proxy = Mirror::new(place.repository(), |request, _, stream| {
        (request.method == "CONNECT").then(|| {
            read_last(stream)?;
            stream.write_all(head("403 Forbidden", 0, "").as_bytes())
        })
    });
    let run = |base: &str, root: &str, variables: &[(&str, &str)]| {
        let mut command = place.installing(base, root);
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.envs(variables.iter().copied());
        Ended::from(command.output().expect("it starts"))
    };
    let through = [("http_proxy", proxy.base.as_str())];
    run("http://alpine.invalid", "root", &through).done();
    place.is_installed("root");
    let requests = proxy.requests();
    let targets: Vec<_> = requests.iter().map(|one| one.target.as_str()).collect();
    assert!(
        targets.contains(&"http://alpine.invalid/x86_64/APKINDEX.tar.gz"),
        "{targets:?}"
    );
    let secure = [("HTTPS_PROXY", proxy.base.as_str())];
    let refused = run("https://alpine.invalid", "two", &secure).failed(1);
    assert!(
        refused.contains("alpine.invalid/x86_64/APKINDEX"),
        "{refused}"
    );
    let last = proxy.requests().pop().expect("a request");
    assert_eq!(
        (last.method.as_str(), last.target.as_str()),
        ("CONNECT", "alpine.invalid:443")
    );
    // Not for those that it is not for.
    let asked = proxy.requests().len();
    let mirror = Mirror::honest(place.repository());
    let around = [
        ("http_proxy", proxy.base.as_str()),
        ("no_proxy", "127.0.0.1"),
    ];
    run(&mirror.base, "three", &around).done();
    assert_eq!(proxy.requests().len(), asked);
}

#[test]
fn what_comes_is_told() {
    let place =
        Place::with(&[Crafted::new("app", "2.0-r1", "").file("usr/bin/app", &noise(3 << 20, 1))]);
    // The package comes when its line was read.
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let mirror = Mirror::new(place.repository(), move |request, bytes, stream| {
        (request.file() == APP).then(|| {
            read_last(stream)?;
            let _ = gone.lock().expect("the channel").recv();
            honest(request, bytes, stream)
        })
    });
    let mut child = place
        .installing(&mirror.base, "one")
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("its lines")).lines();
    let mut line = || lines.next().expect("a line").expect("UTF-8");
    assert_eq!(line(), "fetching 1 packages");
    assert_eq!(line(), "packages: 0/2 MiB");
    go.send(()).expect("the mirror waits");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(line(), "installing 1 packages");
    // What is there does not come.
    let again = place.install(&mirror.base, "two");
    assert_eq!(again.stderr, "fetching 1 packages\ninstalling 1 packages\n");
}

#[test]
fn no_more_is_kept_than_is_allowed() {
    let place = Place::new();
    let mirror = Mirror::honest(place.repository());
    place.install(&mirror.base, "one").done();
    assert_eq!(place.kept(), 2);
    let other = Place::with(&[Crafted::new("app", "9-r0", "").file("usr/bin/app", "9")]);
    fs::write(
        place.path("alpine-ami.toml"),
        "[downloads]\nstore = \"1KiB\"\n",
    )
    .expect("settings");
    let newer = Mirror::honest(other.repository());
    place.install(&newer.base, "two").done();
    // What this run needs is more than that, and stays; the rest has gone.
    let app = &other.listed()[0];
    let store = alpine_ami::apk::store::Store::new(place.store());
    assert!(store.path(&app.checksum).is_file());
    assert_eq!(place.kept_now(), 1);
    place.is_tidy();
}
