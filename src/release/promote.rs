//! Promotion: a release comes into a channel.
//!
//! In this order, so that a customer never sees what it cannot launch: the gate, customers' access, the
//! pointer, what customers read besides. A run that is killed has moved the pointer or not; the next
//! one does what is missing.

mod preview;

use serde::Serialize;

use super::access::Access;
use super::desk::Desk;
use super::error::ReleaseError;
use super::gate::Check;
use super::{catalog, images};
use crate::channels::store::{EnterError, Entered};
use crate::channels::{Channel, Entry, Stay};
use crate::interrupt::Stop;
use crate::publish::manifest::State;
use crate::publish::release::ReleaseId;
use crate::telemetry;

pub use preview::{Preview, Shown};

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
    stop: Stop,
    show: impl FnOnce(&Preview),
) -> Result<Promoted, ReleaseError> {
    let look = async |seen: Channel| prepare(desk, asked, &seen, show).await;
    let act = async |ready: Ready| match ready {
        Ready::Move(plan) => move_in(desk, asked, plan).await,
        Ready::Show(promoted) => Ok(promoted),
        Ready::There(stay) => finish(desk, asked, stay).await,
    };
    desk.under_lease("promote", &asked.channel, stop, look, act)
        .await
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
    let preview = Preview::look(desk, asked, &manifest, before, &access).await?;
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
    images::show_again(desk, &manifest).await?;
    Ok(Ready::Move(preview))
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
