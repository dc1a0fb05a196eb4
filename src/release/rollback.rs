//! Rollback: a channel goes back to what was there before.
//!
//! The order is that of a promotion: access, pointer, what customers read. A release that is withdrawn
//! besides goes out of every channel that it is in, this one last, so that a run that was cut off
//! before that is begun again; what comes after, the next run finds undone.

use serde::Serialize;

use super::access::Access;
use super::desk::Desk;
use super::error::ReleaseError;
use super::promote::unavailable;
use super::withdraw::{Withdrawn, withdraw};
use super::{catalog, promote};
use crate::arch::Arch;
use crate::channels::settings::known;
use crate::channels::store::{EnterError, Entered};
use crate::channels::{Channel, Entry, Stay};
use crate::interrupt::Stop;
use crate::publish::manifest::{ReleaseManifest, State};
use crate::publish::release::{Line, ReleaseId};

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Rollback {
    /// The channel.
    pub channel: String,
    /// Of which profile, where there are several in it.
    pub profile: Option<String>,
    /// Of which architecture.
    pub arch: Option<Arch>,
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
    /// The release that is there now.
    pub to: ReleaseId,
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

/// What is to be moved.
struct Plan {
    from: ReleaseId,
    to: ReleaseManifest,
    /// Whether the channel has gone back already, by an earlier run.
    is_back: bool,
    others: Vec<(Channel, Option<ReleaseManifest>)>,
}

/// Brings a channel back to what was there before. `show` is given what changes before anything is
/// moved.
///
/// # Errors
/// [`ReleaseError`]: nothing was moved, unless it says so.
pub async fn rollback(
    desk: &Desk<'_>,
    asked: &Rollback,
    mut stop: Stop,
    show: impl FnOnce(&RolledBack),
) -> Result<RolledBack, ReleaseError> {
    known(&desk.names, &asked.channel)?;
    let lease = tokio::select! {
        biased;
        how = stop.told() => return Err(ReleaseError::Interrupted(how)),
        lease = desk.lease("rollback") => lease?,
    };
    let planned = tokio::select! {
        biased;
        lost = lease.lost() => Err(lost.into()),
        how = stop.told() => Err(ReleaseError::Interrupted(how)),
        planned = plan(desk, asked) => planned,
    };
    let result = match planned {
        Err(error) => Err(error),
        Ok(plan) => {
            let shown = plan.shown(asked);
            show(&shown);
            match asked.dry_run {
                true => Ok(shown),
                false => carry_out(desk, asked, plan).await,
            }
        }
    };
    if let Err(error) = lease.release().await {
        // It expires by itself.
        tracing::debug!("{error}");
    }
    result
}

async fn plan(desk: &Desk<'_>, asked: &Rollback) -> Result<Plan, ReleaseError> {
    let channel = desk.store.read(&asked.channel).await?;
    let current = current(asked, &channel)?;
    let (from, is_back) = match (&current.in_place_of, &asked.to) {
        // An earlier run has done that much.
        (Some(from), None) => (from.clone(), true),
        _ => (current.release.clone(), false),
    };
    let to = match (is_back, &asked.to) {
        (true, _) => desk.manifest(&current.release).await?,
        (false, Some(to)) => named(desk, &channel, current, to).await?,
        (false, None) => {
            let before = before(desk, &channel, &from).await?;
            before.ok_or_else(|| {
                ReleaseError::NothingBefore(format!(
                    "{} holds {from}, and nothing that can be launched was there before it",
                    asked.channel
                ))
            })?
        }
    };
    let mut others = Vec::new();
    if asked.withdraw {
        for name in desk.names.iter().filter(|name| **name != asked.channel) {
            let other = desk.store.read(name).await?;
            if other.stay(&from).is_some() {
                let to = before(desk, &other, &from).await?;
                others.push((other, to));
            }
        }
    }
    Ok(Plan {
        from,
        to,
        is_back,
        others,
    })
}

/// The stay that is to end.
fn current<'c>(asked: &Rollback, channel: &'c Channel) -> Result<&'c Stay, ReleaseError> {
    let fits = |line: &Line| {
        let profile = asked
            .profile
            .as_ref()
            .is_none_or(|profile| *profile == line.profile);
        let arch = asked.arch.is_none_or(|arch| arch == line.arch);
        let to = asked.to.as_ref().map(|to| &to.line);
        let to = to.is_none_or(|to| (&to.profile, to.arch) == (&line.profile, line.arch));
        profile && arch && to
    };
    let stays = channel.stays.iter().filter(|stay| stay.until.is_none());
    let stays: Vec<&Stay> = stays.filter(|stay| fits(&stay.release.line)).collect();
    match stays[..] {
        [only] => Ok(only),
        [] => Err(ReleaseError::NothingBefore(format!(
            "nothing of that profile and architecture is in {}",
            asked.channel
        ))),
        _ => Err(ReleaseError::Several {
            channel: asked.channel.clone(),
            held: stays.iter().map(|stay| stay.release.to_string()).collect(),
        }),
    }
}

