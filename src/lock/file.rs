//! A lock's file: one line a package, so that a review shows what changed; the same lock has the
//! same bytes.
//!
//! ```toml
//! # Packages of `base` for x86_64. …
//! schema = 1
//! profile = "base"
//! arch = "x86_64"
//!
//! [wishes]
//! required = [
//!     "alpine-base",
//! ]
//! optional = []
//! boot = []
//!
//! [[repositories]]
//! name = "v3.15/main"
//! index_date = "2024-06-18T15:36:02Z"
//!
//! [image]
//! packages = [
//!     { name = "musl", version = "1.2.2-r9", repository = "v3.15/main", size = 383744, checksum = "Q1…" },
//! ]
//! left_out = []
//!
//! [boot]
//! packages = []
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::Spanned;

use super::{Lock, LockError, LockedPackage, LockedRepository, Wishes};
use crate::apk::dependency::{Dependency, DependencyError};
use crate::apk::index::{Checksum, is_package_name};
use crate::apk::version::Version;
use crate::arch::Arch;
use crate::profile::error::{mistake, position, read_toml};
use crate::workdir::WorkDir;

/// The version of the format; a reader refuses a higher one.
pub const SCHEMA: u32 = 1;
/// What a lock is called beside the manifest of an image that was built with it.
pub const BESIDE_MANIFEST: &str = "lock.toml";

/// What a work folder beside a lock begins with.
const WORK_PREFIX: &str = ".alpine-ami-lock-";

