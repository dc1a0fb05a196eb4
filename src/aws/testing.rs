//! A sandbox of a test's own, in this process.

use std::sync::LazyLock;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::names::{InstanceId, Region};
use super::session::Aws;
use super::settings::AwsSettings;
use crate::sandbox::limits::Limit;
use crate::sandbox::machines::console_file;
use crate::sandbox::{Sandbox, SandboxConfig};

/// Where tests are at home.
pub(crate) const HOME: &str = "us-east-1";
/// Where they copy to.
pub(crate) const ABROAD: &str = "eu-west-1";

/// Where all sandboxes run. A test's own runtime may be one thread that the test holds on to, and
/// it ends before what the test dropped last has ended.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("sandbox")
        .enable_all()
        .build()
        .expect("a runtime")
});

/// A sandbox, gone with the test.
pub(crate) struct Cloud {
    // Dropped before its folder.
    sandbox: Sandbox,
    folder: tempfile::TempDir,
    http: reqwest::Client,
}

impl Cloud {
    /// Nothing in it; states change at once, and calls come as fast as they will.
    pub(crate) async fn start() -> Cloud {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = SandboxConfig::for_tests(folder.path().join("state"));
        config.limits = vec![("rates".to_owned(), Limit::UNLIMITED)];
        let started = RUNTIME.spawn(Sandbox::start(config)).await;
        Cloud {
            sandbox: started.expect("no panic").expect("a sandbox"),
            folder,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
        }
    }

    /// Instances run as they are told, at once, without machines.
    pub(crate) fn pretend_instances(&self) {
        self.sandbox.shared().machines.pretend();
    }

    /// Writes on an instance's console.
    pub(crate) fn write_console(&self, instance: &InstanceId, bytes: &[u8]) {
        let file = console_file(self.sandbox.shared(), instance.as_str());
        let folder = file.parent().expect("a folder");
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(file, bytes).expect("written");
    }

    /// Calls a URL, with no header but what the client cannot leave out. The status and the body.
    pub(crate) async fn http(&self, method: &str, url: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let method = method.parse().expect("a method");
        let call = self.http.request(method, url).body(body.to_vec());
        let answer = call.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.bytes().await.expect("a body").to_vec())
    }

    /// Calls a URL of another endpoint, which leads here: the sandbox is told that one's host.
    pub(crate) async fn http_as_named(
        &self,
        method: &str,
        url: &str,
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        let (_, rest) = url.split_once("://").expect("a scheme");
        let (host, path) = rest.split_once('/').expect("a path");
        let method = method.parse().expect("a method");
        let call = self
            .http
            .request(method, format!("{}/{path}", self.endpoint()));
        let call = call.header("host", host).body(body.to_vec());
        let answer = call.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.bytes().await.expect("a body").to_vec())
    }

    /// Where the sandbox is.
    pub(crate) fn endpoint(&self) -> String {
        self.sandbox.endpoint()
    }

    /// A folder for the test's files.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The publisher's session.
    pub(crate) async fn aws(&self) -> Aws {
        self.aws_with(AwsSettings {
            attempt_seconds: 5,
            total_seconds: 20,
            ..AwsSettings::default()
        })
        .await
    }

    /// The publisher's session with other settings.
    pub(crate) async fn aws_with(&self, settings: AwsSettings) -> Aws {
        self.session("publisher", settings).await
    }

    /// The customer's session.
    pub(crate) async fn customer(&self) -> Aws {
        self.session("customer", AwsSettings::default()).await
    }

    async fn session(&self, account: &str, settings: AwsSettings) -> Aws {
        let key = self.sandbox.credentials(account).expect("an account");
        let keys = (key.id.as_str(), key.secret.as_str());
        Aws::for_tests(&settings, &self.sandbox.endpoint(), keys, &region(HOME)).await
    }

    /// Adds a fault; see `alpine-ami sandbox start --help`.
    pub(crate) async fn fault(&self, rule: Value) {
        self.control("POST", "faults", rule).await;
    }

    /// Removes all faults.
    pub(crate) async fn no_faults(&self) {
        self.control("DELETE", "faults", Value::Null).await;
    }

    /// The calls of an operation that came in, oldest first; of all operations if it is empty.
    pub(crate) async fn calls(&self, operation: &str) -> Vec<Value> {
        let what = match operation {
            "" => "calls".to_owned(),
            operation => format!("calls?operation={operation}"),
        };
        let answer = self.control("GET", &what, Value::Null).await;
        let list = answer.as_array().or_else(|| answer["calls"].as_array());
        list.cloned().unwrap_or_default()
    }

    /// A call of the sandbox's control.
    pub(crate) async fn control(&self, method: &str, what: &str, body: Value) -> Value {
        let url = format!("{}/_sandbox/{what}", self.sandbox.endpoint());
        let method = method.parse().expect("a method");
        let mut call = self.http.request(method, url);
        if !body.is_null() {
            call = call
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = call.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a text");
        assert!(status.is_success(), "{what}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(json!(null))
    }
}

/// A Region.
pub(crate) fn region(name: &str) -> Region {
    name.parse().expect("a Region")
}
