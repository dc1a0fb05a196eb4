//! One image, from its packages to its release.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::builders::{Builder, Wanted};
use super::decide::{Decision, Recipe, Seen, decide};
use super::error::StepError;
use super::ledger::{Did, Failed, Ledger};
use super::report::{Outcome as Ended, Step};
use super::standing::Standing;
use super::{changes, trial};
use crate::apk::fetch::Fetcher;
use crate::arch::Arch;
use crate::aws::{Aws, Region};
use crate::builder::ec2::run::Tell;
use crate::channels::Channel;
use crate::interrupt::Stop;
use crate::lock::Lock;
use crate::lock::indexes::Floor;
use crate::lock::make::Maker;
use crate::plan::{Plan, PlanError, SourceOverrides, Sources};
use crate::publish::bucket::{Bucket, BucketError};
use crate::publish::complete::Publisher;
use crate::publish::manifest::{ReleaseManifest, State};
use crate::publish::outcome::Outcome;
use crate::publish::progress::Progress;
use crate::publish::release::{Line, ReleaseId};
use crate::publish::run::{Job, publish};
use crate::publish::subject::{About, Named, Subject};
use crate::sign::Signer;
use crate::ui::Ui;

/// Releases of a line that are looked at: more than dead runs leave in a row.
const MOST_SEEN: usize = 20;

/// What all images of a run have in common.
pub(super) struct Shop {
    /// The publisher's configuration.
    pub publisher: Publisher,
    /// The session that publishes.
    pub aws: Aws,
    /// Who signs, if anybody does.
    pub signer: Option<Signer>,
    /// Where the publisher's own profiles are.
    pub profiles: PathBuf,
    /// The publisher's bucket.
    pub bucket: Bucket,
    /// The channel that releases come into, as it was when the run began.
    pub channel: Channel,
    /// Where images are assembled.
    pub builder: Builder,
    /// What fetches packages.
    pub fetcher: Fetcher,
    /// From where, if the command line says so.
    pub sources: SourceOverrides,
    /// Images at once.
    pub limit: Semaphore,
    /// Alpine's security databases.
    pub secdb: Vec<String>,
    /// The folder for images.
    pub out: PathBuf,
    /// Whether images are built though nothing changed.
    pub force: bool,
    /// Whether indexes are taken that are older than those of the last release.
    pub accept_older: bool,
    /// This program's executable.
    pub program: PathBuf,
    /// Who is told what goes on.
    pub ui: Ui,
}

/// An image that is asked for.
pub(super) struct Order {
    /// The profile.
    pub profile: String,
    /// The architecture.
    pub arch: Arch,
    /// What it is to be, if that can be told.
    pub plan: Result<Plan, PlanError>,
}

/// What became of an image before all of them are shared and promoted.
pub(super) struct Made {
    /// What was done.
    pub ledger: Ledger,
    /// The release that is to come into the channel: it is whole, and its image was tested.
    pub promote: Option<ReleaseId>,
}

/// What a plan comes to tonight.
struct Locked {
    sources: Sources,
    lock: Lock,
    recipe: Recipe,
    /// The newest releases of the line, newest first.
    manifests: Vec<ReleaseManifest>,
}

impl Shop {
    /// One image, when its turn has come.
    pub(super) async fn make(self: Arc<Self>, order: Order, stop: Stop) -> Made {
        let version = order.plan.as_ref().ok();
        let version = version.map(|plan| plan.profile.version.to_string());
        let mut image = Image {
            shop: Arc::clone(&self),
            name: format!("{}-{}", order.profile, order.arch),
            ledger: Ledger::new(&order.profile, order.arch, version),
            stop,
        };
        // What failed stands in the ledger. What somebody took out of the channel does not come back.
        let promote = image.go(order.plan).await.unwrap_or_default();
        let promote = promote.filter(|release| {
            let is_out = Standing::of(release, &self.channel) == Standing::TakenOut;
            if is_out {
                let why = format!("{release} was taken out of {}", self.channel.channel);
                image.ledger.skip(&[Step::Promote], &why);
            }
            !is_out
        });
        if image.ledger.has_failed() {
            image.tell("failed");
        }
        Made {
            ledger: image.ledger,
            promote,
        }
    }
}

/// An image that is being made.
struct Image {
    shop: Arc<Shop>,
    /// As progress calls it, and its folder.
    name: String,
    ledger: Ledger,
    stop: Stop,
}

impl Image {
    fn tell(&self, text: &str) {
        self.shop.ui.progress(&format!("{}: {text}", self.name));
    }