/// Dependencies, each with its place: of a list's entries, serde alone tells the list's.
type WordsForm = Vec<Spanned<String>>;

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(rename = "schema")]
    _schema: u32,
    profile: Spanned<String>,
    arch: Spanned<Arch>,
    wishes: WishesForm,
    #[serde(default)]
    repositories: Vec<RepositoryForm>,
    image: ImageForm,
    boot: BootForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WishesForm {
    required: WordsForm,
    optional: WordsForm,
    boot: WordsForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RepositoryForm {
    name: Spanned<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    index_date: Option<OffsetDateTime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageForm {
    packages: Vec<PackageForm>,
    left_out: WordsForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BootForm {
    packages: Vec<PackageForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackageForm {
    name: Spanned<String>,
    version: Version,
    #[serde(default)]
    arch: Option<Spanned<String>>,
    repository: Spanned<String>,
    size: u64,
    checksum: Checksum,
}

impl Lock {
    /// Its text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_text(&mut text);
        text
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        let (profile, arch) = (&self.profile, self.arch);
        writeln!(
            out,
            "# Packages of `{profile}` for {arch}, chosen by `alpine-ami lock {profile} --arch {arch}`.\n\
             # `lock` keeps what is here as far as it fits the profile, `lock --update` takes the newest.\n\
             schema = {SCHEMA}\n\
             profile = {}\n\
             arch = {}\n\n\
             # What was asked for: a build that asks for something else does not take this lock.\n\
             [wishes]",
            quoted(profile),
            quoted(arch.as_str()),
        )?;
        write_list(out, "required", &self.wishes.required)?;
        write_list(out, "optional", &self.wishes.optional)?;
        write_list(out, "boot", &self.wishes.boot)?;
        writeln!(
            out,
            "\n# Where packages were chosen from, in order of preference; an older index is refused."
        )?;
        for repository in &self.repositories {
            writeln!(out, "[[repositories]]\nname = {}", quoted(&repository.name))?;
            // A date of a file's time is in the years that RFC 3339 knows.
            if let Some(date) = repository
                .index_date
                .and_then(|date| date.format(&Rfc3339).ok())
            {
                writeln!(out, "index_date = {}", quoted(&date))?;
            }
            out.push('\n');
        }
        writeln!(
            out,
            "# What the image is made of, in order of installation.\n[image]"
        )?;
        self.write_packages(out, &self.image)?;
        write_list(out, "left_out", &self.left_out)?;
        writeln!(
            out,
            "\n# What the boot loader is made with; these are not in the image.\n[boot]"
        )?;
        self.write_packages(out, &self.boot)
    }

    fn write_packages(&self, out: &mut String, packages: &[LockedPackage]) -> std::fmt::Result {
        if packages.is_empty() {
            return writeln!(out, "packages = []");
        }
        writeln!(out, "packages = [")?;
        for package in packages {
            write!(
                out,
                "    {{ name = {}, version = {}, ",
                quoted(&package.name),
                quoted(package.version.as_str())
            )?;
            if package.arch != self.arch.as_str() {
                write!(out, "arch = {}, ", quoted(&package.arch))?;
            }
            writeln!(
                out,
                "repository = {}, size = {}, checksum = {} }},",
                quoted(&package.repository),
                package.size,
                quoted(&package.checksum.to_string())
            )?;
        }
        writeln!(out, "]")
    }

    /// Reads the text of a lock; `origin` is where it comes from, for messages.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn parse(origin: &str, bytes: Vec<u8>) -> Result<Lock, LockError> {
        refuse_newer(origin, &bytes)?;
        let (text, form) = read_toml::<Form>(origin, bytes)
            .map_err(|mistake| LockError::Mistake(mistake.into()))?;
        let reading = Reading {
            origin,
            text: &text,
            arch: *form.arch.get_ref(),
        };
        let repositories = reading.repositories(form.repositories)?;
        let known: BTreeSet<&str> = repositories.iter().map(|one| one.name.as_str()).collect();
        let image = reading.packages(form.image.packages, &known)?;
        let boot = reading.packages(form.boot.packages, &known)?;
        Ok(Lock {
            profile: form.profile.into_inner(),
            arch: reading.arch,
            wishes: Wishes {
                required: reading.words(form.wishes.required)?,
                optional: reading.words(form.wishes.optional)?,
                boot: reading.words(form.wishes.boot)?,
            },
            repositories,
            image,
            left_out: reading.words(form.image.left_out)?,
            boot,
        })
    }

    /// Reads the lock of a profile, where there is one.
    ///
    /// # Errors
    /// It cannot be read, makes no sense, or is another profile's.
    pub fn read(path: &Path, profile: &str, arch: Arch) -> Result<Option<Lock>, LockError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                let path = path.to_owned();
                return Err(LockError::Read { path, source });
            }
        };
        let origin = path.display().to_string();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lock = Lock::parse(&origin, bytes)?;
        if (lock.profile.as_str(), lock.arch) == (profile, arch) {
            return Ok(Some(lock));
        }
        let what = format!(
            "it is the lock of `{}` for {}, not of `{profile}` for {arch}",
            lock.profile, lock.arch
        );
        let key = if lock.profile == profile {
            "arch"
        } else {
            "profile"
        };
        let place = text.find(&format!("\n{key} ")).map(|at| at + 1..at + 1);
        Err(wrong(&origin, &text, place, what))
    }

    /// Writes the lock, whole or not at all; what a run that was killed left beside it is removed.
    ///
    /// # Errors
    /// The folder cannot be made or written. An earlier lock is then still there.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let write = || -> io::Result<()> {
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            fs::create_dir_all(folder)?;
            let work = WorkDir::new(folder, WORK_PREFIX)?;
            let new = work.path().join("new");
            let mut file = File::create(&new)?;
            file.write_all(self.to_text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| LockError::Write {
            path: path.to_owned(),
            source,
        })
    }
}

