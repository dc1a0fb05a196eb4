//! What a rollback is to move: which release goes, and what comes back in each channel.

use super::{Other, Rollback, RolledBack};
use crate::channels::{Channel, Stay};
use crate::publish::manifest::{ReleaseManifest, State};
use crate::publish::papers;
use crate::publish::release::{Line, ReleaseId};
use crate::release::desk::Desk;
use crate::release::error::ReleaseError;
use crate::release::images::unavailable;

/// What is to be moved.
pub(super) struct Plan {
    pub from: ReleaseId,
    pub moves: Vec<Move>,
}

/// A channel, and what comes into it: nothing where nothing was there before.
pub(super) struct Move {
    pub channel: Channel,
    pub to: Option<ReleaseManifest>,
}

/// Decides what is to be moved. `seen` is the channel as it was when the run began.
///
/// # Errors
/// Nothing is to be moved, or not this; the bucket's.
pub(super) async fn plan(
    desk: &Desk<'_>,
    asked: &Rollback,
    seen: &Channel,
) -> Result<Plan, ReleaseError> {
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
    // A Region that does not answer is no reason to leave what is bad in the others. Where none does,
    // nothing is known of the release.
    let unavailable = unavailable(desk, manifest).await;
    let is_seen_gone = unavailable.values().any(Result::is_ok);
    let none_answers = unavailable.len() == manifest.regions.len() && !is_seen_gone;
    match unavailable.into_values().next() {
        Some(Err(error)) if none_answers => Err(error.into()),
        _ => Ok(!is_seen_gone),
    }
}

impl Plan {
    /// As it is shown before anything is moved.
    pub(super) fn shown(&self, asked: &Rollback) -> RolledBack {
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
