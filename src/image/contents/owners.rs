//! Which package a path is of, as the image's own database says.

use std::collections::BTreeMap;

use super::Entry;
use super::walk::text;

/// Where the database is in an image.
const DATABASE: &str = "/lib/apk/db/installed";
/// A database of more bytes is not one; that of a full desktop has 5 MB.
const LARGEST: u64 = 64 << 20;

impl super::DiskImage {
    /// Says of every path which package it is of. Where the database cannot be read, none is said: what
    /// is in the image can be listed all the same.
    pub(super) fn tell_owners(&self, entries: &mut [Entry]) {
        let Ok(Some(database)) = self.read(DATABASE, LARGEST) else {
            return;
        };
        let owners = owners(&database);
        for entry in entries {
            entry.package = owners.get(&entry.path).cloned();
        }
    }
}

/// Packages by path. Of a folder that several packages have, it is the first.
///
/// The database has `P:` for a package's name, `F:` for a folder below the root, and `R:` for a file in
/// it; an empty line ends a package.
fn owners(database: &[u8]) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    let (mut package, mut folder) = (None, String::new());
    for line in database.split(|byte| *byte == b'\n') {
        let path = match line {
            [] => {
                package = None;
                continue;
            }
            [b'P', b':', name @ ..] if package.is_none() => {
                package = Some(text(name));
                continue;
            }
            [b'F', b':', path @ ..] => {
                let path = text(path);
                folder = if path.is_empty() {
                    path
                } else {
                    format!("/{path}")
                };
                match folder.is_empty() {
                    true => continue,
                    false => folder.clone(),
                }
            }
            [b'R', b':', name @ ..] => format!("{folder}/{}", text(name)),
            _ => continue,
        };
        if let Some(package) = &package {
            owners.entry(path).or_insert_with(|| package.clone());
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_have_owners() {
        let database = b"C:Q1x\nP:one\nV:1\nF:\nR:.top\nF:etc\nM:0:0:755\nR:one.conf\nZ:Q1y\nF:usr/bin\nR:P:odd\n\n\
                         P:two\nV:2\nF:etc\nR:two\xff\n\n";
        let owners = owners(database);
        let told: Vec<_> = owners
            .iter()
            .map(|(path, of)| format!("{path} {of}"))
            .collect();
        assert_eq!(
            told,
            [
                "/.top one",
                "/etc one",
                "/etc/one.conf one",
                "/etc/two\\xff two",
                "/usr/bin one",
                "/usr/bin/P:odd one"
            ]
        );
    }
}
