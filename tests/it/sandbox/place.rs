//! A sandbox of a test's own: in this process, or as a process that can be killed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alpine_ami::sandbox::machines::InstanceMode;
use alpine_ami::sandbox::{Sandbox, SandboxConfig};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::client::{Answer, Call, Client, Keys};

pub const PUBLISHER: &str = "111111111111";
pub const CUSTOMER: &str = "222222222222";

/// Where most tests are.
pub const HOME: &str = "us-east-1";
/// Where they copy to.
pub const ABROAD: &str = "eu-west-1";

/// A sandbox in this process, gone with the test.
pub struct Place {
    // Dropped in this order: the sandbox ends before the runtime it runs on.
    sandbox: Option<Sandbox>,
    pub folder: tempfile::TempDir,
    http: reqwest::Client,
    runtime: Runtime,
}

impl Place {
    /// Nothing in it; states change at once, and calls come as fast as they will.
    pub fn new() -> Place {
        let place = Place::limited();
        place.limit("rates", json!("unlimited"));
        place
    }

    /// One whose instances are QEMU machines.
    pub fn with_machines() -> Place {
        let place = Place::with(|config| {
            config.instances = InstanceMode::Qemu;
            config.program = Some(env!("CARGO_BIN_EXE_alpine-ami").into());
        });
        place.limit("rates", json!("unlimited"));
        place
    }

    /// One whose instances are processes of this machine.
    pub fn with_processes() -> Place {
        let place = Place::with(|config| {
            config.instances = InstanceMode::Process;
            config.program = Some(env!("CARGO_BIN_EXE_alpine-ami").into());
        });
        place.limit("rates", json!("unlimited"));
        place
    }

    /// Nothing in it; states change at once, and rates are AWS's.
    pub fn limited() -> Place {
        Place::with(|_| {})
    }

    /// One whose configuration is another one's.
    pub fn with(change: impl FnOnce(&mut SandboxConfig)) -> Place {
        let runtime = runtime();
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = SandboxConfig::for_tests(folder.path().join("state"));
        change(&mut config);
        let sandbox = runtime.block_on(Sandbox::start(config)).expect("a sandbox");
        Place {
            sandbox: Some(sandbox),
            folder,
            http: http(),
            runtime,
        }
    }

    /// Keeps all that is there, to come back to it with [`Place::go_back`].
    pub fn keep(&mut self) {
        self.end();
        self.copy("state", "kept");
        self.restart();
        self.limit("rates", json!("unlimited"));
    }

    /// Everything is again as it was when it was kept.
    pub fn go_back(&mut self) {
        self.end();
        self.copy("kept", "state");
        self.restart();
        self.limit("rates", json!("unlimited"));
    }

