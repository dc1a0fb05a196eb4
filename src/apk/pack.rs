//! Making packages and indexes in Alpine's format: for the demo mirror, for tests, and for a
//! publisher's own repository.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::index::{Checksum, IndexPackage, parse_index};
use super::keys::{KeyError, decode_pem};
use super::member::compress;
use super::package::ScriptKind;
use super::pkginfo::PkgInfo;

/// A package or index that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The private key is not one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The private key cannot sign.
    #[error("the private key {path} cannot be used: {why}")]
    Unusable {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The staged `PKGINFO` is incomplete or wrong.
    #[error("{path}: {why}")]
    Info {
        /// The `PKGINFO` file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> PackError + 'a {
    move |source| PackError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// A private key that signs packages and indexes, with RSA and SHA-256.
///
/// apk has read `.SIGN.RSA256.` signatures since 2.12; SHA-1, which Alpine itself still uses, is
/// not offered for new signatures.
pub struct SigningKey {
    pair: RsaKeyPair,
    public_name: String,
}

impl SigningKey {
    /// Reads a private key in PEM form (PKCS#8 or PKCS#1). Its file name without folder, plus
    /// `.pub`, is the name that verifiers look for.
    ///
    /// # Errors
    /// The file cannot be read or holds no RSA private key.
    pub fn read(path: &Path) -> Result<SigningKey, PackError> {
        let pem = fs::read(path).map_err(at("read", path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (label, der) = decode_pem(&name, &pem, &["PRIVATE KEY", "RSA PRIVATE KEY"])?;
        let pair = match label {
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
            _ => RsaKeyPair::from_der(&der),
        }
        .map_err(|rejected| PackError::Unusable {
            path: path.to_owned(),
            why: rejected.to_string(),
        })?;
        Ok(SigningKey {
            pair,
            public_name: format!("{name}.pub"),
        })
    }

    /// The signature member that goes before `signed`, the compressed bytes of the next member.
    fn member(&self, signed: &[u8]) -> io::Result<Vec<u8>> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed,
                &mut signature,
            )
            .map_err(|_| io::Error::other("the private key refuses to sign"))?;
        let name = format!(".SIGN.RSA256.{}", self.public_name);
        compress(&open_tar(&[(name, 0o644, signature)], 0)?)
    }
}

/// A tar of small files without its end-of-archive blocks, so that the members of a package read
/// as one archive.
fn open_tar(files: &[(String, u32, Vec<u8>)], mtime: u64) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, mode, bytes) in files {
        let mut header = header(tar::EntryType::Regular, *mode, mtime);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes.as_slice())?;
    }
    let mut archive = builder.into_inner()?;
    archive.truncate(archive.len() - 1024);
    Ok(archive)
}

fn header(kind: tar::EntryType, mode: u32, mtime: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime);
    header.set_size(0);
    // The names cannot fail: they fit the field.
    let _ = header.set_username("root");
    let _ = header.set_groupname("root");
    header
}

/// Packs the folder `stage` (`PKGINFO`, `data/` and scripts by their names) into
/// `<out>/<name>-<version>.apk` and returns its index record.
///
/// Owners become root; modes, links and times are taken from the files.
///
/// # Errors
/// An unreadable stage, an incomplete `PKGINFO`, or a folder that cannot be written.
pub fn pack(stage: &Path, out: &Path, key: &SigningKey) -> Result<IndexPackage, PackError> {
    let info_path = stage.join("PKGINFO");
    let text = fs::read_to_string(&info_path).map_err(at("read", &info_path))?;
    let mut info = PkgInfo::parse(&text);
    let id = info.id().ok_or_else(|| PackError::Info {
        path: info_path.clone(),
        why: "pkgname or pkgver is missing".to_owned(),
    })?;
    let mut data = tempfile::tempfile_in(out).map_err(at("write", out))?;
    let packed = pack_data(&stage.join("data"), &mut data)?;
    info.set("size", packed.installed_size.to_string());
    info.set("datahash", packed.hash);
    let control = pack_control(stage, &info).map_err(at("read", stage))?;
    let signature = key.member(&control).map_err(at("write", out))?;

    let path = out.join(format!("{id}.apk"));
    let partial = out.join(format!("{id}.apk.partial"));
    let mut write = || -> io::Result<u64> {
        let mut file = BufWriter::new(File::create(&partial)?);
        file.write_all(&signature)?;
        file.write_all(&control)?;
        data.rewind()?;
        io::copy(&mut data, &mut file)?;
        file.into_inner()?.sync_all()?;
        fs::rename(&partial, &path)?;
        Ok(fs::metadata(&path)?.len())
    };
    let size = write().map_err(at("write", &path))?;
    let checksum = Checksum::Sha1(Sha1::digest(&control).into());
    index_entry(&info, checksum, size).map_err(|why| PackError::Info {
        path: info_path,
        why,
    })
}

/// What an index says of a package, which checks names, versions and dependencies on the way.
pub(crate) fn index_entry(
    info: &PkgInfo,
    checksum: Checksum,
    size: u64,
) -> Result<IndexPackage, String> {
    let get = |key| info.get(key).unwrap_or_default();
    let (name, version, arch) = (get("pkgname"), get("pkgver"), get("arch"));
    let fields = info.record_lines();
    let record = format!("C:{checksum}\nP:{name}\nV:{version}\nA:{arch}\nS:{size}\n{fields}");
    let package = parse_index(&record)
        .map_err(|error| error.to_string())?
        .pop()
        .ok_or("it is empty")?;
    match package.uninstallable() {
        Some(bad) => Err(bad.to_string()),
        None => Ok(package),
    }
}

