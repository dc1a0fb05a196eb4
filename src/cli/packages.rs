//! `packages`: resolving and installing without a profile, and making repositories.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::json;
use time::OffsetDateTime;

use super::downloads::{drawn, fetcher, shown};
use super::{block_on, privileges, program};
use crate::apk::dependency::Dependency;
use crate::apk::fetch::Fetcher;
use crate::apk::keys::KeyRing;
use crate::apk::mirror::Repository;
use crate::apk::pack::{self, PackError, SigningKey};
use crate::arch::Arch;
use crate::assets::Assets;
use crate::builder::local::planned;
use crate::builder::packages::{Chosen, Indexes};
use crate::config::Config;
use crate::image::install::{InstallPlan, SCRIPT_DEADLINE, install};
use crate::plan::Sources;
use crate::publish::progress::Progress;
use crate::ui::{Failure, Status, Ui, text};
use crate::workdir::WorkDir;

/// Resolve and install packages, no profile needed.
#[derive(Debug, Args)]
pub(super) struct PackagesArgs {
    #[command(subcommand)]
    command: PackagesCommand,
}

#[derive(Debug, Subcommand)]
enum PackagesCommand {
    /// Print the packages that constraints come to, in order of installation
    Resolve(ResolveArgs),
    /// Install packages into a new folder, with scripts and apk's database
    Install(InstallArgs),
    /// Make signed packages and an index out of staged folders (for repositories of one's own)
    #[command(hide = true)]
    Pack(PackArgs),
}

#[derive(Debug, Args)]
struct Wanted {
    /// Repository: an address or folder with <arch>/APKINDEX.tar.gz; may be repeated
    #[arg(long, value_name = "URL|DIR", required = true, value_parser = NonEmptyStringValueParser::new())]
    repository: Vec<String>,
    /// Folder of trusted keys (*.pub) beside Alpine's own; may be repeated
    #[arg(long, value_name = "DIR")]
    keys_dir: Vec<PathBuf>,
    /// Architecture: x86_64 or aarch64 [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// Packages, as in apk's world: name, name=1.2-r0, name>=1.2, name~1.2, !name
    #[arg(value_name = "CONSTRAINT", required = true)]
    constraints: Vec<Dependency>,
}

#[derive(Debug, Args)]
struct ResolveArgs {
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, Args)]
struct InstallArgs {
    /// New or empty folder
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// After so many seconds a script that has not ended is stopped, and the installation with it
    #[arg(long, value_name = "SECONDS", default_value_t = SCRIPT_DEADLINE.as_secs())]
    script_deadline: u64,
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, Args)]
struct PackArgs {
    /// Private RSA key in PEM form; verifiers look for its file name plus .pub
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Description of the index
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Folder of the repository for one architecture
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folders with PKGINFO, data/ and scripts
    #[arg(value_name = "STAGE", required = true)]
    stages: Vec<PathBuf>,
}

impl PackagesArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        match self.command {
            PackagesCommand::Resolve(args) => args.run(ui, config),
            PackagesCommand::Install(args) => args.run(ui, config),
            PackagesCommand::Pack(args) => args.run(ui),
        }
    }
}

impl Wanted {
    fn arch(&self) -> Result<Arch, Failure> {
        self.arch.or_else(Arch::host).ok_or_else(|| {
            let advice = "name one with --arch".to_owned();
            Failure::bad_input(
                "this machine's architecture is none of Alpine's",
                Some(advice),
            )
        })
    }

    /// Alpine's own keys are trusted, and those that are named.
    fn sources(&self) -> Result<Sources, Failure> {
        let mut keys = KeyRing::default();
        for (name, asset) in Assets::profiles(Vec::new()).tree("keys/alpine")? {
            keys.add(&name, &asset.bytes)
                .map_err(|error| Failure::failed(error, None))?;
        }
        for dir in &self.keys_dir {
            keys.add_dir(dir).map_err(|error| {
                let advice = "--keys-dir names a folder with public keys called *.pub".to_owned();
                Failure::bad_input(error, Some(advice))
            })?;
        }
        let repositories = self.repository.iter().map(|base| Repository::at(base));
        Ok(Sources {
            repositories: repositories.collect(),
            keys,
        })
    }

    async fn choose(
        &self,
        fetcher: &Fetcher,
        sources: &Sources,
    ) -> Result<(Indexes, Chosen), Failure> {
        let indexes = Indexes::fetch(fetcher, sources, self.arch()?).await?;
        let chosen = indexes.choose(&self.constraints, &[])?;
        Ok((indexes, chosen))
    }
}

