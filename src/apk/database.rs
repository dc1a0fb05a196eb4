//! The installed database, as the image's own `apk` reads it.
//!
//! `lib/apk/db/installed` has a record a package, in the order and with the omissions of
//! apk-tools (`src/database.c`): `M:` and `a:` lines are left out where they would say
//! `0:0:755` and `0:0:644`, and every `R:` follows an `F:`, an empty one for files in `/`.

use std::fmt::Write as _;
use std::io;

use super::index::Checksum;
use super::package::ScriptKind;
use super::pkginfo::PkgInfo;
use super::record::{DirectoryRecord, PathRecord, Records};

/// A package as it stands in the database.
#[derive(Debug)]
pub struct Installed {
    /// What it says of itself.
    pub info: PkgInfo,
    /// Its checksum in the index.
    pub checksum: Checksum,
    /// Its architecture as the index says: Alpine's indexes call `noarch` packages by their own.
    pub arch: String,
    /// Bytes of its file.
    pub size: u64,
    /// The tag of the repository it came from.
    pub tag: Option<String>,
    /// Its scripts.
    pub scripts: Vec<(ScriptKind, Vec<u8>)>,
    /// What it laid down.
    pub records: Records,
}

impl Installed {
    /// `name-version`.
    pub fn id(&self) -> String {
        self.info
            .id()
            .expect("a verified package has name and version")
    }

    fn record(&self) -> String {
        let mut text = String::new();
        let get = |key| self.info.get(key).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(text, "C:{}", self.checksum);
        let _ = writeln!(text, "P:{}\nV:{}", get("pkgname"), get("pkgver"));
        let _ = writeln!(text, "A:{}\nS:{}", self.arch, self.size);
        text.push_str(&self.info.record_lines());
        if let Some(tag) = &self.tag {
            let _ = writeln!(text, "s:{tag}");
        }
        for directory in &self.records.directories {
            write_directory(&mut text, directory);
        }
        text.push('\n');
        text
    }
}

fn write_directory(text: &mut String, directory: &DirectoryRecord) {
    let _ = writeln!(text, "F:{}", directory.path);
    if let Some(meta) = directory.meta {
        write_meta(text, 'M', meta, 0o755);
    }
    for file in &directory.files {
        let _ = writeln!(text, "R:{}", file.name);
        write_meta(text, 'a', file.path, 0o644);
        if let Some(checksum) = file.checksum {
            let _ = writeln!(text, "Z:{checksum}");
        }
    }
}

fn write_meta(text: &mut String, field: char, meta: PathRecord, usual: u32) {
    let PathRecord { mode, uid, gid } = meta;
    if (mode, uid, gid) != (usual, 0, 0) {
        let _ = writeln!(text, "{field}:{uid}:{gid}:{mode:o}");
    }
}

/// A file of the database: its path in the root, its content, and its mode.
pub type DatabaseFile = (&'static str, Vec<u8>, u32);

/// The database of a fresh root, as files.
///
/// `world` is what was asked for; `time` (seconds since 1970) stands in `scripts.tar`.
///
/// # Errors
/// A script's name that no tar can hold.
pub fn files(
    installed: &[Installed],
    world: &[String],
    arch: &str,
    time: u64,
) -> io::Result<Vec<DatabaseFile>> {
    let records: String = installed.iter().map(Installed::record).collect();
    let mut world = world.to_vec();
    world.sort();
    world.dedup();
    let world: String = world.iter().map(|line| format!("{line}\n")).collect();
    Ok(vec![
        ("lib/apk/db/installed", records.into_bytes(), 0o644),
        (
            "lib/apk/db/scripts.tar",
            scripts_tar(installed, time)?,
            0o644,
        ),
        (
            "lib/apk/db/triggers",
            triggers(installed).into_bytes(),
            0o644,
        ),
        ("lib/apk/db/lock", Vec::new(), 0o600),
        ("etc/apk/world", world.into_bytes(), 0o644),
        ("etc/apk/arch", format!("{arch}\n").into_bytes(), 0o644),
    ])
}

fn triggers(installed: &[Installed]) -> String {
    let mut text = String::new();
    for package in installed {
        let globs: Vec<_> = package.info.words("triggers").collect();
        if !globs.is_empty() {
            let _ = writeln!(text, "{} {}", package.checksum, globs.join(" "));
        }
    }
    text
}

fn scripts_tar(installed: &[Installed], time: u64) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for package in installed {
        for (kind, script) in &package.scripts {
            let name = format!("{}.{}.{}", package.id(), package.checksum, kind.as_str());
            let mut header = tar::Header::new_ustar();
            // The old zero byte would say the same, but not to apk: it would run no script of ours.
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o755);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(time);
            header.set_size(script.len() as u64);
            builder.append_data(&mut header, name, script.as_slice())?;
        }
    }
    builder.into_inner()
}
