//! Which release a source becomes.
//!
//! Two objects say it: the source's pointer names the release, and the release's manifest names its
//! source. The pointer is written first. What the manifest says counts, since it is written once
//! and under `If-None-Match`: it gives the id to one source. So
//!
//! - a pointer without a manifest is a run that died in between, or one that is on its way: whoever
//!   comes with the same source goes on with the same id, and whoever comes with another source may
//!   take the id, as long as it has no manifest;
//! - a pointer to a release of another source has lost its id to that one: it is pointed anew, under
//!   `If-Match`, so that of several runs with this source one chooses and the others follow;
//! - a pointer to a release that was retired, whose AMIs end or are gone, is pointed anew in the same
//!   way: signed papers name the AMIs of an id, so that an id never gets others;
//! - a pointer leaves no other release whose manifest has its source: no source has two ids at once.

#[cfg(test)]
mod tests;

use time::{OffsetDateTime, UtcOffset};

use super::bucket::{Bucket, BucketError, Pointer, Stored, keys};
use super::manifest::{ReleaseManifest, Source};
use super::release::{Line, ReleaseId};
use crate::aws::s3::Condition;

/// So many others may be faster before this gives up.
const MOST_ROUNDS: u32 = 32;

/// What a source would become.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The release: its own, or the next free one.
    pub release: ReleaseId,
    /// Its manifest, if it is begun.
    pub stored: Option<Stored>,
    /// What writing its pointer depends on, if that does not name the release yet.
    pointer: Option<Condition>,
}

/// A release that a source has now.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Its manifest.
    pub stored: Stored,
    /// Whether it was begun just now: then nothing of it is anywhere yet.
    pub is_new: bool,
}

/// Who claims what.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The line that the release is to be of.
    pub line: &'a Line,
    /// What it is made from.
    pub source: &'a Source,
    /// The run's id.
    pub run: &'a str,
    /// The time, which decides the day.
    pub now: OffsetDateTime,
}

/// What the release of a source is or would be. Nothing is written, and nothing kept for it.
///
/// # Errors
/// The bucket's.
pub async fn preview(bucket: &Bucket, claim: Claim<'_>) -> Result<Preview, BucketError> {
    let standing = look(bucket, claim).await?;
    Ok(match standing {
        Standing::Begun(stored) => Preview {
            release: stored.manifest.release.clone(),
            stored: Some(*stored),
            pointer: None,
        },
        Standing::Named(release) => Preview {
            release,
            stored: None,
            pointer: None,
        },
        Standing::Free { pointer } => Preview {
            release: next_of(bucket, claim).await?,
            stored: None,
            pointer: Some(pointer),
        },
    })
}

/// Gives a source its release: the one that it has, or the next free one of today, of which `draft`
/// is the first manifest. Made again, by this run or another, it comes to the same.
///
/// It begins with what `seen` found, however long ago: what has changed since refuses the writes
/// that depend on it, and then it looks again.
///
/// # Errors
/// The bucket's.
pub async fn claim(
    bucket: &Bucket,
    claim: Claim<'_>,
    seen: Preview,
    draft: impl Fn(&ReleaseId) -> ReleaseManifest,
) -> Result<Claimed, BucketError> {
    let mut seen = seen;
    for _ in 0..MOST_ROUNDS {
        if let Some(stored) = seen.stored {
            let is_new = false;
            return Ok(Claimed { stored, is_new });
        }
        if point(bucket, claim, &seen).await?
            && let Some(stored) = bucket.create(draft(&seen.release)).await?
        {
            let is_new = true;
            return Ok(Claimed { stored, is_new });
        }
        // Somebody was faster: with our source, or with our number.
        seen = preview(bucket, claim).await?;
    }
    Err(bucket.contended(&keys::source(claim.line, claim.source)))
}

/// Lets the source's pointer name the release. False if it names another one by now.
async fn point(bucket: &Bucket, claim: Claim<'_>, seen: &Preview) -> Result<bool, BucketError> {
    let Some(condition) = &seen.pointer else {
        return Ok(true);
    };
    let pointer = Pointer {
        release: seen.release.clone(),
        run: claim.run.to_owned(),
    };
    bucket
        .point(claim.line, claim.source, &pointer, condition)
        .await
}

/// How it stands with a source.
enum Standing {
    /// It has its release.
    Begun(Box<Stored>),
    /// It has the name of a release that has no manifest yet.
    Named(ReleaseId),
    /// It has none; its pointer may be written under this condition.
    Free { pointer: Condition },
}

async fn look(bucket: &Bucket, claim: Claim<'_>) -> Result<Standing, BucketError> {
    let Some((pointer, etag)) = bucket.pointer(claim.line, claim.source).await? else {
        let pointer = Condition::Absent;
        return Ok(Standing::Free { pointer });
    };
    Ok(match bucket.manifest(&pointer.release).await? {
        None => Standing::Named(pointer.release),
        Some(stored) if stored.manifest.source == *claim.source && !stored.manifest.is_ending() => {
            Standing::Begun(Box::new(stored))
        }
        Some(_) => Standing::Free {
            pointer: Condition::Unchanged(etag),
        },
    })
}

async fn next_of(bucket: &Bucket, claim: Claim<'_>) -> Result<ReleaseId, BucketError> {
    let taken = bucket.releases(claim.line).await?;
    Ok(next(claim.line, claim.now, &taken))
}

/// The number after the highest of the day, in UTC. Gaps are left: a number that was used and
/// removed may still be known to AWS, by its client tokens.
fn next(line: &Line, now: OffsetDateTime, taken: &[ReleaseId]) -> ReleaseId {
    let (year, month, day) = now.to_offset(UtcOffset::UTC).to_calendar_date();
    let year = u32::try_from(year).unwrap_or_default();
    let date = year * 10_000 + u32::from(u8::from(month)) * 100 + u32::from(day);
    let of_today = taken
        .iter()
        .filter(|id| id.line == *line && id.date == date)
        .map(|id| id.number);
    ReleaseId {
        line: line.clone(),
        date,
        number: of_today.max().unwrap_or_default() + 1,
    }
}
