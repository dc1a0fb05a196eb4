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

use super::error::InstanceBuildError;
use super::finish::Finish;
use super::follow::Followed;
use super::launch::Wanted;
use super::shelf::{self, Keys};
use super::site::Site;
use super::stage;
use crate::aws::ec2::{Instance, SnapshotState};
use crate::aws::tags;
use crate::builder::draft::Draft;
use crate::digest;
use crate::image::manifest::{IMAGE, Manifest};
use crate::image::sbom;
use crate::interrupt::Stop;
use crate::lock::file::BESIDE_MANIFEST;
use crate::publish::holder::Holder;
use crate::publish::lease::{Lease, LeaseError, Of};
use crate::telemetry;
use crate::ui::text;

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
    /// Who is told what people must know, though they asked for quiet.
    pub warn: Tell,
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
        let bucket = self.site.shelf.bucket().url("");
        let parts = [
            // What is there is found in the whole account, what is known of it in one bucket.
            bucket.as_str(),
            plan.digest.as_str(),
            self.draft.packages_digest(),
            &self.draft.boot_packages_digest(),
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
    /// [`InstanceBuildError`]. What there was is removed then, unless this run was asked to keep it,
    /// could not remove it, which it tells, or lost its lease: then it is the other run's.
    pub async fn run(&self, stop: Stop) -> Result<Built, InstanceBuildError> {
        let plan = self.draft.plan();
        let span =
            telemetry::span!("build", profile = plan.profile.name, arch = %plan.arch, on = "ec2");
        telemetry::stage(span, self.run_it(stop)).await
    }

    async fn run_it(&self, mut stop: Stop) -> Result<Built, InstanceBuildError> {
        self.check_disk()?;
        let id = self.id();
        let bucket = self.site.shelf.bucket();
        let holder = Holder::here(&self.site.run, "build");
        let lease = Lease::acquire(bucket, Of::build(&id), holder, self.site.lease).await?;
        let lost = |error: LeaseError| {
            // Whoever has it now ends what there is.
            self.warn(&format!(
                "what there is of {id} is left; {}",
                self.by_hand(&id)
            ));
            Err(error.into())
        };
        let result = tokio::select! {
            biased;
            error = lease.lost() => return lost(error),
            how = stop.told() => Err(InstanceBuildError::Interrupted {
                how,
                left: String::new(),
            }),
            result = self.work(&id) => result,
        };
        let result = match result {
            Err(error) => tokio::select! {
                biased;
                error = lease.lost() => return lost(error),
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

    pub(super) fn say(&self, text: &str) {
        (self.tell)(text);
    }

    pub(super) fn warn(&self, text: &str) {
        (self.warn)(text);
    }

    async fn work(&self, id: &str) -> Result<Built, InstanceBuildError> {
        if let Some(manifest) = self.built(id).await? {
            let snapshot = manifest.snapshot.as_ref();
            let snapshot = snapshot.expect("what is built has a snapshot");
            self.say(&format!("{} holds this image already", snapshot.id));
            let manifest = self.locked(manifest);
            self.leave(&manifest)?;
            self.clean(id).await?;
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
        self.anew(id).await
    }

    /// With an instance of this run, or another one where AWS takes it back for lack of capacity.
    async fn anew(&self, id: &str) -> Result<Built, InstanceBuildError> {
        let kept = stage::keep(&self.site, &self.draft).await?;
        self.say(&format!(
            "{} of {} files were not in the bucket ({})",
            kept.new,
            kept.all,
            text::bytes(kept.new_bytes)
        ));
        let staged = stage::stage(&self.site, id, &self.draft, |text| self.warn(text)).await?;
        let wanted = Wanted {
            site: &self.site,
            build: id,
            arch: self.draft.plan().arch,
        };
        let mut left = self.site.grounds[&wanted.arch].offers.iter();
        let mut tried = Vec::new();
        loop {
            let tell = |text: &str| self.say(text);
            let launched = wanted.launch(&staged, &mut left, &mut tried, tell);
            let instance = launched.await?;
            self.say(&format!(
                "{} ({} in {}) is {}",
                instance.id, instance.instance_type, instance.zone, instance.state
            ));
            match self.follow(id, instance).await {
                Err(
                    error @ InstanceBuildError::Silent {
                        no_capacity: true, ..
                    },
                ) => {
                    self.say(&error.to_string());
                    tried.push(error.to_string());
                }
                done => return done,
            }
        }
    }

    fn finish<'a>(&'a self, id: &'a str) -> Finish<'a> {
        Finish {
            site: &self.site,
            build: id,
            draft: &self.draft,
            keep_days: self.keep_days,
        }
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
        let finish = self.finish(id);
        finish.check(followed.id(), &manifest)?;
        let snapshot = finish.snapshot(&followed, tell).await?;
        let manifest = self.locked(Manifest {
            snapshot: Some(snapshot),
            ..manifest
        });
        // From here on it is built, whatever becomes of the rest.
        self.site.shelf.write(&shelf::built(id), &manifest).await?;
        self.leave(&manifest)?;
        self.clean(id).await?;
        let is_new = true;
        Ok(Built { manifest, is_new })
    }

    /// A manifest that names the lock which lies beside it: the same packages may have been locked
    /// from other indexes before.
    fn locked(&self, manifest: Manifest) -> Manifest {
        Manifest {
            lock: Some(self.draft.lock().info()),
            ..manifest
        }
    }

    /// What an earlier run has built, if its snapshot is there.
    async fn built(&self, id: &str) -> Result<Option<Manifest>, InstanceBuildError> {
        let manifest = self.site.shelf.read::<Manifest>(&shelf::built(id)).await?;
        let Some(manifest) = manifest else {
            return Ok(None);
        };
        let Some(snapshot) = &manifest.snapshot else {
            return Ok(None);
        };
        let found = self.site.ec2().snapshot(&snapshot.id).await?;
        let is_good = found.is_some_and(|found| {
            found.state == SnapshotState::Completed
                && found.key.as_ref() == Some(&self.site.key)
                && found.owner.as_ref() == Some(self.site.aws.account())
                && found.tags.get(tags::BUILD) == Some(id)
        });
        Ok(is_good.then_some(manifest))
    }

    /// Writes the bill of materials and the manifest. An image file of an earlier build beside it is not the one it tells of.
    fn leave(&self, manifest: &Manifest) -> Result<(), InstanceBuildError> {
        let out = &self.out;
        let leave = || -> std::io::Result<()> {
            std::fs::create_dir_all(out)?;
            sbom::write(manifest, out)?;
            std::fs::write(out.join(BESIDE_MANIFEST), self.draft.lock().to_text())?;
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
}
