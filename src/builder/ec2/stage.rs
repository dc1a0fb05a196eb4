//! Putting a job where an instance reaches it: files into the store, the job beside them, addresses
//! into user data.

use std::collections::BTreeMap;
use std::sync::Arc as Shared;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::error::InstanceBuildError;
use super::launch::DEVICE;
use super::shelf::{self, Keys, Shelf};
use super::site::Site;
use super::user_data::{Fetch, UserData};
use crate::aws::AwsError;
use crate::builder::draft::{Draft, Needed};
use crate::builder::job::{Addresses, JobDisk};
use crate::digest;

/// Uploads at once.
const PARALLEL: usize = 8;
/// No address holds for less: what is wrong with the credentials is told by AWS.
const SHORTEST: Duration = Duration::from_secs(1);
/// Addresses hold for so long after the end of the instance's life.
const SLACK: Duration = Duration::from_secs(600);

/// A job that is where an instance reaches it.
#[derive(Clone)]
pub struct Staged {
    /// What the instance is told. It holds addresses, which are secrets.
    pub user_data: String,
    /// SHA-256 of the job's file.
    pub job_sha256: String,
}

/// Files that were put into the store, of all that are needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// That were not there.
    pub new: usize,
    /// Their bytes.
    pub new_bytes: u64,
    /// All of them.
    pub all: usize,
}

/// Puts the files of a job and the worker into the store.
///
/// # Errors
/// AWS's, or a file cannot be read.
pub async fn keep(site: &Site, draft: &Draft) -> Result<Kept, InstanceBuildError> {
    let program = &site.grounds[&draft.plan().arch].program;
    let worker = Needed {
        sha256: program.sha256.clone(),
        size: program.size,
        path: program.path.clone(),
    };
    let needed = draft.needed().into_values().cloned();
    let needed: Vec<Needed> = needed.chain([worker]).collect();
    let mut kept = Kept {
        all: needed.len(),
        ..Kept::default()
    };
    let limit = Shared::new(Semaphore::new(PARALLEL));
    let mut tasks: JoinSet<Result<u64, AwsError>> = JoinSet::new();
    for one in needed {
        let (shelf, limit) = (site.shelf.clone(), Shared::clone(&limit));
        tasks.spawn(async move {
            let _slot = limit.acquire().await.expect("it is never closed");
            let is_new = shelf.keep(&one).await?;
            Ok(if is_new { one.size } else { 0 })
        });
    }
    while let Some(done) = tasks.join_next().await {
        let bytes = done.expect("an upload does not panic")?;
        kept.new += usize::from(bytes > 0);
        kept.new_bytes += bytes;
    }
    Ok(kept)
}

/// Writes the job, and what an instance is told of it.
///
/// # Errors
/// AWS's, or the addresses are too long.
pub async fn stage(
    site: &Site,
    build: &str,
    draft: &Draft,
    tell: impl Fn(&str),
) -> Result<Staged, InstanceBuildError> {
    let keys = Keys::new(build, &site.run);
    let expires = expires(site, tell).await;
    let shelf = &site.shelf;
    let addresses = addresses(shelf, draft, expires).await?;
    let reports = Addresses {
        progress: shelf.put_url(&keys.progress(), expires).await?,
        result: shelf.put_url(&keys.result(), expires).await?,
    };
    let disk = JobDisk {
        device: DEVICE.to_owned(),
        size: u64::from(site.volume_gib) << 30,
    };
    let job = draft.job(build, disk, reports, |sha256| addresses[sha256].clone());
    let bytes = shelf.write(&keys.job(), &job).await?;
    let job_sha256 = digest::sha256(&bytes);
    let program = &site.grounds[&draft.plan().arch].program;
    let user_data = UserData {
        worker: Fetch {
            url: shelf
                .get_url(&shelf::store(&program.sha256), expires)
                .await?,
            sha256: program.sha256.clone(),
        },
        job: Fetch {
            url: shelf.get_url(&keys.job(), expires).await?,
            sha256: job_sha256.clone(),
        },
        log_url: shelf.put_url(&keys.log(), expires).await?,
        life: site.life,
        arch: draft.plan().arch,
    };
    Ok(Staged {
        user_data: user_data.script()?,
        job_sha256,
    })
}

/// The address of each file by its SHA-256.
async fn addresses(
    shelf: &Shelf,
    draft: &Draft,
    expires: Duration,
) -> Result<BTreeMap<String, String>, AwsError> {
    let mut addresses = BTreeMap::new();
    for sha256 in draft.needed().into_keys() {
        let url = shelf.get_url(&shelf::store(sha256), expires).await?;
        addresses.insert(sha256.to_owned(), url);
    }
    Ok(addresses)
}

/// How long addresses hold. One ends with the credentials that signed it, whatever it says itself.
async fn expires(site: &Site, tell: impl Fn(&str)) -> Duration {
    let wanted = site.life + SLACK;
    let Some(end) = site.aws.credentials_until(wanted).await else {
        return wanted;
    };
    let left = end - OffsetDateTime::now_utc();
    let left = Duration::try_from(left).unwrap_or(SHORTEST);
    if left < site.life {
        tell(&format!(
            "these credentials end in {} min, and with them the instance's addresses: a build that takes longer fails",
            left.as_secs() / 60
        ));
    }
    // To whole seconds, and not beyond the end of what signs them.
    let left = Duration::from_secs(left.as_secs()).saturating_sub(SHORTEST);
    wanted.min(left.max(SHORTEST))
}
