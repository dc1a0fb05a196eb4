//! Users and groups of a root, as its own `etc/passwd` and `etc/group` name them.

use std::collections::HashMap;

use crate::image::error::ImageError;
use crate::image::rootdir::RootDir;

/// Names and their ids.
#[derive(Debug, Default)]
pub struct Accounts {
    users: HashMap<String, u32>,
    groups: HashMap<String, u32>,
}

impl Accounts {
    /// Reads a root's files; a file that is not there yet holds nobody.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn read(root: &RootDir) -> Result<Accounts, ImageError> {
        Ok(Accounts {
            users: ids(&root.read_text("etc/passwd")?.unwrap_or_default()),
            groups: ids(&root.read_text("etc/group")?.unwrap_or_default()),
        })
    }

    /// The id of a user by name, else the number the package gives.
    pub fn uid(&self, name: Option<&str>, number: u32) -> u32 {
        lookup(&self.users, name).unwrap_or(number)
    }

    /// The id of a group by name, else the number the package gives.
    pub fn gid(&self, name: Option<&str>, number: u32) -> u32 {
        lookup(&self.groups, name).unwrap_or(number)
    }

    /// Whether a user has this id.
    pub fn has_uid(&self, id: u32) -> bool {
        self.users.values().any(|taken| *taken == id)
    }

    /// Whether a group has this id.
    pub fn has_gid(&self, id: u32) -> bool {
        self.groups.values().any(|taken| *taken == id)
    }

    /// The id of a user that must exist.
    pub fn user(&self, name: &str) -> Option<u32> {
        lookup(&self.users, Some(name))
    }

    /// The id of a group that must exist.
    pub fn group(&self, name: &str) -> Option<u32> {
        lookup(&self.groups, Some(name))
    }
}

fn lookup(ids: &HashMap<String, u32>, name: Option<&str>) -> Option<u32> {
    let name = name.filter(|name| !name.is_empty())?;
    // Before the package with `etc/passwd` there is no file that names root.
    ids.get(name)
        .copied()
        .or_else(|| (name == "root").then_some(0))
}

/// `name:password:id:…` in both files.
fn ids(text: &str) -> HashMap<String, u32> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let id = fields.nth(1)?.parse().ok()?;
            Some((name.to_owned(), id))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_win_over_numbers() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("etc")).expect("etc");
        let passwd = "root:x:0:0:root:/root:/bin/sh\nchrony:x:100:101::/:/sbin/nologin\n";
        std::fs::write(dir.path().join("etc/passwd"), passwd).expect("passwd");
        let accounts = Accounts::read(&RootDir::open(dir.path()).expect("a root")).expect("reads");
        assert_eq!(accounts.uid(Some("chrony"), 7), 100);
        assert_eq!(accounts.uid(Some("nobody-here"), 7), 7);
        assert_eq!(accounts.uid(Some(""), 7), 7);
        assert_eq!(accounts.gid(Some("root"), 7), 0);
        assert_eq!(accounts.user("nobody-here"), None);
    }
}
