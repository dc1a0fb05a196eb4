//! `share`: who gets what.

mod edit;

use clap::{Args, Subcommand};

use crate::config::Config;
use crate::ui::{Failure, Status, Ui};

/// Share releases with customers.
#[derive(Debug, Args)]
pub(super) struct ShareArgs {
    #[command(subcommand)]
    command: ShareCommand,
}

#[derive(Debug, Subcommand)]
enum ShareCommand {
    /// Add a customer to the file of customers
    Add(Box<edit::AddArgs>),
    /// Take a customer out of the file of customers
    Remove(edit::RemoveArgs),
}

impl ShareArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        match self.command {
            ShareCommand::Add(args) => args.run(ui, config),
            ShareCommand::Remove(args) => args.run(ui, config),
        }
    }
}
