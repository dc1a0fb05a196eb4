//! Objects' data: files with random names under `s3/` in the state folder.
//!
//! Data comes into `s3/incoming`, and moves to `s3/data` before the world learns of it. So what
//! the world knows is always there, and a kill leaves at most files that nobody knows, which
//! [`sweep`] removes.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Frame, SizeHint};
use s3s::dto::StreamingBlob;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};

use super::call::fault;
use super::checksum::{Algorithm, Sums};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::random;
use crate::sandbox::shared::Shared;

/// The largest object that can be put at once, and the largest part: 5 GiB.
pub const LARGEST_PUT: u64 = 5 << 30;

/// A request whose body pauses for longer is given up.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Data that is written and not yet known to the world; its file goes with it unless it is kept.
#[derive(Debug)]
pub struct Received {
    /// The file's name; none if there is no data.
    pub file: Option<String>,
    /// Bytes.
    pub size: u64,
    /// MD5.
    pub md5: [u8; 16],
    /// The checksum in Base64.
    pub sum: String,
    path: PathBuf,
    kept: bool,
}

impl Received {
    /// The world knows it.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if !self.kept && self.file.is_some() {
            // What cannot be removed now is removed by the sweep.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn folder(shared: &Shared, name: &str) -> PathBuf {
    shared.folder.join("s3").join(name)
}

/// Where the data of a name is.
pub fn path(shared: &Shared, file: &str) -> PathBuf {
    folder(shared, "data").join(file)
}

/// A file under way; removed if it is given up.
struct Incoming {
    name: String,
    path: PathBuf,
}

impl Incoming {
    fn new(shared: &Shared) -> io::Result<Incoming> {
        let name = crate::digest::hex(&random::<16>());
        let folder = folder(shared, "incoming");
        std::fs::create_dir_all(&folder)?;
        std::fs::create_dir_all(self::folder(shared, "data"))?;
        Ok(Incoming {
            path: folder.join(&name),
            name,
        })
    }

