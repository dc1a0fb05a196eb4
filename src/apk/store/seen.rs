//! The newest index that each address has given: one that goes back hides updates.
//!
//! Only addresses: what lies in a folder of this machine is in the hands of its user. And each
//! address by itself, since mirrors of one repository take over a new index at different times. This
//! memory goes with the cache; the lock file's stays.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Store;
use crate::digest::sha256;
use crate::workdir::write_json;

/// What an address has given.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    /// The address of the index.
    url: String,
    /// When its newest index was made, in seconds since 1970.
    date: u64,
}

impl Store {
    /// Notes that `url` gave an index of `date`, in seconds since 1970. If it gave a newer one before:
    /// the date of that, and the file that remembers it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn saw(&self, url: &str, date: u64) -> io::Result<Option<(u64, PathBuf)>> {
        let folder = self.0.dir.join("seen");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", sha256(url.as_bytes())));
        let _alone = self.alone()?;
        // One that cannot be read remembers nothing.
        let seen = fs::read(&path).ok();
        let seen: Option<Seen> = seen.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match seen.filter(|seen| seen.url == url) {
            Some(seen) if seen.date > date => Ok(Some((seen.date, path))),
            Some(seen) if seen.date == date => Ok(None),
            _ => {
                let url = url.to_owned();
                write_json(&path, &Seen { url, date })?;
                Ok(None)
            }
        }
    }
}
