//! The `alpine-ami` program: a thin start for [`alpine_ami::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(alpine_ami::cli::run())
}
