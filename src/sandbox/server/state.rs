//! The state folder: who may use it, and what is in it.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::{MOST_SCALE, SandboxConfig, SandboxError, accounts};
use crate::sandbox::blocks::BlockStore;
use crate::sandbox::clock::Clock;
use crate::sandbox::limits::Limits;
use crate::sandbox::machines::Machines;
use crate::sandbox::shared::{Parts, Shared};

/// The state and all around it, without the endpoint.
pub(in crate::sandbox) fn open(config: &SandboxConfig) -> Result<Arc<Shared>, SandboxError> {
    let folder = |source| SandboxError::Folder {
        path: config.state.clone(),
        source,
    };
    let scale = config.clock_scale;
    if !(0.0..=MOST_SCALE).contains(&scale) {
        return Err(SandboxError::Scale { scale });
    }
    make_folder(&config.state).map_err(folder)?;
    let limits = Limits::new();
    for (name, limit) in &config.limits {
        limits.apply(name, *limit).map_err(SandboxError::Limit)?;
    }
    let clock = Clock::new(scale);
    clock.advance(kept_advance(&config.state).map_err(folder)?);
    let parts = Parts {
        folder: config.state.clone(),
        clock,
        limits,
        blocks: BlockStore::open(&config.state.join("blocks")).map_err(folder)?,
        machines: Machines::new(config.instances, config.program.clone()),
    };
    let shared = Shared::open(parts, tokio::runtime::Handle::current())?;
    accounts::add_all(&shared, &config.accounts)?;
    Ok(shared)
}

/// The right to use a state folder, which one sandbox has at a time.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(folder: &Path) -> Result<Lock, SandboxError> {
        let failed = |source: io::Error| SandboxError::Folder {
            path: folder.to_owned(),
            source,
        };
        make_folder(folder).map_err(failed)?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(lock_file(folder))
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Only for the message.
                let _ = file.read_to_string(&mut holder);
                return Err(SandboxError::InUse {
                    path: folder.to_owned(),
                    process: holder.trim().parse().ok(),
                });
            }
            Err(error) => return Err(failed(error.into())),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Lock { _file: file })
    }

    /// Whether a sandbox has the right to a folder.
    pub(super) fn is_taken(folder: &Path) -> bool {
        let Ok(file) = File::open(lock_file(folder)) else {
            return false;
        };
        flock(&file, FlockOperation::NonBlockingLockShared).is_err()
    }
}

fn lock_file(folder: &Path) -> PathBuf {
    folder.join("lock")
}

/// Makes a folder where it is missing, for its owner alone: it holds keys.
fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptClock {
    ahead_ms: u64,
}

fn clock_file(folder: &Path) -> PathBuf {
    folder.join("clock.json")
}

fn kept_advance(folder: &Path) -> io::Result<Duration> {
    match std::fs::read(clock_file(folder)) {
        Ok(text) => {
            let kept: KeptClock = serde_json::from_slice(&text).map_err(|error| {
                let path = clock_file(folder).display().to_string();
                io::Error::other(format!("{path} is not what a sandbox writes ({error})"))
            })?;
            Ok(Duration::from_millis(kept.ahead_ms))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Duration::ZERO),
        Err(error) => Err(error),
    }
}

/// Puts the clock forward for good: a sandbox that is started again does not go back in time.
///
/// # Errors
/// It cannot be kept; then it is not put forward.
pub(in crate::sandbox) fn advance_clock(shared: &Shared, by: Duration) -> io::Result<()> {
    let ahead = u64::try_from(shared.clock.ahead_ms()).unwrap_or_default();
    let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    let kept = KeptClock {
        ahead_ms: ahead.saturating_add(by_ms),
    };
    write_whole(
        &clock_file(&shared.folder),
        &serde_json::to_vec(&kept).map_err(io::Error::other)?,
    )?;
    shared.clock.advance(by);
    Ok(())
}

/// Writes a file that only its owner can read, whole or not at all.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Made for the owner alone.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}
