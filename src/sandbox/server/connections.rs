//! Connections: accepting them, serving HTTP on them, ending them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::endpoint::Endpoint;

/// A client sends the head of its request within this time.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);
/// Memory for what a connection has read and not yet handled; heads must fit into it.
const BUFFER: usize = 64 << 10;
/// A wait after a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Whence a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Peer {
    /// From this machine.
    Loopback,
    /// From another machine.
    Remote,
    /// From the Unix socket: a virtual machine.
    Socket,
}

impl Peer {
    fn at(address: IpAddr) -> Peer {
        if address.to_canonical().is_loopback() {
            Peer::Loopback
        } else {
            Peer::Remote
        }
    }
}

/// Serves connections until `stop` is true; then those that are open end with their call.
pub(super) async fn serve(
    endpoint: Arc<Endpoint>,
    listener: TcpListener,
    socket: Option<UnixListener>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => accepted.map(|(stream, peer)| {
                // Small answers must not wait for an acknowledgement.
                let _ = stream.set_nodelay(true);
                let stop = stop.clone();
                connections.spawn(connection(Arc::clone(&endpoint), stream, Some(peer), stop));
            }),
            accepted = accept_on(socket.as_ref()) => accepted.map(|stream| {
                let stop = stop.clone();
                connections.spawn(connection(Arc::clone(&endpoint), stream, None, stop));
            }),
            // A connection that has ended is forgotten.
            Some(_) = connections.join_next() => Ok(()),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "sandbox: cannot accept a connection");
            tokio::time::sleep(PAUSE).await;
        }
    }
    drop((listener, socket));
    while connections.join_next().await.is_some() {}
}

/// Waits until the sandbox stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sandbox that is gone is stopped too.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn accept_on(socket: Option<&UnixListener>) -> std::io::Result<tokio::net::UnixStream> {
    match socket {
        Some(socket) => Ok(socket.accept().await?.0),
        None => std::future::pending().await,
    }
}

/// Serves a connection from an address; the Unix socket has none.
async fn connection<S>(
    endpoint: Arc<Endpoint>,
    stream: S,
    address: Option<SocketAddr>,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let peer = address.map_or(Peer::Socket, |address| Peer::at(address.ip()));
    let service = service_fn(|mut request| {
        if let Some(address) = address {
            // For policies that look at it.
            request.extensions_mut().insert(address);
        }
        Arc::clone(&endpoint).answer(peer, request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        // Small guests ask with busybox nc, which closes its sending side right after the request.
        // Of other clients that is how their going away shows.
        .half_close(address.is_none())
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "sandbox: a connection broke off");
    }
}
