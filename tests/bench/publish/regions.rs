//! A whole publish to seventeen Regions, with a network and copies that take their time.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use alpine_ami::arch::{Arch, Firmware};
use alpine_ami::blocks;
use alpine_ami::image::manifest::{IMAGE, ImageFile, KernelInfo, Manifest, RootFileSystem, SCHEMA};
use serde_json::{Value, json};

use super::servers::{Sandbox, Server as _, program};
use crate::seventeen::REGIONS;

/// Milliseconds that every call takes.
const LATENCY: u64 = 200;
/// AWS's five minutes of a copy become one.
const SCALE: f64 = 0.2;
const COPY_SECONDS: f64 = 60.0;

/// Publishes the image and prints how long it took, beside the slowest copy.
pub fn run(folder: &Path, image: &Path) {
    let sandbox = Sandbox::start(&folder.join("state-regions"));
    let environment = sandbox.environment();
    let config = folder.join("alpine-ami.toml");
    let keys: String = REGIONS
        .iter()
        .map(|region| format!("{region} = \"{}\"\n", key(&environment, region)))
        .collect();
    super::servers::make_bucket(&environment, "bench");
    let regions = REGIONS.join("\", \"");
    let text = format!(
        "[publish]\npublisher = \"bench\"\nhome = \"us-east-1\"\nbucket = \"bench\"\n\
         regions = [\"{regions}\"]\n[publish.keys]\n{keys}"
    );
    std::fs::write(&config, text).expect("written");
    let build = build_folder(folder, image);
    control(&environment, "PUT", "clock", &json!({ "scale": SCALE }));
    control(
        &environment,
        "POST",
        "faults",
        &json!({"action": {"delay": {"ms": LATENCY}}}),
    );

    let began = Instant::now();
    let output = Command::new(program())
        .args(["publish", "-q", "--output", "json", "--config"])
        .args([&config, &build])
        .envs(&environment)
        .stderr(Stdio::inherit())
        .output()
        .expect("it runs");
    let took = began.elapsed().as_secs_f64();
    assert!(output.status.success(), "the publish failed");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let count = told["regions"].as_object().map_or(0, serde_json::Map::len);
    let sent = told["upload"]["seconds"].as_f64().unwrap_or_default();
    println!(
        "\npublish to {count} Regions, {LATENCY} ms a call, copies of {COPY_SECONDS:.0} s: {took:.1} s \
         ({:.1} s more than a copy; {sent:.1} s of it to send the blocks)",
        took - COPY_SECONDS
    );
}

fn key(environment: &BTreeMap<String, String>, region: &str) -> String {
    let mut environment = environment.clone();
    environment.insert("AWS_REGION".to_owned(), region.to_owned());
    super::servers::prepare(&environment, "key", region)
}

/// The image with a manifest beside it, as `build` leaves it.
fn build_folder(folder: &Path, image: &Path) -> std::path::PathBuf {
    let build = folder.join("build");
    std::fs::create_dir_all(&build).expect("a folder");
    std::fs::hard_link(image, build.join(IMAGE)).expect("a link");
    let file = std::fs::File::open(image).expect("the image");
    let size = file.metadata().expect("metadata").len();
    let manifest = Manifest {
        schema: SCHEMA,
        tool: "bench".to_owned(),
        profile: "bench".to_owned(),
        version: "1".to_owned(),
        alpine: "3.15".to_owned(),
        arch: Arch::X86_64,
        firmware: vec![Firmware::Bios, Firmware::Uefi],
        plan_digest: String::new(),
        packages_digest: String::new(),
        lock: None,
        source_date_epoch: 0,
        image: ImageFile::new(IMAGE, &blocks::scan(&file).expect("read")),
        snapshot: None,
        root: RootFileSystem {
            uuid: String::new(),
            label: "root".to_owned(),
            capacity: size,
            used: size,
        },
        kernel: KernelInfo {
            release: String::new(),
            cmdline: String::new(),
            initramfs: true,
        },
        packages: Vec::new(),
        boot_packages: Vec::new(),
        left_out: Vec::new(),
        checks: BTreeMap::new(),
        test_volumes: Vec::new(),
    };
    manifest.write(&build).expect("written");
    build
}

/// A call of the sandbox's control.
fn control(environment: &BTreeMap<String, String>, method: &str, what: &str, body: &Value) {
    let url = &environment["AWS_ENDPOINT_URL"];
    let address = url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "{method} /_sandbox/{what} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .expect("sent");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}
