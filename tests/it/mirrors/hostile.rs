//! Everything that a mirror can answer and should not: one clear error each, within a bounded number of
//! tries, and nothing of it in the store.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use alpine_ami::apk::fetch::{Fetcher, Limits};
use alpine_ami::apk::member::{compress, read_member};
use alpine_ami::apk::mirror::Repository;
use alpine_ami::apk::store::Store;
use alpine_ami::arch::Arch;

use super::place::{APP, INDEX, LIB, Place, trusted};
use super::server::{Mirror, OPEN_HEAD, Request, head, hold, honest, honest_head, read_last};
use crate::support::{Crafted, Ended, keys, repository};

/// How a mirror lies about a file, whose bytes it is given.
type Lie = fn(&Request, &[u8], &mut TcpStream) -> io::Result<()>;

struct Case {
    name: &'static str,
    lie: Lie,
    /// Words of the error if it is the index, and if it is a package.
    index: &'static str,
    package: &'static str,
    /// How often it is asked for; 0 where that may be once or twice.
    asked: usize,
}

/// Two tries of four seconds each come to less, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// The one lie before which the request is not read to its end.
const RESET: &str = "a connection that is reset";

const CASES: &[Case] = &[
    Case {
        name: "an endless stream",
        lie: |_, bytes, stream| {
            stream.write_all(OPEN_HEAD.as_bytes())?;
            stream.write_all(bytes)?;
            loop {
                stream.write_all(&[0; 65_536])?;
            }
        },
        index: "it does not end after 33554432 bytes",
        package: "it has more than the",
        asked: 1,
    },
    Case {
        name: "a slow trickle",
        lie: |request, bytes, stream| {
            stream.write_all(honest_head(request, bytes).as_bytes())?;
            for byte in bytes {
                stream.write_all(&[*byte])?;
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        },
        index: "it is too slow",
        package: "it is too slow",
        asked: 1,
    },
    Case {
        name: "a head that trickles",
        lie: |_, _, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
            loop {
                stream.write_all(b"x")?;
                std::thread::sleep(Duration::from_millis(50));
            }
        },
        index: "cannot fetch",
        package: "cannot fetch",
        asked: 2,
    },
    Case {
        name: "a head without an end",
        lie: |_, _, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
            loop {
                stream.write_all(&[b'x'; 65_536])?;
            }
        },
        index: "cannot fetch",
        package: "cannot fetch",
        asked: 2,
    },
    Case {
        name: "no answer",
        lie: |_, _, stream| hold(stream),
        index: "it said nothing for",
        package: "it said nothing for",
        asked: 2,
    },
    Case {
        name: "silence in the middle",
        lie: |request, bytes, stream| {
            let from = request.from.unwrap_or(0);
            stream.write_all(honest_head(request, bytes).as_bytes())?;
            stream.write_all(&bytes[from..from + (bytes.len() - from) / 2])?;
            hold(stream)
        },
        index: "it said nothing for",
        package: "it said nothing for",
        asked: 2,
    },
    Case {
        name: "a length that is too long",
        lie: |_, bytes, stream| {
            stream.write_all(head("200 OK", bytes.len() + 1, "").as_bytes())?;
            stream.write_all(bytes)
        },
        index: "cannot fetch",
        package: "it has more than the",
        asked: 0,
    },
    Case {
        name: "a body that is too short",
        lie: |_, bytes, stream| {
            let cut = &bytes[..bytes.len() / 2];
            stream.write_all(head("200 OK", cut.len(), "").as_bytes())?;
            stream.write_all(cut)
        },
        index: "is damaged",
        package: "bytes that are listed for it",
        asked: 1,
    },
    Case {
        name: "a body that breaks off",
        lie: |_, bytes, stream| {
            stream.write_all(head("200 OK", bytes.len(), "").as_bytes())?;
            stream.write_all(&bytes[..bytes.len() / 2])
        },
        index: "cannot fetch",
        package: "cannot fetch",
        asked: 2,
    },
    Case {
        name: RESET,
        lie: |_, _, _| Ok(()),
        index: "cannot fetch",
        package: "cannot fetch",
        asked: 2,
    },
    Case {
        name: "a redirect to itself",
        lie: |request, _, stream| {
            let location = format!("Location: {}\r\n", request.target);
            stream.write_all(head("302 Found", 0, &location).as_bytes())
        },
        index: "it redirects more than 5 times",
        package: "it redirects more than 5 times",
        asked: 6,
    },
    Case {
        name: "a redirect to a file of this machine",
        lie: |_, _, stream| {
            stream.write_all(head("302 Found", 0, "Location: file:///etc/passwd\r\n").as_bytes())
        },
        index: "cannot fetch",
        package: "cannot fetch",
        asked: 0,
    },
    Case {
        name: "a web page",
        lie: |_, _, stream| {
            let page = b"\n<!DOCTYPE html><html>Welcome to our hotel</html>";
            stream
                .write_all(head("200 OK", page.len(), "Content-Type: text/html\r\n").as_bytes())?;
            stream.write_all(page)
        },
        index: "it is a web page",
        package: "it is a web page",
        asked: 1,
    },
    Case {
        name: "a bomb",
        lie: |_, _, stream| {
            let bomb = compress(&vec![0; 64 << 20])?;
            stream.write_all(OPEN_HEAD.as_bytes())?;
            stream.write_all(&bomb)
        },
        index: "it is not signed",
        package: "is larger than",
        asked: 1,
    },
    Case {
        name: "a bomb in the place of a signature",
        lie: |_, _, stream| {
            let bomb = [b".SIGN.RSA.test.rsa.pub".as_slice(), &vec![0; 64 << 20]].concat();
            stream.write_all(OPEN_HEAD.as_bytes())?;
            stream.write_all(&compress(&bomb)?)
        },
        index: "is larger than",
        package: "is larger than",
        asked: 1,
    },
    Case {
        name: "a part that nobody asked for",
        lie: |request, bytes, stream| {
            let asked = Request {
                from: Some(10),
                ..request.clone()
            };
            honest(&asked, bytes, stream)
        },
        index: "the mirror gives `bytes 10-",
        package: "the mirror gives `bytes 10-",
        asked: 1,
    },
    Case {
        name: "another part than was asked for",
        lie: |request, bytes, stream| match request.from {
            None => {
                stream.write_all(honest_head(request, bytes).as_bytes())?;
                stream.write_all(&bytes[..bytes.len() / 2])
            }
            Some(from) => {
                let asked = Request {
                    from: Some(from - 1),
                    ..request.clone()
                };
                honest(&asked, bytes, stream)
            }
        },
        // An index is not gone on with.
        index: "cannot fetch",
        package: "on, the mirror gives `bytes ",
        asked: 2,
    },
    Case {
        name: "an error of the server",
        lie: |_, _, stream| stream.write_all(head("500 Broken", 0, "").as_bytes()),
        index: "the mirror answered HTTP 500",
        package: "the mirror answered HTTP 500",
        asked: 2,
    },
    Case {
        name: "a request to log in",
        lie: |_, _, stream| stream.write_all(head("401 Unauthorized", 0, "").as_bytes()),
        index: "the mirror answered HTTP 401",
        package: "the mirror answered HTTP 401",
        asked: 1,
    },
    Case {
        name: "something else than HTTP",
        lie: |_, _, stream| stream.write_all(b"220 mail.example ESMTP\r\n"),
        index: "cannot fetch",
        package: "cannot fetch",
        asked: 2,
    },
    Case {
        name: "another first byte",
        lie: |_, bytes, stream| {
            stream.write_all(head("200 OK", bytes.len(), "").as_bytes())?;
            stream.write_all(&[bytes[0] ^ 0xff])?;
            stream.write_all(&bytes[1..])
        },
        index: "it is not a packed file",
        package: "it is not a packed file",
        asked: 1,
    },
    Case {
        name: "another last byte",
        lie: |_, bytes, stream| {
            let last = bytes.len() - 1;
            stream.write_all(head("200 OK", bytes.len(), "").as_bytes())?;
            stream.write_all(&bytes[..last])?;
            stream.write_all(&[bytes[last] ^ 1])
        },
        index: "the signature by test.rsa.pub does not match",
        package: "does not match its datahash",
        asked: 1,
    },
    Case {
        name: "an empty body",
        lie: |_, _, stream| stream.write_all(head("200 OK", 0, "").as_bytes()),
        index: "is damaged",
        package: "it has 0 bytes",
        asked: 1,
    },
];

