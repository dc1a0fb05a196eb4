//! The tar inside a package, read as a stream and with bounds.
//!
//! Tar has several ways to say one thing (a name in the header, in a PAX record, in a GNU entry),
//! and readers that disagree are how archives smuggle. Here a size is what the header says, records
//! are short, and an archive ends with its end marker and nothing but zeros behind it.

use std::io::{self, BufRead, Read};

use tar::EntryType;

use super::index::Checksum;
use super::package::SIZE_LIMIT;
use records::Records;

mod records;

/// Tar counts in blocks of so many bytes.
const BLOCK: usize = 512;
/// PAX records of one entry: names of at most 4 KiB, a checksum, and attributes of at most 64 KiB.
const RECORDS_LIMIT: u64 = 1 << 20;
/// A name with which neither Linux nor any database could do anything.
const NAME_LIMIT: u64 = 64 << 10;
/// Entries of one package; the largest in Alpine, sets of icons, have some 100,000.
const COUNT_LIMIT: usize = 200_000;

/// An archive that is being read. What it is read from gives the content of the current entry.
#[derive(Debug)]
pub struct Archive<R> {
    inner: R,
    /// Content of the current entry that is not read yet.
    left: u64,
    /// Zeros that fill the block after it.
    padding: u64,
    count: usize,
    /// Content that entries may still announce.
    room: u64,
}

/// What the archive says of an entry before its content.
#[derive(Debug)]
pub struct Entry {
    /// Its name as it stands there.
    pub name: String,
    /// What it is.
    pub kind: EntryType,
    /// The target of a link.
    pub link: Option<String>,
    /// Bytes of its content.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// User by number.
    pub uid: u32,
    /// Group by number.
    pub gid: u32,
    /// User by name.
    pub user: Option<String>,
    /// Group by name.
    pub group: Option<String>,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// SHA-1 of its content, or of a link's target.
    pub checksum: Option<Checksum>,
    /// Extended attributes.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// Content that breaks a rule.
fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

impl<R: BufRead> Archive<R> {
    /// Reads the archive that `inner` holds, up to its end.
    pub fn new(inner: R) -> Archive<R> {
        Archive {
            inner,
            left: 0,
            padding: 0,
            count: 0,
            room: SIZE_LIMIT,
        }
    }

