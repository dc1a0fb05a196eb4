//! Taking out of a root what must not be in an image: what varies, and what is a secret.
//!
//! The list is that of the field: host keys, authorized keys, the machine's id, logs, leases,
//! caches and backups are made anew at first boot, or never wanted. What the profile's own overlays
//! laid down stays.

use std::io;

use super::edit::Ids;
use super::error::ImageError;
use super::rootdir::RootDir;
use crate::overlay::Tree;

/// A root that could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Something cannot be removed or written.
    #[error("cannot clean /{path} of the image: {source}")]
    Io {
        /// The path in the image.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Something cannot be read.
    #[error("cannot clean the image: {0}")]
    Read(#[from] ImageError),
    /// The packages bring no accounts.
    #[error("the image has no /{0}: no package with accounts is among its packages")]
    NoAccounts(&'static str),
}

impl SealError {
    /// What to do next.
    pub fn advice(&self) -> &'static str {
        match self {
            SealError::Io { .. } | SealError::Read(_) => {
                "look at which package or overlay puts something unusual there, such as a symbolic link"
            }
            SealError::NoAccounts(_) => "add `alpine-base` or `alpine-baselayout` to the packages",
        }
    }
}

/// Files that are removed, by folder and by what their names begin and end with.
const FILES: [(&str, &str, &str); 9] = [
    // Backups that adduser and its like leave.
    ("etc", "passwd", "-"),
    ("etc", "group", "-"),
    ("etc", "shadow", "-"),
    ("etc", "gshadow", "-"),
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
///
/// Not `var/lib/chrony`: Alpine's package brings an empty drift file there, which the image's own apk
/// would miss, and nothing has run that could have written one.
const FILES_BELOW: [&str; 1] = ["var/log"];

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

/// Cleans the root. `day`, in days since 1970, takes the place of every date in `etc/shadow`;
/// `overlays` say what stays.
///
/// # Errors
/// See [`SealError`].
pub fn seal(root: &RootDir, overlays: &Tree, day: u64) -> Result<(), SealError> {
    let at = |path| move |source| SealError::Io { path, source };
    for (dir, prefix, suffix) in FILES {
        root.remove_from(dir, |name| {
            name.starts_with(prefix)
                && name.ends_with(suffix)
                && !overlays.contains_key(&format!("{dir}/{name}"))
        })
        .map_err(at(dir))?;
    }
    for dir in FILES_BELOW {
        root.remove_files_below(dir).map_err(at(dir))?;
    }
    for dir in EMPTIED {
        root.remove_from(dir, |_| true).map_err(at(dir))?;
    }
    // Empty but there: services that want one write it at first boot.
    if !overlays.contains_key(MACHINE_ID) {
        root.put_file(MACHINE_ID, b"", 0o644, Ids::ROOT)
            .map_err(at(MACHINE_ID))?;
    }
    for (path, sealed) in [
        ("etc/passwd", sealed_passwd as fn(&str, u64) -> String),
        ("etc/shadow", sealed_shadow),
    ] {
        let text = root.read_text(path)?.ok_or(SealError::NoAccounts(path))?;
        root.rewrite(path, &sealed(&text, day)).map_err(at(path))?;
    }
    Ok(())
}

const MACHINE_ID: &str = "etc/machine-id";

/// Sends every account to `etc/shadow` for its password: an empty field here would need none.
fn sealed_passwd(text: &str, _day: u64) -> String {
    each_line(text, |fields| {
        if fields.len() >= 2 && fields[1].is_empty() {
            "x".clone_into(&mut fields[1]);
        }
    })
}

/// Locks root, and every account whose password field is empty (alpine-baselayout ships root
/// so), and puts `day` in the place of the dates of last change.
fn sealed_shadow(text: &str, day: u64) -> String {
    each_line(text, |fields| {
        if fields.len() >= 3 {
            if fields[1].is_empty() || fields[0] == "root" {
                "!".clone_into(&mut fields[1]);
            }
            fields[2] = day.to_string();
        }
    })
}

fn each_line(text: &str, change: impl Fn(&mut Vec<String>)) -> String {
    let lines = text.lines().map(|line| {
        let mut fields: Vec<_> = line.split(':').map(str::to_owned).collect();
        change(&mut fields);
        fields.join(":") + "\n"
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_account_is_left_without_a_password() {
        let text = "root:::0:::::\nbin:!::0:::::\nalpine:*:1:0:99999:7:::\n";
        assert_eq!(
            sealed_shadow(text, 7),
            "root:!:7:0:::::\nbin:!:7:0:::::\nalpine:*:7:0:99999:7:::\n"
        );
        assert_eq!(
            sealed_passwd("root:x:0:0::/:/bin/sh\nopen::1:1::/:/bin/sh\n", 7),
            "root:x:0:0::/:/bin/sh\nopen:x:1:1::/:/bin/sh\n"
        );
    }

    #[test]
    fn what_varies_is_gone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        for folder in ["etc/ssh", "var/log/chrony", "tmp/deep/er"] {
            fs::create_dir_all(path(folder)).expect(folder);
        }
        let gone = [
            "etc/passwd-",
            "etc/ssh/ssh_host_rsa_key",
            "var/log/chrony/x",
            "tmp/deep/er/y",
        ];
        let kept = ["etc/passwd", "etc/ssh/sshd_config", "etc/resolv.conf"];
        for file in gone.iter().chain(&kept) {
            fs::write(path(file), "x").expect(file);
        }
        fs::write(path("etc/shadow"), "root:::0:::::\n").expect("shadow");
        let root = RootDir::open(dir.path()).expect("a root");
        let resolv = crate::overlay::OverlayNode {
            kind: crate::overlay::NodeKind::File(b"x".to_vec()),
            mode: 0o644,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            overlay: "mine".to_owned(),
        };
        let overlays = Tree::from([("etc/resolv.conf".to_owned(), resolv)]);
        seal(&root, &overlays, 3).expect("seals");
        assert!(gone.iter().all(|file| !path(file).exists()));
        assert!(kept.iter().all(|file| path(file).exists()));
        assert!(
            path("var/log/chrony").is_dir(),
            "daemons expect their log folders"
        );
        assert_eq!(fs::read(path("etc/machine-id")).expect("machine-id"), b"");
    }
}
