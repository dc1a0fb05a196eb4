//! What is sent to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use alpine_ami::aws::settings::AwsSettings;
use alpine_ami::aws::wait::{Seen, until};
use alpine_ami::aws::{Aws, AwsError};

use super::client::ROLE;

pub const REGION: &str = "us-east-1";

/// Where snapshots are sent to.
pub trait Server {
    fn name(&self) -> &'static str;
    /// What clients find it by.
    fn environment(&self) -> BTreeMap<String, String>;
    /// The ARN of a key.
    fn key(&self) -> String;

    fn url(&self) -> String {
        self.environment()["AWS_ENDPOINT_URL"].clone()
    }
}

/// A process that ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The sandbox, without AWS's rates.
pub struct Sandbox {
    _process: Process,
    environment: BTreeMap<String, String>,
    key: String,
}

impl Sandbox {
    pub fn start(state: &Path) -> Sandbox {
        let options = [
            "--listen",
            "127.0.0.1:0",
            "--instances",
            "none",
            "--clock-scale",
            "0",
        ];
        let mut child = Command::new(program())
            .args(["sandbox", "start", "--limit", "rates=unlimited", "--state"])
            .arg(state)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        first_line(&mut child);
        let printed = Command::new(program())
            .args([
                "sandbox",
                "env",
                "--output",
                "json",
                "--account",
                "publisher",
                "--state",
            ])
            .arg(state)
            .output()
            .expect("it runs");
        let mut environment: BTreeMap<String, String> =
            serde_json::from_slice(&printed.stdout).expect("JSON");
        environment.insert("AWS_REGION".to_owned(), REGION.to_owned());
        let key = prepare(&environment, "key", "");
        Sandbox {
            _process: Process(child),
            environment,
            key,
        }
    }

    /// Waits until a snapshot can be read.
    pub fn wait_for(&self, snapshot: &str) {
        prepare(&self.environment, "wait", snapshot);
    }
}

impl Server for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn environment(&self) -> BTreeMap<String, String> {
        self.environment.clone()
    }

    fn key(&self) -> String {
        self.key.clone()
    }
}

/// The program with the sandbox in it.
pub fn program() -> PathBuf {
    let named = std::env::var_os("ALPINE_AMI").map(PathBuf::from);
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_alpine-ami").into())
}

/// Lets a process with a server's environment do something; what it prints.
pub fn prepare(environment: &BTreeMap<String, String>, what: &str, with: &str) -> String {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .envs(environment)
        .env(ROLE, what)
        .env(WITH, with)
        .stderr(Stdio::inherit())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{what}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

const WITH: &str = "ALPINE_AMI_BENCH_WITH";

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime")
}

/// Makes a key and prints its ARN.
pub fn make_key() {
    runtime().block_on(async {
        let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
        let answer = aws_sdk_kms::Client::new(&config).create_key().send().await;
        let made = answer.expect("a key").key_metadata.expect("a key");
        println!("{}", made.arn.expect("an ARN"));
    });
}

/// Makes a bucket.
pub fn make_bucket(environment: &BTreeMap<String, String>, name: &str) {
    prepare(environment, "bucket", name);
}

/// Makes the bucket that the environment names.
pub fn bucket() {
    let name = std::env::var(WITH).expect("a name");
    runtime().block_on(async {
        let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
        let made = aws_sdk_s3::Client::new(&config)
            .create_bucket()
            .bucket(name);
        made.send().await.expect("a bucket");
    });
}

/// Waits until the snapshot that the environment names can be read.
pub fn wait() {
    let snapshot = std::env::var(WITH).expect("a snapshot");
    let (home, snapshot) = (
        REGION.parse().expect("a Region"),
        snapshot.parse().expect("an id"),
    );
    runtime().block_on(async {
        let aws = Aws::connect(&AwsSettings::default(), "publish", &home).await;
        let ebs = aws.expect("a session").ebs(&home);
        let look = async || {
            Ok::<_, AwsError>(match ebs.list_blocks(&snapshot, None).await {
                Ok(_) => Seen::Reached(()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        };
        let waited = until(Duration::from_secs(60), |_| (), look).await;
        waited.expect("looks").expect("completed");
    });
}

/// A server that answers the calls of an upload and keeps nothing.
pub struct StandIn {
    _process: Process,
    url: String,
}

impl StandIn {
    pub fn start() -> StandIn {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .env(ROLE, "stand-in")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let url = first_line(&mut child);
        StandIn {
            _process: Process(child),
            url,
        }
    }
}

impl Server for StandIn {
    fn name(&self) -> &'static str {
        "stand-in"
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let pairs = [
            ("AWS_ENDPOINT_URL", self.url.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", REGION),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        pairs.map(owned).into()
    }

    fn key(&self) -> String {
        format!("arn:aws:kms:{REGION}:111122223333:key/00000000-0000-0000-0000-000000000000")
    }
}

fn first_line(child: &mut Child) -> String {
    let pipe: ChildStdout = child.stdout.take().expect("a pipe");
    let mut line = String::new();
    BufReader::new(pipe).read_line(&mut line).expect("a line");
    line.trim().to_owned()
}

/// Serves until it is killed; prints its URL.
pub fn stand_in() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("http://{}", listener.local_addr().expect("an address"));
    for stream in listener.incoming().flatten() {
        let serve = move || {
            // A client that goes away ends its connection alone.
            let _ = answer_all(stream);
        };
        let thread = std::thread::Builder::new().stack_size(64 << 10);
        thread.spawn(serve).expect("a thread");
    }
}

fn answer_all(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    loop {
        let mut head = Vec::new();
        let (mut length, mut checksum) = (0, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap_or(0),
                "x-amz-checksum" => checksum = value.to_owned(),
                _ => head.push(line.to_owned()),
            }
        }
        let request = head.first().cloned().unwrap_or_default();
        let answer = if request.starts_with("PUT ") {
            skip(&mut reader, length)?;
            let headers = "x-amz-checksum-algorithm: SHA256\r\ncontent-length: 0";
            format!("HTTP/1.1 201 Created\r\nx-amz-checksum: {checksum}\r\n{headers}\r\n\r\n")
        } else {
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            other(&request, &body)
        };
        reader.get_mut().write_all(answer.as_bytes())?;
    }
}

fn skip(reader: &mut BufReader<TcpStream>, mut left: usize) -> std::io::Result<()> {
    while left > 0 {
        let there = reader.fill_buf()?.len().min(left);
        if there == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        reader.consume(there);
        left -= there;
    }
    Ok(())
}

/// What the calls around the blocks are answered.
fn other(request: &str, body: &[u8]) -> String {
    let (status, kind, body) = if request.contains("/completion/") {
        (
            "202 Accepted",
            "application/json",
            r#"{"Status":"pending"}"#.to_owned(),
        )
    } else if request.contains("/snapshots") {
        let asked: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let told = serde_json::json!({
            "SnapshotId": "snap-00000000000000000",
            "OwnerId": "111122223333",
            "Status": "pending",
            "StartTime": 1_700_000_000.0,
            "VolumeSize": asked["VolumeSize"],
            "BlockSize": 524_288,
            "KmsKeyArn": asked["KmsKeyArn"],
        });
        ("201 Created", "application/json", told.to_string())
    } else {
        let who = "<GetCallerIdentityResponse><GetCallerIdentityResult>\
                   <Arn>arn:aws:iam::111122223333:user/bench</Arn><UserId>bench</UserId>\
                   <Account>111122223333</Account>\
                   </GetCallerIdentityResult></GetCallerIdentityResponse>";
        ("200 OK", "text/xml", who.to_owned())
    };
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}
