//! The endpoint: HTTP on one address for every service, and the sandbox as a whole.
//!
//! | part | subject |
//! |---|---|
//! | `config`, `state`, `accounts`, `environment` | what a sandbox is started with and leaves in its folder |
//! | `connections`, `body` | connections, and bodies in memory |
//! | `endpoint`, `objects` | a request's way, of S3 and of all others |

mod accounts;
mod body;
mod config;
mod connections;
mod endpoint;
mod environment;
mod objects;
mod state;
#[cfg(test)]
mod tests;

pub(in crate::sandbox) use accounts::{access_key, add as add_account, new_access_key};
pub use config::{SandboxConfig, SandboxError, default_accounts};
pub(in crate::sandbox) use connections::Peer;
pub(in crate::sandbox) use endpoint::Endpoint;
pub use environment::{AccountEnvironment, DEFAULT_REGION, Environment, EnvironmentError};
pub(in crate::sandbox) use state::{advance_clock, open};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::state::Lock;
use super::caller::AccessKey;
use super::shared::Shared;

/// The body of an answer.
pub type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The largest scale of the clock.
pub const MOST_SCALE: f64 = 1000.0;
/// Calls in progress have so much time when a sandbox is stopped, and then its jobs.
const PATIENCE: Duration = Duration::from_secs(10);

fn empty_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A sandbox that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
    address: SocketAddr,
    warnings: Vec<String>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    _lock: Lock,
}

impl Sandbox {
    /// Starts a sandbox.
    ///
    /// # Errors
    /// The folder, the state, the accounts, the limits or the address cannot be used.
    pub async fn start(config: SandboxConfig) -> Result<Sandbox, SandboxError> {
        let lock = Lock::take(&config.state)?;
        // Of one that was killed: nobody is to read it while this one starts.
        Environment::remove(&config.state);
        let shared = open(&config)?;
        let failed = |source| SandboxError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut warnings = Vec::new();
        if !address.ip().is_loopback() {
            warnings.push(format!(
                "the sandbox listens on {address}: whoever reaches this machine there can use it, \
                 and its traffic is not encrypted"
            ));
        }
        let socket = listen_on_socket(&config.state, &mut warnings);
        super::blocks::recover(&shared);
        super::s3::recover(&shared);
        super::machines::recover(&shared);
        let url = url(address);
        let folder = |source| SandboxError::Folder {
            path: config.state.clone(),
            source,
        };
        Environment::of(&shared, &url)
            .write(&config.state)
            .map_err(folder)?;
        let endpoint = Arc::new(Endpoint::new(Arc::clone(&shared), url));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(connections::serve(endpoint, listener, socket, stopped));
        Ok(Sandbox {
            shared,
            address,
            warnings,
            stop,
            task,
            _lock: lock,
        })
    }

    /// Such as `http://127.0.0.1:4566`.
    pub fn endpoint(&self) -> String {
        url(self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What whoever started it should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What all calls share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The credentials of an account, by its name.
    pub fn credentials(&self, account: &str) -> Option<AccessKey> {
        self.shared.read(|world| {
            let account = world
                .accounts
                .values()
                .find(|known| known.name == account)?;
            access_key(world, &account.id).cloned()
        })
    }

    /// Stops: calls in progress are answered, within a patience; then connections are closed, and
    /// jobs in progress are waited for as long.
    pub async fn stop(mut self) {
        // Nobody listens any more if the task has ended.
        let _ = self.stop.send(true);
        if tokio::time::timeout(PATIENCE, &mut self.task)
            .await
            .is_err()
        {
            tracing::warn!("sandbox: calls that do not end are broken off");
            self.task.abort();
        }
        self.shared.machines.close();
        let shared = Arc::clone(&self.shared);
        let settled = tokio::task::spawn_blocking(move || shared.settle());
        if tokio::time::timeout(PATIENCE, settled).await.is_err() {
            tracing::warn!("sandbox: jobs that do not end are taken up at the next start");
        }
        Environment::remove(&self.shared.folder);
        let _ = std::fs::remove_file(self.shared.folder.join(SOCKET));
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.machines.close();
    }
}

/// The URL for clients on this machine.
fn url(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

/// The socket's name in the state folder.
pub(in crate::sandbox) const SOCKET: &str = "endpoint.sock";

/// Listens on a socket in the state folder, through which virtual machines reach the endpoint.
/// Without it there are no machines, but all else works.
fn listen_on_socket(state: &Path, warnings: &mut Vec<String>) -> Option<UnixListener> {
    let path = state.join(SOCKET);
    // One that a killed sandbox left; ours is the only one, by the lock.
    let _ = std::fs::remove_file(&path);
    match UnixListener::bind(&path) {
        Ok(socket) => Some(socket),
        Err(error) => {
            warnings.push(format!(
                "cannot listen on {} ({error}), so that virtual machines cannot reach the \
                 endpoint; a path of at most 107 bytes is needed: choose a shorter --state",
                path.display()
            ));
            None
        }
    }
}
