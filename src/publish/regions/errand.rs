//! One Region: makes what is missing, waits for it, records what is known, takes away what failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::macros::format_description;

use super::error::RegionError;
use super::observe::{self, Found, observe};
use super::plan::{Action, Stage, decide, difference, leftovers, stage};
use super::{Origin, Placing, Target};
use crate::aws::ec2::{Ec2, Image, ImageCopy, Registration, Snapshot};
use crate::aws::token::client_token;
use crate::aws::wait::{self, Forecast, Seen};
use crate::aws::{AmiId, AwsError, Kind, Region, SnapshotId};
use crate::publish::description;
use crate::publish::manifest::Place;
use crate::telemetry;

/// What was made is seen by AWS's readers after so long at the latest; what is not seen then is not
/// there.
const SETTLES: Duration = Duration::from_secs(120);
/// For so long, an AMI that is recorded and not seen is looked for, before it counts as taken away.
const LOOKS: Duration = Duration::from_secs(10);

impl Placing {
    /// Brings a Region to what it is to have.
    pub(super) async fn bring(&self, target: Target, origin: Origin) -> Result<Place, RegionError> {
        let recorded = target.recorded.as_ref();
        let errand = Errand {
            placing: self,
            ec2: self.aws.ec2(&target.region),
            release: self.wanted.release.to_string(),
            attempt: recorded.map_or(0, |place| place.attempt),
            target,
            origin,
        };
        let (region, release) = (errand.target.region.clone(), errand.release.clone());
        let span = telemetry::span!("publish in a Region", %region, release);
        telemetry::stage(span, errand.run()).await
    }
}

/// What is done in a Region.
struct Errand<'a> {
    placing: &'a Placing,
    ec2: Ec2,
    release: String,
    target: Target,
    origin: Origin,
    /// Counts the results that were thrown away.
    attempt: u32,
}

