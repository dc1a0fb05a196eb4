//! What users see: results on standard output, everything else on standard error.

pub mod failure;
pub mod markdown;
pub mod progress;
pub mod text;

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub use failure::{Failure, Status};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document on standard output.
    Json,
}

/// How logs are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where results and progress go.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// Form of results.
    pub output: OutputFormat,
    /// Form of logs and errors.
    pub log: LogFormat,
    /// Nothing but results and errors.
    pub quiet: bool,
}

impl Ui {
    /// Prints a result: `text` for people, `value` for machines.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
        match self.print(value, text) {
            // Whoever reads has seen enough: `| head -1`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    fn print(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        match self.output {
            OutputFormat::Text => stdout.write_all(text().as_bytes())?,
            OutputFormat::Json => {
                serde_json::to_writer_pretty(&mut stdout, value)?;
                stdout.write_all(b"\n")?;
            }
        }
        stdout.flush()
    }

    /// Tells what is being done.
    pub fn progress(&self, text: &str) {
        if self.quiet {
            return;
        }
        match self.log {
            LogFormat::Text => eprintln!("{text}"),
            LogFormat::Json => tracing::info!("{text}"),
        }
    }

    /// Says what the user should know, even where nothing but results is wanted.
    pub fn warn(&self, text: &str) {
        match self.log {
            LogFormat::Text => eprintln!("warning: {text}"),
            LogFormat::Json => tracing::warn!("{text}"),
        }
    }

    /// Sets up logs on standard error: warnings, with `-v` information, with `-vv` everything of
    /// this program; `RUST_LOG` wins. `traces` takes spans beside them.
    pub fn start_logs(&self, verbose: u8, traces: Option<Box<dyn Layer<Registry> + Send + Sync>>) {
        let level = match (self.quiet, verbose) {
            // s3s takes every request that it refuses for an error of ours, and the SDK tells of
            // credentials that it looks for in vain, before our error says it.
            (true, _) => "error,s3s=off",
            (false, 0) if self.log == LogFormat::Json => "alpine_ami=info",
            (false, 0) => "warn,s3s=off,aws_config=error",
            (false, 1) => "alpine_ami=debug",
            (false, _) => "debug",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr);
        let lines = match self.log {
            LogFormat::Text => lines.with_target(false).without_time().boxed(),
            LogFormat::Json => lines.json().boxed(),
        };
        tracing_subscriber::registry()
            .with(traces)
            .with(lines.with_filter(filter))
            .init();
    }
}
