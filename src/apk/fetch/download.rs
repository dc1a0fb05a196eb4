//! One package from one address: begun or gone on with, verified while it comes, and kept only whole.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use reqwest::Client;

use super::http::{Answer, Failed, get, shown};
use super::settings::Limits;
use super::watch::{Event, Watch};
use crate::apk::arriving::Arriving;
use crate::apk::index::Checksum;
use crate::apk::keys::KeyRing;
use crate::apk::mirror::MirrorError;
use crate::apk::package::PackageError;
use crate::apk::store::Partial;

/// What every gzip file begins with (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What is to be fetched.
pub(super) struct Wanted<'a> {
    /// Its file in the repository.
    pub file: &'a str,
    /// What the index says of it.
    pub checksum: Checksum,
    /// Its length in bytes, as the index says.
    pub size: u64,
    /// Who may have signed it.
    pub keys: &'a KeyRing,
}

/// A package on its way.
pub(super) struct Download<'a> {
    wanted: &'a Wanted<'a>,
    partial: Partial,
    arriving: Arriving<'a>,
    /// How many bytes are there.
    have: u64,
    /// How many of them an earlier answer gave, maybe that of another mirror.
    resumed: u64,
    /// How many bytes were told.
    told: u64,
    watch: &'a Watch,
}

/// What an answer came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// All of it is there, and is the package.
    Whole,
    /// What was there before does not belong to what came: all of it is to come again.
    Mixed,
}

impl<'a> Download<'a> {
    /// Goes on with what an earlier run left, as far as it can be used.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn new(
        wanted: &'a Wanted<'a>,
        partial: Partial,
        watch: &'a Watch,
    ) -> Result<Download<'a>, MirrorError> {
        let mut download = Download {
            wanted,
            partial,
            arriving: Arriving::new(wanted.file, wanted.checksum, wanted.keys),
            have: 0,
            resumed: 0,
            told: 0,
            watch,
        };
        let usable = download.read_back();
        if !usable.map_err(|source| download.unwritable(source))? {
            download.restart()?;
        }
        Ok(download)
    }

    /// Whether what is there is the beginning of the package, as far as that can be seen yet.
    fn read_back(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 64 << 10];
        self.partial.file().rewind()?;
        loop {
            let count = self.partial.file().read(&mut buffer)?;
            if count == 0 {
                self.resumed = self.have;
                self.tell();
                return Ok(true);
            }
            self.have += count as u64;
            if self.have > self.wanted.size || self.arriving.push(&buffer[..count]).is_err() {
                return Ok(false);
            }
        }
    }

    /// Throws away what is there.
    fn restart(&mut self) -> Result<(), MirrorError> {
        let Wanted {
            file,
            checksum,
            keys,
            ..
        } = self.wanted;
        self.arriving = Arriving::new(file, *checksum, keys);
        (self.have, self.resumed) = (0, 0);
        let file = self.partial.file();
        let emptied = file.set_len(0).and_then(|()| file.rewind());
        emptied.map_err(|source| self.unwritable(source))
    }

    /// One try at one address.
    ///
    /// # Errors
    /// What the mirror does wrong. Bytes that came before a connection broke stay for the next try;
    /// nothing stays of what cannot be the package.
    pub async fn attempt(
        &mut self,
        http: &Client,
        url: &str,
        limits: &Limits,
    ) -> Result<Came, Failed> {
        if self.have < self.wanted.size {
            let mut answer = get(http, url, self.have, limits).await?;
            if answer.from == 0 && self.have > 0 {
                self.restart().map_err(Failed::Lasting)?;
            }
            if let Err(failed) = self.receive(url, &mut answer).await {
                return self.refuse(failed);
            }
        }
        let next = Arriving::new(self.wanted.file, self.wanted.checksum, self.wanted.keys);
        match std::mem::replace(&mut self.arriving, next).finish() {
            Ok(()) => Ok(Came::Whole),
            Err(source) => self.refuse(not_it(url, source)),
        }
    }

    /// Takes an answer to its end.
    async fn receive(&mut self, url: &str, answer: &mut Answer) -> Result<(), Failed> {
        let size = self.wanted.size;
        let damaged = |why: String| {
            Failed::Lasting(MirrorError::Damaged {
                url: shown(url),
                why,
            })
        };
        let mut is_first = true;
        while let Some(chunk) = answer.chunk().await? {
            if is_first && answer.from == 0 {
                looks_packed(url, &chunk).map_err(Failed::Lasting)?;
            }
            if is_first && let Some(other) = answer.size.filter(|other| *other != size) {
                return Err(damaged(length(other, size)));
            }
            is_first = false;
            if self.have + chunk.len() as u64 > size {
                let why = format!("it has more than the {size} bytes that are listed for it");
                return Err(damaged(why));
            }
            let verified = self.arriving.push(&chunk);
            verified.map_err(|source| not_it(url, source))?;
            // Into the page cache: that takes no longer than handing it to another thread would.
            let written = self.partial.file().write_all(&chunk);
            written.map_err(|source| Failed::Lasting(self.unwritable(source)))?;
            self.have += chunk.len() as u64;
            self.tell();
        }
        match self.have == size {
            true => Ok(()),
            false => Err(damaged(length(self.have, size))),
        }
    }

    /// What a failed try leaves.
    fn refuse(&mut self, failed: Failed) -> Result<Came, Failed> {
        let is_lie = matches!(
            failed.error(),
            MirrorError::Damaged { .. } | MirrorError::Package { .. }
        );
        if !is_lie {
            return Err(failed);
        }
        let was_resumed = self.resumed > 0;
        self.restart().map_err(Failed::Lasting)?;
        match was_resumed {
            true => Ok(Came::Mixed),
            false => Err(failed),
        }
    }

    /// What the next answer brings comes behind what is there.
    pub fn resume(&mut self) -> Result<(), MirrorError> {
        self.resumed = self.have;
        let at = SeekFrom::Start(self.have);
        let sought = self.partial.file().seek(at);
        sought.map(drop).map_err(|source| self.unwritable(source))
    }

    /// The whole package, to be kept.
    pub fn into_partial(self) -> Partial {
        self.partial
    }

    /// Bytes that come again are not told again.
    fn tell(&mut self) {
        if self.have > self.told {
            self.watch.tell(Event::Came(self.have - self.told));
            self.told = self.have;
        }
    }

    fn unwritable(&self, source: io::Error) -> MirrorError {
        MirrorError::Store {
            path: self.partial.path().to_owned(),
            source,
        }
    }
}

fn not_it(url: &str, source: PackageError) -> Failed {
    Failed::Lasting(MirrorError::Package {
        url: shown(url),
        source: Box::new(source),
    })
}

fn length(found: u64, expected: u64) -> String {
    match found > expected {
        true => format!("it has more than the {expected} bytes that are listed for it ({found})"),
        false => format!("it has {found} bytes, not the {expected} bytes that are listed for it"),
    }
}

/// Refuses what is not a packed file from its first bytes: a mirror that hides its errors, or somebody
/// on the way who wants to be logged in to.
pub(super) fn looks_packed(url: &str, begin: &[u8]) -> Result<(), MirrorError> {
    if begin.iter().zip(GZIP).all(|(byte, magic)| *byte == magic) {
        return Ok(());
    }
    let is_page = begin.trim_ascii_start().starts_with(b"<");
    let why = match is_page {
        true => "it is a web page, not a packed file",
        false => "it is not a packed file",
    };
    Err(MirrorError::Damaged {
        url: shown(url),
        why: why.to_owned(),
    })
}