impl Errand<'_> {
    async fn run(mut self) -> Result<Place, RegionError> {
        let wanted = &self.placing.wanted;
        let is_known = self.target.recorded.as_ref();
        let is_known = is_known.is_some_and(|place| place.ami.is_some());
        // CopyImage would make a second AMI of a name that somebody took meanwhile; RegisterImage
        // refuses it.
        let is_home = matches!(self.origin, Origin::Snapshot(_));
        if self.placing.is_new && is_home && !is_known {
            return self.make().await;
        }
        let mut observed = observe(&self.ec2, &wanted.name, &wanted.release).await?;
        if observed.images.is_empty() {
            observed.images.extend(self.recorded_one().await?);
        }
        match decide(&observed, wanted, &self.target, &self.origin)? {
            Action::Nothing { ami, snapshot } => self.finish(ami, snapshot).await,
            Action::Wait { ami } => {
                self.know(&ami).await?;
                self.wait(ami).await
            }
            Action::Make { attempt } => {
                self.attempt = attempt;
                self.make().await
            }
            Action::Replace {
                ami,
                reason,
                attempt,
                ..
            } => {
                let found = observed.images.iter().find(|found| found.image.id == ami);
                if let Some(found) = found {
                    let (image, snapshot) = (&found.image, found.snapshot.as_ref());
                    let place = self.throw_away(image, snapshot, &reason, attempt).await?;
                    self.target.recorded = Some(place);
                }
                self.attempt = attempt;
                self.make().await
            }
        }
    }

    /// The AMI that is recorded, if it is there, though neither its name nor its tag was found: a
    /// reader that is behind does not make it be copied again.
    async fn recorded_one(&self) -> Result<Option<Found>, RegionError> {
        let recorded = self.target.recorded.as_ref();
        let Some(id) = recorded
            .filter(|place| place.error.is_none())
            .and_then(|place| place.ami.as_ref())
        else {
            return Ok(None);
        };
        let look = || async {
            let Some(image) = self.ec2.image(id).await? else {
                return Ok(Seen::NotYet(format!("{id} is not there")));
            };
            let snapshot = observe::snapshot(&self.ec2, &image).await?;
            Ok(Seen::Reached(Found { image, snapshot }))
        };
        let tell = |at: &str| self.tell(format!("looks for what is recorded: {at}"));
        let found = wait::until(LOOKS, tell, look)
            .await
            .map_err(RegionError::Aws)?;
        Ok(found.ok())
    }

    /// Makes the AMI with this attempt's token, and waits for it.
    async fn make(&self) -> Result<Place, RegionError> {
        let recorded = self.target.recorded.as_ref();
        if recorded.map_or(0, |place| place.attempt) != self.attempt {
            // The next run is to use this attempt's token too, if this one dies now.
            let reason = recorded.and_then(|place| place.error.clone());
            self.record(&self.place(None, None, "missing", reason))
                .await?;
        }
        let made = match &self.origin {
            Origin::Snapshot(snapshot) => self.register(snapshot).await,
            Origin::Ami { id, region } => self.copy(id, region).await,
        };
        let ami = match made {
            Ok(ami) => ami,
            Err(RegionError::Aws(error)) if matches!(error.kind, Kind::Exists | Kind::Conflict) => {
                self.made_before(error).await?
            }
            Err(error) => return Err(error),
        };
        self.know(&ami).await?;
        self.wait(ami).await
    }

    async fn register(&self, snapshot: &SnapshotId) -> Result<AmiId, RegionError> {
        let wanted = &self.placing.wanted;
        self.tell(format!("registering {snapshot}"));
        let description = description::with_key(&wanted.description, &self.target.key);
        let registration = Registration {
            name: &wanted.name,
            description: &description,
            arch: wanted.arch,
            boot_mode: &wanted.boot.mode,
            tpm: wanted.boot.tpm,
            root_device: &wanted.boot.root_device,
            snapshot,
            volume_gib: wanted.volume_gib,
            tags: &wanted.tags,
        };
        Ok(self.ec2.register(&registration).await?)
    }

    /// Begins the copy, when AWS takes one more into the Region.
    async fn copy(&self, ami: &AmiId, from: &Region) -> Result<AmiId, RegionError> {
        let wanted = &self.placing.wanted;
        self.tell(format!("copying {ami} from {from}"));
        let region = &self.target.region;
        let token = client_token(&wanted.name, "copy", region, self.attempt);
        let description = description::with_key(&wanted.description, &self.target.key);
        let copy = ImageCopy {
            source: ami,
            source_region: from,
            name: &wanted.name,
            description: &description,
            key: &self.target.key,
            token: &token,
            tags: &wanted.tags,
        };
        let made = OnceLock::new();
        let look = || async {
            if let Some(ami) = made.get() {
                return Ok(Seen::Reached(AmiId::clone(ami)));
            }
            match self.ec2.copy_image(&copy).await {
                Ok(ami) => Ok(Seen::Reached(made.get_or_init(|| ami).clone())),
                Err(error) if is_passing(&error) => Ok(Seen::NotYet(error.message.clone())),
                Err(error) => Err(error),
            }
        };
        let tell = |at: &str| self.tell(format!("waiting for other copies: {at}"));
        let limit = self.placing.aws.settings().wait();
        let result = wait::until(limit, tell, look).await?;
        result.map_err(|timed_out| RegionError::TooManyCopies {
            region: region.clone(),
            timed_out,
        })
    }

    /// The AMI that a call before made, whose answer was lost: AWS says that the name is taken, or
    /// that the token was used (with the tags of another run).
    async fn made_before(&self, error: AwsError) -> Result<AmiId, RegionError> {
        let wanted = &self.placing.wanted;
        let look = || async {
            let observed = observe(&self.ec2, &wanted.name, &wanted.release).await?;
            match decide(&observed, wanted, &self.target, &self.origin)? {
                Action::Wait { ami }
                | Action::Nothing { ami, .. }
                | Action::Replace { ami, .. } => Ok(Seen::Reached(ami)),
                Action::Make { .. } => Ok(Seen::NotYet(error.to_string())),
            }
        };
        let tell = |_: &str| self.tell("looking for what was made before".to_owned());
        let why = match wait::until::<_, RegionError, _>(SETTLES, tell, look).await? {
            Ok(ami) => return Ok(ami),
            Err(timed_out) => timed_out.last,
        };
        if error.kind == Kind::Exists {
            return Err(RegionError::Aws(error));
        }
        let call = error.action;
        // The token stands for what is no more: the next run uses another.
        let place = self.place(None, None, "missing", Some(why.clone()));
        let attempt = self.attempt + 1;
        self.record(&Place { attempt, ..place }).await?;
        let region = self.target.region.clone();
        Err(RegionError::Vanished { region, call, why })
    }

    /// Waits until the AMI is available, its snapshot whole, and both are what the release says.
    async fn wait(&self, ami: AmiId) -> Result<Place, RegionError> {
        let since = clock();
        let started = Instant::now();
        let last_seen = AtomicU64::new(0);
        let root = OnceLock::new();
        let forecast = Mutex::new(Forecast::default());
        let look = || async {
            // Once its snapshot is known, both are asked at once.
            let (image, snapshot) = tokio::try_join!(self.ec2.image(&ami), async {
                match root.get() {
                    Some(id) => self.ec2.snapshot(id).await,
                    None => Ok(None),
                }
            })?;
            let Some(image) = image else {
                let unseen = started.elapsed().as_secs() - last_seen.load(Ordering::Relaxed);
                if unseen > SETTLES.as_secs() {
                    return Err(self.vanished(&ami).await);
                }
                return Ok(Seen::NotYet(format!("{ami} is not seen yet")));
            };
            last_seen.store(started.elapsed().as_secs(), Ordering::Relaxed);
            let snapshot = match image.root_snapshot() == root.get() {
                true => snapshot,
                false => observe::snapshot(&self.ec2, &image).await?,
            };
            if let Some(id) = image.root_snapshot() {
                // Should it be another one one day, it is asked for by itself.
                let _ = root.set(id.clone());
            }
            let left = snapshot.as_ref().and_then(|snapshot| {
                let mut forecast = forecast.lock().unwrap_or_else(PoisonError::into_inner);
                forecast.left(Instant::now(), snapshot.percent()?)
            });
            let found = Found { image, snapshot };
            Ok(match (self.look(found).await?, left) {
                (Seen::NotYet(at), Some(left)) => Seen::Nearer(at, left),
                (seen, _) => seen,
            })
        };
        let tell = |at: &str| self.tell(format!("{at}, since {since}"));
        let limit = self.placing.aws.settings().wait();
        match wait::until(limit, tell, look).await? {
            Ok(snapshot) => self.finish(ami, snapshot).await,
            Err(timed_out) => {
                let region = self.target.region.clone();
                Err(RegionError::TimedOut {
                    region,
                    ami,
                    timed_out,
                })
            }
        }
    }

    /// What an AMI that is waited for has come to.
    async fn look(&self, found: Found) -> Result<Seen<SnapshotId>, RegionError> {
        let Found { image, snapshot } = &found;
        let region = &self.target.region;
        match stage(image, snapshot.as_ref()) {
            Stage::NotYet(at) => Ok(Seen::NotYet(at)),
            Stage::Finished(id) => {
                match difference(&found, &self.placing.wanted, &self.target.key, &self.origin) {
                    None => Ok(Seen::Reached(id)),
                    Some(difference) => Err(difference.on(&self.target, image.id.clone())),
                }
            }
            Stage::Failed(reason) => {
                let attempt = self.attempt + 1;
                self.throw_away(image, snapshot.as_ref(), &reason, attempt)
                    .await?;
                Err(RegionError::Failed {
                    region: region.clone(),
                    ami: image.id.clone(),
                    reason,
                    attempt,
                })
            }
            Stage::OutOfUse(state) => Err(RegionError::OutOfUse {
                region: region.clone(),
                ami: image.id.clone(),
                state,
            }),
        }
    }

    /// AWS gave an id, and has no such AMI: its token is used up.
    async fn vanished(&self, ami: &AmiId) -> RegionError {
        let why = format!("{ami} was not seen for {} s", SETTLES.as_secs());
        let place = self.place(Some(ami), None, "missing", Some(why.clone()));
        let attempt = self.attempt + 1;
        match self.record(&Place { attempt, ..place }).await {
            Err(error) => error,
            Ok(()) => RegionError::Vanished {
                region: self.target.region.clone(),
                call: match self.origin {
                    Origin::Snapshot(_) => "ec2:RegisterImage",
                    Origin::Ami { .. } => "ec2:CopyImage",
                },
                why,
            },
        }
    }

    /// Records that the AMI failed, and then takes it away with its snapshot; an AMI without the
    /// release's tag is left alone, and so is the snapshot that another step made.
    async fn throw_away(
        &self,
        image: &Image,
        snapshot: Option<&Snapshot>,
        reason: &str,
        attempt: u32,
    ) -> Result<Place, RegionError> {
        let id = image.root_snapshot();
        let state = image.state.as_str();
        let place = self.place(Some(&image.id), id, state, Some(reason.to_owned()));
        let place = Place { attempt, ..place };
        self.record(&place).await?;
        let is_ours = |release: Option<&str>| release == Some(self.release.as_str());
        if !is_ours(image.release()) {
            return Ok(place);
        }
        self.tell(format!("removing {}, which failed: {reason}", image.id));
        let is_copy = matches!(self.origin, Origin::Ami { .. });
        let with_snapshot = is_copy && snapshot.is_some_and(|of| is_ours(of.release()));
        self.ec2.deregister(&image.id, with_snapshot).await?;
        self.sweep().await?;
        Ok(place)
    }

    /// Deletes the snapshots that failed copies left in the Region.
    async fn sweep(&self) -> Result<(), RegionError> {
        if matches!(self.origin, Origin::Snapshot(_)) {
            return Ok(());
        }
        let snapshots = self.ec2.snapshots_of_release(&self.release).await?;
        let ids: Vec<SnapshotId> = snapshots
            .iter()
            .map(|snapshot| snapshot.id.clone())
            .collect();
        let images = self.ec2.images_with(&ids).await?;
        for id in leftovers(&images, &snapshots, &self.release) {
            // Where an AMI has it after all, AWS keeps it.
            self.ec2.delete_snapshot(&id).await?;
        }
        Ok(())
    }

    /// The Region has what it is to have.
    async fn finish(&self, ami: AmiId, snapshot: SnapshotId) -> Result<Place, RegionError> {
        if self.attempt > 0 {
            self.sweep().await?;
        }
        let place = self.place(Some(&ami), Some(&snapshot), "available", None);
        if self.target.recorded.as_ref() != Some(&place) {
            self.record(&place).await?;
        }
        self.tell("available".to_owned());
        Ok(place)
    }

    /// Says and records the AMI's id, before anything is waited for.
    async fn know(&self, ami: &AmiId) -> Result<(), RegionError> {
        let recorded = self.target.recorded.as_ref();
        let is_known = recorded.is_some_and(|place| {
            place.ami.as_ref() == Some(ami)
                && place.attempt == self.attempt
                && place.error.is_none()
        });
        if is_known {
            return Ok(());
        }
        let region = &self.target.region;
        self.placing.progress.say(format!("{region}: {ami}"));
        self.record(&self.place(Some(ami), None, "pending", None))
            .await
    }

    fn place(
        &self,
        ami: Option<&AmiId>,
        snapshot: Option<&SnapshotId>,
        state: &str,
        error: Option<String>,
    ) -> Place {
        Place {
            ami: ami.cloned(),
            snapshot: snapshot.cloned(),
            key: self.target.key.clone(),
            state: state.to_owned(),
            attempt: self.attempt,
            error,
        }
    }

    async fn record(&self, place: &Place) -> Result<(), RegionError> {
        let region = &self.target.region;
        let kept = self.placing.record.place(region, place).await;
        kept.map_err(|source| RegionError::Record {
            region: region.clone(),
            source,
        })
    }

    fn tell(&self, at: String) {
        self.placing.progress.region(&self.target.region, at);
    }
}

/// Whether AWS takes no more copies only for the time being. The number of AMIs in a Region has a
/// quota too, which is told with the same code and does not pass.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
fn is_passing(error: &AwsError) -> bool {
    error.kind == Kind::Quota && error.message.contains("in progress")
}

/// Now, as progress tells it.
fn clock() -> String {
    let format = format_description!("[hour]:[minute]:[second] UTC");
    let now = OffsetDateTime::now_utc().format(&format);
    now.expect("a time of day has hours, minutes and seconds")
}
