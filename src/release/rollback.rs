//! Rollback: a channel goes back to what was there before.
//!
//! The order is that of a promotion: access, pointer, what customers read. A release that is withdrawn
//! besides goes out of every channel that it is in, this one last, so that a run that was cut off
//! before that is begun again; what comes after, the next run finds undone. It knows that from the
//! stay that the rollback has begun, and does not go back twice.

mod plan;

use serde::Serialize;

use super::access::Access;
use super::desk::Desk;
use super::error::ReleaseError;
use super::withdraw::{self, Withdrawn};
use super::{catalog, images, promote};
use crate::arch::Arch;
use crate::channels::store::{EnterError, Entered};
use crate::channels::{Channel, Entry};
use crate::interrupt::Stop;
use crate::publish::manifest::ReleaseManifest;
use crate::publish::release::ReleaseId;
use crate::telemetry;
use plan::{Move, Plan, plan};

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Rollback {
    /// The channel.
    pub channel: String,
    /// Of which profile, where there are several in it.
    pub profile: Option<String>,
    /// Of which architecture.
    pub arch: Option<Arch>,
    /// The release that is to go; where none is named, the one that is there.
    pub release: Option<ReleaseId>,
    /// The release to go back to; where none is named, the one that was there before.
    pub to: Option<ReleaseId>,
    /// Whether the release that goes is withdrawn.
    pub withdraw: bool,
    /// Why, for the history.
    pub reason: Option<String>,
    /// Whether nothing is moved, only shown.
    pub dry_run: bool,
}

/// What a rollback came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RolledBack {
    /// The channel.
    pub channel: String,
    /// The release that went.
    pub from: ReleaseId,
    /// The release that is there now; none where nothing was there before.
    pub to: Option<ReleaseId>,
    /// Whether it was moved: if not, only to be shown what would be.
    pub moved: bool,
    /// Other channels that a withdrawn release went out of, and what is there now.
    pub others: Vec<Other>,
    /// What the withdrawal came to, if one was asked for.
    pub withdrawn: Option<Withdrawn>,
}

/// Another channel that the release went out of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Other {
    /// The channel.
    pub channel: String,
    /// The release that is there now; none where nothing was there before.
    pub to: Option<ReleaseId>,
}

/// Brings a channel back to what was there before. `show` is given what changes before anything is
/// moved.
///
/// # Errors
/// [`ReleaseError`]: nothing was moved, unless it says so.
pub async fn rollback(
    desk: &Desk<'_>,
    asked: &Rollback,
    stop: Stop,
    show: impl FnOnce(&RolledBack),
) -> Result<RolledBack, ReleaseError> {
    let channel = &asked.channel;
    let span = telemetry::span!("rollback", channel);
    telemetry::stage(span, roll_back(desk, asked, stop, show)).await
}

async fn roll_back(
    desk: &Desk<'_>,
    asked: &Rollback,
    stop: Stop,
    show: impl FnOnce(&RolledBack),
) -> Result<RolledBack, ReleaseError> {
    let look = async |seen: Channel| plan(desk, asked, &seen).await;
    let act = async |plan: Plan| {
        let shown = plan.shown(asked);
        show(&shown);
        match asked.dry_run {
            true => Ok(shown),
            false => carry_out(desk, asked, plan).await,
        }
    };
    desk.under_lease("rollback", &asked.channel, stop, look, act)
        .await
}

async fn carry_out(
    desk: &Desk<'_>,
    asked: &Rollback,
    plan: Plan,
) -> Result<RolledBack, ReleaseError> {
    let entry = Entry {
        in_place_of: Some(plan.from.clone()),
        ..desk.entry(asked.reason.as_deref())
    };
    let mut ready = Vec::new();
    for Move { channel, to } in &plan.moves {
        ready.push(match to {
            Some(to) => Some(look(desk, channel, to, &entry).await?),
            None => None,
        });
    }
    if asked.withdraw {
        // First, so that a run that is cut off is known for what it was.
        withdraw::mark(desk, &plan.from, asked.reason.as_deref()).await?;
    }
    for (Move { channel, to }, access) in plan.moves.iter().zip(ready) {
        let name = &channel.channel;
        match (to, access) {
            (Some(to), Some(access)) => go_back(desk, name, to, access, &entry).await?,
            _ => drop(desk.store.leave(name, &plan.from).await?),
        }
    }
    let mut shown = plan.shown(asked);
    shown.moved = true;
    let mut did = !plan.moves.is_empty();
    if asked.withdraw {
        let withdrawn = withdraw::withdraw(desk, &plan.from, asked.reason.as_deref()).await?;
        did |= withdrawn.changed;
        shown.withdrawn = Some(withdrawn);
    }
    for name in &desk.names {
        did |= desk.store.refresh(name).await?;
    }
    did |= catalog::refresh(desk).await?;
    match did {
        true => Ok(shown),
        false => Err(ReleaseError::NothingBefore(format!(
            "{} has gone back from {} already; nothing was moved",
            asked.channel, plan.from
        ))),
    }
}

/// What customers are to get before a release comes back into a channel: all of it must be there.
async fn look(
    desk: &Desk<'_>,
    channel: &Channel,
    to: &ReleaseManifest,
    entry: &Entry,
) -> Result<Access, ReleaseError> {
    let Some((as_if, _)) = channel.with(&to.release, entry.clone()) else {
        return Ok(Access::default());
    };
    let access = Access::look(desk, to, vec![as_if]).await?;
    match access.missing.first() {
        // As with AMIs: one Region that answers is enough to go back, for what is bad is launched there.
        None if access.failed.len() == to.regions.len() => Err(ReleaseError::Access {
            channel: channel.channel.clone(),
            failed: access.failed,
        }),
        None => Ok(access.where_it_can(desk)),
        Some(lack) => Err(ReleaseError::NothingBefore(format!(
            "{} does not go back to {}: {} needs it in {}, and {}",
            channel.channel, to.release, lack.customer, lack.region, lack.why
        ))),
    }
}

/// Gives access to a release, and brings it back into a channel.
async fn go_back(
    desk: &Desk<'_>,
    name: &str,
    to: &ReleaseManifest,
    access: Access,
    entry: &Entry,
) -> Result<(), ReleaseError> {
    access.give(desk, name).await?;
    if let Err(error) = images::show_again(desk, to).await {
        desk.progress
            .say(format!("warning: it may be hidden from lists: {error}"));
    }
    let entered = desk.store.enter(name, &to.release, entry).await;
    let unanswered = |error: EnterError| promote::unanswered(error, &to.release, name);
    match entered.map_err(unanswered)? {
        Entered::Now { .. } | Entered::Already(_) => Ok(()),
    }
}

impl RolledBack {
    /// For people: what goes where.
    pub fn text(&self, withdraws: bool) -> String {
        let named = |to: &Option<ReleaseId>| {
            to.as_ref()
                .map_or("nothing".to_owned(), ToString::to_string)
        };
        let mut text = format!("{}: {} → {}\n", self.channel, self.from, named(&self.to));
        for other in &self.others {
            let to = named(&other.to);
            text.push_str(&format!("{}: {} → {to}\n", other.channel, self.from));
        }
        if withdraws {
            text.push_str(&format!("{} is withdrawn\n", self.from));
        }
        text
    }
}