    /// All of it; the release that is to come into the channel, if one is.
    async fn go(&mut self, plan: Result<Plan, PlanError>) -> Result<Option<ReleaseId>, Failed> {
        let shop = Arc::clone(&self.shop);
        let turn = unless(self.stop.clone(), async {
            Ok(shop.limit.acquire().await.expect("it is never closed"))
        });
        // Not part of the step: the wait is for other images.
        let slot = turn.await;
        let locked = async {
            let slot = slot?;
            let plan = plan?;
            self.shop
                .ui
                .progress(&format!("{}: choosing packages", self.name));
            let locked = unless(self.stop.clone(), lock(&shop, &plan)).await?;
            Ok(Did::from((slot, plan, locked)))
        };
        let (_slot, plan, locked) = self.ledger.step(Step::Lock, locked).await?;
        match decide(&locked.recipe, &self.seen(&locked.manifests), shop.force) {
            Decision::Unchanged(release) => {
                self.unchanged(&release, &locked.manifests);
                Ok(None)
            }
            Decision::Finish(release) => {
                self.tell(&format!("finishing {release}"));
                let why = format!("{release} is it");
                self.ledger.skip(&[Step::Build, Step::Test], &why);
                Box::pin(self.publish(Named::Release(release), &locked)).await
            }
            Decision::Build(why) => {
                self.tell(&format!("building it: {why}"));
                Box::pin(self.build(&plan, &locked)).await
            }
        }
    }

    fn seen(&self, manifests: &[ReleaseManifest]) -> Vec<Seen> {
        let regions = &self.shop.publisher.regions;
        let seen = |manifest: &ReleaseManifest| {
            let standing = Standing::of(&manifest.release, &self.shop.channel);
            Seen::new(manifest, regions, standing)
        };
        manifests.iter().map(seen).collect()
    }

    fn unchanged(&mut self, release: &ReleaseId, manifests: &[ReleaseManifest]) {
        self.tell(&format!("unchanged since {release}"));
        let why = format!("unchanged since {release}");
        self.ledger.skip(
            &[Step::Build, Step::Test, Step::Publish, Step::Promote],
            &why,
        );
        let report = &mut self.ledger.report;
        report.release = Some(release.clone());
        let found = manifests
            .iter()
            .find(|manifest| manifest.release == *release);
        let places = found.into_iter().flat_map(|manifest| &manifest.regions);
        report.amis = places
            .filter_map(|(region, place)| Some((region.clone(), place.ami.clone()?)))
            .collect();
    }

    async fn build(&mut self, plan: &Plan, locked: &Locked) -> Result<Option<ReleaseId>, Failed> {
        let shop = Arc::clone(&self.shop);
        let out = shop.out.join(&self.name);
        let wanted = Wanted {
            plan,
            sources: &locked.sources,
            lock: &locked.lock,
            recipe: &locked.recipe,
            out: &out,
            force: shop.force,
            program: &shop.program,
            publisher: &shop.publisher,
            profiles: &shop.profiles,
            tell: self.voices(),
        };
        let built = Box::pin(shop.builder.build(wanted, &shop.fetcher, &self.stop));
        let image = self.ledger.step(Step::Build, built).await?;
        let (ui, name) = (shop.ui, self.name.clone());
        let tell = |text: &str| ui.progress(&format!("{name}: {text}"));
        let booted = Box::pin(trial::boot(
            &out,
            &image,
            &shop.program,
            tell,
            self.stop.clone(),
        ));
        self.ledger.step(Step::Test, booted).await?;
        self.publish(Named::Folder(out), locked).await
    }

    /// For what goes on, and for what people must know.
    fn voices(&self) -> (Tell, Tell) {
        let (ui, name, warned) = (self.shop.ui, self.name.clone(), self.name.clone());
        let tell = move |text: &str| ui.progress(&format!("{name}: {text}"));
        let warn = move |text: &str| ui.warn(&format!("{warned}: {text}"));
        (Arc::new(tell), Arc::new(warn))
    }

    /// Publishes what was tested, or a release once more; the release, if it is whole.
    async fn publish(
        &mut self,
        named: Named,
        locked: &Locked,
    ) -> Result<Option<ReleaseId>, Failed> {
        let shop = Arc::clone(&self.shop);
        let mut came_to = None;
        let published = async {
            let outcome = published(&shop, &self.name, named, self.stop.clone()).await?;
            let is_new = outcome.changed;
            let error = StepError::of_publish(&outcome);
            came_to = Some(outcome);
            match error {
                Some(error) => Err(error),
                None => Ok(Did {
                    value: (),
                    skipped: (!is_new).then(|| "it was everywhere already".to_owned()),
                }),
            }
        };
        let result = self.ledger.step(Step::Publish, published).await;
        if let Some(outcome) = &came_to {
            self.note(outcome, locked).await;
        }
        result?;
        Ok(came_to.map(|outcome| outcome.release))
    }

    /// What is reported of a release.
    async fn note(&mut self, outcome: &Outcome, locked: &Locked) {
        let is_other = |manifest: &&ReleaseManifest| {
            manifest.release != outcome.release && manifest.state == State::Published
        };
        let previous = locked.manifests.iter().find(is_other);
        let report = &mut self.ledger.report;
        if let Some(before) = previous {
            report.previous = Some(before.release.clone());
            report.changes = changes::since(&self.shop, before, &outcome.release).await;
        }
        report.release = Some(outcome.release.clone());
        let amis = outcome.regions.iter();
        report.amis = amis
            .filter_map(|(region, told)| Some((region.clone(), told.ami.clone()?)))
            .collect();
        if outcome.changed && report.outcome != Ended::Failed {
            report.outcome = Ended::Published;
        }
    }
}

