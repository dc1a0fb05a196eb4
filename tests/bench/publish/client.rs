//! Our client, in a process of its own.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use alpine_ami::aws::settings::AwsSettings;
use alpine_ami::aws::tags::Tags;
use alpine_ami::aws::{Aws, AwsError, SnapshotId};
use alpine_ami::blocks;
use alpine_ami::blocks::digests::BlockDigests;
use alpine_ami::publish::progress::Progress;
use alpine_ami::publish::upload::{ParentSnapshot, SnapshotState, SnapshotStates, Upload};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::servers::{REGION, Server};

/// The environment's variable that says what this process is to be.
pub const ROLE: &str = "ALPINE_AMI_BENCH";
const JOB: &str = "ALPINE_AMI_BENCH_JOB";

/// What is to be sent, and how.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Job {
    pub image: PathBuf,
    pub key: Option<String>,
    /// The parent and the file of its digests.
    pub parent: Option<(String, PathBuf)>,
    /// Where the digests go.
    pub blocks: Option<PathBuf>,
}

/// The command that does a job.
pub fn command(server: &dyn Server, job: &Job) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .envs(server.environment())
        .env(ROLE, "client")
        .env(JOB, serde_json::to_string(job).expect("JSON"));
    command
}

/// EC2 is not asked.
struct Open;

#[async_trait]
impl SnapshotStates for Open {
    async fn state(&self, _: &SnapshotId) -> Result<SnapshotState, AwsError> {
        Ok(SnapshotState::Pending)
    }
}

/// Does the job that the environment says.
pub fn run() {
    let job = std::env::var(JOB).expect("a job");
    let job: Job = serde_json::from_str(&job).expect("a job");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(send(job));
}

async fn send(job: Job) {
    let home = REGION.parse().expect("a Region");
    let began = Instant::now();
    let image = File::open(&job.image).expect("the image");
    // As `publish` does.
    let blocks = blocks::digests(&image).expect("a scan");
    let scanned = began.elapsed();
    if let Some(path) = &job.blocks {
        let json = serde_json::to_vec(&blocks).expect("JSON");
        std::fs::write(path, json).expect("written");
    }
    let aws = Aws::connect(&AwsSettings::default(), "publish", &home).await;
    let parent = job.parent.map(|(snapshot, path)| ParentSnapshot {
        snapshot: snapshot.parse().expect("an id"),
        blocks: digests(&path),
    });
    let upload = Upload {
        ebs: aws.expect("a session").ebs(&home),
        states: Arc::new(Open),
        size: image.metadata().expect("metadata").len(),
        image: Arc::new(image),
        blocks: blocks::on_volume(&blocks, 2).expect("it is large enough"),
        volume_gib: 2,
        token: format!("bench-{}", fastrand::u64(..)),
        tags: Tags::default(),
        description: String::new(),
        omit_zeros: job.key.is_none(),
        key: job.key.map(|key| key.parse().expect("an ARN")),
        parent,
        journal: Some(job.image.with_extension("upload")),
        // Where the server is not the limit, its quota is none either.
        puts_per_second: None,
        progress: Progress::default(),
    };
    let connected = began.elapsed();
    let done = upload.run().await.expect("an upload");
    println!(
        "scan {:.2} s, sending {:.2} s, {} blocks",
        scanned.as_secs_f64(),
        (began.elapsed() - connected).as_secs_f64(),
        done.blocks_sent
    );
    println!("{}", done.snapshot);
}

fn digests(path: &PathBuf) -> BlockDigests {
    let json = std::fs::read(path).expect("digests");
    serde_json::from_slice(&json).expect("digests")
}
