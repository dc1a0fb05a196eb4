//! Promotion: a release comes into a channel.
//!
//! In this order, so that a customer never sees what it cannot launch: the gate, customers' access, the
//! pointer, what customers read besides. A run that is killed has moved the pointer or not; the next
//! one does what is missing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::access::{self, Access};
use super::catalog;
use super::desk::Desk;
use super::error::ReleaseError;
use super::gate::{self, Check, Evidence};
use crate::aws::ec2::ImageState;
use crate::aws::{AwsError, Region};
use crate::channels::settings::{self, known};
use crate::channels::store::{EnterError, Entered};
use crate::channels::{Channel, Entry, Stay};
use crate::diff::changes::Changes;
use crate::interrupt::Stop;
use crate::publish::manifest::{ReleaseManifest, State};
use crate::publish::papers;
use crate::publish::release::ReleaseId;
use crate::telemetry;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Promotion {
    /// The release.
    pub release: ReleaseId,
    /// The channel that it is to come into.
    pub channel: String,
    /// Why, for the history.
    pub reason: Option<String>,
    /// Who approves of it.
    pub approved_by: Option<String>,
    /// Whether nothing is moved, only shown.
    pub dry_run: bool,
}

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

/// What a promotion came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Promoted {
    /// The release.
    pub release: ReleaseId,
    /// The channel that it is in now.
    pub channel: String,
    /// What was there before, of the same profile and architecture.
    pub before: Option<ReleaseId>,
    /// Whether it was moved: if not, only to be shown what would be.
    pub moved: bool,
    /// What it changed, and for whom.
    #[serde(flatten)]
    pub preview: Shown,
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

/// Brings a release into a channel. `show` is given what changes before anything is moved. Once the
/// channel is being written, this does not stop any more: it would not be known whether it is.
///
/// # Errors
/// [`ReleaseError`]: nothing was moved, unless it says so.
pub async fn promote(
    desk: &Desk<'_>,
    asked: &Promotion,
    stop: Stop,
    show: impl FnOnce(&Preview),
) -> Result<Promoted, ReleaseError> {
    let Promotion {
        release, channel, ..
    } = asked;
    let span = telemetry::span!("promote", %release, channel);
    telemetry::stage(span, promote_it(desk, asked, stop, show)).await
}

async fn promote_it(
    desk: &Desk<'_>,
    asked: &Promotion,
    mut stop: Stop,
    show: impl FnOnce(&Preview),
) -> Result<Promoted, ReleaseError> {
    known(&desk.names, &asked.channel)?;
    let seen = tokio::select! {
        biased;
        how = stop.told() => return Err(ReleaseError::Interrupted(how)),
        seen = desk.store.read(&asked.channel) => seen?,
    };
    let lease = tokio::select! {
        biased;
        how = stop.told() => return Err(ReleaseError::Interrupted(how)),
        lease = desk.lease("promote") => lease?,
    };
    let ready = tokio::select! {
        biased;
        lost = lease.lost() => Err(lost.into()),
        how = stop.told() => Err(ReleaseError::Interrupted(how)),
        ready = prepare(desk, asked, &seen, show) => ready,
    };
    let promoted = match ready {
        Ok(Ready::Move(plan)) => move_in(desk, asked, plan).await,
        Ok(Ready::Show(promoted)) => Ok(promoted),
        Ok(Ready::There(stay)) => finish(desk, asked, stay).await,
        Err(error) => Err(error),
    };
    if let Err(error) = lease.release().await {
        // It expires by itself.
        tracing::debug!("{error}");
    }
    promoted
}

enum Ready {
    Move(Preview),
    Show(Promoted),
    There(Stay),
}

/// Everything that comes before the pointer: looks, shows, and gives access.
async fn prepare(
    desk: &Desk<'_>,
    asked: &Promotion,
    seen: &Channel,
    show: impl FnOnce(&Preview),
) -> Result<Ready, ReleaseError> {
    let manifest = desk.manifest(&asked.release).await?;
    if manifest.state == State::Publishing {
        return Err(ReleaseError::Unfinished(asked.release.clone()));
    }
    let channel = desk.store.read(&asked.channel).await?;
    // The page tells of all of them: one that cannot be trusted is found before anything is moved.
    for name in desk.names.iter().filter(|name| **name != asked.channel) {
        desk.store.read(name).await?;
    }
    if let Some(stay) = channel.stay(&asked.release) {
        if asked.dry_run {
            return Err(ReleaseError::Already {
                channel: asked.channel.clone(),
                stay: Box::new(stay.clone()),
            });
        }
        return Ok(Ready::There(stay.clone()));
    }
    overtaken(asked, seen, &channel)?;
    let entry = entry(desk, asked);
    let (as_if, before) = channel
        .with(&asked.release, entry)
        .expect("it is not in the channel");
    let access = Access::look(desk, &manifest, vec![as_if]).await?;
    let preview = preview(desk, asked, &manifest, before, &access).await?;
    show(&preview);
    let failed: Vec<Check> = preview
        .gate
        .iter()
        .filter(|check| !check.passed)
        .cloned()
        .collect();
    if !failed.is_empty() {
        return Err(ReleaseError::Gate {
            release: asked.release.clone(),
            channel: asked.channel.clone(),
            failed,
        });
    }
    if asked.dry_run {
        return Ok(Ready::Show(promoted(preview, false)));
    }
    desk.progress.say("giving customers access");
    access.give(desk, &asked.channel).await?;
    show_again(desk, &manifest).await?;
    Ok(Ready::Move(preview))
}

