//! From a result to a snapshot: what was built is what was asked for, and the volume is the one that
//! was made for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use time::OffsetDateTime;

use super::error::InstanceBuildError;
use super::follow::{Followed, printable};
use super::launch::DEVICE;
use super::site::Site;
use crate::arch::Firmware;
use crate::aws::ec2::{InstanceState, Snapshot, SnapshotState};
use crate::aws::tags::{self, Tags};
use crate::aws::wait::{self, Forecast, Seen};
use crate::aws::{AwsError, InstanceId, SnapshotId, VolumeId};
use crate::builder::draft::Draft;
use crate::builder::packages::of_checksums;
use crate::image::manifest::{BuiltSnapshot, IMAGE, Manifest, SCHEMA};
use crate::profile::{Check, TestVolume};

/// An instance that is done switches itself off; one that does not within this is told to.
const OFF_WITHIN: std::time::Duration = std::time::Duration::from_secs(120);
/// A snapshot whose answer was lost shows within this, if there is one.
const SHOWS_WITHIN: std::time::Duration = std::time::Duration::from_secs(15);

/// What is done with a result.
pub struct Finish<'a> {
    /// Where.
    pub site: &'a Site,
    /// The build.
    pub build: &'a str,
    /// What was asked for.
    pub draft: &'a Draft,
    /// Days after which what is of no release may be swept.
    pub keep_days: u32,
}

