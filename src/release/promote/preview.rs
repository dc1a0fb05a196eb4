//! What a promotion changes, and for whom: looked at before, and shown.

use std::fmt::Write as _;

use serde::Serialize;

use super::Promotion;
use crate::aws::{AwsError, Region};
use crate::channels::settings;
use crate::diff::changes::Changes;
use crate::publish::manifest::ReleaseManifest;
use crate::publish::papers;
use crate::publish::release::ReleaseId;
use crate::release::access::{self, Access};
use crate::release::desk::Desk;
use crate::release::error::ReleaseError;
use crate::release::gate::{self, Check, Evidence};
use crate::release::images::unavailable;

/// What a promotion changes, and for whom.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// The release.
    pub release: ReleaseId,
    /// The channel.
    pub channel: String,
    /// What is there now, of the same profile and architecture.
    pub before: Option<ReleaseId>,
    /// The customers that get it.
    pub customers: Vec<String>,
    /// The Regions that it is in.
    pub regions: Vec<Region>,
    /// What is other than in the release that is there now, where both tell it.
    pub changes: Option<Changes>,
    /// What the gate looked at.
    pub gate: Vec<Check>,
}

/// The rest of a preview.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Shown {
    /// The customers that get it.
    pub customers: Vec<String>,
    /// The Regions that it is in.
    pub regions: Vec<Region>,
    /// What is other than in the release that was there.
    pub changes: Option<Changes>,
    /// What the gate looked at.
    pub gate: Vec<Check>,
}

impl Preview {
    /// Looks at everything that is shown, the gate too.
    ///
    /// # Errors
    /// The bucket's; a Region does not say what is there.
    pub(super) async fn look(
        desk: &Desk<'_>,
        asked: &Promotion,
        manifest: &ReleaseManifest,
        before: Option<ReleaseId>,
        access: &Access,
    ) -> Result<Preview, ReleaseError> {
        let (asks, after) = settings::gate(&desk.config.channels, &asked.channel);
        let after = match after {
            None => None,
            Some(after) => {
                let channel = desk.store.read(&after).await?;
                let stays = channel.stays.into_iter();
                let stays = stays.filter(|stay| stay.release == asked.release).collect();
                Some((after, stays))
            }
        };
        let customers = access::customers(desk, &asked.channel, &asked.release.line.profile);
        let customers: Vec<String> = customers
            .iter()
            .map(|customer| customer.name.clone())
            .collect();
        let signed = match &desk.store.ring {
            None => None,
            Some(ring) => Some(papers::check(desk.bucket(), manifest, ring).await?),
        };
        let unavailable = unavailable(desk, manifest).await.into_iter();
        let unavailable = unavailable.map(|(region, state)| Ok((region, state?)));
        let evidence = Evidence {
            manifest,
            signed,
            before: after,
            approved_by: asked.approved_by.as_deref(),
            unavailable: unavailable.collect::<Result<_, AwsError>>()?,
            missing: access.missing.clone(),
            customers: customers.clone(),
            now: desk.bucket().now(),
        };
        let changes = match &before {
            None => None,
            Some(before) => {
                let from = desk.bucket().manifest(before).await?;
                from.map(|from| Changes::between(&from.manifest, manifest, &desk.secdb))
            }
        };
        Ok(Preview {
            changes,
            release: asked.release.clone(),
            channel: asked.channel.clone(),
            before,
            customers,
            regions: manifest.regions.keys().cloned().collect(),
            gate: gate::check(&asks, &evidence),
        })
    }

    /// For people: what is to be moved, and what was looked at.
    pub fn text(&self) -> String {
        let Preview {
            release, channel, ..
        } = self;
        let place = match &self.before {
            Some(before) => format!("in the place of {before}"),
            None => "the first of its profile and architecture there".to_owned(),
        };
        let mut text = format!("{release} → {channel}, {place}\n");
        for check in &self.gate {
            let mark = match check.passed {
                true => "ok",
                false => "NO",
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {mark}  {}", check.told);
        }
        if let Some(changes) = &self.changes {
            let _ = writeln!(text, "\n{}", changes.text().trim_end());
            text.push('\n');
        }
        text
    }
}