/// That a lie about one file ends in an error with these words, and leaves nothing.
fn refused(case: &Case, subject: &'static str, words: &str) {
    let place = Place::new();
    let (lie, name) = (case.lie, case.name);
    let mirror = Mirror::new(place.repository(), move |request, bytes, stream| {
        (request.file() == subject).then(|| {
            if name != RESET {
                read_last(stream)?;
            }
            lie(request, bytes, stream)
        })
    });
    let begun = Instant::now();
    let error = place.install(&mirror.base, "root").failed(1);
    assert!(begun.elapsed() < DEADLINE, "{name}, {subject}: too late");
    assert!(
        error.contains(words) && error.contains(subject),
        "{name}, {subject}: `{words}` is not in: {error}"
    );
    assert_eq!(error.matches("error: ").count(), 1, "{name}: {error}");
    assert!(error.contains("next: "), "{name}: {error}");
    assert!(!place.path("root").exists(), "{name}: a root was left");
    let asked = mirror.requests_for(subject).len();
    assert!(
        asked == case.asked || case.asked == 0 && (1..=2).contains(&asked),
        "{name}, {subject}: it was asked for {asked} times"
    );
    // The other package is what its index says, and may be there.
    let most = usize::from(subject == APP);
    assert!(place.kept() <= most, "{name}: it was stored");
    assert_eq!(place.stored("seen").len(), most, "{name}");
    // After a lie about an index, an honest one is all it takes; after one about a package, too.
    let honest = Mirror::honest(place.repository());
    place.install(&honest.base, "root").done();
    place.is_installed("root");
    place.is_tidy();
}