impl ResolveArgs {
    fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let sources = self.wanted.sources()?;
        let fetcher = fetcher(config)?;
        let (indexes, chosen) = block_on(self.wanted.choose(&fetcher, &sources))?;
        let packages: Vec<_> = chosen
            .selected
            .iter()
            .map(|one| {
                let info = indexes.describe(one);
                json!({
                    "name": info.name,
                    "version": info.version,
                    "arch": info.arch,
                    "checksum": info.checksum,
                    "repository": info.repository,
                    "size": info.size,
                    "installed_size": info.installed_size,
                })
            })
            .collect();
        ui.result(&json!({ "packages": packages }), || {
            let rows: Vec<_> = chosen
                .selected
                .iter()
                .map(|one| {
                    let size = text::bytes(one.package.installed_size);
                    let repository = indexes.repository(one).name().to_owned();
                    let name = one.package.name.to_string();
                    vec![name, one.package.version.to_string(), size, repository]
                })
                .collect();
            text::table(&rows)
        })?;
        Ok(Status::Done)
    }
}

impl InstallArgs {
    fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        privileges::become_root()?;
        check_free(&self.root)?;
        let sources = self.wanted.sources()?;
        let progress = Progress::default();
        let fetcher = shown(fetcher(config)?, &progress);
        let program = program()?;
        let arch = self.wanted.arch()?;
        // Beside its place, and renamed when it is whole: a root that is there is complete.
        let work = work_folder(&self.root)?;
        let root = work.folder("root")?;
        let filling = async {
            let (indexes, chosen) = self.wanted.choose(&fetcher, &sources).await?;
            progress.say(format!("fetching {} packages", chosen.selected.len()));
            let files = indexes.files(&fetcher, &chosen.selected).await?;
            let packages = planned(&indexes, &chosen, &files);
            progress.say(format!("installing {} packages", packages.len()));
            let plan = InstallPlan {
                packages: &packages,
                world: &self.wanted.constraints,
                arch: arch.as_str(),
                keys: &sources.keys,
                program: &program,
                script_deadline: Duration::from_secs(self.script_deadline),
            };
            let installed = tokio::task::block_in_place(|| install(&root, &plan))?;
            Ok::<_, Failure>(installed.iter().map(|one| one.id()).collect::<Vec<_>>())
        };
        let installed = block_on(drawn(ui, &progress, filling))?;
        std::fs::rename(&root, &self.root).map_err(|error| unusable(&self.root, &error))?;
        let count = installed.len();
        let result = json!({ "root": self.root, "packages": installed });
        ui.result(&result, || {
            format!("{count} packages installed in {}\n", self.root.display())
        })?;
        Ok(Status::Done)
    }
}

fn unusable(root: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(
        format!("cannot use {}: {error}", root.display()),
        Some(ROOT_ADVICE.to_owned()),
    )
}

const ROOT_ADVICE: &str = "name a new or empty folder that can be written with --root";

/// One with something in it is never touched.
fn check_free(root: &Path) -> Result<(), Failure> {
    let occupied = match std::fs::read_dir(root) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(unusable(root, &error)),
    };
    if occupied {
        let what = format!("{} is not empty", root.display());
        return Err(Failure::bad_input(what, Some(ROOT_ADVICE.to_owned())));
    }
    Ok(())
}

fn work_folder(root: &Path) -> Result<WorkDir, Failure> {
    let parent = match root.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent)
        .and_then(|()| WorkDir::new(parent, ".alpine-ami-install-"))
        .map_err(|error| unusable(root, &error))
}

/// When an index is made: now, or in `$SOURCE_DATE_EPOCH` for whoever wants the same bytes again.
fn made() -> Result<u64, Failure> {
    const VARIABLE: &str = "SOURCE_DATE_EPOCH";
    let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else {
        return Ok(OffsetDateTime::now_utc().unix_timestamp().unsigned_abs());
    };
    let text = text.to_string_lossy();
    text.parse().map_err(|_| {
        let what = format!("${VARIABLE} is `{text}`");
        Failure::bad_input(what, Some("it is a number: seconds since 1970".to_owned()))
    })
}

impl PackArgs {
    fn run(self, ui: Ui) -> Result<Status, Failure> {
        let failed = |error: PackError| Failure::bad_input(error, None);
        let key = SigningKey::read(&self.key).map_err(failed)?;
        std::fs::create_dir_all(&self.out)?;
        let mut packages = Vec::new();
        for stage in &self.stages {
            let package = pack::pack(stage, &self.out, &key).map_err(failed)?;
            tracing::info!("packed {}", package.file_name());
            packages.push(package);
        }
        let made = made()?;
        pack::write_index_of(&self.out, &self.description, &packages, made, &key)
            .map_err(failed)?;
        let (count, out) = (packages.len(), self.out.display());
        ui.progress(&format!("{count} packages and their index are in {out}"));
        Ok(Status::Done)
    }
}
