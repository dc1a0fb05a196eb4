//! `sandbox`: the local AWS, and the environment to use it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{program, runtime, wait_for_signal};
use crate::sandbox::control;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::limits::Limit;
use crate::sandbox::machines::InstanceMode;
use crate::sandbox::server::{AccountEnvironment, DEFAULT_REGION, Environment, default_accounts};
use crate::sandbox::{Sandbox, SandboxConfig};
use crate::ui::{Failure, Status, Ui};

/// A local AWS with real disks and real machines.
#[derive(Debug, Args)]
#[command(after_long_help = after_help())]
pub(super) struct SandboxArgs {
    #[command(subcommand)]
    command: SandboxCommand,
}

#[derive(Debug, Subcommand)]
enum SandboxCommand {
    Start(StartArgs),
    Env(EnvArgs),
}

/// Start the local AWS and serve until Ctrl-C or SIGTERM.
///
/// One HTTP endpoint serves EC2, the EBS direct APIs, KMS, S3, STS and Organizations in every
/// Region. It enforces what AWS enforces, keeps real blocks on disk, and boots instances as QEMU
/// virtual machines. In another shell:
///
///   eval "$(alpine-ami sandbox env --state DIR)"
///   aws ec2 describe-images --owners self
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = after_help())]
struct StartArgs {
    /// Folder that keeps its state; made where it is missing
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Address to listen on, as IP:PORT; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4566")]
    listen: SocketAddr,
    /// One more account; may be repeated
    #[arg(long, value_name = "NAME=ID", value_parser = account)]
    account: Vec<(String, AccountId)>,
    /// How instances run
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    instances: InstanceMode,
    /// What AWS's durations are multiplied by: 1 is AWS's pace, 0 is at once
    #[arg(
        long,
        value_name = "FACTOR",
        default_value_t = 0.02,
        allow_negative_numbers = true
    )]
    clock_scale: f64,
    /// A quota or a rate other than AWS's, such as images=5 or rates=unlimited; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = limit)]
    limit: Vec<(String, Limit)>,
}

/// Print the environment to use a running sandbox as one of its accounts.
///
/// For a shell: eval "$(alpine-ami sandbox env --state DIR --account customer)"
#[derive(Debug, Args)]
struct EnvArgs {
    /// Folder of the sandbox's state
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Name or id of the account
    #[arg(long, value_name = "NAME", default_value = "publisher")]
    account: String,
    /// Region that clients take where they are not told another
    #[arg(long, value_name = "REGION", default_value = DEFAULT_REGION)]
    region: Region,
}

fn after_help() -> String {
    format!(
        "Accounts:
  publisher (111111111111) and customer (222222222222) are there from the start; --account adds
  more, and they stay in the state. Each has an administrator, whose keys `sandbox env` prints. A
  request's access key decides the account. There is no IAM: any caller can assume a role of any
  name in any account, without that account's trust. Organizations puts accounts into
  organizations and units.

Limits:
  --limit takes a quota or a rate by its name, which GET /_sandbox/limits lists: images=5,
  ec2-copy-image=1/10 (one a second, ten at once), sts=unlimited, rates=unlimited for all rates.
  After a restart, limits are AWS's again and the record of calls is empty; the clock stays ahead.

{}",
        control::HELP
    )
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(&str, &str), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        _ => Err(format!("`{text}` is not of the form NAME=VALUE")),
    }
}

fn account(text: &str) -> Result<(String, AccountId), String> {
    let (name, id) = pair(text)?;
    Ok((name.to_owned(), id.parse()?))
}

fn limit(text: &str) -> Result<(String, Limit), String> {
    let (name, value) = pair(text)?;
    Ok((name.to_owned(), value.parse()?))
}

impl SandboxArgs {
    pub(super) fn run(self, ui: Ui) -> Result<Status, Failure> {
        match self.command {
            SandboxCommand::Start(args) => args.run(ui),
            SandboxCommand::Env(args) => args.run(ui),
        }
    }
}

