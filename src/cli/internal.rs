//! Hidden commands: this program started again by itself, by QEMU, or on a build instance.

use std::path::PathBuf;

use clap::Args;

use super::{block_on, program};
use crate::builder::worker::{Workplace, work};
use crate::image::jail;
use crate::sandbox::machines::process::init;
use crate::ui::{Failure, Status};
use crate::vm::relay;

#[derive(Debug, Args)]
pub(super) struct JailArgs {
    /// Folder that becomes `/`
    root: PathBuf,
}

impl JailArgs {
    pub(super) fn run(self) -> Result<Status, Failure> {
        jail::serve(&self.root)?;
        Ok(Status::Done)
    }
}

#[derive(Debug, Args)]
pub(super) struct RelayArgs {
    /// Socket of the metadata service
    socket: PathBuf,
}

impl RelayArgs {
    pub(super) fn run(self) -> Result<Status, Failure> {
        // Standard error is the guest's connection too: the exit status is all there is to say.
        Ok(match relay::run(&self.socket) {
            Ok(()) => Status::Done,
            Err(_) => Status::Failed,
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct InstanceInitArgs {
    /// The instance, for whoever looks at this machine's processes
    instance: String,
}

impl InstanceInitArgs {
    pub(super) fn run(self) -> Result<Status, Failure> {
        init::serve()?;
        Ok(Status::Done)
    }
}

#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    /// The job
    #[arg(long, value_name = "FILE")]
    job: PathBuf,
    /// SHA-256 of its bytes
    #[arg(long, value_name = "HEX")]
    job_sha256: String,
    /// Folder with room for twice the image's data
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    work: PathBuf,
    /// Where devices are
    #[arg(long, value_name = "DIR", default_value = "/dev", hide = true)]
    devices: PathBuf,
}

impl WorkerArgs {
    pub(super) fn run(self) -> Result<Status, Failure> {
        let job = std::fs::read(&self.job).map_err(|error| {
            Failure::failed(format!("cannot read {}: {error}", self.job.display()), None)
        })?;
        let place = Workplace {
            folder: self.work,
            devices: self.devices,
            program: program()?,
        };
        block_on(async { Ok(work(&job, &self.job_sha256, &place).await?) })?;
        Ok(Status::Done)
    }
}
