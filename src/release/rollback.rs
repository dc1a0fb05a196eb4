//! Rollback: a channel goes back to what was there before.
//!
//! The order is that of a promotion: access, pointer, what customers read. A release that is withdrawn
//! besides goes out of every channel that it is in, this one last, so that a run that was cut off
//! before that is begun again; what comes after, the next run finds undone. It knows that from the
//! stay that the rollback has begun, and does not go back twice.

use serde::Serialize;

use super::access::Access;
use super::desk::Desk;
use super::error::ReleaseError;
use super::promote::{show_again, unavailable};
use super::withdraw::{self, Withdrawn};
use super::{catalog, promote};
use crate::arch::Arch;
use crate::channels::settings::known;
use crate::channels::store::{EnterError, Entered};
use crate::channels::{Channel, Entry, Stay};
use crate::interrupt::Stop;
use crate::publish::manifest::{ReleaseManifest, State};
use crate::publish::papers;
use crate::publish::release::{Line, ReleaseId};
use crate::telemetry;

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

/// What is to be moved.
struct Plan {
    from: ReleaseId,
    moves: Vec<Move>,
}

/// A channel, and what comes into it: nothing where nothing was there before.
struct Move {
    channel: Channel,
    to: Option<ReleaseManifest>,
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
    mut stop: Stop,
    show: impl FnOnce(&RolledBack),
) -> Result<RolledBack, ReleaseError> {
    known(&desk.names, &asked.channel)?;
    let seen = tokio::select! {
        biased;
        how = stop.told() => return Err(ReleaseError::Interrupted(how)),
        seen = desk.store.read(&asked.channel) => seen?,
    };
    let lease = tokio::select! {
        biased;
        how = stop.told() => return Err(ReleaseError::Interrupted(how)),
        lease = desk.lease("rollback") => lease?,
    };
    let planned = tokio::select! {
        biased;
        lost = lease.lost() => Err(lost.into()),
        how = stop.told() => Err(ReleaseError::Interrupted(how)),
        planned = plan(desk, asked, &seen) => planned,
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

async fn plan(desk: &Desk<'_>, asked: &Rollback, seen: &Channel) -> Result<Plan, ReleaseError> {
    let channel = desk.store.read(&asked.channel).await?;
    let going = going(asked, &channel)?;
    overtaken(asked, seen, &channel, &going)?;
    // A rollback that withdraws says so before it moves anything: this one is not its rest.
    if asked.withdraw
        && asked.release.is_none()
        && going.is_back
        && desk.manifest(&going.release).await?.withdrawn.is_none()
    {
        return Err(ReleaseError::NothingBefore(format!(
            "{} has gone back from {} already, which was not withdrawn then; which release is to go? \
             name it with --release",
            asked.channel, going.release
        )));
    }
    let mut moves = Vec::new();
    if asked.withdraw {
        for name in desk.names.iter().filter(|name| **name != asked.channel) {
            let other = desk.store.read(name).await?;
            if other.stay(&going.release).is_some() {
                let to = before(desk, &other, &going.release).await?;
                moves.push(Move { channel: other, to });
            }
        }
    }
    if !going.is_back {
        let to = match &asked.to {
            Some(to) => Some(named(desk, &channel, &going.release, to).await?),
            None => before(desk, &channel, &going.release).await?,
        };
        if to.is_none() && !asked.withdraw {
            return Err(ReleaseError::NothingBefore(format!(
                "{} holds {}, and nothing that can be launched was there before it",
                asked.channel, going.release
            )));
        }
        moves.push(Move { channel, to });
    }
    Ok(Plan {
        from: going.release,
        moves,
    })
}

/// The release that is to go, and whether it has gone already.
struct Going {
    release: ReleaseId,
    is_back: bool,
}

fn going(asked: &Rollback, channel: &Channel) -> Result<Going, ReleaseError> {
    let of = |release: &ReleaseId, is_back| Going {
        release: release.clone(),
        is_back,
    };
    if let Some(named) = &asked.release {
        let has_been = channel.stays.iter().any(|stay| stay.release == *named);
        return match (channel.stay(named), has_been && asked.withdraw) {
            (Some(_), _) => Ok(of(named, false)),
            // An earlier run has done that much.
            (None, true) => Ok(of(named, true)),
            (None, false) => Err(ReleaseError::NothingBefore(format!(
                "{named} is not in {}; nothing was moved",
                asked.channel
            ))),
        };
    }
    let current = current(asked, channel)?;
    match (&current.in_place_of, &asked.to) {
        (Some(from), None) => Ok(of(from, true)),
        (Some(from), Some(to)) if *to == current.release => Ok(of(from, true)),
        _ => Ok(of(&current.release, false)),
    }
}

/// Whether somebody has moved the channel since this run began: what goes would not be what was seen
/// to be wrong.
fn overtaken(
    asked: &Rollback,
    seen: &Channel,
    now: &Channel,
    going: &Going,
) -> Result<(), ReleaseError> {
    let line = &going.release.line;
    let of = |channel: &Channel| channel.current_of(&line.profile, line.arch).cloned();
    match of(now).and_then(|release| now.stay(&release).cloned()) {
        Some(stay) if of(seen).as_ref() != Some(&stay.release) => Err(ReleaseError::Overtaken {
            channel: asked.channel.clone(),
            stay: Box::new(stay),
        }),
        _ => Ok(()),
    }
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
    from: &ReleaseId,
    to: &ReleaseId,
) -> Result<ReleaseManifest, ReleaseError> {
    let name = channel.channel.clone();
    if let Some(stay) = channel.stay(to).filter(|_| from == to) {
        return Err(ReleaseError::Already {
            channel: name,
            stay: Box::new(stay.clone()),
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

/// Whether a release can come back: whole, signed as it stands, and nowhere seen to be gone.
async fn is_good(desk: &Desk<'_>, manifest: &ReleaseManifest) -> Result<bool, ReleaseError> {
    if manifest.state != State::Published || manifest.withdrawn.is_some() {
        return Ok(false);
    }
    if let Some(ring) = &desk.store.ring
        && let Err(why) = papers::check(desk.bucket(), manifest, ring).await?
    {
        let release = &manifest.release;
        desk.progress
            .say(format!("warning: {release} is passed over: {why}"));
        return Ok(false);
    }
    // A Region that does not answer is no reason to leave what is bad in the others.
    let unavailable = unavailable(desk, manifest).await;
    Ok(unavailable.values().all(Result::is_err))
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
    if let Err(error) = show_again(desk, to).await {
        desk.progress
            .say(format!("warning: it may be hidden from lists: {error}"));
    }
    let entered = desk.store.enter(name, &to.release, entry).await;
    let unanswered = |error: EnterError| promote::unanswered(error, &to.release, name);
    match entered.map_err(unanswered)? {
        Entered::Now { .. } | Entered::Already(_) => Ok(()),
    }
}

impl Plan {
    fn shown(&self, asked: &Rollback) -> RolledBack {
        let id = |to: &Option<ReleaseManifest>| to.as_ref().map(|to| to.release.clone());
        let is_own = |one: &&Move| one.channel.channel == asked.channel;
        let others = self.moves.iter().filter(|one| !is_own(one));
        let own = self.moves.iter().find(is_own);
        RolledBack {
            channel: asked.channel.clone(),
            from: self.from.clone(),
            to: own.and_then(|one| id(&one.to)),
            moved: false,
            others: others
                .map(|one| Other {
                    channel: one.channel.channel.clone(),
                    to: id(&one.to),
                })
                .collect(),
            withdrawn: None,
        }
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
