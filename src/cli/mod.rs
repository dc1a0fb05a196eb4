//! The command line: one file a command, its arguments and how its result is printed.

mod build;
mod diff;
mod doctor;
mod downloads;
mod internal;
mod list;
mod lock;
mod nightly;
mod packages;
mod privileges;
mod profile;
mod promote;
mod prune;
mod publish;
mod render;
mod rollback;
mod sandbox;
mod share;
mod test;
mod verify;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tracing::Span;

use crate::arch::Arch;
use crate::config::Config;
use crate::image::jail;
use crate::interrupt::{self, Stop};
use crate::plan::{Plan, SourceOverrides};
use crate::profile::ProfileSource;
use crate::telemetry::{self, Telemetry};
use crate::ui::{Failure, LogFormat, OutputFormat, Ui};

/// Builds Alpine Linux machine images for Kubernetes nodes and proves that they boot.
#[derive(Debug, Parser)]
#[command(
    name = "alpine-ami",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = EXIT_STATUS)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 done, 1 failed, 2 wrong usage or bad input, \
3 differences found where the command was asked to check, \
4 nothing to do where it was asked to know.";

/// Options of every command.
#[derive(Debug, Args)]
struct Global {
    /// Configuration file [default: alpine-ami.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the result on standard output
    #[arg(long, global = true, value_enum, default_value_t)]
    output: OutputFormat,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Form of logs on standard error
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at profiles: list, show, check, schema
    Profile(profile::ProfileArgs),
    /// Write the whole plan of a profile as files
    Render(render::RenderArgs),
    /// Resolve and install packages, no profile needed
    Packages(packages::PackagesArgs),
    /// Write down the exact packages of profiles, or check what is written; prints what changed
    Lock(lock::LockArgs),
    /// Build the image of a profile
    Build(build::BuildArgs),
    /// Boot an image and check it from inside
    Test(test::TestArgs),
    /// Compare two images, locks, releases, AMIs or snapshots
    Diff(diff::DiffArgs),
    /// Publish an image to every Region; run it again to finish or to do nothing
    Publish(publish::PublishArgs),
    /// Bring a release into a channel
    Promote(promote::PromoteArgs),
    /// Bring a channel back to what was there before
    Rollback(rollback::RollbackArgs),
    /// Verify that an AMI, or a file, is what the publisher signed
    Verify(verify::VerifyArgs),
    /// Retire releases that nobody needs any more; sweep what dead runs left
    Prune(prune::PruneArgs),
    /// Share releases with customers: add, remove, plan, apply
    Share(share::ShareArgs),
    /// All of it unattended: lock, build, test, publish, share, promote, prune, report
    Nightly(nightly::NightlyArgs),
    /// List the AMIs that this account can launch, a publisher's or its own
    List(list::ListArgs),
    /// Check credentials, permissions, keys, quotas and local tools
    Doctor(doctor::DoctorArgs),
    /// A local AWS with real disks and real machines: start, env
    Sandbox(sandbox::SandboxArgs),
    /// Run scripts inside a root (started by `build` itself)
    #[command(hide = true)]
    Jail(internal::JailArgs),
    /// Relay one connection to the metadata service (started by QEMU)
    #[command(hide = true)]
    MetadataRelay(internal::RelayArgs),
    /// Do a job on a build instance (started by `build --on ec2`)
    #[command(hide = true)]
    Worker(internal::WorkerArgs),
    /// Be an instance's first process (started by `sandbox start --instances process`)
    #[command(hide = true)]
    InstanceInit(internal::InstanceInitArgs),
}

/// Options of whatever takes a profile.
#[derive(Debug, Args)]
struct ProfileOptions {
    /// Architecture: x86_64 or aarch64 [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// Set a value of the profile, such as alpine=3.19; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    sources: SourceOptions,
}

/// Profiles and architectures of commands that take several.
#[derive(Debug, Args)]
struct ProfilesOptions {
    /// Profiles
    #[arg(value_name = "PROFILE", required_unless_present = "all")]
    profiles: Vec<String>,
    /// Every profile that there is, for every architecture that it is for
    #[arg(long, conflicts_with = "profiles")]
    all: bool,
    /// Architecture: x86_64 or aarch64; may be repeated, or several with commas [default: this
    /// machine's]
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    arch: Vec<Arch>,
    /// Set a value of the profile, such as alpine=3.19; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Options that say where packages come from.
#[derive(Debug, Args)]
struct SourceOptions {
    /// Mirror in place of the profile's; may be repeated
    #[arg(long, value_name = "URL|DIR", value_parser = NonEmptyStringValueParser::new())]
    mirror: Vec<String>,
    /// One more repository; may be repeated
    #[arg(long, value_name = "URL|DIR", value_parser = NonEmptyStringValueParser::new())]
    repository: Vec<String>,
    /// Folder of more trusted keys (*.pub); may be repeated
    #[arg(long, value_name = "DIR")]
    keys_dir: Vec<PathBuf>,
}

impl ProfileOptions {
    fn source(&self, name: &str) -> ProfileSource {
        ProfileSource {
            name: name.to_owned(),
            arch: self.arch,
            set: self.set.clone(),
        }
    }