/// A later format may lack everything that this one has, so its number is looked at first.
fn refuse_newer(origin: &str, bytes: &[u8]) -> Result<(), LockError> {
    #[derive(Deserialize)]
    struct Version {
        schema: Spanned<u32>,
    }
    let text = String::from_utf8_lossy(bytes);
    // What is wrong with a text that says nothing of it, the whole format tells better.
    let Ok(Version { schema }) = toml::from_str(&text) else {
        return Ok(());
    };
    match *schema.get_ref() {
        SCHEMA => Ok(()),
        0 => {
            let what = format!("there is no format 0; it is {SCHEMA}");
            Err(wrong(origin, &text, Some(schema.span()), what))
        }
        found => Err(LockError::Schema {
            path: origin.to_owned(),
            line: position(&text, schema.span().start).0,
            found,
        }),
    }
}

fn wrong(origin: &str, text: &str, span: Option<Range<usize>>, what: String) -> LockError {
    LockError::Mistake(mistake(origin, text, span, what).into())
}

/// What types alone do not show.
struct Reading<'a> {
    origin: &'a str,
    text: &'a str,
    arch: Arch,
}

impl Reading<'_> {
    fn wrong<T>(&self, at: &Spanned<T>, what: String) -> LockError {
        wrong(self.origin, self.text, Some(at.span()), what)
    }

    fn words(&self, forms: WordsForm) -> Result<Vec<Dependency>, LockError> {
        let parse = |form: &Spanned<String>| {
            let parsed = form.get_ref().parse();
            parsed.map_err(|error: DependencyError| self.wrong(form, error.to_string()))
        };
        forms.iter().map(parse).collect()
    }

    fn repositories(&self, forms: Vec<RepositoryForm>) -> Result<Vec<LockedRepository>, LockError> {
        let mut repositories: Vec<LockedRepository> = Vec::new();
        for form in forms {
            let name = form.name.get_ref();
            if repositories.iter().any(|other| other.name == *name) {
                let what = format!("the repository `{name}` is there twice");
                return Err(self.wrong(&form.name, what));
            }
            repositories.push(LockedRepository {
                name: form.name.into_inner(),
                index_date: form.index_date,
            });
        }
        Ok(repositories)
    }

    fn packages(
        &self,
        forms: Vec<PackageForm>,
        repositories: &BTreeSet<&str>,
    ) -> Result<Vec<LockedPackage>, LockError> {
        let mut seen = BTreeSet::new();
        let mut packages = Vec::with_capacity(forms.len());
        for form in forms {
            let (name, repository) = (form.name.get_ref(), form.repository.get_ref());
            if !is_package_name(name) {
                let what = format!("`{}` cannot be a package's name", name.escape_debug());
                return Err(self.wrong(&form.name, what));
            }
            if !repositories.contains(repository.as_str()) {
                let what = format!("the repository `{repository}` is not among [[repositories]]");
                return Err(self.wrong(&form.repository, what));
            }
            if !seen.insert(name.clone()) {
                let what = format!("the package `{name}` is locked twice");
                return Err(self.wrong(&form.name, what));
            }
            packages.push(LockedPackage {
                arch: self.package_arch(form.arch)?,
                name: form.name.into_inner(),
                version: form.version,
                repository: form.repository.into_inner(),
                size: form.size,
                checksum: form.checksum,
            });
        }
        Ok(packages)
    }

    fn package_arch(&self, form: Option<Spanned<String>>) -> Result<String, LockError> {
        match form {
            None => Ok(self.arch.to_string()),
            Some(arch) if arch.get_ref() == "noarch" || arch.get_ref() == self.arch.as_str() => {
                Ok(arch.into_inner())
            }
            Some(arch) => {
                let what = format!("`{}` is neither {} nor noarch", arch.get_ref(), self.arch);
                Err(self.wrong(&arch, what))
            }
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn write_list(out: &mut String, key: &str, list: &[Dependency]) -> std::fmt::Result {
    if list.is_empty() {
        return writeln!(out, "{key} = []");
    }
    writeln!(out, "{key} = [")?;
    for entry in list {
        writeln!(out, "    {},", quoted(&entry.to_string()))?;
    }
    writeln!(out, "]")
}

#[cfg(test)]
mod tests;
