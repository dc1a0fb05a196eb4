//! `render`: the whole plan as files.

use std::path::PathBuf;

use clap::Args;

use super::ProfileOptions;
use crate::config::Config;
use crate::ui::{Failure, Status, Ui};

/// Write the whole plan of a profile as files, the same byte for byte every time.
#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    /// Profile
    profile: String,
    /// New or empty folder, or one that holds a plan rendered before
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    options: ProfileOptions,
}

impl RenderArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let plan = self.options.plan(config, &self.profile)?;
        plan.write(&self.out)?;
        let result = serde_json::json!({
            "profile": plan.profile.name,
            "arch": plan.arch,
            "digest": plan.digest,
            "out": self.out,
        });
        ui.result(&result, || {
            let (name, arch) = (&plan.profile.name, plan.arch);
            let out = self.out.display();
            format!(
                "{name} for {arch} rendered to {out}\nsha256:{}\n",
                plan.digest
            )
        })?;
        Ok(Status::Done)
    }
}
