//! `share`: who gets what.

mod access;
mod edit;

use clap::{Args, Subcommand};

use crate::config::Config;
use crate::ui::{Failure, Status, Ui};

/// Share releases with customers: what the file of customers says, AWS comes to hold.
#[derive(Debug, Args)]
pub(super) struct ShareArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a customer to the file of customers
    Add(Box<edit::AddArgs>),
    /// Take a customer out of the file of customers
    Remove(edit::RemoveArgs),
    /// Show what would change for whom; exit with 3 if anything would
    Plan(access::PlanArgs),
    /// Change it: give first, take away last
    Apply(access::ApplyArgs),
}

impl ShareArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        match self.command {
            Command::Add(args) => args.run(ui, config),
            Command::Remove(args) => args.run(ui, config),
            Command::Plan(args) => args.run(ui, config),
            Command::Apply(args) => args.run(ui, config),
        }
    }
}
