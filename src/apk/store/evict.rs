//! Making room: what was not used for the longest time goes first.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use super::{Store, in_use, partial};

/// A file that could go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// When it was last used.
    pub used: SystemTime,
}

impl Store {
    /// Notes that `size` bytes have come, and makes room if that is too much.
    pub(super) fn make_room(&self, size: u64) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let now_taken = match *taken {
            Some(taken) => taken + size,
            // The first look of this process: others have put things there before.
            None => {
                let kept: u64 = all(&self.0.dir).iter().map(|kept| kept.size).sum();
                kept + partial::size(&self.partials_path())
            }
        };
        *taken = Some(now_taken);
        if now_taken <= self.0.limit {
            return;
        }
        match self.evict() {
            Ok(left) => *taken = Some(left),
            Err(error) => tracing::debug!("cannot make room in the package store: {error}"),
        }
    }

    /// Removes what is too much, and says how many bytes are left.
    fn evict(&self) -> std::io::Result<u64> {
        let _alone = self.alone()?;
        let needed = in_use::needed(&self.0.dir)?;
        // What is whole is worth more than what is not.
        let partials = partial::sweep_older(&self.partials_path(), Duration::ZERO);
        let there = all(&self.0.dir);
        let mut left: u64 = there.iter().map(|kept| kept.size).sum();
        // A little more than has to go: not each package that comes is to make room for itself.
        let limit = (self.0.limit - self.0.limit / 10).saturating_sub(partials);
        for kept in too_much(there, &needed, limit) {
            tracing::debug!("making room in the package store: {}", kept.path.display());
            match fs::remove_file(&kept.path) {
                Ok(()) => left -= kept.size,
                Err(error) => tracing::debug!("cannot remove it: {error}"),
            }
        }
        Ok(left + partials)
    }
}

/// What has to go so that no more than `limit` bytes are left, as far as nobody needs it.
pub(super) fn too_much(mut there: Vec<Kept>, needed: &HashSet<String>, limit: u64) -> Vec<Kept> {
    let mut total: u64 = there.iter().map(|kept| kept.size).sum();
    there.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    let is_needed = |kept: &Kept| {
        let name = kept.path.file_name().unwrap_or_default();
        needed.contains(&*name.to_string_lossy())
    };
    there
        .into_iter()
        .filter(|kept| !is_needed(kept))
        .take_while(|kept| {
            let goes = total > limit;
            total = total.saturating_sub(kept.size);
            goes
        })
        .collect()
}

/// All packages.
fn all(store: &Path) -> Vec<Kept> {
    let folders = fs::read_dir(store).into_iter().flatten().flatten();
    let is_kept = |name: &str| name.len() == 2 && is_hex(name);
    folders
        .filter(|folder| is_kept(&folder.file_name().to_string_lossy()))
        .flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten())
        .filter_map(|file| {
            let meta = file.metadata().ok().filter(fs::Metadata::is_file)?;
            Some(Kept {
                path: file.path(),
                size: meta.len(),
                used: meta.modified().ok()?,
            })
        })
        .collect()
}

fn is_hex(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