    fn plan(&self, config: &Config, name: &str) -> Result<Plan, Failure> {
        Ok(Plan::new(&config.library(), &self.source(name))?)
    }
}

impl ProfilesOptions {
    /// A plan for each profile and architecture that is asked for.
    fn plans(&self, config: &Config) -> Result<Vec<Plan>, Failure> {
        if let Some(twice) = self
            .profiles
            .iter()
            .enumerate()
            .find_map(|(place, name)| self.profiles[..place].contains(name).then_some(name))
        {
            let what = format!("the profile `{twice}` is named twice");
            return Err(Failure::bad_input(what, Some("name each once".to_owned())));
        }
        let library = config.library();
        let asked: BTreeSet<Arch> = self.arch.iter().copied().collect();
        let mut wanted: Vec<(String, Option<Arch>)> = Vec::new();
        if self.all {
            for listed in library.list()? {
                let fits = |arch: &&Arch| asked.is_empty() || asked.contains(arch);
                let arches = listed.arch.iter().filter(fits);
                wanted.extend(arches.map(|arch| (listed.name.clone(), Some(*arch))));
            }
        } else {
            for name in &self.profiles {
                match asked.is_empty() {
                    true => wanted.push((name.clone(), None)),
                    false => wanted.extend(asked.iter().map(|arch| (name.clone(), Some(*arch)))),
                }
            }
        }
        if wanted.is_empty() {
            let next = Some("`alpine-ami profile list` shows what there is".to_owned());
            return Err(Failure::bad_input(
                "no profile is for that architecture",
                next,
            ));
        }
        let plan = |(name, arch): (String, Option<Arch>)| {
            let source = ProfileSource {
                name,
                arch,
                set: self.set.clone(),
            };
            Ok(Plan::new(&library, &source)?)
        };
        wanted.into_iter().map(plan).collect()
    }

    /// The command that locks a plan's packages, as somebody would type it now.
    fn lock_command(&self, plan: &Plan, sources: &SourceOptions) -> String {
        let mut words = vec![format!(
            "alpine-ami lock {} --arch {}",
            plan.profile.name, plan.arch
        )];
        let mut option = |name: &str, values: Vec<String>| {
            words.extend(
                values
                    .iter()
                    .map(|value| format!("--{name} {}", quoted(value))),
            );
        };
        option("set", self.set.clone());
        option("mirror", sources.mirror.clone());
        option("repository", sources.repository.clone());
        let dirs = sources.keys_dir.iter();
        option(
            "keys-dir",
            dirs.map(|dir| dir.display().to_string()).collect(),
        );
        words.join(" ")
    }
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

impl SourceOptions {
    fn overrides(&self) -> SourceOverrides {
        SourceOverrides {
            mirrors: self.mirror.clone(),
            repositories: self.repository.clone(),
            key_dirs: self.keys_dir.clone(),
        }
    }
}

/// Reads the command line, does what it says, and returns the exit status.
pub fn run() -> u8 {
    let matches = Cli::command().get_matches();
    let mut words = Vec::new();
    let mut command = matches.subcommand();
    while let Some((word, below)) = command {
        words.push(word);
        command = below.subcommand();
    }
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.run(&words.join(" ")),
        Err(error) => error.exit(),
    }
}

impl Command {
    /// Whether it is a part of another command, which starts it.
    fn is_internal(&self) -> bool {
        matches!(
            self,
            Command::Jail(_)
                | Command::MetadataRelay(_)
                | Command::Worker(_)
                | Command::InstanceInit(_)
        )
    }
}

impl Cli {
    /// Runs the command, which is called so, and returns the exit status.
    fn run(self, name: &str) -> u8 {
        let ui = Ui {
            output: self.global.output,
            log: self.global.log_format,
            quiet: self.global.quiet,
        };
        let telemetry = match self.command.is_internal() {
            true => Ok(None),
            false => Telemetry::from_environment(),
        };
        let traces = telemetry.as_ref().ok().and_then(Option::as_ref);
        ui.start_logs(self.global.verbose, traces.map(Telemetry::layer));
        // The caller's umask must not reach a root or an image.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let span = traces.map_or_else(Span::none, |traces| traces.command(name));
        let (status, failure) = match span.in_scope(|| self.dispatch(ui)) {
            Ok(status) => (status as u8, None),
            Err(failure) => (failure.status, Some(failure)),
        };
        telemetry::ended(&span, status, failure.is_some());
        drop(span);
        if let Some(failure) = failure {
            failure.print(&ui);
        }
        let unsent = telemetry.map_or_else(Some, |traces| traces.and_then(Telemetry::finish));
        if let Some(why) = unsent {
            ui.warn(&format!(
                "traces could not be sent to OTEL_EXPORTER_OTLP_ENDPOINT: {why}"
            ));
        }
        status
    }