    /// Ends the sandbox, and waits until it has let go of its state. The last to hold it is here, so
    /// that the database is closed when this is over, and not about to be.
    fn end(&mut self) {
        let shared = Arc::clone(self.sandbox().shared());
        drop(self.sandbox.take());
        let begun = Instant::now();
        while Arc::strong_count(&shared) > 1 {
            assert!(begun.elapsed().as_secs() < 60, "the sandbox does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Copies a folder over another one. With `cp`, which leaves holes of files as holes.
    fn copy(&self, from: &str, to: &str) {
        let [from, to] = [from, to].map(|name| self.folder.path().join(name));
        if to.exists() {
            std::fs::remove_dir_all(&to).expect("removed");
        }
        let copied = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(copied.expect("cp starts").success());
    }

    pub fn sandbox(&self) -> &Sandbox {
        self.sandbox.as_ref().expect("it runs")
    }

    /// Ends the sandbox and starts another one on the same state.
    pub fn restart(&mut self) {
        drop(self.sandbox.take());
        let config = SandboxConfig::for_tests(self.folder.path().join("state"));
        let started = self.runtime.block_on(Sandbox::start(config));
        self.sandbox = Some(started.expect("a sandbox"));
    }

    /// An account's administrator in [`HOME`].
    pub fn client(&self, account: &str) -> Client {
        let key = self.sandbox().credentials(account).expect("an account");
        Client {
            endpoint: self.sandbox().endpoint(),
            keys: Keys {
                id: key.id,
                secret: key.secret,
                session: key.session_token,
            },
            region: HOME.to_owned(),
            runtime: self.runtime.handle().clone(),
            http: self.http.clone(),
            clock_off: 0,
        }
    }

    pub fn publisher(&self) -> Client {
        self.client("publisher")
    }

    pub fn customer(&self) -> Client {
        self.client("customer")
    }

    /// Waits until nothing is under way in the background.
    pub fn settle(&self) {
        self.sandbox().shared().settle();
    }

    /// A call of the sandbox's control.
    #[track_caller]
    pub fn control(&self, method: &'static str, what: &str, body: Value) -> Value {
        control(&self.publisher(), method, what, body)
    }
}

/// A call of the sandbox's control, which must succeed.
#[track_caller]
pub fn control(client: &Client, method: &'static str, what: &str, body: Value) -> Value {
    let answer = control_answer(client, method, what, body);
    assert!(
        (200..300).contains(&answer.status),
        "{method} {what}: {} {}",
        answer.status,
        answer.text()
    );
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// A call of the sandbox's control.
pub fn control_answer(client: &Client, method: &'static str, what: &str, body: Value) -> Answer {
    let mut call = Call::new(method, &format!("/_sandbox/{what}"));
    if !body.is_null() {
        call = call
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    client.send_as_is(&call).expect("an answer")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

/// A sandbox in a process of its own. Killed when dropped.
pub struct Process {
    child: Child,
    pub publisher: Client,
    pub customer: Client,
    _runtime: Runtime,
}

impl Process {
    /// Starts one on a state folder and waits until it serves.
    pub fn start(state: &Path) -> Process {
        Process::start_with(state, &[])
    }

    /// Starts one with further arguments.
    pub fn start_with(state: &Path, more: &[&str]) -> Process {
        let (child, exports) = start_program(state, more);
        let runtime = runtime();
        let client = |exports: &Exports| Client {
            endpoint: exports.endpoint.clone(),
            keys: exports.keys.clone(),
            region: HOME.to_owned(),
            runtime: runtime.handle().clone(),
            http: http(),
            clock_off: 0,
        };
        let process = Process {
            child,
            publisher: client(&exports[0]),
            customer: client(&exports[1]),
            _runtime: runtime,
        };
        let unlimited = json!({"rates": "unlimited"});
        control(&process.publisher, "PUT", "limits", unlimited);
        process
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("it ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `sandbox env` prints for an account.
struct Exports {
    endpoint: String,
    keys: Keys,
}

/// Starts the program on a free port: the process, and what the publisher and the customer are to
/// export.
fn start_program(state: &Path, more: &[&str]) -> (Child, [Exports; 2]) {
    let mut child = program()
        .args(["sandbox", "start", "--listen", "127.0.0.1:0", "--state"])
        .arg(state)
        .args(["--clock-scale", "0"])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // It prints a line once it serves.
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("a line");
    assert!(line.starts_with("http://"), "it did not start: {line}");
    (
        child,
        [exports(state, "publisher"), exports(state, "customer")],
    )
}

fn exports(state: &Path, account: &str) -> Exports {
    let printed = program()
        .args(["sandbox", "env", "--output", "json", "--account", account])
        .arg("--state")
        .arg(state)
        .output()
        .expect("it runs");
    let printed: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let text = |name: &str| printed[name].as_str().expect(name).to_owned();
    Exports {
        endpoint: text("AWS_ENDPOINT_URL"),
        keys: Keys {
            id: text("AWS_ACCESS_KEY_ID"),
            secret: text("AWS_SECRET_ACCESS_KEY"),
            session: None,
        },
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_alpine-ami"))
}

/// The tools that `scripts/python-tools` installs.
pub fn python_tool(name: &str) -> PathBuf {
    let folder = std::env::var_os("ALPINE_AMI_PYTHON").map(PathBuf::from);
    let folder =
        folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python"));
    let tool = folder.join("bin").join(name);
    assert!(
        tool.exists(),
        "there is no {}: run scripts/test, or scripts/python-tools first",
        tool.display()
    );
    tool
}

/// What tests ask of the control most.
impl Place {
    /// Puts the sandbox's clock forward.
    #[track_caller]
    pub fn advance(&self, seconds: u64) {
        self.control("PUT", "clock", json!({"advance_seconds": seconds}));
    }

    /// Sets what AWS's durations are multiplied by.
    #[track_caller]
    pub fn clock_scale(&self, scale: f64) {
        self.control("PUT", "clock", json!({"scale": scale}));
    }

    /// Sets a quota or a rate.
    #[track_caller]
    pub fn limit(&self, name: &str, value: Value) {
        self.control("PUT", "limits", json!({name: value}));
    }

    /// Adds a fault.
    #[track_caller]
    pub fn fault(&self, rule: Value) -> u64 {
        self.control("POST", "faults", rule)["id"]
            .as_u64()
            .expect("an id")
    }
}
