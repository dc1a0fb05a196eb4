//! What a package laid down: the part of the installed database that only unpacking knows.

use std::collections::HashMap;

use crate::apk::index::Checksum;

/// Mode and owner of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathRecord {
    /// Permission bits.
    pub mode: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A file, link or device.
#[derive(Debug, Clone)]
pub struct FileRecord {
    /// Its name in its folder.
    pub name: String,
    /// Mode and owner.
    pub path: PathRecord,
    /// SHA-1 of its content, or of a link's target; devices have none.
    pub checksum: Option<Checksum>,
}

/// A folder with what a package has in it.
#[derive(Debug, Clone)]
pub struct DirectoryRecord {
    /// Path below the root; empty for the root itself.
    pub path: String,
    /// Mode and owner; the root has none of its own.
    pub meta: Option<PathRecord>,
    /// Files in the order of the package.
    pub files: Vec<FileRecord>,
}

/// The folders of a package in its order.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// One for each folder.
    pub directories: Vec<DirectoryRecord>,
    /// Paths that belonged to another package, and its name.
    pub taken_over: Vec<(String, String)>,
    index: HashMap<String, usize>,
}

impl Records {
    /// Notes a folder entry.
    pub fn add_directory(&mut self, path: &str, meta: PathRecord) {
        let place = self.place(path);
        self.directories[place].meta = Some(meta);
    }

    /// Notes a file.
    pub fn add_file(&mut self, path: &str, file: FileRecord) {
        let place = self.place(split(path).0);
        self.directories[place].files.push(file);
    }

    /// Forgets a file that another package has taken over.
    pub fn remove_file(&mut self, path: &str) {
        let (dir, base) = split(path);
        if let Some(place) = self.index.get(dir) {
            self.directories[*place]
                .files
                .retain(|file| file.name != base);
        }
    }

    fn place(&mut self, path: &str) -> usize {
        if let Some(place) = self.index.get(path) {
            return *place;
        }
        let place = self.directories.len();
        self.directories.push(DirectoryRecord {
            path: path.to_owned(),
            meta: None,
            files: Vec::new(),
        });
        self.index.insert(path.to_owned(), place);
        place
    }
}

/// Folder and last part of a path below the root.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
