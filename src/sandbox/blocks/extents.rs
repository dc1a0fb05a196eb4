//! Parts of sparse files that hold data.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::ops::Range;

use rustix::fs::SeekFrom;

/// The first part of a file with data in it at or after a position; none up to the end.
///
/// # Errors
/// The file system fails.
pub fn next(file: &File, position: u64) -> io::Result<Option<Range<u64>>> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(start) => start,
        // Only a hole, or the end.
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
    Ok(Some(start..end))
}

/// Copies what is data in a range of a file to the same place of another one.
///
/// # Errors
/// Reading or writing fails.
pub fn copy(from: &File, to: &File, range: Range<u64>) -> io::Result<()> {
    let mut position = range.start;
    while position < range.end {
        let Some(extent) = next(from, position)? else {
            break;
        };
        let (start, end) = (extent.start, extent.end.min(range.end));
        if start >= end {
            break;
        }
        let (mut source, mut target) = (from, to);
        source.seek(io::SeekFrom::Start(start))?;
        target.seek(io::SeekFrom::Start(start))?;
        // The standard library has the kernel copy, where it can.
        let copied = io::copy(&mut source.take(end - start), &mut target)?;
        if copied < end - start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        position = end;
    }
    Ok(())
}