fn pack_control(stage: &Path, info: &PkgInfo) -> io::Result<Vec<u8>> {
    let mtime = info.get("builddate").and_then(|date| date.parse().ok());
    let mut files = vec![(".PKGINFO".to_owned(), 0o644, info.to_text().into_bytes())];
    for kind in ScriptKind::ALL {
        match fs::read(stage.join(kind.as_str())) {
            Ok(bytes) => files.push((format!(".{}", kind.as_str()), 0o755, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    compress(&open_tar(&files, mtime.unwrap_or(0))?)
}

struct PackedData {
    installed_size: u64,
    hash: String,
}

/// Passes bytes on and hashes them.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn pack_data(root: &Path, out: &mut File) -> Result<PackedData, PackError> {
    let mut installed_size = 0;
    let mut links = BTreeMap::new();
    let sink = Hashing {
        inner: BufWriter::new(out),
        hash: Sha256::new(),
    };
    let mut builder = tar::Builder::new(GzEncoder::new(sink, Compression::default()));
    for path in tree(root).map_err(at("read", root))? {
        append(&mut builder, root, &path, &mut links, &mut installed_size)
            .map_err(at("read", &path))?;
    }
    let finish = || -> io::Result<String> {
        let mut sink = builder.into_inner()?.finish()?;
        sink.flush()?;
        Ok(crate::digest::hex(&sink.hash.finalize()))
    };
    let hash = finish().map_err(at("read", root))?;
    Ok(PackedData {
        installed_size,
        hash,
    })
}

/// Every path below `root`, parents first, sorted by name; nothing where `root` does not exist.
fn tree(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !root.try_exists()? {
        return Ok(found);
    }
    let mut entries = fs::read_dir(root)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for path in entries {
        let is_dir = fs::symlink_metadata(&path)?.is_dir();
        found.push(path.clone());
        if is_dir {
            found.extend(tree(&path)?);
        }
    }
    Ok(found)
}

fn append<W: Write>(
    builder: &mut tar::Builder<W>,
    root: &Path,
    path: &Path,
    links: &mut BTreeMap<(u64, u64), PathBuf>,
    installed_size: &mut u64,
) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let name = path.strip_prefix(root).map_err(io::Error::other)?;
    let mtime = u64::try_from(meta.mtime()).unwrap_or(0);
    let mode = meta.permissions().mode();
    if meta.is_dir() {
        let mut header = header(tar::EntryType::Directory, mode, mtime);
        return builder.append_data(&mut header, name, io::empty());
    }
    if meta.is_symlink() {
        let target = fs::read_link(path)?;
        let sum = Sha1::digest(target.as_os_str().as_encoded_bytes());
        append_checksum(builder, &sum, mtime)?;
        let mut header = header(tar::EntryType::Symlink, 0o777, mtime);
        return builder.append_link(&mut header, name, target);
    }
    if !meta.is_file() {
        return Err(io::Error::other(
            "only files, folders and symbolic links can be packed",
        ));
    }
    if let Some(first) = links.get(&(meta.dev(), meta.ino())) {
        let mut header = header(tar::EntryType::Link, mode, mtime);
        return builder.append_link(&mut header, name, first);
    }
    if meta.nlink() > 1 {
        links.insert((meta.dev(), meta.ino()), name.to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    *installed_size += bytes.len() as u64;
    append_checksum(builder, &Sha1::digest(&bytes), mtime)?;
    let mut header = header(tar::EntryType::Regular, mode, mtime);
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, name, bytes.as_slice())
}

/// The PAX record that apk copies to the installed database.
///
/// Written by hand: the tar crate leaves the header's name empty, which apk-tools takes for the end
/// of the archive (`src/tar.c`).
fn append_checksum<W: Write>(
    builder: &mut tar::Builder<W>,
    sum: &[u8],
    mtime: u64,
) -> io::Result<()> {
    // The length counts itself: 68 for every SHA-1.
    let record = format!("68 APK-TOOLS.checksum.SHA1={}\n", crate::digest::hex(sum));
    let mut header = header(tar::EntryType::XHeader, 0o644, mtime);
    header.set_size(record.len() as u64);
    builder.append_data(&mut header, "PaxHeaders", record.as_bytes())
}

/// Writes a signed `APKINDEX.tar.gz` for `packages` into `out`, which is as old as the newest of them:
/// the same packages give the same bytes.
///
/// # Errors
/// The folder cannot be written.
pub fn write_index(
    out: &Path,
    description: &str,
    packages: &[IndexPackage],
    key: &SigningKey,
) -> Result<(), PackError> {
    let times = packages.iter().filter_map(|package| package.build_time);
    write_index_of(out, description, packages, times.max().unwrap_or(0), key)
}

/// The same, of an index that was made at a time, in seconds since 1970. Alpine's have it in their tar
/// entries: who knows a newer one refuses an older one.
///
/// # Errors
/// The folder cannot be written.
pub fn write_index_of(
    out: &Path,
    description: &str,
    packages: &[IndexPackage],
    made: u64,
    key: &SigningKey,
) -> Result<(), PackError> {
    let path = out.join("APKINDEX.tar.gz");
    let write = || -> io::Result<()> {
        let mut text = String::new();
        for package in packages {
            text.push_str(&package.to_index_record());
        }
        let files = [
            ("DESCRIPTION".to_owned(), 0o644, description.into()),
            ("APKINDEX".to_owned(), 0o644, text.into_bytes()),
        ];
        let mut archive = open_tar(&files, made)?;
        archive.extend_from_slice(&[0; 1024]);
        let index = compress(&archive)?;
        let mut file = tempfile::NamedTempFile::new_in(out)?;
        file.write_all(&key.member(&index)?)?;
        file.write_all(&index)?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(at("write", &path))
}
