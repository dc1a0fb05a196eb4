//! What there is of a build: found by its tag and by what was written down before it was launched;
//! kept where that was asked for, else removed.

use super::error::InstanceBuildError;
use super::launch::{self, Intent};
use super::run::InstanceBuild;
use super::shelf;
use crate::aws::ec2::{Instance, VolumeState};
use crate::aws::{InstanceId, SnapshotId, VolumeId, tags};
use crate::image::manifest::Manifest;

impl InstanceBuild {
    /// The instance of an earlier run that can be gone on with. Others of this build are ended:
    /// those that were kept for people to look at, and any beyond one.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Instance>, InstanceBuildError> {
        let mut found = self.instances(id).await?;
        found.sort_by_key(|instance| instance.launched);
        let kept = shelf::kept(id);
        let kept = self.site.shelf.read::<Vec<InstanceId>>(&kept).await?;
        let kept = kept.unwrap_or_default();
        let is_ours = |instance: &Instance| {
            let tags = &instance.tags;
            let is_kept = kept.contains(&instance.id);
            tags.get(tags::JOB).is_some() && tags.get(tags::RUN).is_some() && !is_kept
        };
        let chosen = found.iter().rposition(is_ours);
        let chosen = chosen.map(|place| found.remove(place));
        for other in found {
            self.say(&format!("ending {}, which an earlier run left", other.id));
            let spared = self.spared(id).await?;
            self.end_instance(id, &other, Some(&spared)).await?;
        }
        Ok(chosen)
    }

    /// The instances of this build that have not ended.
    async fn instances(&self, id: &str) -> Result<Vec<Instance>, InstanceBuildError> {
        let ec2 = self.site.ec2();
        let mut found = ec2.instances_tagged(tags::BUILD, id).await?;
        found.retain(|instance| !instance.state.is_ending());
        if found.is_empty() {
            // It may be too new for reads to show it, or nobody heard of it.
            let intent = self.site.shelf.read::<Intent>(&shelf::launch(id)).await?;
            if let Some(intent) = intent {
                found.extend(intent.settled(&self.site).await?);
            }
        }
        Ok(found)
    }

    /// Ends what there is after an error, or keeps it where that was asked for. What goes wrong with
    /// that is told beside the error.
    pub(super) async fn end(&self, id: &str, mut error: InstanceBuildError) -> InstanceBuildError {
        let is_kept = self.keep_on_failure && error.is_the_instances();
        let ended = match is_kept {
            true => self.keep(id).await,
            false => self.clean(id).await,
        };
        if let InstanceBuildError::Interrupted { left, .. } = &mut error {
            *left = match &ended {
                Ok(()) => "what there was of the build is removed".to_owned(),
                Err(_) => "what there is of the build is not all removed".to_owned(),
            };
        }
        if let Err(why) = ended {
            self.warn(&format!(
                "what there is could not be removed: {why}; {}",
                self.by_hand(id)
            ));
        }
        error
    }

    /// How people end what this program does not.
    pub(super) fn by_hand(&self, id: &str) -> String {
        let (region, tag) = (&self.site.home, tags::BUILD);
        format!(
            "run the same command again, or terminate what `aws ec2 describe-instances --region {region} --filters Name=tag:{tag},Values={id}` lists: an instance switches itself off {} min after its launch, and costs its volumes until it is terminated",
            self.site.life.as_secs() / 60
        )
    }

    /// Keeps the instance for people to look at, and says how.
    async fn keep(&self, id: &str) -> Result<(), InstanceBuildError> {
        let region = &self.site.home;
        let instances = self.instances(id).await?;
        let ids: Vec<_> = instances.iter().map(|instance| &instance.id).collect();
        self.site.shelf.write(&shelf::kept(id), &ids).await?;
        for instance in &instances {
            let end = instance.tags.get(tags::END_OF_LIFE);
            let end = end.unwrap_or("its end of life");
            let id = &instance.id;
            self.warn(&format!(
                "{id} is kept: it is off from {end} on at the latest, and there until the next run, or until \
                 `aws ec2 terminate-instances --region {region} --instance-ids {id}`; what it wrote on its console: \
                 `aws ec2 get-console-output --region {region} --instance-id {id} --latest --output text`"
            ));
            for (device, volume) in &instance.volumes {
                self.warn(&format!(
                    "its disk {device} is {volume}: `aws ec2 create-snapshot --region {region} --volume-id {volume}`"
                ));
            }
        }
        Ok(())
    }

    /// Removes everything that there is of the build but what it came to. What fails keeps nothing
    /// else from being removed; the first error is told.
    pub(super) async fn clean(&self, id: &str) -> Result<(), InstanceBuildError> {
        let (spared, mut first) = match self.spared(id).await {
            Ok(spared) => (Some(spared), None),
            Err(error) => (None, Some(error)),
        };
        let mut note = |result: Result<(), InstanceBuildError>| {
            if let Err(error) = result {
                first.get_or_insert(error);
            }
        };
        match self.instances(id).await {
            Ok(instances) => {
                for instance in instances {
                    self.say(&format!("terminating {}", instance.id));
                    note(self.end_instance(id, &instance, spared.as_ref()).await);
                }
            }
            Err(error) => note(Err(error)),
        }
        note(self.stray_volumes(id).await);
        match first {
            // What says that there is more stays.
            Some(error) => Err(error),
            None => Ok(self.site.shelf.clear(id).await?),
        }
    }

    /// The snapshot that the build came to. That it is named is enough: a reader that lags may not
    /// show it as it is.
    async fn spared(&self, id: &str) -> Result<Option<SnapshotId>, InstanceBuildError> {
        let built = self.site.shelf.read::<Manifest>(&shelf::built(id)).await?;
        let snapshot = built.and_then(|built| built.snapshot);
        Ok(snapshot.map(|snapshot| snapshot.id))
    }

    /// Ends an instance, and removes what snapshots were made of its volumes, but for the one that
    /// is spared: nobody else has them. Where it is not known which that is, none is removed.
    async fn end_instance(
        &self,
        id: &str,
        instance: &Instance,
        spared: Option<&Option<SnapshotId>>,
    ) -> Result<(), InstanceBuildError> {
        let volumes: Vec<_> = instance.volumes.values().collect();
        self.remove_snapshots(id, &volumes, spared).await?;
        launch::end(&self.site, &instance.id).await?;
        // One whose call was under way a moment ago shows by now.
        self.remove_snapshots(id, &volumes, spared).await
    }

    async fn remove_snapshots(
        &self,
        id: &str,
        volumes: &[&VolumeId],
        spared: Option<&Option<SnapshotId>>,
    ) -> Result<(), InstanceBuildError> {
        let Some(spared) = spared else {
            return Ok(());
        };
        let ec2 = self.site.ec2();
        for volume in volumes {
            for snapshot in ec2.snapshots_of_volume(volume).await? {
                let tags = &snapshot.tags;
                let is_ours = tags.get(tags::BUILD) == Some(id)
                    && tags.get(tags::RELEASE).is_none()
                    && spared.as_ref() != Some(&snapshot.id);
                if is_ours {
                    ec2.delete_snapshot(&snapshot.id).await?;
                }
            }
        }
        Ok(())
    }

    /// Volumes die with their instance, unless somebody told them not to.
    async fn stray_volumes(&self, id: &str) -> Result<(), InstanceBuildError> {
        let ec2 = self.site.ec2();
        for volume in ec2.volumes_tagged(tags::BUILD, id).await? {
            if volume.state == VolumeState::Available {
                ec2.delete_volume(&volume.id).await?;
            }
        }
        Ok(())
    }
}
