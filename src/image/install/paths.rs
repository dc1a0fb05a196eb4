//! Names from outside, and the handles of folders beneath a root.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};

/// `PATH_MAX` of Linux.
const NAME_LIMIT: usize = 4096;
/// `NAME_MAX` of Linux.
const PART_LIMIT: usize = 255;

/// Content from outside that breaks a rule.
pub fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The path below the root; none for what apk skips (names with a leading dot at the top).
pub fn clean_name(raw: &str) -> io::Result<Option<String>> {
    let refuse = |why: &str| Err(invalid(format!("the name `{}` {why}", raw.escape_debug())));
    if raw.len() >= NAME_LIMIT {
        return refuse("is too long");
    }
    if raw.starts_with('/') {
        return refuse("is absolute");
    }
    if raw.contains('\0') || raw.contains('\n') {
        return refuse("holds a character that no database can hold");
    }
    let name = raw.strip_prefix("./").unwrap_or(raw).trim_end_matches('/');
    if name.split('/').any(|part| part == "..") {
        return refuse("leaves the root");
    }
    if name.split('/').any(|part| part.is_empty() || part == ".") && !name.is_empty() {
        return refuse("is not in its simplest form");
    }
    if name.split('/').any(|part| part.len() > PART_LIMIT) {
        return refuse("has a part that is too long");
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    if name.is_empty() || name.starts_with('.') || last.starts_with(".keep_") {
        return Ok(None);
    }
    Ok(Some(name.to_owned()))
}

/// Opens a folder beneath `root` without following any symbolic link.
pub fn open_dir(root: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    fs::openat2(root, path, flags, Mode::empty(), resolve).map_err(|error| {
        let why = match error {
            rustix::io::Errno::LOOP => "is, or lies behind, a symbolic link",
            rustix::io::Errno::NOENT => "is not there: the package has no entry for it",
            rustix::io::Errno::NOTDIR => "is not a folder",
            rustix::io::Errno::XDEV => "lies outside the root",
            other => return io::Error::from(other),
        };
        invalid(format!("the folder `{path}` {why}"))
    })
}

/// Removes a file that may not be there.
pub fn remove(parent: &OwnedFd, base: &str) -> io::Result<()> {
    match fs::unlinkat(parent, base, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_or_refused() {
        assert_eq!(
            clean_name("./etc/x").expect("fine").as_deref(),
            Some("etc/x")
        );
        assert_eq!(clean_name("etc/").expect("fine").as_deref(), Some("etc"));
        assert_eq!(clean_name(".PKGINFO").expect("fine"), None);
        assert_eq!(clean_name("usr/.keep_dir").expect("fine"), None);
        for bad in ["/etc/x", "../x", "a/../../x", "a//b", "a/./b", "a\nb"] {
            assert!(clean_name(bad).is_err(), "{bad}");
        }
        assert!(clean_name(&"x/".repeat(3000)).is_err());
        assert!(clean_name(&"x".repeat(256)).is_err());
        assert!(clean_name(&format!("d/{}", "x".repeat(255))).is_ok());
    }
}