    /// The next entry; what was not read of the one before is passed over. Nothing after the last.
    ///
    /// # Errors
    /// A header that is damaged, too much of anything, an archive that is cut short or goes on after
    /// its end, or a read that failed.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut records = Records::default();
        let mut is_announced = false;
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                if is_announced {
                    return Err(invalid("it ends where an entry was announced"));
                }
                self.finish()?;
                return Ok(None);
            };
            let size = header.entry_size()?;
            // Before any of it is written, and before a number near the largest is rounded up.
            self.room = self.room.checked_sub(size).ok_or_else(|| {
                invalid(format!("its entries announce more than {SIZE_LIMIT} bytes"))
            })?;
            self.left = size;
            self.padding = size.next_multiple_of(BLOCK as u64) - size;
            match header.entry_type() {
                EntryType::XHeader => records.read(&self.record(size, RECORDS_LIMIT)?)?,
                EntryType::GNULongName => records.name = Some(self.long_name(size)?),
                EntryType::GNULongLink => records.link = Some(self.long_name(size)?),
                kind => {
                    self.count += 1;
                    if self.count > COUNT_LIMIT {
                        return Err(invalid(format!("it has more than {COUNT_LIMIT} entries")));
                    }
                    return entry(kind, &header, size, records).map(Some);
                }
            }
            is_announced = true;
        }
    }

    /// The next header; nothing where the end marker is.
    fn header(&mut self) -> io::Result<Option<tar::Header>> {
        let mut header = tar::Header::new_old();
        self.inner
            .read_exact(header.as_mut_bytes())
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    invalid("it is cut short: its end marker is missing")
                }
                _ => error,
            })?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The field itself counts as blanks.
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        let found = sum(&bytes[..148]) + 8 * u32::from(b' ') + sum(&bytes[156..]);
        if header.cksum()? != found {
            return Err(invalid("a header in it is damaged"));
        }
        Ok(Some(header))
    }

    /// Passes over what is left of the current entry.
    fn skip(&mut self) -> io::Result<()> {
        let wanted = self.left.saturating_add(self.padding);
        let passed = io::copy(&mut self.inner.by_ref().take(wanted), &mut io::sink())?;
        if passed < wanted {
            return Err(cut_short());
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// After the end marker come zeros, to the end of a block of any size, and nothing else.
    fn finish(&mut self) -> io::Result<()> {
        loop {
            let chunk = self.inner.fill_buf()?;
            if chunk.is_empty() {
                return Ok(());
            }
            if chunk.iter().any(|byte| *byte != 0) {
                return Err(invalid("there is more after its end"));
            }
            let length = chunk.len();
            self.inner.consume(length);
        }
    }

    /// The whole content of an entry that describes the next one.
    fn record(&mut self, size: u64, limit: u64) -> io::Result<Vec<u8>> {
        if size > limit {
            return Err(invalid(format!(
                "a record in it has {size} bytes, more than {limit}"
            )));
        }
        let mut bytes = Vec::new();
        self.take(size).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn long_name(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut name = self.record(size, NAME_LIMIT)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }
}

fn cut_short() -> io::Error {
    invalid("it is cut short in the middle of an entry")
}

impl<R: BufRead> BufRead for Archive<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let chunk = self.inner.fill_buf()?;
        if chunk.is_empty() {
            return Err(cut_short());
        }
        let length = usize::try_from(self.left).map_or(chunk.len(), |left| left.min(chunk.len()));
        Ok(&chunk[..length])
    }

    fn consume(&mut self, count: usize) {
        self.left -= count as u64;
        self.inner.consume(count);
    }
}

