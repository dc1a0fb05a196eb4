//! One image on one instance, from its lease to its snapshot, whatever an earlier run left.
//!
//! ```text
//! lease → built already? → an instance of an earlier run? → stage → launch → follow → check
//!   → snapshot → manifest → terminate
//! ```
//!
//! What is made is found by its tag, and what is about to be made is written down before, so that
//! a run that is killed anywhere is gone on with by the next one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::InstanceBuildError;
use super::finish::Finish;
use super::follow::Followed;
use super::launch::{Intent, Wanted, by_token, gone};
use super::shelf::{self, Keys};
use super::site::Site;
use super::stage;
use crate::aws::ec2::{Instance, SnapshotState, VolumeState};
use crate::aws::{InstanceId, tags};
use crate::builder::draft::Draft;
use crate::digest;
use crate::image::manifest::{BuiltSnapshot, IMAGE, Manifest};
use crate::interrupt::Stop;
use crate::publish::holder::Holder;
use crate::publish::lease::{Lease, Of};
use crate::ui::text;

/// An instance whose launch nobody heard of shows within this, if there is one.
const SHOWS_WITHIN: Duration = Duration::from_secs(20);

/// Is told what goes on.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// An image that is to be built on an instance.
pub struct InstanceBuild {
    /// Where.
    pub site: Arc<Site>,
    /// What.
    pub draft: Draft,
    /// The folder for the manifest, and for an instance's words if it fails.
    pub out: PathBuf,
    /// Days after which a snapshot that is of no release may be swept.
    pub keep_days: u32,
    /// Whether the instance of a build that failed is kept, until its end of life.
    pub keep_on_failure: bool,
    /// Who is told what goes on.
    pub tell: Tell,
}

/// What a build came to.
#[derive(Debug)]
pub struct Built {
    /// The image's manifest, which names its snapshot.
    pub manifest: Manifest,
    /// Whether this run made it, or went on with it; otherwise it was there.
    pub is_new: bool,
}

impl InstanceBuild {
    /// The build's id. What makes another image, or another snapshot, makes another id.
    pub fn id(&self) -> String {
        let plan = self.draft.plan();
        let (profile, arch) = (&plan.profile, plan.arch);
        let parts = [
            plan.digest.as_str(),
            self.draft.packages_digest(),
            &self.site.grounds[&arch].program.sha256,
            self.site.key.as_str(),
            &self.site.volume_gib.to_string(),
        ];
        let sum = digest::sha256(parts.join("\n").as_bytes());
        format!("{}-{}-{arch}-{}", profile.name, profile.version, &sum[..12])
    }

    /// Builds the image, or goes on with what an earlier run began, or finds it.
    ///
    /// # Errors
    /// [`InstanceBuildError`]. Nothing is left then, unless this run was asked to keep it, or lost
    /// its lease: then it is the other run's.
    pub async fn run(&self, mut stop: Stop) -> Result<Built, InstanceBuildError> {
        self.check_disk()?;
        let id = self.id();
        let bucket = self.site.shelf.bucket();
        let holder = Holder::here(&self.site.run, "build");
        let lease = Lease::acquire(bucket, Of::build(&id), holder, self.site.lease).await?;
        let result = tokio::select! {
            biased;
            lost = lease.lost() => return Err(lost.into()),
            how = stop.told() => Err(InstanceBuildError::Interrupted {
                how,
                left: "the build instance is terminated".to_owned(),
            }),
            result = self.work(&id) => result,
        };
        let result = match result {
            Err(error) => tokio::select! {
                biased;
                lost = lease.lost() => return Err(lost.into()),
                error = self.end(&id, error) => Err(error),
            },
            built => built,
        };
        if let Err(error) = lease.release().await {
            // It expires by itself.
            tracing::debug!("{error}");
        }
        result
    }

    fn check_disk(&self) -> Result<(), InstanceBuildError> {
        let profile = &self.draft.plan().profile;
        let volume = u64::from(self.site.volume_gib) << 30;
        if profile.disk.size.0 <= volume {
            return Ok(());
        }
        Err(InstanceBuildError::Disk {
            profile: profile.name.clone(),
            disk: profile.disk.size.0,
            volume,
        })
    }

    fn say(&self, text: &str) {
        (self.tell)(text);
    }

