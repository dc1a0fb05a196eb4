//! `nightly`: everything, unattended.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{SourceOptions, privileges, program, until_told_to_stop};
use crate::arch::Arch;
use crate::channels::settings::names;
use crate::config::Config;
use crate::nightly::error::NightlyError;
use crate::nightly::report::{Report, junit, markdown, text};
use crate::nightly::run::{Night, run};
use crate::nightly::settings::{Given, On, Terms};
use crate::publish::complete::Publisher;
use crate::ui::{Failure, Status, Ui};

/// Where GitHub Actions takes a job's summary.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Build, test, publish, share and promote what has changed; unattended.
///
/// Images are made side by side; one that fails does not stop the others. Run it again after it was
/// killed: it finishes what there is and makes nothing twice. Exit status: 0 done, 1 an image failed,
/// 4 with --exit-unchanged if no image has changed.
#[derive(Debug, Args)]
pub(super) struct NightlyArgs {
    /// Profiles [default: those of [nightly] in the configuration]
    #[arg(value_name = "PROFILE")]
    profiles: Vec<String>,
    /// Architecture: x86_64 or aarch64; may be repeated, or several with commas [default: the
    /// configuration's, or this machine's]
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    arch: Vec<Arch>,
    /// Where images are assembled [default: the configuration's, or local]
    #[arg(long, value_enum)]
    on: Option<On>,
    /// Images at once [default: the configuration's; half of the processors, or with --on ec2 as
    /// many as [build] has instances at once]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Exit with 4 if no image has changed
    #[arg(long)]
    exit_unchanged: bool,
    /// Build though nothing has changed; what comes out the same stays the same release
    #[arg(long)]
    force: bool,
    /// Take indexes though they are older than those of the last release: where a repository was put
    /// back to what it was
    #[arg(long)]
    accept_older: bool,
    /// Write the report as JUnit's XML
    #[arg(long, value_name = "FILE")]
    report_junit: Option<PathBuf>,
    /// Write the report as Markdown; it is added to $GITHUB_STEP_SUMMARY, too, where that is set
    #[arg(long, value_name = "FILE")]
    report_markdown: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    report_json: Option<PathBuf>,
    /// Folder for images, with a folder for each in it
    #[arg(long, value_name = "DIR", default_value = "build")]
    out: PathBuf,
    /// Set a value of the profiles, such as alpine=3.19; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    sources: SourceOptions,
}

impl NightlyArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let publisher = Publisher::new(&config.publish)?;
        let channels = names(&config.channels)?;
        let terms = self.terms(config, &channels)?;
        if terms.on == On::Local {
            privileges::become_root()?;
        }
        // Nobody is to take yesterday's report for today's; and a file that cannot be written is told
        // before hours of work.
        for (file, _) in self.reports() {
            clear(file)?;
        }
        let night = Night {
            config,
            publisher: &publisher,
            channels: &channels,
            terms,
            set: self.set.clone(),
            sources: self.sources.overrides(),
            out: self.out.clone(),
            force: self.force,
            accept_older: self.accept_older,
            program: program()?,
            ui,
        };
        let report = until_told_to_stop(ui, async |stop| Ok(run(&night, stop).await?))?;
        let written = self.write(&report);
        ui.result(&report, || text::render(&report))?;
        written?;
        Ok(report.status(self.exit_unchanged))
    }

    fn terms(&self, config: &Config, channels: &[String]) -> Result<Terms, Failure> {
        let given = Given {
            profiles: self.profiles.clone(),
            archs: self.arch.clone(),
            on: self.on,
            jobs: self.jobs,
        };
        let instances = usize::try_from(config.build.at_once()).unwrap_or(usize::MAX);
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let terms = config
            .nightly
            .with(given, channels, (instances, processors));
        Ok(terms.map_err(NightlyError::from)?)
    }

    /// The files that were asked for, and their form.
    fn reports(&self) -> impl Iterator<Item = (&Path, fn(&Report) -> String)> {
        let json: fn(&Report) -> String = json;
        let all = [
            (&self.report_junit, junit::render as fn(&Report) -> String),
            (&self.report_markdown, markdown::render),
            (&self.report_json, json),
        ];
        all.into_iter()
            .filter_map(|(file, form)| Some((file.as_deref()?, form)))
    }

    /// Writes every file, also if one of them cannot be written.
    fn write(&self, report: &Report) -> Result<(), Failure> {
        let files = self
            .reports()
            .map(|(file, form)| (file.to_owned(), fs::write(file, form(report))));
        let summary = std::env::var_os(STEP_SUMMARY)
            .filter(|file| !file.is_empty())
            .map(PathBuf::from)
            .map(|file| (file.clone(), append(&file, &markdown::render(report))));
        let failed: Vec<String> = files
            .chain(summary)
            .filter_map(|(file, written)| Some(unwritten(&file, &written.err()?)))
            .collect();
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Failure::failed(failed.join("\n"), None)),
        }
    }
}

fn json(report: &Report) -> String {
    let text = serde_json::to_string_pretty(report).expect("a report has a JSON form");
    text + "\n"
}

/// Takes an earlier run's report away, and sees that this one's can be written.
fn clear(file: &Path) -> Result<(), Failure> {
    let cleared = fs::write(file, "").and_then(|()| fs::remove_file(file));
    cleared.map_err(|error| {
        let next = "name a file in a folder that is there and can be written".to_owned();
        Failure::bad_input(unwritten(file, &error), Some(next))
    })
}

fn append(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(text.as_bytes())
}

fn unwritten(file: &Path, error: &io::Error) -> String {
    format!("cannot write the report {}: {error}", file.display())
}