/// Work, unless this run is told to stop.
async fn unless<T>(
    mut stop: Stop,
    work: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    tokio::select! {
        biased;
        how = stop.told() => Err(StepError::Interrupted(how)),
        result = work => result,
    }
}

/// Looks up the releases that there are, and locks the newest packages, whatever people have locked.
async fn lock(shop: &Shop, plan: &Plan) -> Result<Locked, StepError> {
    let sources = plan.sources(&shop.sources)?;
    let about = About::plan(plan);
    about.check()?;
    let maker = Maker {
        plan,
        sources: &sources,
        fetcher: &shop.fetcher,
    };
    let manifests = look(shop, &about.line).await?;
    let floors = match shop.accept_older {
        true => Vec::new(),
        false => manifests.iter().filter_map(floor).collect(),
    };
    let lock = maker.newest_since(&floors).await?;
    let recipe = Recipe {
        plan: plan.digest.clone(),
        packages: lock.packages_digest(),
        boot_packages: lock.boot_packages_digest(),
        tool: concat!("alpine-ami ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    Ok(Locked {
        manifests,
        recipe,
        lock,
        sources,
    })
}

/// The indexes that a release was made from: none of tonight is to be older.
fn floor(manifest: &ReleaseManifest) -> Option<Floor> {
    let lock = manifest.image.as_ref()?.lock.as_ref()?;
    Some(Floor {
        whose: format!("the release {}", manifest.release),
        indexes: lock.indexes.clone(),
        put_back: "give --accept-older".to_owned(),
    })
}

/// The newest releases of a line, newest first, down to the newest that is published; and the one that
/// is in the channel, which is older where packages went back to what they were. Those that were retired
/// are none any more: an image that is made again becomes a new release.
async fn look(shop: &Shop, line: &Line) -> Result<Vec<ReleaseManifest>, BucketError> {
    let mut manifests: Vec<ReleaseManifest> = Vec::new();
    for release in shop
        .bucket
        .releases(line)
        .await?
        .into_iter()
        .take(MOST_SEEN)
    {
        let Some(manifest) = living(shop, &release).await? else {
            continue;
        };
        let is_published = manifest.state == State::Published;
        manifests.push(manifest);
        if is_published {
            break;
        }
    }
    let current = shop.channel.current_of(&line.profile, line.arch);
    let is_new = |current: &&ReleaseId| {
        let mut seen = manifests.iter();
        current.line == *line && !seen.any(|manifest| manifest.release == **current)
    };
    if let Some(current) = current.filter(is_new) {
        manifests.extend(living(shop, current).await?);
    }
    Ok(manifests)
}

/// The manifest of a release that was not retired.
async fn living(shop: &Shop, release: &ReleaseId) -> Result<Option<ReleaseManifest>, BucketError> {
    let stored = shop.bucket.manifest(release).await?;
    let manifest = stored.map(|stored| stored.manifest);
    Ok(manifest.filter(|manifest| !manifest.is_ending()))
}

/// Publishes to the configured Regions, and tells what goes on under the image's name.
async fn published(
    shop: &Shop,
    name: &str,
    named: Named,
    stop: Stop,
) -> Result<Outcome, StepError> {
    let (volume_gib, home) = (shop.publisher.volume_gib, shop.publisher.home.clone());
    let open = move || Subject::open(named, None, volume_gib, &home);
    let subject = unless(stop.clone(), async {
        Ok(spawn_blocking(open)
            .await
            .expect("reading does not panic")?)
    });
    let subject = subject.await?;
    let progress = Progress::default();
    // A release that is named would stay where it is: it comes to new Regions, too.
    let regions: BTreeSet<Region> = shop.publisher.regions.clone();
    let job = Job {
        publisher: &shop.publisher,
        aws: &shop.aws,
        subject: &subject,
        regions: Some(regions),
        add: BTreeSet::new(),
        verify: false,
        signer: shop.signer.clone(),
        progress: &progress,
    };
    let tell = |line: &str| shop.ui.progress(&format!("{name}: {line}"));
    Ok(telling(&progress, tell, Box::pin(publish(&job, stop))).await?)
}

/// Work whose lines are told as they come.
async fn telling<T>(progress: &Progress, tell: impl Fn(&str), work: impl Future<Output = T>) -> T {
    let mut told = progress.listen();
    let mut count = 0;
    let mut tell_new = |lines: &[String]| {
        lines[count..].iter().for_each(|line| tell(line));
        count = lines.len();
    };
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => {
                tell_new(&told.borrow().lines);
                return result;
            }
            // `progress` is there, so this ends with news only.
            _ = told.changed() => tell_new(&told.borrow_and_update().lines),
        }
    }
}