    async fn work(&self, id: &str) -> Result<Built, InstanceBuildError> {
        if let Some((manifest, snapshot)) = self.built(id).await? {
            self.say(&format!("{} holds this image already", snapshot.id));
            self.leave(&manifest)?;
            self.sweep(id).await?;
            let is_new = false;
            return Ok(Built { manifest, is_new });
        }
        if let Some(instance) = self.find(id).await? {
            let of = &instance.id;
            self.say(&format!(
                "going on with {of}, which an earlier run launched"
            ));
            match self.follow(id, instance).await {
                Err(error) if error.is_the_instances() => {
                    self.say(&format!("{error}; starting over"));
                    self.clean(id).await?;
                }
                done => return done,
            }
        }
        let kept = stage::keep(&self.site, &self.draft).await?;
        self.say(&format!(
            "{} of {} files were not in the bucket ({})",
            kept.new,
            kept.all,
            text::bytes(kept.new_bytes)
        ));
        let tell = |text: &str| self.say(text);
        let staged = stage::stage(&self.site, id, &self.draft, tell).await?;
        let wanted = Wanted {
            site: &self.site,
            build: id,
            arch: self.draft.plan().arch,
        };
        let instance = wanted.launch(&staged, tell).await?;
        self.say(&format!(
            "{} ({} in {}) is {}",
            instance.id, instance.instance_type, instance.zone, instance.state
        ));
        self.follow(id, instance).await
    }

    /// From an instance to what it was launched for.
    async fn follow(&self, id: &str, instance: Instance) -> Result<Built, InstanceBuildError> {
        let tag = |key: &str| instance.tags.get(key).unwrap_or_default().to_owned();
        let followed = Followed {
            site: &self.site,
            keys: Keys::new(id, &tag(tags::RUN)),
            job_sha256: tag(tags::JOB),
            out: &self.out,
            instance,
        };
        let tell = |text: &str| self.say(text);
        let manifest = followed.result(tell).await?;
        let finish = Finish {
            site: &self.site,
            build: id,
            draft: &self.draft,
            keep_days: self.keep_days,
        };
        finish.check(&followed, &manifest)?;
        let snapshot = finish.snapshot(&followed, tell).await?;
        let manifest = Manifest {
            snapshot: Some(snapshot),
            ..manifest
        };
        // From here on it is built, whatever becomes of the rest.
        self.site.shelf.write(&shelf::built(id), &manifest).await?;
        self.leave(&manifest)?;
        self.sweep(id).await?;
        let is_new = true;
        Ok(Built { manifest, is_new })
    }

    /// What an earlier run has built, if its snapshot is there.
    async fn built(
        &self,
        id: &str,
    ) -> Result<Option<(Manifest, BuiltSnapshot)>, InstanceBuildError> {
        let manifest = self.site.shelf.read::<Manifest>(&shelf::built(id)).await?;
        let Some(manifest) = manifest else {
            return Ok(None);
        };
        let Some(snapshot) = manifest.snapshot.clone() else {
            return Ok(None);
        };
        let found = self.site.ec2().snapshot(&snapshot.id).await?;
        let is_good = found.is_some_and(|found| {
            found.state == SnapshotState::Completed
                && found.key.as_ref() == Some(&self.site.key)
                && found.owner.as_ref() == Some(self.site.aws.account())
                && found.tags.get(tags::BUILD) == Some(id)
        });
        Ok(is_good.then_some((manifest, snapshot)))
    }

