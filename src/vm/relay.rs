//! One connection between a guest and the metadata service, as the program that QEMU starts for it.
//!
//! QEMU's user network can hand each connection to an address of its own network to a
//! new process, with the connection as its standard input and output (`guestfwd=…-cmd:`).
//! The other form, a character device, is shared by all connections and mixes them up.
//!
//! Nothing here may print: QEMU makes standard error the connection too, so a message
//! would reach the guest as part of an answer.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// A connection that could not be relayed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Nothing listens on the socket.
    #[error("cannot reach the metadata service at {socket}")]
    Connect {
        /// Where it was sought.
        socket: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The connection broke off.
    #[error("the connection to the metadata service at {socket} broke off")]
    Copy {
        /// The metadata service's socket.
        socket: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Relays standard input and output to the Unix socket until the service closes its side.
///
/// Blocks; the caller must exit when it returns, since a thread may still wait for input.
pub fn run(socket: &Path) -> Result<(), RelayError> {
    // Descriptors of our own instead of `Stdin` and `Stdout`, which would buffer by lines.
    let own = |descriptor: BorrowedFd<'_>| descriptor.try_clone_to_owned().map(File::from);
    let guest = own(io::stdin().as_fd()).and_then(|input| Ok((input, own(io::stdout().as_fd())?)));
    let (input, output) = guest.map_err(|source| RelayError::Copy {
        socket: socket.to_owned(),
        source,
    })?;
    relay(socket, input, output)
}

/// The guest closing its side first (busybox `nc` does, right after its request) is passed
/// on and does not end the relay: the answer is still to come.
fn relay(socket: &Path, mut input: File, mut output: File) -> Result<(), RelayError> {
    let copy = |source| RelayError::Copy {
        socket: socket.to_owned(),
        source,
    };
    let mut service = UnixStream::connect(socket).map_err(|source| RelayError::Connect {
        socket: socket.to_owned(),
        source,
    })?;
    let mut requests = service.try_clone().map_err(copy)?;
    std::thread::spawn(move || {
        // A failure here shows as a connection that the service closes: nothing to add.
        let _ = io::copy(&mut input, &mut requests);
        let _ = requests.shutdown(Shutdown::Write);
    });
    io::copy(&mut service, &mut output).map_err(copy)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixListener;

    /// A service that answers once it has read to the end of the request.
    fn service(socket: &Path) -> std::thread::JoinHandle<String> {
        let listener = UnixListener::bind(socket).expect("bound");
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().expect("a connection");
            let mut request = String::new();
            connection.read_to_string(&mut request).expect("a request");
            connection.write_all(b"answer").expect("answered");
            request
        })
    }

    #[test]
    fn an_answer_comes_after_the_request_has_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("socket");
        let service = service(&socket);
        let (mut guest, qemu) = UnixStream::pair().expect("a pair");
        let output = File::from(OwnedFd::from(qemu.try_clone().expect("a clone")));
        let input = File::from(OwnedFd::from(qemu));
        guest.write_all(b"request").expect("sent");
        guest.shutdown(Shutdown::Write).expect("ended");

        relay(&socket, input, output).expect("relayed");

        assert_eq!(service.join().expect("no panic"), "request");
        let mut answer = [0; 6];
        guest.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"answer");
    }

    #[test]
    fn without_a_service_it_fails() {
        let (_guest, qemu) = UnixStream::pair().expect("a pair");
        let output = File::from(OwnedFd::from(qemu.try_clone().expect("a clone")));
        let error = relay(
            Path::new("/nowhere/socket"),
            File::from(OwnedFd::from(qemu)),
            output,
        )
        .expect_err("nothing there");
        assert!(matches!(error, RelayError::Connect { .. }), "{error}");
    }
}
