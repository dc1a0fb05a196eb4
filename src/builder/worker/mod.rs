//! The worker: does a [`Job`] on a build instance with the code of a local build.
//!
//! ```text
//! the disk (right one, right size, empty) → files of the job → the image, in a folder → onto the
//!   disk, read back → result
//! ```
//!
//! It has no credentials: the job's addresses are all it can use. What it says goes to `progress`
//! while it works, its [`Outcome`] to `result` at the end.

pub mod disk;
mod error;
mod reporter;
mod transfer;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::apk::fetch::Fetcher;
use crate::apk::mirror::Repository;
use crate::apk::store::Store;
use crate::arch::Arch;
use crate::builder::job::{End, Job, JobRepository, Outcome, SCHEMA, Source};
use crate::builder::local::{BuildOptions, build};
use crate::builder::packages::PackagesError;
use crate::image::manifest::Manifest;
use crate::plan::Sources;
use crate::workdir::WorkDir;

use disk::Disk;
pub use error::WorkerError;
use reporter::Reporter;
use transfer::Transfer;

/// What the work folder begins with.
const WORK_PREFIX: &str = ".alpine-ami-worker-";
/// Files fetched at once.
const PARALLEL: usize = 8;
/// This program, as manifests and results name it.
const TOOL: &str = concat!("alpine-ami ", env!("CARGO_PKG_VERSION"));

/// Where a worker works.
#[derive(Debug, Clone)]
pub struct Workplace {
    /// A folder with room for packages, root and image: about twice the image's data.
    pub folder: PathBuf,
    /// Where devices are: `/dev`.
    pub devices: PathBuf,
    /// This program's executable.
    pub program: PathBuf,
}

/// Does a job and sends what it came to. The error is what was sent as well, or that nothing could
/// be sent.
///
/// # Errors
/// See [`WorkerError`].
pub async fn work(job: &[u8], sha256: &str, place: &Workplace) -> Result<(), WorkerError> {
    // Nobody can be told of a job that is not the one: its addresses are not to be believed either.
    let job = Job::read(job, sha256)?;
    let transfer = Transfer::new()?;
    let reporter = Reporter::start(&transfer, &job.reports.progress, sha256);
    let done = assemble(&job, place, &transfer, &reporter).await;
    if let Err(error) = &done {
        reporter.say(&format!("error: {error}"));
    }
    let said = reporter.finish().await;
    let outcome = Outcome {
        schema: SCHEMA,
        job_sha256: sha256.to_owned(),
        tool: TOOL.to_owned(),
        end: match &done {
            Ok(end) => end.clone(),
            Err(error) => End::Failed {
                error: crate::causes::chain(error),
                advice: error.advice(),
            },
        },
        lines: said.lines,
        steps: said.steps,
    };
    let sent = transfer.put(&job.reports.result, &outcome).await;
    done?;
    sent
}

async fn assemble(
    job: &Job,
    place: &Workplace,
    transfer: &Transfer,
    reporter: &Reporter,
) -> Result<End, WorkerError> {
    if Arch::host() != Some(job.arch) {
        return Err(WorkerError::Arch {
            wanted: job.arch,
            host: std::env::consts::ARCH,
        });
    }
    let plan = job.plan()?;
    let keys = job.trusted()?;
    let lock = job.locked()?;
    reporter.step("looking at the disk");
    let disk = Disk::find(&place.devices, &job.disk, disk::APPEARS_WITHIN).await?;
    let disk = tokio::task::spawn_blocking(move || disk.checked())
        .await
        .expect("looking does not panic")?;
    reporter.say(&format!(
        "{} is {}, empty",
        job.disk.device,
        disk.path().display()
    ));

    let work = WorkDir::new(&place.folder, WORK_PREFIX).map_err(WorkerError::folder(place))?;
    reporter.step("fetching the job's files");
    let repositories = fetch(job, transfer, work.path()).await?;
    let options = BuildOptions {
        out: work.path().join("image"),
        sources: Sources { repositories, keys },
        lock: Some(lock),
        program: place.program.clone(),
    };
    // Nothing but the job's files is there to be fetched.
    let store = Store::new(work.path().join("store"));
    let fetcher = Fetcher::new(store).map_err(PackagesError::from)?;
    let progress = |text: &str| reporter.step(text);
    let manifest = build(&plan, &options, &fetcher, &progress).await?;
    check(job, &manifest)?;

    reporter.step("writing the disk");
    let image = options.out.join(&manifest.image.file);
    let device = disk.path().display().to_string();
    tokio::task::spawn_blocking(move || disk.fill(&image))
        .await
        .expect("writing does not panic")?;
    reporter.step("done");
    Ok(End::Done {
        manifest: Box::new(manifest),
        device,
    })
}

/// That what was built is what was asked for.
fn check(job: &Job, manifest: &Manifest) -> Result<(), WorkerError> {
    if manifest.packages_digest != job.packages_digest {
        return Err(WorkerError::Packages {
            found: manifest.packages_digest.clone(),
            expected: job.packages_digest.clone(),
        });
    }
    if manifest.image.size > job.disk.size {
        return Err(WorkerError::TooLarge {
            image: manifest.image.size,
            disk: job.disk.size,
        });
    }
    Ok(())
}

/// Fetches packages into folders as mirrors have them.
async fn fetch(
    job: &Job,
    transfer: &Transfer,
    work: &Path,
) -> Result<Vec<Repository>, WorkerError> {
    let mut files = Vec::new();
    let mut repositories = Vec::new();
    for (number, repository) in job.repositories.iter().enumerate() {
        let base = work.join(format!("repository-{number}"));
        let folder = base.join(job.arch.as_str());
        fs::create_dir_all(&folder).map_err(WorkerError::writing(&folder))?;
        files.extend(of_repository(repository, &folder)?);
        repositories.push(Repository {
            bases: vec![base.display().to_string()],
            tag: repository.tag.clone(),
            alias: Some(repository.name.clone()),
            id: Some(repository.id.clone()),
        });
    }
    let limit = Arc::new(tokio::sync::Semaphore::new(PARALLEL));
    let mut tasks = JoinSet::new();
    for (source, path) in files {
        let (transfer, limit) = (transfer.clone(), Arc::clone(&limit));
        tasks.spawn(async move {
            let _slot = limit.acquire().await.expect("it is never closed");
            transfer.get(&source, &path).await
        });
    }
    while let Some(fetched) = tasks.join_next().await {
        fetched.expect("fetching does not panic")?;
    }
    Ok(repositories)
}

/// The files of a repository, and where they go.
fn of_repository(
    repository: &JobRepository,
    folder: &Path,
) -> Result<Vec<(Source, PathBuf)>, WorkerError> {
    let mut files = Vec::new();
    for (name, source) in &repository.packages {
        let is_name = !name.contains('/') && name.ends_with(".apk");
        if !is_name {
            return Err(WorkerError::Name(name.clone()));
        }
        files.push((source.clone(), folder.join(name)));
    }
    Ok(files)
}
