//! How fast the sandbox is, beside moto's server in the same run: `cargo bench --bench sandbox`.
//!
//! Prints a table and asserts nothing: the machines that this runs on are shared. Both servers get
//! the same blocks from the same client over 32 connections, each with its checksum and its
//! signature, made beforehand. Client and server share the processors.

#![allow(dead_code, reason = "the client and the places are those of the tests")]

#[path = "../it/sandbox/client.rs"]
mod client;
#[path = "../it/sandbox/place.rs"]
mod place;
#[path = "../it/sandbox/tree.rs"]
mod tree;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::{BLOCK, Client, Expect as _};
use place::{Process, python_tool};
use serde_json::json;

/// Blocks of a volume of 2 GiB.
const BLOCKS: u32 = 4096;
/// moto keeps every block in memory, twice: enough of them to see the pace.
const MOTO_BLOCKS: u32 = 512;
const PARALLEL: usize = 32;
/// Different blocks that are put; the server knows nothing of their being the same.
const POOL: usize = 61;
const STARTS: u32 = 5;

/// What is measured of a server.
struct Figures {
    name: &'static str,
    /// From the start of the process to its first answer; the median.
    start: Duration,
    blocks: u32,
    took: Duration,
    /// Processor time of the server for these blocks.
    worked: Duration,
    /// The most memory that was resident, in MiB.
    memory: f64,
    /// What the state takes on disk, in MiB; the blocks hold 512 KiB each.
    disk: Option<f64>,
}

fn main() {
    let figures = [sandbox(), moto()];
    println!(
        "{:<12} {:>10} {:>8} {:>10} {:>10} {:>14} {:>14} {:>12}",
        "", "start", "blocks", "blocks/s", "MiB/s", "server/block", "peak memory", "on disk"
    );
    for one in figures {
        let rate = f64::from(one.blocks) / one.took.as_secs_f64();
        println!(
            "{:<12} {:>7.0} ms {:>8} {:>10.0} {:>10.0} {:>11.2} ms {:>10.0} MiB {:>12}",
            one.name,
            one.start.as_secs_f64() * 1000.0,
            one.blocks,
            rate,
            rate / 2.0,
            one.worked.as_secs_f64() * 1000.0 / f64::from(one.blocks),
            one.memory,
            one.disk
                .map_or("-".to_owned(), |disk| format!("{disk:.0} MiB")),
        );
    }
}

fn sandbox() -> Figures {
    let folder = tempfile::tempdir().expect("a folder");
    let mut starts: Vec<Duration> = (0..STARTS)
        .map(|number| {
            let begun = Instant::now();
            drop(Process::start(&folder.path().join(number.to_string())));
            begun.elapsed()
        })
        .collect();
    starts.sort();
    let state = folder.path().join("state");
    let process = Process::start_with(&state, &["--limit", "rates=unlimited"]);
    let before = worked(process.pid());
    let took = put(&process.publisher, BLOCKS);
    Figures {
        name: "sandbox",
        start: starts[starts.len() / 2],
        blocks: BLOCKS,
        took,
        worked: worked(process.pid()) - before,
        memory: peak_memory(process.pid()),
        disk: Some(on_disk(&state)),
    }
}

fn moto() -> Figures {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let begun = Instant::now();
    let server = Server(
        Command::new(python_tool("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts"),
    );
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "moto is not up");
        std::thread::sleep(Duration::from_millis(10));
    }
    let start = begun.elapsed();
    let folder = tempfile::tempdir().expect("a folder");
    // The runtime and the keys of a sandbox: moto takes any.
    let process = Process::start(folder.path());
    let client = Client {
        endpoint: format!("http://127.0.0.1:{port}"),
        ..process.publisher.clone()
    };
    let before = worked(server.0.id());
    let took = put(&client, MOTO_BLOCKS);
    Figures {
        name: "moto 5.2.5",
        start,
        blocks: MOTO_BLOCKS,
        took,
        worked: worked(server.0.id()) - before,
        memory: peak_memory(server.0.id()),
        disk: None,
    }
}

/// Puts blocks of random-looking data into a new snapshot, signed before the clock runs: what is
/// measured is the server, and a client that does nothing but send.
fn put(client: &Client, count: u32) -> Duration {
    let started = client
        .start_snapshot(&json!({"VolumeSize": 2}))
        .done("a snapshot");
    let snapshot = started["SnapshotId"].as_str().expect("an id");
    let pool: Vec<Vec<u8>> = (0..POOL).map(pattern).collect();
    let requests: Vec<Vec<u8>> = (0..count)
        .map(|index| head(client, snapshot, index, &pool[index as usize % POOL]))
        .collect();
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                let address = client.endpoint.trim_start_matches("http://");
                let mut stream = None;
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(index) else {
                        break;
                    };
                    let mut open = stream.take().unwrap_or_else(|| connect(address));
                    if exchange(&mut open, request, &pool[index % POOL]) {
                        stream = Some(open);
                    }
                }
            });
        }
    });
    let took = begun.elapsed();
    client
        .complete_snapshot(snapshot, count as usize)
        .done("completed");
    took
}

/// The head of a request that puts a block.
fn head(client: &Client, snapshot: &str, index: u32, block: &[u8]) -> Vec<u8> {
    let call = client::put_block(snapshot, index, block);
    let host = client.endpoint.trim_start_matches("http://");
    let mut head = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", call.method, call.path);
    let signature = client.signature("ebs", &call, None).0;
    for (name, value) in call.headers.iter().chain(&signature) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {BLOCK}\r\n\r\n"));
    head.into_bytes()
}

fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("connected");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    BufReader::new(stream)
}

/// Sends a request and reads its answer, which must be of success. Returns whether the connection
/// stays open: moto closes it.
fn exchange(stream: &mut BufReader<TcpStream>, head: &[u8], body: &[u8]) -> bool {
    stream.get_mut().write_all(head).expect("sent");
    stream.get_mut().write_all(body).expect("sent");
    let (mut length, mut stays) = (0, true);
    let mut line = String::new();
    stream.read_line(&mut line).expect("an answer");
    assert!(line.contains(" 201 "), "{line}");
    stays &= line.starts_with("HTTP/1.1");
    while line != "\r\n" {
        line.clear();
        assert!(stream.read_line(&mut line).expect("a head") > 0, "no end");
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        stays &= lower.trim() != "connection: close";
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).expect("a body");
    stays
}

/// A block in which no two sectors are the same.
fn pattern(number: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32 ^ (number as u32 + 1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    (0..BLOCK / 4).flat_map(|_| next()).collect()
}

/// The processor time that a process has used.
fn worked(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // Behind the name, which may hold spaces: fields 14 and 15 of proc(5), in ticks of 10 ms.
    let rest = stat.rsplit(')').next().expect("fields");
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory that a process ever had resident, in MiB.
fn peak_memory(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<f64>().ok())
        .expect("a figure");
    kib / 1024.0
}

/// What a folder takes on disk, in MiB.
fn on_disk(folder: &Path) -> f64 {
    let output = Command::new("du")
        .args(["--summarize", "--block-size=1K"])
        .arg(folder)
        .output()
        .expect("du");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let kib = text
        .split_whitespace()
        .next()
        .and_then(|n| n.parse::<f64>().ok());
    kib.expect("a figure") / 1024.0
}

/// A server that ends with the benchmark.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
