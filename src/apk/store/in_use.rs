//! What running processes need: a list for each, locked for as long as it runs.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The folder of the lists.
const FOLDER: &str = "in-use";

/// The list of this process; it ends with it.
#[derive(Debug)]
pub(super) struct InUse {
    file: tempfile::NamedTempFile,
    noted: HashSet<PathBuf>,
}

impl InUse {
    /// Begins a list, and removes those of dead processes. The caller holds the store's lock, so that
    /// nobody takes a list for a dead one that is not locked yet.
    pub fn begin(store: &Path) -> io::Result<InUse> {
        let folder = store.join(FOLDER);
        fs::create_dir_all(&folder)?;
        if let Err(error) = needed(store) {
            tracing::debug!("cannot see what other processes need: {error}");
        }
        let file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o644))
            .tempfile_in(&folder)?;
        file.as_file().lock()?;
        Ok(InUse {
            file,
            noted: HashSet::new(),
        })
    }

    /// Notes that a file is needed, whether it is there already or not.
    pub fn note(&mut self, path: &Path) -> io::Result<()> {
        if self.noted.contains(path) {
            return Ok(());
        }
        let name = path.file_name().unwrap_or_default();
        let line = [name.as_encoded_bytes(), b"\n"].concat();
        self.file.write_all(&line)?;
        self.noted.insert(path.to_owned());
        Ok(())
    }
}

/// The names of all files that running processes need; lists of dead ones are removed. The caller
/// holds the store's lock.
///
/// # Errors
/// A list that cannot be read: another user's process may need anything.
pub(super) fn needed(store: &Path) -> io::Result<HashSet<String>> {
    let mut names = HashSet::new();
    for list in fs::read_dir(store.join(FOLDER)).into_iter().flatten() {
        let path = list?.path();
        let mut file = match File::open(&path) {
            // It has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                names.extend(text.lines().map(str::to_owned));
            }
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => {
                if let Err(error) = fs::remove_file(&path) {
                    tracing::debug!("cannot remove {}: {error}", path.display());
                }
            }
        }
    }
    Ok(names)
}