impl Finish<'_> {
    /// Whether a result is of the plan and packages that were asked for, in all that names and
    /// describes the release that will be made of it.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, id: &InstanceId, manifest: &Manifest) -> Result<(), InstanceBuildError> {
        let Some((what, found, expected)) = self.differing(manifest) else {
            return Ok(());
        };
        Err(InstanceBuildError::Differs {
            instance: id.clone(),
            place: self.site.place(),
            what,
            found: printable(found.as_bytes()).chars().take(200).collect(),
            expected,
        })
    }

    /// The first thing that a manifest says otherwise: what, what it says, what it should.
    fn differing(&self, manifest: &Manifest) -> Option<(&'static str, String, String)> {
        let plan = self.draft.plan();
        let profile = &plan.profile;
        let boot = manifest.boot_packages.iter();
        let boot = of_checksums(boot.map(|package| package.checksum.clone()));
        let firmware = |firmware: &[Firmware]| {
            let names: Vec<_> = firmware.iter().map(|one| one.as_str()).collect();
            names.join(", ")
        };
        let checks = |checks: &BTreeMap<String, Check>| {
            serde_json::to_string(checks).expect("checks have a JSON form")
        };
        let volumes = |volumes: &[TestVolume]| {
            let all = volumes.iter();
            let all: Vec<_> = all
                .map(|one| format!("{} {}", one.device, one.size))
                .collect();
            all.join(", ")
        };
        let said = |value: &dyn ToString| value.to_string();
        let pairs = [
            ("format", said(&manifest.schema), said(&SCHEMA)),
            ("profile", said(&manifest.profile), said(&profile.name)),
            ("version", said(&manifest.version), said(&profile.version)),
            ("architecture", said(&manifest.arch), said(&plan.arch)),
            ("plan", said(&manifest.plan_digest), said(&plan.digest)),
            (
                "packages",
                said(&manifest.packages_digest),
                said(&self.draft.packages_digest()),
            ),
            (
                "boot loader's packages",
                boot,
                said(&self.draft.boot_packages_digest()),
            ),
            (
                "firmware",
                firmware(&manifest.firmware),
                firmware(&plan.firmware),
            ),
            ("checks", checks(&manifest.checks), checks(&profile.checks)),
            (
                "volumes of tests",
                volumes(&manifest.test_volumes),
                volumes(&profile.test.volumes),
            ),
            ("file", said(&manifest.image.file), said(&IMAGE)),
            (
                "size",
                said(&manifest.image.size),
                said(&profile.disk.size.0),
            ),
        ];
        pairs
            .into_iter()
            .find(|(_, found, expected)| found != expected)
    }

    /// The snapshot of an instance's volume, completed and as it should be. The instance is off.
    ///
    /// # Errors
    /// The volume or the snapshot is not as it should be; AWS's.
    pub async fn snapshot(
        &self,
        followed: &Followed<'_>,
        tell: impl Fn(&str),
    ) -> Result<BuiltSnapshot, InstanceBuildError> {
        self.off(followed, &tell).await?;
        let volume = self.volume(followed).await?;
        let id = match self.snapshot_of(&volume).await? {
            Some(id) => id,
            None => self.make(&volume).await?,
        };
        tell(&format!("snapshot {id} of {volume}"));
        let snapshot = self.completed(&id, &tell).await?;
        self.checked(&snapshot)
    }

    /// Waits until the instance is off, and tells it to be where it is not.
    async fn off(
        &self,
        followed: &Followed<'_>,
        tell: &impl Fn(&str),
    ) -> Result<(), InstanceBuildError> {
        let ec2 = self.site.ec2();
        let id = followed.id();
        let look = async || {
            let found = ec2.instance(id).await?;
            Ok::<_, InstanceBuildError>(match found.map(|found| found.state) {
                Some(InstanceState::Stopped) => Seen::Reached(()),
                Some(state) if state.is_ending() => {
                    let why =
                        format!("it is {state}: somebody else ended it, and its disk with it");
                    return Err(self.wrong(id, why));
                }
                Some(state) => Seen::NotYet(state.to_string()),
                None => Seen::NotYet("not there".to_owned()),
            })
        };
        if wait::until(OFF_WITHIN, |_| {}, look).await?.is_ok() {
            return Ok(());
        }
        tell(&format!("{id} does not switch itself off: it is told to"));
        ec2.stop(id).await?;
        let limit = self.site.aws.settings().wait();
        let waited = wait::until(limit, |_| {}, look).await?;
        waited.map_err(|timed_out| self.timed_out(format!("the stop of {id}"), timed_out))
    }

    fn timed_out(&self, what: String, timed_out: wait::TimedOut) -> InstanceBuildError {
        InstanceBuildError::TimedOut {
            what,
            place: self.site.place(),
            timed_out,
        }
    }

    fn wrong(&self, id: impl ToString, why: impl Into<String>) -> InstanceBuildError {
        InstanceBuildError::Snapshot {
            id: id.to_string(),
            place: self.site.place(),
            why: why.into(),
        }
    }

    /// The volume that was made with the instance: encrypted under the right key.
    async fn volume(&self, followed: &Followed<'_>) -> Result<VolumeId, InstanceBuildError> {
        let ec2 = self.site.ec2();
        // A reader that lags shows a pending instance, which has no volumes yet.
        let look = async || {
            let found = ec2.instance(followed.id()).await?;
            let volume = found.and_then(|found| found.volumes.get(DEVICE).cloned());
            Ok::<_, AwsError>(match volume {
                Some(volume) => Seen::Reached(volume),
                None => Seen::NotYet("no such volume".to_owned()),
            })
        };
        let id = wait::until(SHOWS_WITHIN, |_| {}, look).await?;
        let id = id.map_err(|_| {
            let why = format!("it has no volume that is attached as {DEVICE}");
            self.wrong(followed.id(), why)
        })?;
        let volume = ec2.volume(&id).await?;
        let volume = volume.ok_or_else(|| self.wrong(&id, "it is not there"))?;
        if !volume.encrypted || volume.key.as_ref() != Some(&self.site.key) {
            let why = format!("it is not encrypted under {}", self.site.key);
            return Err(self.wrong(&id, why));
        }
        if volume.tags.get(tags::BUILD) != Some(self.build) {
            return Err(self.wrong(&id, format!("it is not tagged as of {}", self.build)));
        }
        Ok(id)
    }

    /// The snapshot that this run or an earlier one has begun of a volume.
    async fn snapshot_of(
        &self,
        volume: &VolumeId,
    ) -> Result<Option<SnapshotId>, InstanceBuildError> {
        let found = self.site.ec2().snapshots_of_volume(volume).await?;
        let ours = found.into_iter().find(|snapshot| {
            snapshot.tags.get(tags::BUILD) == Some(self.build)
                && snapshot.state != SnapshotState::Error
        });
        Ok(ours.map(|snapshot| snapshot.id))
    }

    /// Begins a snapshot. The call takes no client token: where its answer was lost, what is there
    /// is looked for.
    async fn make(&self, volume: &VolumeId) -> Result<SnapshotId, InstanceBuildError> {
        let plan = self.draft.plan();
        let description = format!(
            "{} {} for {}, built by {}",
            plan.profile.name, plan.profile.version, plan.arch, self.site.run
        );
        let end = OffsetDateTime::now_utc() + time::Duration::days(self.keep_days.into());
        let tags = Tags::of_build(self.build, &self.site.run, end);
        let ec2 = self.site.ec2();
        let error = match ec2.create_snapshot(volume, &description, &tags).await {
            Ok(id) => return Ok(id),
            Err(error) if error.kind.is_transient() => error,
            Err(error) => return Err(error.into()),
        };
        let begun = Instant::now();
        while begun.elapsed() < SHOWS_WITHIN {
            if let Some(id) = self.snapshot_of(volume).await? {
                return Ok(id);
            }
            tokio::time::sleep(SHOWS_WITHIN / 10).await;
        }
        // It was not done; should it show later after all, it is removed with the instance.
        tracing::debug!("{error}; making it again");
        Ok(ec2.create_snapshot(volume, &description, &tags).await?)
    }

    async fn completed(
        &self,
        id: &SnapshotId,
        tell: &impl Fn(&str),
    ) -> Result<Snapshot, InstanceBuildError> {
        let ec2 = self.site.ec2();
        let forecast = Mutex::new(Forecast::default());
        let look = async || {
            let Some(found) = ec2.snapshot(id).await? else {
                return Ok(Seen::NotYet("not there".to_owned()));
            };
            Ok::<_, InstanceBuildError>(match (&found.state, found.percent()) {
                (SnapshotState::Completed, _) => Seen::Reached(found),
                (SnapshotState::Error, _) => {
                    let why = found.state_message.unwrap_or_default();
                    return Err(self.wrong(id, format!("AWS gave it up: {why}")));
                }
                (state, Some(percent)) => {
                    let text = format!("{} ({percent} %)", state.as_str());
                    let mut forecast = forecast.lock().unwrap_or_else(PoisonError::into_inner);
                    match forecast.left(Instant::now(), percent) {
                        Some(left) => Seen::Nearer(text, left),
                        None => Seen::NotYet(text),
                    }
                }
                (state, None) => Seen::NotYet(state.as_str().to_owned()),
            })
        };
        let limit = self.site.aws.settings().wait();
        let mut told = String::new();
        let say = |seen: &str| {
            if seen != told {
                tell(&format!("{id} is {seen}"));
                seen.clone_into(&mut told);
            }
        };
        let waited = wait::until(limit, say, look).await?;
        waited.map_err(|timed_out| self.timed_out(id.to_string(), timed_out))
    }

    /// That a snapshot is one that can be published.
    fn checked(&self, snapshot: &Snapshot) -> Result<BuiltSnapshot, InstanceBuildError> {
        let (id, key) = (&snapshot.id, &self.site.key);
        if !snapshot.encrypted || snapshot.key.as_ref() != Some(key) {
            return Err(self.wrong(id, format!("it is not encrypted under {key}")));
        }
        if snapshot.volume_gib != self.site.volume_gib {
            let (found, wanted) = (snapshot.volume_gib, self.site.volume_gib);
            return Err(self.wrong(id, format!("it has {found} GiB, not {wanted}")));
        }
        Ok(BuiltSnapshot {
            id: id.clone(),
            region: self.site.home.clone(),
            key: key.clone(),
            volume_gib: snapshot.volume_gib,
            build: self.build.to_owned(),
        })
    }
}
