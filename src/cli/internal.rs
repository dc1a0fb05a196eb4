//! Hidden commands: this program started again by itself or by QEMU.

use std::path::PathBuf;

use clap::Args;

use crate::image::jail;
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