/// The release that is named, if the channel can go back to it.
async fn named(
    desk: &Desk<'_>,
    channel: &Channel,
    current: &Stay,
    to: &ReleaseId,
) -> Result<ReleaseManifest, ReleaseError> {
    let name = channel.channel.clone();
    if current.release == *to {
        let stay = Box::new(current.clone());
        return Err(ReleaseError::Already {
            channel: name,
            stay,
        });
    }
    let manifest = desk.manifest(to).await?;
    if !channel.stays.iter().any(|stay| stay.release == *to) {
        return Err(ReleaseError::NothingBefore(format!(
            "{to} was never in {name}: `alpine-ami promote {to} --to {name}` brings it there"
        )));
    }
    match is_good(desk, &manifest).await? {
        true => Ok(manifest),
        false => Err(ReleaseError::NothingBefore(format!(
            "{to} cannot be launched everywhere any more: {name} does not go back to it"
        ))),
    }
}

/// What was in a channel before a release, and can still be launched: the latest of these.
async fn before(
    desk: &Desk<'_>,
    channel: &Channel,
    from: &ReleaseId,
) -> Result<Option<ReleaseManifest>, ReleaseError> {
    let stays: Vec<&Stay> = channel.stays_of(&from.line).collect();
    let mut looked: Vec<&ReleaseId> = vec![from];
    for stay in stays.iter().rev() {
        if looked.contains(&&stay.release) {
            continue;
        }
        looked.push(&stay.release);
        let Some(stored) = desk.bucket().manifest(&stay.release).await? else {
            continue;
        };
        if is_good(desk, &stored.manifest).await? {
            return Ok(Some(stored.manifest));
        }
    }
    Ok(None)
}

async fn is_good(desk: &Desk<'_>, manifest: &ReleaseManifest) -> Result<bool, ReleaseError> {
    let is_meant = manifest.state == State::Published && manifest.withdrawn.is_none();
    Ok(is_meant && unavailable(desk, manifest).await?.is_empty())
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
    for (other, to) in &plan.others {
        match to {
            Some(to) => go_back(desk, &other.channel, to, &entry).await?,
            None => drop(desk.store.leave(&other.channel, &plan.from).await?),
        }
    }
    if !plan.is_back {
        go_back(desk, &asked.channel, &plan.to, &entry).await?;
    }
    let was_withdrawn = match plan.is_back && asked.withdraw {
        false => false,
        true => {
            let manifest = desk.manifest(&plan.from).await?;
            manifest
                .withdrawn
                .is_some_and(|withdrawn| withdrawn.running.is_some())
        }
    };
    let mut shown = plan.shown(asked);
    shown.moved = true;
    if asked.withdraw && !was_withdrawn {
        shown.withdrawn = Some(withdraw(desk, &plan.from, asked.reason.as_deref()).await?);
    }
    let mut refreshed = false;
    for name in &desk.names {
        refreshed |= desk.store.refresh(name).await?;
    }
    refreshed |= catalog::refresh(desk).await?;
    let did = !plan.is_back || shown.withdrawn.is_some() || !plan.others.is_empty() || refreshed;
    match did {
        true => Ok(shown),
        false => Err(ReleaseError::NothingBefore(format!(
            "{} has gone back from {} to {} already; nothing was moved",
            asked.channel, plan.from, plan.to.release
        ))),
    }
}

/// Gives access to a release, and brings it back into a channel.
async fn go_back(
    desk: &Desk<'_>,
    name: &str,
    to: &ReleaseManifest,
    entry: &Entry,
) -> Result<(), ReleaseError> {
    let channel = desk.store.read(name).await?;
    let Some((as_if, _)) = channel.with(&to.release, entry.clone()) else {
        return Ok(());
    };
    let access = Access::look(desk, to, vec![as_if]).await?;
    access.give(desk, name).await?;
    let entered = desk.store.enter(name, &to.release, entry).await;
    let unanswered = |error: EnterError| promote::unanswered(error, &to.release, name);
    match entered.map_err(unanswered)? {
        Entered::Now { .. } | Entered::Already(_) => Ok(()),
    }
}

impl Plan {
    fn shown(&self, asked: &Rollback) -> RolledBack {
        let others = self.others.iter().map(|(channel, to)| Other {
            channel: channel.channel.clone(),
            to: to.as_ref().map(|to| to.release.clone()),
        });
        RolledBack {
            channel: asked.channel.clone(),
            from: self.from.clone(),
            to: self.to.release.clone(),
            moved: false,
            others: others.collect(),
            withdrawn: None,
        }
    }
}

impl RolledBack {
    /// For people: what goes where.
    pub fn text(&self, withdraws: bool) -> String {
        let mut text = format!("{}: {} → {}\n", self.channel, self.from, self.to);
        for other in &self.others {
            let to = other
                .to
                .as_ref()
                .map_or("nothing".to_owned(), ToString::to_string);
            text.push_str(&format!("{}: {} → {to}\n", other.channel, self.from));
        }
        if withdraws {
            text.push_str(&format!("{} is withdrawn\n", self.from));
        }
        text
    }
}
