//! Where images are assembled: here, or each on an instance of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::decide::Recipe;
use super::error::{NightlyError, StepError};
use super::ledger::Did;
use super::settings::On;
use crate::apk::fetch::Fetcher;
use crate::arch::Arch;
use crate::aws::Aws;
use crate::builder::draft::Draft;
use crate::builder::ec2::InstanceBuildError;
use crate::builder::ec2::run::{InstanceBuild, Tell};
use crate::builder::ec2::site::Site;
use crate::builder::local::{BuildOptions, build, check_arch};
use crate::config::Config;
use crate::image::manifest::Manifest;
use crate::interrupt::Stop;
use crate::lock::Lock;
use crate::origin::Begun;
use crate::plan::{Plan, Sources};
use crate::publish::complete::Publisher;
use crate::publish::subject::Image;

/// Where images are assembled.
pub(super) enum Builder {
    /// On this machine.
    Local,
    /// On instances.
    Ec2(Arc<Site>),
}

/// An image that is to be built.
pub(super) struct Wanted<'a> {
    /// What.
    pub plan: &'a Plan,
    /// From where.
    pub sources: &'a Sources,
    /// Of which packages.
    pub lock: &'a Lock,
    /// What it is made of.
    pub recipe: &'a Recipe,
    /// The folder for it.
    pub out: &'a Path,
    /// Whether it is built even where it is there.
    pub force: bool,
    /// This program's executable.
    pub program: &'a Path,
    /// The publisher's configuration.
    pub publisher: &'a Publisher,
    /// Where the publisher's own profiles are.
    pub profiles: &'a Path,
    /// Who is told what goes on, and what people must know.
    pub tell: (Tell, Tell),
}

impl Builder {
    /// Looks at everything that builds need.
    ///
    /// # Errors
    /// There is no place for instances. Nothing was made.
    pub(super) async fn open(
        on: On,
        config: &Config,
        publisher: &Publisher,
        program: PathBuf,
        archs: &BTreeSet<Arch>,
    ) -> Result<Builder, NightlyError> {
        if on == On::Local {
            return Ok(Builder::Local);
        }
        config.build.check().map_err(InstanceBuildError::from)?;
        for arch in archs {
            let named = config.build.base_image(*arch);
            named.map_err(InstanceBuildError::from)?;
        }
        let aws = Aws::connect(&config.aws, "build", &publisher.home).await?;
        let site = Site::look(&aws, publisher, &config.build, program, archs).await?;
        Ok(Builder::Ec2(Arc::new(site)))
    }

    /// Builds an image, or finds it.
    ///
    /// # Errors
    /// The builder's.
    pub(super) async fn build(
        &self,
        wanted: Wanted<'_>,
        fetcher: &Fetcher,
        stop: &Stop,
    ) -> Result<Did<Manifest>, StepError> {
        match self {
            Builder::Local => here(wanted, fetcher, stop.clone()).await,
            Builder::Ec2(site) => elsewhere(Arc::clone(site), wanted, fetcher, stop.clone()).await,
        }
    }
}

async fn here(
    wanted: Wanted<'_>,
    fetcher: &Fetcher,
    mut stop: Stop,
) -> Result<Did<Manifest>, StepError> {
    check_arch(wanted.plan.arch)?;
    if !wanted.force
        && let Some(manifest) = left_before(&wanted)
    {
        let why = format!("an earlier run left it in {}", wanted.out.display());
        return Ok(Did {
            value: manifest,
            skipped: Some(why),
        });
    }
    let options = BuildOptions {
        out: wanted.out.to_owned(),
        sources: wanted.sources.clone(),
        lock: Some(wanted.lock.clone()),
        program: wanted.program.to_owned(),
    };
    let begun = Begun::now("local", wanted.profiles);
    let tell = Arc::clone(&wanted.tell.0);
    let progress = move |text: &str| tell(text);
    let built = Box::pin(build(wanted.plan, &options, fetcher, &progress));
    tokio::select! {
        biased;
        how = stop.told() => Err(StepError::Interrupted(how)),
        built = built => {
            let built = built?;
            begun.record(wanted.out, &built.image.sha256);
            Ok(built.into())
        }
    }
}

/// The image that an earlier run built and did not publish, if it is that image to the last byte.
fn left_before(wanted: &Wanted<'_>) -> Option<Manifest> {
    let manifest = Manifest::read(wanted.out).ok()?;
    if manifest.snapshot.is_some() || Recipe::of(&manifest) != *wanted.recipe {
        return None;
    }
    let open = || Image::open(wanted.out, wanted.publisher.volume_gib);
    let image = tokio::task::block_in_place(open);
    Some(image.ok()?.manifest)
}

async fn elsewhere(
    site: Arc<Site>,
    wanted: Wanted<'_>,
    fetcher: &Fetcher,
    mut stop: Stop,
) -> Result<Did<Manifest>, StepError> {
    let (plan, lock) = (wanted.plan.clone(), Some(wanted.lock.clone()));
    let draft = Draft::new(plan, wanted.sources, lock, fetcher);
    let draft = tokio::select! {
        biased;
        how = stop.told() => return Err(StepError::Interrupted(how)),
        draft = Box::pin(draft) => {
            draft.map_err(InstanceBuildError::from)?
        }
    };
    let begun = Begun::now("ec2", wanted.profiles);
    let (tell, warn) = wanted.tell;
    let build = InstanceBuild {
        site,
        draft,
        out: wanted.out.to_owned(),
        keep_days: wanted.publisher.end_of_life_days,
        keep_on_failure: false,
        tell,
        warn,
    };
    let built = Box::pin(build.run(stop)).await?;
    if built.is_new {
        begun.record(wanted.out, &built.manifest.image.sha256);
    }
    let found = || {
        let snapshot = built.manifest.snapshot.as_ref();
        let id = snapshot.map_or("a snapshot", |snapshot| snapshot.id.as_str());
        format!("{id} holds it already")
    };
    Ok(Did {
        skipped: (!built.is_new).then(found),
        value: built.manifest,
    })
}