impl StartArgs {
    fn run(self, ui: Ui) -> Result<Status, Failure> {
        let mut accounts = default_accounts();
        accounts.extend(self.account);
        let config = SandboxConfig {
            state: self.state,
            listen: self.listen,
            accounts,
            instances: self.instances,
            clock_scale: self.clock_scale,
            program: Some(program()?),
            limits: self.limit,
        };
        raise_file_limit();
        runtime()?.block_on(async {
            // From here on, so that a signal right after the first line stops it in order too.
            let signal = tokio::spawn(wait_for_signal());
            let state = config.state.clone();
            let sandbox = Sandbox::start(config).await?;
            for warning in sandbox.warnings() {
                ui.warn(warning);
            }
            let environment = Environment::read(&state)?;
            ui.result(&started(&environment), || {
                started_text(&environment, &state)
            })?;
            let name = signal.await.unwrap_or("interrupted");
            ui.progress(&format!("{name}: stopping"));
            tokio::select! {
                () = sandbox.stop() => Ok(Status::Done),
                // Whoever asks twice does not want to wait for calls in progress.
                name = wait_for_signal() => Err(Failure::failed(
                    format!("{name} again: stopped at once"),
                    Some("the state is whole; calls in progress were broken off".to_owned()),
                )),
            }
        })
    }
}

/// Connections, snapshots that blocks are put into and machines each hold files open, and the usual
/// limit of 1,024 is made for programs that use `select`.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With the usual one it runs, too.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn started(environment: &Environment) -> serde_json::Value {
    let accounts: Vec<_> = environment
        .accounts
        .iter()
        .map(|account| json!({"name": account.name, "id": account.id}))
        .collect();
    json!({"endpoint": environment.endpoint, "region": environment.region, "accounts": accounts})
}

fn started_text(environment: &Environment, state: &std::path::Path) -> String {
    let accounts: Vec<_> = environment
        .accounts
        .iter()
        .map(|account| format!("{} ({})", account.name, account.id))
        .collect();
    format!(
        "{}\n  accounts  {}\n  use it    eval \"$(alpine-ami sandbox env --state {})\"\n",
        environment.endpoint,
        accounts.join(", "),
        quoted(&state.display().to_string())
    )
}

impl EnvArgs {
    fn run(self, ui: Ui) -> Result<Status, Failure> {
        let environment = Environment::read(&self.state)?;
        let account = environment.account(&self.account)?;
        let variables = variables(&environment.endpoint, account, &self.region);
        let value: serde_json::Map<_, _> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        ui.result(&value, || {
            let exports = variables
                .iter()
                .map(|(name, value)| format!("export {name}={}\n", quoted(value)));
            // Whatever of another AWS is set would win, or be sent with these keys.
            let overriding = OVERRIDING.join(" ");
            format!("{}unset {overriding}\n", exports.collect::<String>())
        })?;
        Ok(Status::Done)
    }
}

/// Variables that clients heed before those that are exported.
const OVERRIDING: [&str; 10] = [
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_ENDPOINT_URL_EC2",
    "AWS_ENDPOINT_URL_EBS",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_ORGANIZATIONS",
];

fn variables(
    endpoint: &str,
    account: &AccountEnvironment,
    region: &Region,
) -> [(&'static str, String); 6] {
    [
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", account.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", account.secret_access_key.clone()),
        ("AWS_REGION", region.to_string()),
        ("AWS_DEFAULT_REGION", region.to_string()),
        // Without it, clients ask 169.254.169.254 for credentials when they find none.
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

/// A text as a shell reads it.
fn quoted(text: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=@%+".contains(char);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_the_shell() {
        for (text, expected) in [
            ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
            ("", "''"),
            ("my state", "'my state'"),
            ("it's $HOME", "'it'\\''s $HOME'"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn pairs() {
        assert!(account("other=333333333333").is_ok());
        for wrong in ["other", "=333333333333", "other=3", "other=33333333333x"] {
            assert!(account(wrong).is_err(), "{wrong}");
        }
        assert!(limit("images=5").is_ok());
        assert!(limit("images=many").is_err());
    }
}
