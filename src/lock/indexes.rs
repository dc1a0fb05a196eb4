//! When indexes were made: an index that is older than the one a lock was made from is refused.
//!
//! Alpine's `apk index` writes the time into the tar entry `APKINDEX`, which lies in the part that is
//! signed. Where nothing is written there, the newest of the packages says how old the index is at
//! the most. A mirror can hold an old index back, but it cannot date it.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use flate2::bufread::GzDecoder;
use time::OffsetDateTime;

use super::{Lock, LockError, LockedRepository};
use crate::apk::index::IndexPackage;
use crate::apk::member::read_member;
use crate::builder::packages::Indexes;

/// The signature of an index is half a KiB.
const SIGNATURE_LIMIT: usize = 1 << 20;
/// `DESCRIPTION`, which may come before the index, is a line.
const DESCRIPTION_LIMIT: u64 = 1 << 20;

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

/// When an index was made, in whole seconds; `signed` are its bytes, whose signature was verified.
pub fn date(signed: &[u8], packages: &[IndexPackage]) -> Option<OffsetDateTime> {
    let newest = || {
        packages
            .iter()
            .filter_map(|package| package.build_time)
            .max()
    };
    let seconds = written(signed)
        .filter(|seconds| *seconds > 0)
        .or_else(newest)?;
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()
}

/// The time of the tar entry, seconds since 1970.
fn written(signed: &[u8]) -> Option<u64> {
    let mut reader = signed;
    read_member(&mut reader, SIGNATURE_LIMIT).ok()?;
    // The index itself is not unpacked once more: its entry's header comes before it.
    let mut archive = tar::Archive::new(GzDecoder::new(reader).take(DESCRIPTION_LIMIT));
    for entry in archive.entries().ok()? {
        let entry = entry.ok()?;
        if entry.path_bytes().as_ref() == b"APKINDEX" {
            return entry.header().mtime().ok();
        }
    }
    None
}

/// The repositories that indexes were fetched of, dated.
pub fn dated(indexes: &Indexes) -> Vec<LockedRepository> {
    let of_repositories = indexes.signed().zip(indexes.packages());
    of_repositories
        .map(|((repository, signed), packages)| LockedRepository {
            name: repository.label(),
            index_date: date(signed, packages),
        })
        .collect()
}

/// Refuses indexes that are older than those of the lock in `path`.
///
/// # Errors
/// The first that is.
pub fn refuse_older(path: &Path, lock: &Lock, indexes: &Indexes) -> Result<(), LockError> {
    let names = indexes.signed().map(|(repository, _)| repository.name());
    for (found, from) in dated(indexes).into_iter().zip(names) {
        let mut before = lock.repositories.iter();
        let Some(before) = before.find(|before| before.name == found.name) else {
            continue;
        };
        if found.index_date < before.index_date {
            return Err(LockError::Older {
                path: path.to_owned(),
                repository: found.name,
                from: from.to_owned(),
                found: found.index_date,
                locked: before.index_date,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apk::index::parse_index;
    use crate::apk::member::compress;

    /// An index with this time in its tar, and no signature worth the name.
    fn signed(time: u64) -> Vec<u8> {
        let mut bytes = compress(b".SIGN.").expect("gzip");
        let mut tar = tar::Builder::new(Vec::new());
        for (name, text) in [("DESCRIPTION", "v3"), ("APKINDEX", "C:…")] {
            let mut header = tar::Header::new_ustar();
            header.set_mtime(time);
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, name, text.as_bytes())
                .expect("an entry");
        }
        bytes.extend(compress(&tar.into_inner().expect("a tar")).expect("gzip"));
        bytes
    }

    #[test]
    fn an_index_is_as_old_as_it_says_or_as_its_newest_package() {
        let record = |name: &str, time: u32| {
            format!("C:Q1EfatjsUqKYSrqv18O1FlA3hcIHI=\nP:{name}\nV:1\nA:x86_64\nt:{time}\n\n")
        };
        let packages = parse_index(&(record("a", 5) + &record("b", 7))).expect("an index");
        let seconds = |date: Option<OffsetDateTime>| date.map(OffsetDateTime::unix_timestamp);
        assert_eq!(seconds(date(&signed(9), &packages)), Some(9));
        assert_eq!(seconds(date(&signed(0), &packages)), Some(7));
        assert_eq!(date(&signed(0), &[]), None);
        assert_eq!(seconds(date(b"damaged", &packages)), Some(7));
    }

    #[test]
    fn dates_are_told_in_utc() {
        let date = OffsetDateTime::from_unix_timestamp(1_718_724_962).expect("a time");
        assert_eq!(Date(Some(date)).to_string(), "2024-06-18 15:36:02 UTC");
        assert_eq!(Date(None).to_string(), "an unknown date");
    }
}
