//! The file of customers, changed whole or not at all.

#[cfg(test)]
mod tests;

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::error::EditError;
use super::{Known, parse};
use crate::profile::error::{Mistake, mistake};

/// As many symbolic links are followed as Linux follows.
const MOST_LINKS: usize = 40;

/// Changes the file: `edit` makes the new text out of what errors call the file, and the old text.
/// A file that is not there is an empty one. Whenever this ends, by an error or a kill, the file is
/// what it was, or all that it is to be.
///
/// # Errors
/// The file has mistakes, or would have; `edit`'s error; it cannot be read or written.
pub fn change(
    path: &Path,
    known: &Known<'_>,
    edit: impl FnOnce(&str, &str) -> Result<String, EditError>,
) -> Result<(), EditError> {
    let file = path.display().to_string();
    let reading = |source| EditError::Read {
        path: path.to_owned(),
        source,
    };
    let writing = |source| EditError::Write {
        path: path.to_owned(),
        source,
    };
    let target = followed(path).map_err(reading)?;
    let folder = File::open(folder(&target)).map_err(writing)?;
    // Of two runs at once, the second one reads what the first one wrote. Where the file system
    // has no locks, nobody is kept from it.
    let _ = folder.lock();
    let old = read(&target).map_err(reading)?;
    let (bytes, mode) = old.unwrap_or((Vec::new(), 0o644));
    let wrong = |mistakes| EditError::Wrong {
        file: file.clone(),
        mistakes,
    };
    let text = text(&file, bytes).map_err(|mistake| wrong(vec![mistake]))?;
    parse(&file, &text, known).map_err(wrong)?;
    let text = edit(&file, &text)?;
    parse(&file, &text, known).map_err(|mistakes| EditError::WouldBeWrong {
        file: file.clone(),
        mistakes,
    })?;
    write(&target, &folder, &text, mode).map_err(writing)
}

/// The file that a path leads to, which need not be there: one that is renamed over a link would
/// take the link's place.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = folder(&path).join(target),
            // It is no link, or not there.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// What is in the file and its mode, if it is there.
fn read(path: &Path) -> io::Result<Option<(Vec<u8>, u32)>> {
    // For writing too: a file that is not to be written is not to be replaced either.
    let mut file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    Ok(Some((bytes, mode)))
}

fn text(file: &str, bytes: Vec<u8>) -> Result<String, Mistake> {
    String::from_utf8(bytes).map_err(|_| mistake(file, "", None, "it is not UTF-8 text".to_owned()))
}

fn write(path: &Path, folder_of_it: &File, text: &str, mode: u32) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".customers-")
        .suffix(".partial")
        .tempfile_in(folder(path))?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The new name is on the disk only with its folder.
    folder_of_it.sync_all()
}