/// Takes the deprecation of a release's AMIs back, which hides them from customers: what was left to
/// be retired comes into a channel again.
pub(super) async fn show_again(
    desk: &Desk<'_>,
    manifest: &ReleaseManifest,
) -> Result<(), ReleaseError> {
    for (region, place) in &manifest.regions {
        let ec2 = desk.aws.ec2(region);
        let Some(ami) = &place.ami else { continue };
        let image = ec2.image(ami).await?;
        if image.is_some_and(|image| image.deprecation.is_some()) {
            ec2.undo_deprecation(ami).await?;
        }
    }
    let Some(mut stored) = desk.bucket().manifest(&manifest.release).await? else {
        return Ok(());
    };
    // Its end begins anew, if it ever comes to that.
    if stored.manifest.retired.is_some() {
        let mut next = stored.manifest.clone();
        next.retired = None;
        desk.bucket().try_replace(&mut stored, next).await?;
    }
    Ok(())
}

/// Whether somebody has moved the release's place in the channel since this run began.
fn overtaken(asked: &Promotion, seen: &Channel, now: &Channel) -> Result<(), ReleaseError> {
    let line = &asked.release.line;
    let of = |channel: &Channel| channel.current_of(&line.profile, line.arch).cloned();
    let current = of(now);
    if of(seen) == current {
        return Ok(());
    }
    let stay = current.and_then(|release| now.stay(&release).cloned());
    let stay = stay.or_else(|| now.stays_of(line).last().cloned());
    match stay {
        None => Ok(()),
        Some(stay) => Err(ReleaseError::Overtaken {
            channel: asked.channel.clone(),
            stay: Box::new(stay),
        }),
    }
}

fn entry(desk: &Desk<'_>, asked: &Promotion) -> Entry {
    Entry {
        approved_by: asked.approved_by.clone(),
        ..desk.entry(asked.reason.as_deref())
    }
}

async fn preview(
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

/// Regions where a release's AMI cannot be launched, and what it is there, or why that is not known.
/// All are asked at once.
pub(super) async fn unavailable(
    desk: &Desk<'_>,
    manifest: &ReleaseManifest,
) -> BTreeMap<Region, Result<String, AwsError>> {
    let mut asked = tokio::task::JoinSet::new();
    for (region, place) in &manifest.regions {
        let (ec2, region, ami) = (desk.aws.ec2(region), region.clone(), place.ami.clone());
        asked.spawn(async move {
            let state = match ami {
                None => Ok("missing".to_owned()),
                Some(ami) => ec2.image(&ami).await.map(|found| match found {
                    None => "gone".to_owned(),
                    Some(image) => image.state.to_string(),
                }),
            };
            (region, state)
        });
    }
    let mut unavailable = BTreeMap::new();
    while let Some(answer) = asked.join_next().await {
        let (region, state) = answer.expect("asking does not panic");
        let available = ImageState::Available.to_string();
        if state.as_ref().is_ok_and(|state| *state == available) {
            continue;
        }
        unavailable.insert(region, state);
    }
    unavailable
}

/// The pointer, and what customers read besides.
async fn move_in(
    desk: &Desk<'_>,
    asked: &Promotion,
    preview: Preview,
) -> Result<Promoted, ReleaseError> {
    let entry = entry(desk, asked);
    desk.progress
        .say(format!("writing the channel {}", asked.channel));
    let entered = desk
        .store
        .enter(&asked.channel, &asked.release, &entry)
        .await;
    let entered = entered.map_err(|error| unanswered(error, &asked.release, &asked.channel))?;
    let before = match entered {
        Entered::Now { before } => before,
        // Whoever held no lease brought it in meanwhile: it is there.
        Entered::Already(_) => preview.before.clone(),
    };
    let page = catalog::refresh(desk).await;
    page.map_err(|error| ReleaseError::Page {
        channel: asked.channel.clone(),
        release: asked.release.clone(),
        source: Box::new(error),
    })?;
    Ok(promoted(Preview { before, ..preview }, true))
}

/// Why a channel was not written, or may have been.
pub(super) fn unanswered(error: EnterError, release: &ReleaseId, channel: &str) -> ReleaseError {
    match error.may_be_done {
        false => ReleaseError::Store(error.source),
        true => ReleaseError::Unanswered {
            release: release.clone(),
            channel: channel.to_owned(),
            source: Box::new(error.source),
        },
    }
}

/// A release that is in the channel already: an earlier run may have been cut off after that.
async fn finish(desk: &Desk<'_>, asked: &Promotion, stay: Stay) -> Result<Promoted, ReleaseError> {
    let channel = asked.channel.clone();
    let refreshed = desk.store.refresh(&channel).await? | catalog::refresh(desk).await?;
    if !refreshed {
        let stay = Box::new(stay);
        return Err(ReleaseError::Already { channel, stay });
    }
    Ok(Promoted {
        release: asked.release.clone(),
        channel,
        before: None,
        moved: true,
        preview: Shown::default(),
    })
}

fn promoted(preview: Preview, moved: bool) -> Promoted {
    Promoted {
        release: preview.release,
        channel: preview.channel,
        before: preview.before,
        moved,
        preview: Shown {
            customers: preview.customers,
            regions: preview.regions,
            changes: preview.changes,
            gate: preview.gate,
        },
    }
}

impl Preview {
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