    /// Writes the manifest. An image file of an earlier build beside it is not the one it tells of.
    fn leave(&self, manifest: &Manifest) -> Result<(), InstanceBuildError> {
        let out = &self.out;
        let leave = || -> std::io::Result<()> {
            std::fs::create_dir_all(out)?;
            manifest.write(out)?;
            match std::fs::remove_file(out.join(IMAGE)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        leave().map_err(|source| InstanceBuildError::Output {
            path: out.clone(),
            source,
        })
    }

    /// The instance of an earlier run that can be gone on with. Others of this build are ended:
    /// those that were kept for people to look at, and any beyond one.
    async fn find(&self, id: &str) -> Result<Option<Instance>, InstanceBuildError> {
        let mut found = self.instances(id).await?;
        found.sort_by_key(|instance| instance.launched);
        let kept = shelf::kept(id);
        let kept = self.site.shelf.read::<Vec<InstanceId>>(&kept);
        let kept = kept.await?.unwrap_or_default();
        let is_ours = |instance: &Instance| {
            let tags = &instance.tags;
            let is_kept = kept.contains(&instance.id);
            tags.get(tags::JOB).is_some() && tags.get(tags::RUN).is_some() && !is_kept
        };
        let chosen = found.iter().rposition(is_ours);
        let chosen = chosen.map(|place| found.remove(place));
        for other in found {
            self.say(&format!("ending {}, which an earlier run left", other.id));
            self.site.ec2().terminate(&other.id).await?;
            gone(&self.site, &other.id).await?;
        }
        Ok(chosen)
    }

    /// The instances of this build that have not ended.
    async fn instances(&self, id: &str) -> Result<Vec<Instance>, InstanceBuildError> {
        let ec2 = self.site.ec2();
        let mut found = ec2.instances_tagged(tags::BUILD, id).await?;
        found.retain(|instance| !instance.state.is_ending());
        let intent = self.site.shelf.read::<Intent>(&shelf::launch(id)).await?;
        if let Some(intent) = intent
            && found.is_empty()
        {
            // It may be too new for reads to show it, or nobody heard of it.
            let within = match &intent.instance {
                Some(_) => Duration::ZERO,
                None => SHOWS_WITHIN,
            };
            found.extend(by_token(&self.site, &intent.token, within).await?);
        }
        Ok(found)
    }

    /// Ends what there is after an error, or keeps it where that was asked for. What goes wrong with
    /// that is told beside the error.
    async fn end(&self, id: &str, error: InstanceBuildError) -> InstanceBuildError {
        let is_kept = self.keep_on_failure && error.is_the_instances();
        let ended = match is_kept {
            true => self.keep(id).await,
            false => self.clean(id).await,
        };
        if let Err(why) = ended {
            self.say(&format!(
                "warning: what there is could not be removed: {why}; run the same command again, or terminate the instances tagged {}={id}: they switch themselves off after {} min",
                tags::BUILD,
                self.site.life.as_secs() / 60
            ));
        }
        error
    }

    /// Keeps the instance for people to look at, and says how.
    async fn keep(&self, id: &str) -> Result<(), InstanceBuildError> {
        let region = &self.site.home;
        let instances = self.instances(id).await?;
        let ids: Vec<_> = instances.iter().map(|instance| &instance.id).collect();
        self.site.shelf.write(&shelf::kept(id), &ids).await?;
        for instance in &instances {
            let end = instance
                .tags
                .get(tags::END_OF_LIFE)
                .unwrap_or("its end of life");
            let id = &instance.id;
            self.say(&format!(
                "{id} is kept until {end}, or until the next run. What it wrote on its console: \
                 aws ec2 get-console-output --region {region} --instance-id {id} --latest --output text"
            ));
            for (device, volume) in &instance.volumes {
                self.say(&format!(
                    "its disk {device} is {volume}: aws ec2 create-snapshot --region {region} --volume-id {volume}"
                ));
            }
        }
        Ok(())
    }

    /// Removes everything that there is of the build but what it came to: snapshots first, while
    /// their volume still tells which they are.
    async fn clean(&self, id: &str) -> Result<(), InstanceBuildError> {
        let built = self.built(id).await?.map(|(_, snapshot)| snapshot.id);
        let ec2 = self.site.ec2();
        for instance in self.instances(id).await? {
            for volume in instance.volumes.values() {
                for snapshot in ec2.snapshots_of_volume(volume).await? {
                    let tags = &snapshot.tags;
                    let is_ours = tags.get(tags::BUILD) == Some(id)
                        && tags.get(tags::RELEASE).is_none()
                        && built.as_ref() != Some(&snapshot.id);
                    if is_ours {
                        ec2.delete_snapshot(&snapshot.id).await?;
                    }
                }
            }
        }
        self.sweep(id).await
    }

    /// Terminates the build's instances, waits until they are gone, and removes their objects.
    async fn sweep(&self, id: &str) -> Result<(), InstanceBuildError> {
        let ec2 = self.site.ec2();
        let instances = self.instances(id).await?;
        for instance in &instances {
            self.say(&format!("terminating {}", instance.id));
            ec2.terminate(&instance.id).await?;
        }
        for instance in &instances {
            gone(&self.site, &instance.id).await?;
        }
        // They die with their instance, unless somebody told them not to.
        for volume in ec2.volumes_tagged(tags::BUILD, id).await? {
            if volume.state == VolumeState::Available {
                ec2.delete_volume(&volume.id).await?;
            }
        }
        Ok(self.site.shelf.clear(id).await?)
    }
}
