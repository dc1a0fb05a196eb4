//! Taking out of a root what must not be in an image: what varies, and what is a secret.
//!
//! The list is that of the field: host keys, authorized keys, the machine's id, logs, leases,
//! caches and backups are made anew at first boot, or never wanted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A root that could not be sealed.
#[derive(Debug, thiserror::Error)]
#[error("cannot clean {path} in the root: {source}")]
pub struct SealError {
    path: PathBuf,
    source: io::Error,
}

/// Files that are removed, by folder and by what their names begin and end with.
const FILES: [(&str, &str, &str); 8] = [
    // Backups that adduser and its like leave.
    ("etc", "passwd", "-"),
    ("etc", "group", "-"),
    ("etc", "shadow", "-"),
    // Made by sshd's service at first boot.
    ("etc/ssh", "ssh_host_", ""),
    ("root/.ssh", "authorized_keys", ""),
    // The builder's, or a lease's.
    ("etc", "resolv.conf", ""),
    // Seeds of the random generator.
    ("var/lib/seedrng", "", ""),
    ("var/lib/urandom", "", ""),
];

/// Folders whose files are removed and whose folders are kept: daemons expect theirs.
const FILES_BELOW: [&str; 2] = ["var/log", "var/lib/chrony"];

/// Folders that are kept and emptied.
const EMPTIED: [&str; 7] = [
    "tmp",
    "run",
    "var/tmp",
    "var/cache/apk",
    "var/cache/misc",
    "var/lib/dhcp",
    "var/lib/dhcpcd",
];

/// Cleans the root. `day`, in days since 1970, takes the place of every date in `etc/shadow`.
///
/// # Errors
/// A file cannot be read, written or removed.
pub fn seal(root: &Path, day: u64) -> Result<(), SealError> {
    for (dir, prefix, suffix) in FILES {
        let dir = root.join(dir);
        remove(&dir, |name| {
            name.starts_with(prefix) && name.ends_with(suffix)
        })
        .map_err(at(&dir))?;
    }
    for dir in FILES_BELOW {
        let dir = root.join(dir);
        remove_files(&dir).map_err(at(&dir))?;
    }
    for dir in EMPTIED {
        let dir = root.join(dir);
        remove(&dir, |_| true).map_err(at(&dir))?;
    }
    // Empty but there: services that want one write it at first boot.
    let machine_id = root.join("etc/machine-id");
    fs::write(&machine_id, "").map_err(at(&machine_id))?;
    let shadow = root.join("etc/shadow");
    let text = fs::read_to_string(&shadow).map_err(at(&shadow))?;
    fs::write(&shadow, sealed_shadow(&text, day)).map_err(at(&shadow))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> SealError + '_ {
    move |source| SealError {
        path: path.to_owned(),
        source,
    }
}

/// Removes what `chosen` says in a folder that may not be there.
fn remove(dir: &Path, chosen: impl Fn(&str) -> bool) -> io::Result<()> {
    // A link, such as Alpine's `var/run`, is not followed: it leads to a folder of its own.
    let is_dir = fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir());
    if !is_dir {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !chosen(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes every file at any depth of a folder that may not be there.
fn remove_files(dir: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir()) {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_files(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Locks root, and every account whose password field is empty (alpine-baselayout ships root
/// so), and puts `day` in the place of the dates of last change.
fn sealed_shadow(text: &str, day: u64) -> String {
    text.lines()
        .map(|line| {
            let mut fields: Vec<_> = line.split(':').map(str::to_owned).collect();
            if fields.len() >= 3 {
                if fields[1].is_empty() || fields[0] == "root" {
                    fields[1] = "!".to_owned();
                }
                fields[2] = day.to_string();
            }
            fields.join(":") + "\n"
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_account_is_left_without_a_password() {
        let text = "root:::0:::::\nbin:!::0:::::\nalpine:*:1:0:99999:7:::\n";
        assert_eq!(
            sealed_shadow(text, 7),
            "root:!:7:0:::::\nbin:!:7:0:::::\nalpine:*:7:0:99999:7:::\n"
        );
    }

    #[test]
    fn what_varies_is_gone() {
        let root = tempfile::tempdir().expect("a folder");
        let path = |name: &str| root.path().join(name);
        for dir in ["etc/ssh", "var/log/chrony", "tmp"] {
            fs::create_dir_all(path(dir)).expect(dir);
        }
        let gone = [
            "etc/passwd-",
            "etc/ssh/ssh_host_rsa_key",
            "var/log/chrony/x",
            "tmp/y",
        ];
        let kept = ["etc/passwd", "etc/ssh/sshd_config"];
        for file in gone.iter().chain(&kept) {
            fs::write(path(file), "x").expect(file);
        }
        fs::write(path("etc/shadow"), "root:::0:::::\n").expect("shadow");
        seal(root.path(), 3).expect("seals");
        assert!(gone.iter().all(|file| !path(file).exists()));
        assert!(kept.iter().all(|file| path(file).exists()));
        assert!(
            path("var/log/chrony").is_dir(),
            "daemons expect their log folders"
        );
        assert_eq!(fs::read(path("etc/machine-id")).expect("machine-id"), b"");
    }
}