impl<R: BufRead> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let count = chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&chunk[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Puts together what header and records say.
fn entry(kind: EntryType, header: &tar::Header, size: u64, records: Records) -> io::Result<Entry> {
    if records.size.is_some_and(|other| other != size) {
        return Err(invalid("an entry in it has two sizes"));
    }
    let text = |bytes: Option<&[u8]>| {
        let bytes = bytes?.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let id = |id: u64| u32::try_from(id).map_err(|_| invalid(format!("{id} is no user id")));
    let utf8 = |bytes: Vec<u8>| {
        String::from_utf8(bytes).map_err(|error| {
            let shown = error.as_bytes().escape_ascii().to_string();
            invalid(format!("the name `{shown}` is not UTF-8"))
        })
    };
    let name = records
        .name
        .unwrap_or_else(|| header.path_bytes().into_owned());
    let link = records
        .link
        .or_else(|| header.link_name_bytes().map(|bytes| bytes.into_owned()));
    let device = (header.device_major(), header.device_minor());
    Ok(Entry {
        name: utf8(name)?,
        kind,
        link: link.map(utf8).transpose()?,
        size,
        mode: header.mode()? & 0o7777,
        uid: id(records.uid.map_or_else(|| header.uid(), Ok)?)?,
        gid: id(records.gid.map_or_else(|| header.gid(), Ok)?)?,
        user: records.user.or_else(|| text(header.username_bytes())),
        group: records.group.or_else(|| text(header.groupname_bytes())),
        mtime: i64::try_from(header.mtime()?).unwrap_or(0),
        // Only devices need them, and others may hold anything there.
        device: (
            device.0.ok().flatten().unwrap_or(0),
            device.1.ok().flatten().unwrap_or(0),
        ),
        checksum: records.checksum,
        xattrs: records.xattrs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &str, kind: EntryType, size: u64) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(7);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    fn padded(content: &[u8]) -> Vec<u8> {
        let mut content = content.to_vec();
        content.resize(content.len().next_multiple_of(BLOCK), 0);
        content
    }

    fn names(bytes: &[u8]) -> io::Result<Vec<String>> {
        let mut archive = Archive::new(bytes);
        let mut names = Vec::new();
        while let Some(entry) = archive.next_entry()? {
            names.push(entry.name);
        }
        Ok(names)
    }

    const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

    #[test]
    fn entries_and_their_content_come_in_order() {
        let long = "d/".repeat(200) + "f";
        let line = format!("{} path={long}\n", 6 + long.len() + 4);
        let archive = [
            block("a", EntryType::Regular, 3),
            padded(b"abc"),
            block("x", EntryType::XHeader, line.len() as u64),
            padded(line.as_bytes()),
            block("short", EntryType::Regular, 0),
            block("b", EntryType::Directory, 0),
            END.to_vec(),
        ]
        .concat();
        let mut reader = Archive::new(archive.as_slice());
        let first = reader.next_entry().expect("reads").expect("an entry");
        assert_eq!((first.name.as_str(), first.size, first.mtime), ("a", 3, 7));
        assert_eq!(io::read_to_string(&mut reader).expect("content"), "abc");
        assert_eq!(names(&archive).expect("reads"), ["a", &long, "b"]);
    }

    #[track_caller]
    fn refused(parts: &[&[u8]], words: &str) {
        let error = names(&parts.concat()).expect_err("it is wrong");
        assert!(error.to_string().contains(words), "{error}");
    }

    #[test]
    fn what_is_announced_is_bounded_before_it_is_read() {
        let words = "announce more than";
        refused(&[&block("a", EntryType::Regular, SIZE_LIMIT + 1)], words);
        refused(&[&block("a", EntryType::Regular, u64::MAX)], words);
        refused(&[&block("a", EntryType::XHeader, u64::MAX)], words);
        // Entries that fit one by one.
        let (one, content) = (block("a", EntryType::Regular, 600), padded(&[1; 600]));
        let bytes = [&one[..], &content, &one, &content, &[0; 1024]].concat();
        let count = |room| {
            let mut archive = Archive::new(bytes.as_slice());
            archive.room = room;
            let entries = std::iter::from_fn(|| archive.next_entry().transpose());
            entries.filter(Result::is_ok).count()
        };
        assert_eq!((count(1200), count(1199)), (2, 1));
    }

    #[test]
    fn an_archive_that_is_cut_or_goes_on_is_refused() {
        let whole = [block("a", EntryType::Regular, 600), padded(&[1; 600])].concat();
        refused(&[&whole], "its end marker is missing");
        refused(&[&whole[..700]], "in the middle of an entry");
        refused(&[&whole, &END, &whole, &END], "more after its end");
        refused(&[&whole, &END, b"x"], "more after its end");
        let mut damaged = whole.clone();
        damaged[0] = b'b';
        refused(&[&damaged, &END], "a header in it is damaged");
    }

    #[test]
    fn records_are_bounded_and_agree() {
        let record = |text: &str| {
            let header = block("x", EntryType::XHeader, text.len() as u64);
            [header, padded(text.as_bytes())].concat()
        };
        let file = block("a", EntryType::Regular, 0);
        refused(
            &[&block("x", EntryType::XHeader, 1 << 30), &END],
            "more than 1048576",
        );
        refused(
            &[&block("x", EntryType::GNULongName, 1 << 30), &END],
            "more than 65536",
        );
        refused(&[&record("11 size=99\n"), &file, &END], "two sizes");
        refused(&[&record("99 size=99\n"), &file, &END], "is damaged");
        refused(&[&record("11 path=x\n"), &file, &END], "is damaged");
        refused(
            &[&record("10 path=x\n"), &END],
            "where an entry was announced",
        );
        assert_eq!(
            names(&[record("10 path=x\n"), file, END.to_vec()].concat()).expect("reads"),
            ["x"]
        );
    }
}