/// All lies, a few at once: most of them are waited for.
fn all_refused(subject: &'static str, words: fn(&Case) -> &'static str) {
    for some in CASES.chunks(6) {
        std::thread::scope(|scope| {
            for case in some {
                scope.spawn(move || refused(case, subject, words(case)));
            }
        });
    }
}

#[test]
fn a_lie_about_an_index_is_refused() {
    all_refused(INDEX, |case| case.index);
}

#[test]
fn a_lie_about_a_package_is_refused() {
    all_refused(APP, |case| case.package);
}

#[tokio::test]
async fn an_index_that_never_ends_has_a_deadline_however_fast_it_comes() {
    let place = Place::new();
    let mirror = Mirror::new(place.repository(), |_, bytes, stream| {
        Some(read_last(stream).and_then(|()| {
            stream.write_all(OPEN_HEAD.as_bytes())?;
            stream.write_all(&bytes[..2])?;
            loop {
                stream.write_all(&[0; 10])?;
                std::thread::sleep(Duration::from_millis(5));
            }
        }))
    });
    let limits = Limits {
        slowest: 1,
        index: Duration::from_millis(200),
        ..Limits::default()
    };
    let fetcher = Fetcher::with_limits(Store::new(place.store()), limits).expect("a fetcher");
    let repository = Repository::at(&mirror.base);
    let error = fetcher.index(&repository, Arch::X86_64, trusted()).await;
    let error = error.expect_err("it never ends").to_string();
    assert!(error.contains("it did not end within 0.2 s"), "{error}");
    assert_eq!(mirror.requests().len(), 1);
}

/// That an index is refused with these words, and nothing of it kept.
#[track_caller]
fn distrusted(place: &Place, mirror: &Mirror, words: &str) {
    let before = place.stored("seen");
    let error = place.install(&mirror.base, "root").failed(1);
    assert!(error.contains(words), "`{words}` is not in: {error}");
    assert_eq!(error.matches("error: ").count(), 1, "{error}");
    assert_eq!(place.stored("seen"), before);
    assert_eq!(place.kept(), 0);
    assert!(!place.path("root").exists());
    place.is_tidy();
}

#[test]
fn an_index_of_a_stranger_is_refused() {
    let place = Place::new();
    let signed = place.file(INDEX);
    let mut unsigned = signed.as_slice();
    read_member(&mut unsigned, 1 << 20).expect("the signature");
    let unsigned = unsigned.to_vec();
    let stranger = tempfile::tempdir().expect("a folder");
    let crafted = [Crafted::new("app", "3.0-r0", "")];
    repository(stranger.path(), &crafted, &keys("stranger.rsa"));
    let impostor = tempfile::tempdir().expect("a folder");
    repository(impostor.path(), &crafted, &keys("test.rsa"));
    let read = |dir: &tempfile::TempDir| {
        fs::read(dir.path().join("x86_64").join(INDEX)).expect("an index")
    };
    for (index, words) in [
        (unsigned, "it is not signed"),
        (
            read(&stranger),
            "it is signed by stranger.rsa.pub, which is not among the trusted keys",
        ),
        (
            read(&impostor),
            "the signature by test.rsa.pub does not match",
        ),
    ] {
        let mirror = Mirror::new(place.repository(), move |request, _, stream| {
            (request.file() == INDEX).then(|| {
                read_last(stream)?;
                honest(request, &index, stream)
            })
        });
        distrusted(&place, &mirror, words);
    }
}

