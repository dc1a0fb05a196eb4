//! How fast an image is sent, beside coldsnap in the same run: `cargo bench --bench publish`.
//!
//! Prints tables and asserts nothing: the machines that this runs on are shared. Each client runs
//! in a process of its own, which is what processor time and memory are counted of; client and
//! server share the processors. `scripts/install-coldsnap` installs coldsnap; without it only our
//! rows are printed.
//!
//! The servers are the sandbox, which keeps what it is sent, and a stand-in that throws it away,
//! to see the clients where the server is not the limit.

#[path = "publish/client.rs"]
mod client;
#[path = "publish/measure.rs"]
mod measure;
#[path = "publish/regions.rs"]
mod regions;
#[path = "publish/servers.rs"]
mod servers;
mod seventeen;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use client::Job;
use measure::Run;
use servers::{Sandbox, Server, StandIn};

const BLOCK: usize = 524_288;
/// Blocks of a volume of 2 GiB.
const BLOCKS: usize = 4096;
/// Of which so many hold data: 330 MiB.
const DATA: usize = 660;
/// They lie in runs of so many, as files do.
const RUN: usize = 10;
/// Each is run so often; the median is printed.
const TIMES: usize = 3;

fn main() {
    match std::env::var(client::ROLE).as_deref() {
        Ok("client") => return client::run(),
        Ok("stand-in") => return servers::stand_in(),
        Ok("key") => return servers::make_key(),
        Ok("bucket") => return servers::bucket(),
        Ok("wait") => return servers::wait(),
        _ => {}
    }
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("image.raw");
    make_image(&image);
    let coldsnap = coldsnap();
    if coldsnap.is_none() {
        println!("coldsnap is not installed (scripts/install-coldsnap): only our rows follow");
    }
    println!("{}", measure::head());
    for is_encrypted in [true, false] {
        let stand_in = StandIn::start();
        compare(&stand_in, &image, is_encrypted, coldsnap.as_deref());
        drop(stand_in);
        let sandbox = Sandbox::start(&folder.path().join(format!("state-{is_encrypted}")));
        compare(&sandbox, &image, is_encrypted, coldsnap.as_deref());
        if is_encrypted {
            incremental(&sandbox, folder.path(), &image);
        }
    }
    regions::run(folder.path(), &image);
}

/// The same image by both clients.
fn compare(server: &dyn Server, image: &Path, is_encrypted: bool, coldsnap: Option<&Path>) {
    let key = is_encrypted.then(|| server.key());
    let what = if is_encrypted {
        "all blocks, encrypted"
    } else {
        "data only, not encrypted"
    };
    let job = Job {
        image: image.to_owned(),
        key: key.clone(),
        ..Job::default()
    };
    let ours = median(|| measure::run(&mut client::command(server, &job)));
    println!("{}", measure::row(server.name(), what, "alpine-ami", &ours));
    let Some(coldsnap) = coldsnap else { return };
    let best = [
        &[][..],
        &["--workers", "256"],
        &["--workers", "64", "--client-shards", "4"],
    ]
    .into_iter()
    .map(|options| {
        let run = || {
            measure::run(&mut theirs(
                server,
                coldsnap,
                image,
                key.as_deref(),
                options,
            ))
        };
        (options, median(run))
    })
    .min_by_key(|(_, run)| run.wall)
    .expect("there are some");
    let name = format!("coldsnap {}", best.0.join(" "));
    println!(
        "{}",
        measure::row(server.name(), what, name.trim(), &best.1)
    );
}

fn theirs(
    server: &dyn Server,
    coldsnap: &Path,
    image: &Path,
    key: Option<&str>,
    options: &[&str],
) -> Command {
    let mut command = Command::new(coldsnap);
    command
        .envs(server.environment())
        .args(["--region", servers::REGION, "--endpoint", &server.url()])
        .args(["upload", "--no-progress", "--volume-size", "2"])
        .args(options);
    match key {
        Some(key) => command.args(["--kms-key-id", key]),
        None => command.arg("--omit-zero-blocks"),
    };
    command.arg(image);
    command
}

/// What differs from a parent, in shares of the blocks.
fn incremental(sandbox: &Sandbox, folder: &Path, image: &Path) {
    let job = Job {
        image: image.to_owned(),
        key: Some(sandbox.key()),
        blocks: Some(folder.join("parent.json")),
        ..Job::default()
    };
    let parent = measure::run(&mut client::command(sandbox, &job));
    sandbox.wait_for(&parent.snapshot);
    for percent in [1, 10, 50] {
        let changed = folder.join(format!("changed-{percent}.raw"));
        std::fs::copy(image, &changed).expect("a copy");
        change(&changed, BLOCKS * percent / 100, percent as u64);
        let job = Job {
            image: changed.clone(),
            parent: Some((parent.snapshot.clone(), folder.join("parent.json"))),
            blocks: None,
            ..job.clone()
        };
        let run = median(|| measure::run(&mut client::command(sandbox, &job)));
        let what = format!("{percent} % differ, encrypted");
        println!(
            "{}",
            measure::row(sandbox.name(), &what, "alpine-ami", &run)
        );
        std::fs::remove_file(changed).expect("removed");
    }
}

fn median(mut run: impl FnMut() -> Run) -> Run {
    let mut runs: Vec<Run> = (0..TIMES).map(|_| run()).collect();
    runs.sort_by_key(|run| run.wall);
    runs.swap_remove(TIMES / 2)
}

/// Data in runs all over the volume.
fn make_image(path: &Path) {
    let file = File::create(path).expect("a file");
    file.set_len((BLOCKS * BLOCK) as u64).expect("a length");
    let stride = BLOCKS / (DATA / RUN);
    for number in 0..DATA {
        let block = number / RUN * stride + number % RUN;
        fill(&file, block, 1 + number as u64);
    }
}

/// Other data in so many blocks, all over the volume.
fn change(path: &Path, count: usize, seed: u64) {
    let file = File::options().write(true).open(path).expect("a file");
    for number in 0..count {
        let block = number * BLOCKS / count;
        fill(&file, block, (seed << 32) + number as u64);
    }
}

/// A block in which no two sectors are the same.
fn fill(file: &File, block: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; BLOCK];
    random.fill(&mut bytes);
    file.write_all_at(&bytes, (block * BLOCK) as u64)
        .expect("written");
}

fn coldsnap() -> Option<PathBuf> {
    let named = std::env::var_os("COLDSNAP").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/coldsnap/bin/coldsnap");
    named.or(Some(usual)).filter(|path| path.exists())
}