    fn settle(self, shared: &Shared, size: u64, sums: Sums) -> io::Result<Received> {
        let (md5, sum) = sums.finish();
        let path = path(shared, &self.name);
        let file = if size == 0 {
            None
        } else {
            std::fs::rename(&self.path, &path)?;
            Some(self.name.clone())
        };
        Ok(Received {
            file,
            size,
            md5,
            sum,
            path,
            kept: false,
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writes what a request carries to a file.
///
/// # Errors
/// The request breaks off, or its data is not what its signature says, or the disk fails.
pub async fn receive(
    shared: &Shared,
    body: Option<StreamingBlob>,
    algorithm: Algorithm,
) -> Result<Received, ServiceError> {
    let incoming = Incoming::new(shared).map_err(ServiceError::internal)?;
    let mut sums = Sums::new(algorithm);
    let mut size: u64 = 0;
    let file = tokio::fs::File::create(&incoming.path)
        .await
        .map_err(ServiceError::internal)?;
    let mut file = tokio::io::BufWriter::with_capacity(256 << 10, file);
    let mut body = s3s::Body::from(body.unwrap_or_else(|| s3s::Body::empty().into()));
    while let Some(frame) = next_frame(&mut body, LONGEST_PAUSE).await? {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        size = size.saturating_add(data.len() as u64);
        if size > LARGEST_PUT {
            return Err(too_large(size));
        }
        sums.update(&data);
        file.write_all(&data)
            .await
            .map_err(ServiceError::internal)?;
    }
    file.flush().await.map_err(ServiceError::internal)?;
    incoming
        .settle(shared, size, sums)
        .map_err(ServiceError::internal)
}

/// The next frame of a body, none at its end.
async fn next_frame(
    body: &mut s3s::Body,
    patience: Duration,
) -> Result<Option<Frame<Bytes>>, ServiceError> {
    let frame = tokio::time::timeout(patience, body.frame())
        .await
        .map_err(|_| {
            fault(
                "RequestTimeout",
                "Your socket connection to the server was not read from or written to within the \
                 timeout period. Idle connections will be closed.",
            )
        })?;
    frame.transpose().map_err(|error| broken_body(&*error))
}

/// The error for data beyond what S3 takes at once.
pub fn too_large(size: u64) -> ServiceError {
    fault(
        "EntityTooLarge",
        "Your proposed upload exceeds the maximum allowed size",
    )
    .member("ProposedSize", size.to_string())
    .member("MaxSizeAllowed", LARGEST_PUT.to_string())
}

/// What is wrong with a body that cannot be read to its end. s3s does not export the types of
/// these errors, so that they are told apart by their texts.
fn broken_body(error: &(dyn std::error::Error + Send + Sync + 'static)) -> ServiceError {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        sha256_mismatch()
    } else if text.contains("SignatureMismatch") {
        fault(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check \
             your key and signing method.",
        )
    } else if text.contains("TooLarge") || text.contains("FormatError") || text.contains("TooMany")
    {
        fault(
            "InvalidRequest",
            "The request's chunked encoding is malformed.",
        )
    } else {
        fault(
            "IncompleteBody",
            "You did not provide the number of bytes specified by the Content-Length HTTP header",
        )
    }
}

/// The error for a body that is not what `x-amz-content-sha256` says.
pub fn sha256_mismatch() -> ServiceError {
    ServiceError::new(
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
}

/// A stretch of a file.
#[derive(Debug)]
pub struct Piece {
    /// The file.
    pub file: File,
    /// Where it begins.
    pub start: u64,
    /// Bytes.
    pub length: u64,
}

/// Writes stretches of files one after the other into a new file. Called where it may block. Only
/// one piece is asked for at a time, so that many files need not be open at once.
///
/// # Errors
/// The disk fails, or a file is shorter than it should be, or a piece cannot be had.
pub fn join(
    shared: &Shared,
    pieces: impl IntoIterator<Item = io::Result<Piece>>,
    algorithm: Algorithm,
) -> io::Result<Received> {
    let incoming = Incoming::new(shared)?;
    let mut sums = Sums::new(algorithm);
    let mut size = 0;
    let mut target = File::create(&incoming.path)?;
    let mut buffer = vec![0; 256 << 10];
    for piece in pieces {
        let mut piece = piece?;
        piece.file.seek(SeekFrom::Start(piece.start))?;
        let mut source = piece.file.take(piece.length);
        let mut copied = 0;
        loop {
            let count = source.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            sums.update(&buffer[..count]);
            target.write_all(&buffer[..count])?;
            copied += count as u64;
        }
        if copied != piece.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        size += copied;
    }
    incoming.settle(shared, size, sums)
}

/// Removes files that the world does not know any more.
pub fn remove(shared: &Shared, files: &[String]) {
    for file in files {
        if let Err(error) = std::fs::remove_file(path(shared, file)) {
            tracing::warn!(%error, file, "sandbox: an object's file cannot be removed");
        }
    }
}

/// Removes every file that the world does not know. Called before requests are answered.
pub fn sweep(shared: &Shared) {
    let known: HashSet<String> = shared.read(|world| {
        let objects = world
            .s3
            .objects
            .values()
            .flat_map(|record| &record.versions)
            .filter_map(|version| version.content.as_ref()?.file.clone());
        let parts = world.s3.parts.values().filter_map(|part| part.file.clone());
        objects.chain(parts).collect()
    });
    remove_all_but(&folder(shared, "incoming"), &HashSet::new());
    remove_all_but(&folder(shared, "data"), &known);
}

fn remove_all_but(folder: &Path, known: &HashSet<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let is_known = entry
            .file_name()
            .to_str()
            .is_some_and(|name| known.contains(name));
        if !is_known && let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::warn!(%error, path = %entry.path().display(), "sandbox: a stray file stays");
        }
    }
}

/// The body of an answer: a stretch of a file, or nothing.
pub fn body(piece: Option<Piece>) -> io::Result<StreamingBlob> {
    let Some(mut piece) = piece else {
        return Ok(s3s::Body::empty().into());
    };
    piece.file.seek(SeekFrom::Start(piece.start))?;
    Ok(s3s::Body::http_body(FileBody {
        file: tokio::fs::File::from_std(piece.file),
        left: piece.length,
        buffer: vec![0; 128 << 10],
    })
    .into())
}

struct FileBody {
    file: tokio::fs::File,
    left: u64,
    buffer: Vec<u8>,
}

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let FileBody { file, left, buffer } = &mut *self;
        let most = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let mut room = ReadBuf::new(&mut buffer[..most]);
        match Pin::new(file).poll_read(context, &mut room) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) if room.filled().is_empty() => {
                Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())))
            }
            Poll::Ready(Ok(())) => {
                let data = Bytes::copy_from_slice(room.filled());
                *left -= data.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::testing::Bed;

    /// A body that says nothing more.
    struct Silent;

    impl hyper::body::Body for Silent {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            Poll::Pending
        }
    }

    #[test]
    fn a_silent_writer_is_given_up() {
        let bed = Bed::new();
        let mut body = s3s::Body::http_body(Silent);
        let frame = bed
            .shared
            .runtime()
            .block_on(async { next_frame(&mut body, Duration::ZERO).await });
        let error = frame.expect_err("silence");
        assert_eq!((&*error.code, error.status), ("RequestTimeout", 400));
    }

    #[test]
    fn one_file_is_open_at_a_time() {
        let bed = Bed::new();
        let folder = tempfile::tempdir().expect("a folder");
        let open = || {
            std::fs::read_dir("/proc/self/fd")
                .expect("open files")
                .flatten()
                .filter_map(|entry| std::fs::read_link(entry.path()).ok())
                .filter(|path| path.starts_with(folder.path()))
                .count()
        };
        let pieces = (0..3).map(|number| {
            assert_eq!(open(), 0, "before file {number}");
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, b"data")?;
            Ok(Piece {
                file: File::open(path)?,
                start: 1,
                length: 2,
            })
        });
        let joined = join(&bed.shared, pieces, Algorithm::Crc32).expect("joined");
        assert_eq!(joined.size, 6);
    }
}