    fn dispatch(self, ui: Ui) -> Result<crate::ui::Status, Failure> {
        let config = || Config::load(self.global.config.as_deref());
        match self.command {
            Command::Profile(args) => args.run(ui, &config()?),
            Command::Render(args) => args.run(ui, &config()?),
            Command::Packages(args) => args.run(ui, &config()?),
            Command::Lock(args) => args.run(ui, &config()?),
            Command::Build(args) => args.run(ui, &config()?),
            Command::Test(args) => args.run(ui, &config()?),
            Command::Diff(args) => args.run(ui, &config()?),
            Command::Publish(args) => args.run(ui, &config()?),
            Command::Promote(args) => args.run(ui, &config()?),
            Command::Rollback(args) => args.run(ui, &config()?),
            Command::Verify(args) => args.run(ui, &config()?),
            Command::Prune(args) => args.run(ui, &config()?),
            Command::Share(args) => args.run(ui, &config()?),
            Command::Nightly(args) => args.run(ui, &config()?),
            Command::List(args) => args.run(ui, &config()?),
            Command::Doctor(args) => args.run(ui, &config()?),
            Command::Sandbox(args) => args.run(ui),
            Command::Jail(args) => args.run(),
            Command::MetadataRelay(args) => args.run(),
            Command::Worker(args) => args.run(),
            Command::InstanceInit(args) => args.run(),
        }
    }
}

/// Runs the asynchronous part of a command. Ctrl-C and SIGTERM end it in order: what it holds is
/// dropped, so machines are stopped and half-written folders removed.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(async {
        // A task of its own: the work may be blocking this thread when the signal comes.
        let signal = tokio::spawn(async {
            let name = wait_for_signal().await;
            interrupt::raise();
            jail::kill_all();
            name
        });
        tokio::select! {
            biased;
            result = work => match result {
                Err(_) if interrupt::raised() => Err(interrupted("interrupted")),
                result => result,
            },
            name = signal => Err(interrupted(name.unwrap_or("interrupted"))),
        }
    })
}

/// Runs work that ends in order when it is told to: the first signal tells it, the second one ends
/// it as [`block_on`] does.
fn until_told_to_stop<T>(
    ui: Ui,
    work: impl AsyncFnOnce(Stop) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (tell, stop) = Stop::channel();
    runtime()?.block_on(async {
        let signals = async {
            let first = tokio::spawn(wait_for_signal()).await;
            let how = first.unwrap_or("interrupted");
            ui.progress(&format!(
                "{how}: coming to an orderly end; once more ends it at once"
            ));
            let _ = tell.send(Some(how));
            interrupt::raise();
            wait_for_signal().await
        };
        tokio::select! {
            biased;
            result = work(stop) => result,
            how = signals => Err(Failure::failed(
                format!("{how} twice"),
                Some("run the same command again: it finds what is there and goes on".to_owned()),
            )),
        }
    })
}

/// Its threads have as much of a stack as the main one: a nightly run does on them what single
/// commands do there.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    const STACK_BYTES: usize = 8 << 20;
    tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
}

async fn wait_for_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Without handlers the signals do what they always do: end the program.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => "interrupted",
        _ = terminate.recv() => "told to stop (SIGTERM)",
    }
}

fn interrupted(how: &str) -> Failure {
    Failure::failed(
        how,
        Some("nothing half-done was left; run the same command again".to_owned()),
    )
}

/// This program's own file, which jails and QEMU start again.
fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| {
        Failure::failed(
            format!("cannot find this program's own file: {error}"),
            None,
        )
    })
}
