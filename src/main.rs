//! The `alpine-ami` program: a thin start for [`alpine_ami::cli`].

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    ExitCode::from(alpine_ami::cli::Cli::parse().run())
}
