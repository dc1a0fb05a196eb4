//! The AWS CLI, a client that is not ours.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use super::client::Client;
use super::place::{Place, python_tool};

/// The AWS CLI as an account, with a home of its own.
pub struct Cli {
    client: Client,
    pub home: PathBuf,
    program: PathBuf,
}

impl Cli {
    pub fn new(place: &Place, account: &str) -> Cli {
        let home = place.folder.path().join(format!("home-{account}"));
        fs::create_dir(&home).expect("a folder");
        Cli {
            client: place.client(account),
            home,
            program: python_tool("aws"),
        }
    }

    pub fn file(&self, name: &str, data: &[u8]) -> PathBuf {
        let path = self.home.join(name);
        fs::write(&path, data).expect("a file");
        path
    }

    fn output(&self, args: &[&str]) -> Output {
        Command::new(&self.program)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("AWS_CONFIG_FILE", self.home.join("config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.home.join("credentials"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_PAGER", "")
            .env("NO_PROXY", "127.0.0.1")
            .env("AWS_ENDPOINT_URL", &self.client.endpoint)
            .env("AWS_ACCESS_KEY_ID", &self.client.keys.id)
            .env("AWS_SECRET_ACCESS_KEY", &self.client.keys.secret)
            .env("AWS_DEFAULT_REGION", &self.client.region)
            .env("AWS_DEFAULT_OUTPUT", "json")
            .output()
            .expect("the AWS CLI starts")
    }

    /// What a command prints, which succeeds.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(
            output.status.success(),
            "aws {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let printed = self.run(args);
        serde_json::from_str(&printed).unwrap_or(Value::Null)
    }

    /// A command that fails with an error whose code begins so.
    #[track_caller]
    pub fn refused(&self, code: &str, args: &[&str]) {
        let output = self.output(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains(&format!("An error occurred ({code}")),
            "aws {args:?} is not refused with {code}: {}{error}",
            String::from_utf8_lossy(&output.stdout)
        );
    }

    /// An image as its owner's DescribeImages has it.
    #[track_caller]
    pub fn image(&self, region: &str, id: &str) -> Value {
        self.json(&[
            "ec2",
            "describe-images",
            "--region",
            region,
            "--image-ids",
            id,
        ])["Images"][0]
            .clone()
    }
}