#[test]
fn an_index_older_than_the_last_one_is_refused() {
    let place = Place::new();
    let mirror = Mirror::honest(place.repository());
    place.redate(1_700_000_000);
    let old = place.file(INDEX);
    place.redate(1_800_000_000);
    place.install(&mirror.base, "one").done();
    fs::write(place.packages().join(INDEX), &old).expect("the old index");
    let kept = place.stored("seen");
    let error = place.install(&mirror.base, "two").failed(1);
    for words in [
        "is of 2023-11-14 22:13 UTC, older than the one of 2027-01-15 08:00 UTC that it gave before",
        "somebody may be keeping updates back",
        "/seen/",
    ] {
        assert!(error.contains(words), "`{words}` is not in: {error}");
    }
    assert!(!place.path("two").exists());
    assert_eq!(place.stored("seen"), kept);
    // Each address has a memory of its own, and a folder none: its user has it in hand.
    let other = Mirror::honest(place.repository());
    place.install(&other.base, "three").done();
    let folder = place.repository();
    place
        .install(folder.to_str().expect("UTF-8"), "four")
        .done();
    // Set back on purpose.
    fs::remove_dir_all(place.store().join("seen")).expect("the memory");
    place.install(&mirror.base, "two").done();
}

#[test]
fn a_package_in_the_place_of_another_is_refused_before_its_data() {
    let place = Place::new();
    let (app, lib) = (place.file(APP), place.file(LIB));
    // Its length does not say it: the answer leaves open how long it is.
    let swapped = [lib, vec![0; 1 << 20]].concat();
    assert!(app.len() < swapped.len());
    let mirror = Mirror::new(place.repository(), move |request, _, stream| {
        (request.file() == APP).then(|| {
            read_last(stream)?;
            stream.write_all(OPEN_HEAD.as_bytes())?;
            stream.write_all(&swapped[..100_000])?;
            // The rest is never asked for.
            hold(stream)
        })
    });
    let error = place.install(&mirror.base, "root").failed(1);
    assert!(
        error.contains("the package app-2.0-r1.apk has checksum")
            && error.contains("is listed for it"),
        "{error}"
    );
    assert_eq!(mirror.requests_for(APP).len(), 1);
    assert_eq!(place.stored("partial"), []);
    assert!(place.kept() <= 1);
}

#[test]
fn a_server_that_cannot_say_who_it_is_is_refused() {
    let place = Place::new();
    let (key, certificate) = (place.path("key.pem"), place.path("certificate.pem"));
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl");
    assert!(made.status.success());
    let mut server = Command::new("openssl")
        .current_dir(place.repository())
        .args(["s_server", "-accept", "127.0.0.1:0", "-WWW", "-key"])
        .arg(&key)
        .arg("-cert")
        .arg(&certificate)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let mut lines = BufReader::new(server.stdout.take().expect("its output")).lines();
    let address = lines.find_map(|line| {
        let line = line.expect("a line");
        line.strip_prefix("ACCEPT ").map(str::to_owned)
    });
    let base = format!("https://{}", address.expect("an address"));
    let error = place.install(&base, "root").failed(1);
    let kept = place.kept();
    // Who trusts it takes what it gives.
    let mut trusting = place.installing(&base, "root");
    trusting.env("SSL_CERT_FILE", &certificate);
    let trusting = Ended::from(trusting.output().expect("it starts"));
    server.kill().expect("killed");
    server.wait().expect("gone");
    assert!(
        error.contains("certificate") && error.contains(INDEX) && error.contains("next: "),
        "{error}"
    );
    assert_eq!(kept, 0);
    trusting.done();
    place.is_installed("root");
    assert_eq!(place.kept(), 2);
}
