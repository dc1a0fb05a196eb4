//! `profile`: looking at profiles.

use clap::{Args, Subcommand};
use serde_json::json;

use super::ProfileOptions;
use crate::config::Config;
use crate::plan::Plan;
use crate::profile::layer::Layer;
use crate::profile::merge::Leaf;
use crate::ui::{Failure, Status, Ui, text};

/// Look at profiles.
#[derive(Debug, Args)]
pub(super) struct ProfileArgs {
    #[command(subcommand)]
    command: ProfileCommand,
}

#[derive(Debug, Subcommand)]
enum ProfileCommand {
    /// List the profiles that can be built
    List,
    /// Show the merged profile and where each value comes from
    Show(OneProfile),
    /// Check a profile, its layers and overlays, without fetching anything
    Check(OneProfile),
    /// Print the JSON Schema of profile files, for editors
    Schema,
}

#[derive(Debug, Args)]
struct OneProfile {
    /// Profile
    profile: String,
    #[command(flatten)]
    options: ProfileOptions,
}

impl ProfileArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        match self.command {
            ProfileCommand::List => list(ui, config),
            ProfileCommand::Show(one) => show(ui, config, &one),
            ProfileCommand::Check(one) => check(ui, config, &one),
            ProfileCommand::Schema => schema(ui),
        }
    }
}

fn list(ui: Ui, config: &Config) -> Result<Status, Failure> {
    let listed = config.library().list()?;
    ui.result(&json!({ "profiles": listed }), || {
        let mut rows = vec![
            ["PROFILE", "ALPINE", "ARCH", "DESCRIPTION"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(listed.iter().map(|one| {
            let arch: Vec<_> = one.arch.iter().map(|arch| arch.as_str()).collect();
            let (name, alpine) = (one.name.clone(), one.alpine.to_string());
            vec![name, alpine, arch.join(","), one.description.clone()]
        }));
        text::table(&rows)
    })?;
    Ok(Status::Done)
}

fn show(ui: Ui, config: &Config, one: &OneProfile) -> Result<Status, Failure> {
    let source = one.options.source(&one.profile);
    let resolved = config.library().resolve(&source)?;
    let arch = resolved.profile.choose_arch(source.arch)?;
    let result = json!({
        "profile": resolved.profile,
        "arch": arch,
        "values": resolved.leaves,
    });
    ui.result(&result, || {
        let (name, description) = (&resolved.profile.name, &resolved.profile.description);
        let head = format!("# {name} for {arch}: {description}\n");
        head + &text::table(&resolved.leaves.iter().map(row).collect::<Vec<_>>())
    })?;
    Ok(Status::Done)
}

/// Columns of a value in the table; `--output json` has it whole.
const SHOWN: usize = 60;

fn row(leaf: &Leaf) -> Vec<String> {
    // A script of several lines would tear the table apart: its beginning stands for it.
    let text = leaf.value.to_string();
    let mut lines = text.lines().filter(|line| !line.starts_with("'''"));
    let first = lines.next().unwrap_or_default();
    let mut value: String = first.chars().take(SHOWN).collect();
    if value.len() < first.len() || text.lines().count() > 1 {
        value.push('…');
    }
    vec![
        leaf.path.clone(),
        format!("= {value}"),
        format!("# {}", leaf.origin),
    ]
}

fn check(ui: Ui, config: &Config, one: &OneProfile) -> Result<Status, Failure> {
    let library = config.library();
    let mut source = one.options.source(&one.profile);
    let arches = match source.arch {
        Some(arch) => vec![arch],
        None => library.resolve(&source)?.profile.arch,
    };
    let mut checked = Vec::new();
    for arch in arches {
        source.arch = Some(arch);
        let plan = Plan::new(&library, &source)?;
        checked.push(json!({
            "arch": arch,
            "packages": plan.profile.packages.len(),
            "files": plan.tree.len(),
            "digest": plan.digest,
        }));
    }
    ui.result(
        &json!({ "profile": one.profile, "checked": checked }),
        || {
            let lines = checked.iter().map(|done| {
                format!(
                    "{} for {}: fine ({} packages asked for, {} overlay files)\n",
                    one.profile,
                    done["arch"].as_str().unwrap_or_default(),
                    done["packages"],
                    done["files"]
                )
            });
            lines.collect()
        },
    )?;
    Ok(Status::Done)
}

fn schema(ui: Ui) -> Result<Status, Failure> {
    let schema = schemars::schema_for!(Layer);
    // A schema is JSON for people and machines alike.
    ui.result(&schema, || {
        serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
    })?;
    Ok(Status::Done)
}
