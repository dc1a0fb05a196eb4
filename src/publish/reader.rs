//! What `diff` reads from AWS: releases, and the blocks of AMIs and snapshots.

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;

use super::bucket::Bucket;
use super::complete::SettingsError;
use super::manifest::{Attachment, ReleaseManifest};
use super::progress::Progress;
use super::release::ReleaseId;
use super::settings::PublishSettings;
use super::upload::verify::download;
use crate::aws::{AmiId, Aws, Region, SnapshotId};
use crate::diff::load::{Remote, RemoteError};

/// Reads what lies in AWS.
pub struct Reader<'a> {
    /// The session.
    pub aws: &'a Aws,
    /// `[publish]`: the bucket and the home Region.
    pub settings: &'a PublishSettings,
    /// The home Region.
    pub home: Region,
    /// Who is told what goes on.
    pub progress: &'a Progress,
}

impl Reader<'_> {
    fn bucket(&self) -> Result<Bucket, RemoteError> {
        let name = self.settings.bucket.as_ref().ok_or_else(|| {
            let missing = SettingsError::Missing(vec!["bucket"]);
            let advice = Some(missing.advice());
            remote(missing, advice)
        })?;
        Ok(Bucket::new(
            self.aws,
            &self.home,
            name,
            &self.settings.prefix,
        ))
    }

    fn region<'a>(&'a self, named: Option<&'a Region>) -> &'a Region {
        named.unwrap_or(&self.home)
    }
}

fn remote(
    source: impl std::error::Error + Send + Sync + 'static,
    advice: Option<String>,
) -> RemoteError {
    RemoteError {
        source: Box::new(source),
        advice,
    }
}

#[async_trait]
impl Remote for Reader<'_> {
    async fn release(&self, id: &ReleaseId) -> Result<Option<ReleaseManifest>, RemoteError> {
        let stored = self.bucket()?.manifest(id).await;
        let stored = stored.map_err(|error| {
            let advice = error.advice();
            remote(error, advice)
        })?;
        Ok(stored.map(|stored| stored.manifest))
    }

    async fn attachment(
        &self,
        id: &ReleaseId,
        attachment: &Attachment,
    ) -> Result<Vec<u8>, RemoteError> {
        let read = self.bucket()?.attachment(id, attachment).await;
        let bytes = read.map_err(|error| {
            let advice = error.advice();
            remote(error, advice)
        })?;
        Ok(bytes.to_vec())
    }

    async fn root_snapshot(
        &self,
        ami: &AmiId,
        region: Option<&Region>,
    ) -> Result<Option<SnapshotId>, RemoteError> {
        let found = self.aws.ec2(self.region(region)).image(ami).await;
        let image = found.map_err(|error| {
            let advice = Some(error.advice());
            remote(error, advice)
        })?;
        Ok(image.and_then(|image| image.root_snapshot().cloned()))
    }

    async fn download(
        &self,
        snapshot: &SnapshotId,
        region: Option<&Region>,
        into: &File,
    ) -> Result<(), RemoteError> {
        let file = into.try_clone().map_err(|error| remote(error, None))?;
        let ebs = self.aws.ebs(self.region(region));
        let read = download(&ebs, snapshot, &Arc::new(file), self.progress).await;
        read.map_err(|error| {
            let advice = error.advice();
            remote(error, advice)
        })
    }
}
