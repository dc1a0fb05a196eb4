//! When indexes were made: an index that is older than the one a lock was made from is refused.
//!
//! Their date is signed with them: a mirror can hold an old index back, but it cannot date it.

use std::fmt;
use std::path::Path;

use time::OffsetDateTime;

use super::error::OlderIndex;
use super::{IndexInfo, Lock, LockError, LockedRepository};
use crate::apk::fetch::{Fetcher, SignedIndex};
use crate::apk::mirror::Repository;
use crate::arch::Arch;
use crate::builder::packages::Indexes;
use crate::plan::Sources;

/// A date as people read it, where it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date(pub Option<OffsetDateTime>);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(date) = self.0 else {
            return f.write_str("an unknown date");
        };
        let (day, time) = (date.date(), date.time());
        write!(
            f,
            "{day} {:02}:{:02}:{:02} UTC",
            time.hour(),
            time.minute(),
            time.second()
        )
    }
}

/// A moment in seconds since 1970; nobody knows 0.
fn date(seconds: u64) -> Option<OffsetDateTime> {
    let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

/// The repositories that indexes were fetched of, dated.
pub fn dated(indexes: &Indexes) -> Vec<LockedRepository> {
    let of_repositories = indexes.dates();
    of_repositories
        .map(|(repository, seconds)| LockedRepository {
            name: repository.label(),
            index_date: date(seconds),
        })
        .collect()
}

/// Indexes that something was made from: none is to be older from then on.
#[derive(Debug, Clone)]
pub struct Floor {
    /// What was made from them, for messages: the lock `…`, the release `…`.
    pub whose: String,
    /// The indexes.
    pub indexes: Vec<IndexInfo>,
    /// What to do where a repository was put back to what it was.
    pub put_back: String,
}

impl Floor {
    /// That of the lock in `path`.
    pub fn of_lock(path: &Path, lock: &Lock) -> Floor {
        Floor {
            whose: format!("the lock {}", path.display()),
            indexes: lock.info().indexes,
            put_back: format!("remove {} and lock anew", path.display()),
        }
    }

    /// The date that an index of this repository is not to be before.
    fn date(&self, repository: &str) -> Option<OffsetDateTime> {
        let mut indexes = self.indexes.iter();
        indexes.find(|index| index.repository == repository)?.date
    }

    /// What is wrong with an index that came from `from`, if it is older.
    fn refuse(&self, found: &LockedRepository, from: &str) -> Option<LockError> {
        let locked = self.date(&found.name);
        (found.index_date < locked).then(|| {
            LockError::Older(Box::new(OlderIndex {
                whose: self.whose.clone(),
                repository: found.name.clone(),
                from: from.to_owned(),
                found: found.index_date,
                locked,
                put_back: self.put_back.clone(),
            }))
        })
    }
}

/// Fetches indexes of which none is older than those of `floors`. Where the mirror that answered is
/// behind, another one that is not stands in for it.
///
/// # Errors
/// A repository that cannot be used, or of which every mirror is behind.
pub async fn fetch(
    fetcher: &Fetcher,
    sources: &Sources,
    arch: Arch,
    floors: &[Floor],
) -> Result<Indexes, LockError> {
    let mut indexes = Indexes::fetch(fetcher, sources, arch).await?;
    for (place, found) in dated(&indexes).into_iter().enumerate() {
        let repository = &sources.repositories[place];
        let refuse = |floor: &Floor| floor.refuse(&found, repository.name());
        let Some(behind) = floors.iter().find_map(refuse) else {
            continue;
        };
        let other = elsewhere(fetcher, sources, arch, place, floors).await;
        indexes.replace(place, other.ok_or(behind)?);
    }
    Ok(indexes)
}

/// The index of a repository from the first of its mirrors that is not behind.
async fn elsewhere(
    fetcher: &Fetcher,
    sources: &Sources,
    arch: Arch,
    place: usize,
    floors: &[Floor],
) -> Option<SignedIndex> {
    let repository = &sources.repositories[place];
    // The only one was asked already.
    let bases = repository
        .bases
        .iter()
        .filter(|_| repository.bases.len() > 1);
    for base in bases {
        let one = Repository {
            bases: vec![base.clone()],
            ..repository.clone()
        };
        let Ok(index) = fetcher.index(&one, arch, &sources.keys).await else {
            continue;
        };
        let found = LockedRepository {
            name: one.label(),
            index_date: date(index.date),
        };
        let is_behind = |floor: &Floor| floor.refuse(&found, base).is_some();
        if !floors.iter().any(is_behind) {
            tracing::warn!("mirrors of {} before {base} are behind", found.name);
            return Some(index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_in_utc() {
        let date = OffsetDateTime::from_unix_timestamp(1_718_724_962).expect("a time");
        assert_eq!(Date(Some(date)).to_string(), "2024-06-18 15:36:02 UTC");
        assert_eq!(Date(None).to_string(), "an unknown date");
    }
}
