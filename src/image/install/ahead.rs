//! Packages opened, verified and inflated ahead of the one that is being laid down.
//!
//! A thread of its own does that, so that a second processor has work while files are written and
//! scripts run. It is held to a few packages and a few megabytes.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::Planned;
use crate::apk::keys::KeyRing;
use crate::apk::package::{Package, PackageError, Scripts};
use crate::apk::pkginfo::PkgInfo;

/// Packages that wait to be laid down.
const PACKAGES: usize = 4;
/// Pieces of a package's data that wait.
const PIECES: usize = 8;
/// Bytes of a piece.
const PIECE: usize = 256 << 10;

/// A verified package whose data is on its way.
#[derive(Debug)]
pub struct Opened {
    /// What it says of itself.
    pub info: PkgInfo,
    /// Its scripts.
    pub scripts: Scripts,
    /// Its data tar.
    pub data: Inflated,
}

/// The next package, or why there is none.
pub type Next = Result<Opened, PackageError>;

/// Opens `packages` in their order and sends them until nobody listens any more.
pub fn open(packages: &[Planned<'_>], keys: &KeyRing, sender: &SyncSender<Next>) {
    for planned in packages {
        let mut package = match Package::open(&planned.file, &planned.package.checksum, keys) {
            Ok(package) => package,
            Err(error) => {
                // The receiver is gone where laying down failed before.
                let _ = sender.send(Err(error));
                return;
            }
        };
        let (pieces, receiver) = sync_channel(PIECES);
        let opened = Opened {
            info: package.info.clone(),
            scripts: std::mem::take(&mut package.scripts),
            data: Inflated::new(receiver),
        };
        if sender.send(Ok(opened)).is_err() {
            return;
        }
        if let Err(error) = inflate(&mut package, &pieces) {
            let _ = pieces.send(Err(error));
        }
    }
}

/// The channel for [`open`].
pub fn channel() -> (SyncSender<Next>, Receiver<Next>) {
    sync_channel(PACKAGES)
}

/// An empty piece says that the data has come to its end.
fn inflate(package: &mut Package, pieces: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut data = package.data()?;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        data.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        let is_end = piece.is_empty();
        // Whoever stopped listening has failed, and says why.
        if pieces.send(Ok(piece)).is_err() || is_end {
            return Ok(());
        }
    }
}

/// The data of a package, as the other thread inflates it.
#[derive(Debug)]
pub struct Inflated {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    read: usize,
    is_ended: bool,
}

impl Inflated {
    fn new(pieces: Receiver<io::Result<Vec<u8>>>) -> Inflated {
        Inflated {
            pieces,
            piece: Vec::new(),
            read: 0,
            is_ended: false,
        }
    }
}

impl BufRead for Inflated {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read == self.piece.len() && !self.is_ended {
            let gone = || io::Error::other("the thread that unpacks packages is gone");
            self.piece = self.pieces.recv().map_err(|_| gone())??;
            self.read = 0;
            self.is_ended = self.piece.is_empty();
        }
        Ok(&self.piece[self.read..])
    }

    fn consume(&mut self, count: usize) {
        self.read += count;
    }
}

impl Read for Inflated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
