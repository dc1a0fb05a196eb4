//! `build --on ec2`: an instance for each image, so many at once as the configuration allows.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{BuildArgs, Wanted, describe, summary};
use crate::apk::fetch::Fetcher;
use crate::aws::Aws;
use crate::builder::draft::Draft;
use crate::builder::ec2::InstanceBuildError;
use crate::builder::ec2::run::{Built, InstanceBuild};
use crate::builder::ec2::site::Site;
use crate::cli::downloads::fetcher;
use crate::cli::{program, until_told_to_stop};
use crate::config::Config;
use crate::interrupt::Stop;
use crate::origin::Begun;
use crate::plan::Plan;
use crate::publish::complete::Publisher;
use crate::ui::progress::downloads;
use crate::ui::{Failure, Status, Ui};

/// An image, where it goes, and what it came to.
struct Ended {
    name: String,
    out: PathBuf,
    result: Result<Built, InstanceBuildError>,
}

pub(super) fn run(
    args: &BuildArgs,
    ui: Ui,
    config: &Config,
    wanted: Vec<Wanted>,
) -> Result<Status, Failure> {
    let publisher = Publisher::new(&config.publish)?;
    let ended = until_told_to_stop(ui, async |stop| {
        build(args, ui, config, &publisher, wanted, stop).await
    })?;
    tell(ui, ended)
}

/// Looks at everything, then builds all of it.
async fn build(
    args: &BuildArgs,
    ui: Ui,
    config: &Config,
    publisher: &Publisher,
    wanted: Vec<Wanted>,
    mut stop: Stop,
) -> Result<Vec<Ended>, Failure> {
    let arches: BTreeSet<_> = wanted.iter().map(|one| one.plan.arch).collect();
    let own = program()?;
    // What is wrong with the configuration is told before credentials are asked for.
    config.build.check().map_err(InstanceBuildError::from)?;
    for arch in &arches {
        let named = config.build.base_image(*arch);
        named.map_err(InstanceBuildError::from)?;
    }
    let prepare = async {
        let aws = Aws::connect(&config.aws, "build", &publisher.home).await?;
        Ok::<_, Failure>(Site::look(&aws, publisher, &config.build, own, &arches).await?)
    };
    let site = tokio::select! {
        how = stop.told() => {
            let left = "nothing was made".to_owned();
            return Err(InstanceBuildError::Interrupted { how, left }.into());
        }
        prepared = prepare => prepared?,
    };
    let many = Arc::new(Many {
        site: Arc::new(site),
        fetcher: fetcher(config)?.watched(downloads::lines(ui)),
        limit: Semaphore::new(usize::try_from(config.build.at_once()).unwrap_or(usize::MAX)),
        keep_days: publisher.end_of_life_days,
        keep_on_failure: args.keep_on_failure,
        profiles: config.own_profiles().to_owned(),
        ui,
    });
    let mut tasks = JoinSet::new();
    for one in wanted {
        one.tell(ui);
        let (many, stop) = (Arc::clone(&many), stop.clone());
        tasks.spawn(async move {
            let (name, out) = (name(&one.plan), one.out.clone());
            let result = many.one(one, stop).await;
            Ended { name, out, result }
        });
    }
    let mut ended = Vec::new();
    let mut panicked = None;
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(one) => ended.push(one),
            // The others come to their end first: they have instances.
            Err(error) => panicked = Some(error),
        }
    }
    if let Some(error) = panicked {
        std::panic::resume_unwind(error.into_panic());
    }
    ended.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(ended)
}

/// What the images of one command have in common.
struct Many {
    site: Arc<Site>,
    fetcher: Fetcher,
    /// Instances at once.
    limit: Semaphore,
    keep_days: u32,
    keep_on_failure: bool,
    /// Where the publisher's own profiles are.
    profiles: PathBuf,
    ui: Ui,
}

impl Many {
    /// One image, when its turn has come. That one fails is no reason for others to.
    async fn one(&self, wanted: Wanted, mut stop: Stop) -> Result<Built, InstanceBuildError> {
        let Wanted {
            plan,
            sources,
            lock,
            out,
            ..
        } = wanted;
        let (label, ui) = (name(&plan), self.ui);
        let warned = label.clone();
        let tell = move |text: &str| ui.progress(&format!("{label}: {text}"));
        let warn = move |text: &str| ui.warn(&format!("{warned}: {text}"));
        let begin = async {
            let slot = self.limit.acquire().await.expect("it is never closed");
            tell("fetching packages");
            let draft = Draft::new(plan, &sources, lock, &self.fetcher).await?;
            Ok::<_, InstanceBuildError>((slot, draft))
        };
        let (_slot, draft) = tokio::select! {
            how = stop.told() => {
                let left = "it was not begun".to_owned();
                return Err(InstanceBuildError::Interrupted { how, left });
            }
            begun = begin => begun?,
        };
        let begun = Begun::now("ec2", &self.profiles);
        let build = InstanceBuild {
            site: Arc::clone(&self.site),
            draft,
            out: out.clone(),
            keep_days: self.keep_days,
            keep_on_failure: self.keep_on_failure,
            tell: Arc::new(tell),
            warn: Arc::new(warn),
        };
        let built = build.run(stop).await?;
        if built.is_new {
            begun.record(&out, &built.manifest.image.sha256);
        }
        Ok(built)
    }
}

/// As progress calls it.
fn name(plan: &Plan) -> String {
    format!("{}-{}", plan.profile.name, plan.arch)
}

/// What was built, and then what was not.
fn tell(ui: Ui, ended: Vec<Ended>) -> Result<Status, Failure> {
    let (mut built, mut failed) = (Vec::new(), Vec::new());
    for one in ended {
        match one.result {
            Ok(done) => built.push((one.out, done)),
            Err(error) => failed.push((one.name, error)),
        }
    }
    let images: Vec<_> = built
        .iter()
        .map(|(out, done)| {
            let mut image = describe(out, &done.manifest);
            image["new"] = json!(done.is_new);
            image
        })
        .collect();
    let errors: Vec<_> = failed
        .iter()
        .map(|(name, error)| json!({ "image": name, "error": error.to_string() }))
        .collect();
    if !built.is_empty() || failed.len() > 1 {
        ui.result(&json!({ "images": images, "failed": errors }), || {
            built
                .iter()
                .map(|(out, done)| summary(out, &done.manifest))
                .collect()
        })?;
    }
    match failed.len() {
        0 => Ok(Status::Done),
        1 if built.is_empty() => {
            let (_, error) = failed.remove(0);
            Err(error.into())
        }
        count => Err(several(count, built.len(), failed)),
    }
}

fn several(count: usize, built: usize, failed: Vec<(String, InstanceBuildError)>) -> Failure {
    let total = count + built;
    let mut what = format!("{count} of {total} images were not built:");
    let mut advice: Vec<String> = Vec::new();
    for (name, error) in failed {
        let failure = Failure::from(error);
        what.push_str(&format!("\n  {name}: {}", failure.error));
        advice.extend(failure.advice);
    }
    advice.sort_unstable();
    advice.dedup();
    advice.push("run the same command again: what was built is found".to_owned());
    Failure::failed(what, Some(advice.join("\n")))
}
