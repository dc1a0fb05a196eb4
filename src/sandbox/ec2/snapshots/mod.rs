//! Snapshots as EC2 has them: made of volumes, copied, described, shared, deleted.

mod attribute;
mod copy;
mod create;
mod delete;
mod describe;
mod encryption;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::places::{PublicSnapshots, public_snapshots};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::world::World;

pub use copy::{Copy, start_copy};
pub use create::{of_volume, pending};
pub(in crate::sandbox) use delete::delete;
pub use encryption::{Choice, Trouble, Wish, choose};

/// A snapshot, made through EC2, as a copy, or through the EBS direct APIs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `snap-…`.
    pub id: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Where it is.
    pub region: Region,
    /// In GiB.
    pub size_gib: u32,
    /// What its owner says of it.
    pub description: String,
    /// When it was started.
    pub started: Timestamp,
    /// ARN of the key it is encrypted under; none where it is not encrypted.
    pub key: Option<String>,
    /// The volume it is of; `vol-ffffffff` for copies and direct snapshots.
    pub volume_id: String,
    /// How far it is.
    pub progress: Progress,
    /// Accounts that may copy it or make volumes of it.
    pub shared_with: BTreeSet<AccountId>,
    /// Everybody may (never where it is encrypted).
    pub public: bool,
    /// What it was made from.
    pub origin: Origin,
    /// What this snapshot has in common with those whose blocks can be compared with its: a UUID.
    pub lineage: String,
}

/// What a snapshot is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Blocks put through the EBS direct APIs.
    Direct {
        /// The snapshot whose blocks it begins with.
        parent: Option<String>,
        /// It fails when nothing happens to it for so long.
        timeout_minutes: u32,
    },
    /// A volume.
    Volume(String),
    /// Another snapshot.
    Copy {
        /// The snapshot.
        source: String,
        /// Whether it is part of the copy of an image.
        for_image: bool,
    },
}

/// How far a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// Blocks are being put, until somebody completes it.
    Open,
    /// Its data is there or on its way; it is completed once that is `done` and the time has come.
    Until {
        /// When it is completed at the earliest.
        ready: Timestamp,
        /// Whether the data is there.
        done: bool,
    },
    /// It will fail, or has failed.
    Fails {
        /// When it shows.
        at: Timestamp,
        /// The reason, as `StateMessage`.
        reason: String,
    },
}

/// What the volume id of a snapshot that is of no volume is.
pub const NO_VOLUME: &str = "vol-ffffffff";

/// `pending`, `completed` or `error`, with EC2's names.
pub fn state(snapshot: &Snapshot, now: Timestamp) -> &'static str {
    match &snapshot.progress {
        Progress::Until { ready, done: true } if *ready <= now => "completed",
        Progress::Fails { at, .. } if *at <= now => "error",
        _ => "pending",
    }
}

/// Whether the data of a snapshot of the volume is still to be copied.
pub fn is_being_made(world: &World, volume: &str) -> bool {
    world.ec2.snapshots.values().any(|snapshot| {
        matches!(snapshot.progress, Progress::Until { done: false, .. })
            && matches!(&snapshot.origin, Origin::Volume(source) if source == volume)
    })
}

/// A snapshot as it is now: one that blocks were put into has failed if its timeout has passed
/// since the last one. The documents do not say so, since puts do not change them.
pub fn as_of_now(context: &Context, snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    if let (
        Progress::Open,
        Origin::Direct {
            timeout_minutes, ..
        },
    ) = (&snapshot.progress, &snapshot.origin)
    {
        let blocks = &context.shared.blocks;
        let ahead = context.shared.clock.ahead_ms();
        let last = blocks
            .last_put(&snapshot.id, ahead)
            .unwrap_or(snapshot.started);
        let end = last.plus(Duration::from_secs(u64::from(*timeout_minutes) * 60));
        if end <= context.now {
            blocks.time_out(&snapshot.id, last, ahead);
            snapshot.progress = Progress::Fails {
                at: end,
                reason: "The snapshot timed out before it was completed".to_owned(),
            };
        }
    }
    snapshot
}

/// Whether an account may copy a snapshot, read it and make volumes of it.
pub fn is_visible(world: &World, account: &AccountId, snapshot: &Snapshot) -> bool {
    snapshot.owner == *account
        || snapshot.shared_with.contains(account)
        || is_public(world, snapshot)
}

/// Whether everybody may use a snapshot.
fn is_public(world: &World, snapshot: &Snapshot) -> bool {
    snapshot.public
        && public_snapshots(world, &snapshot.owner, &snapshot.region) != PublicSnapshots::BlockAll
}

/// A snapshot of the call's Region that the caller owns or was given permission for.
///
/// # Errors
/// `InvalidSnapshot.NotFound`, also where there is one that the caller may not see.
pub fn readable(context: &Context, world: &World, id: &str) -> Result<Snapshot, ServiceError> {
    readable_in(context, world, id, &context.region)
}

fn readable_in(
    context: &Context,
    world: &World,
    id: &str,
    region: &Region,
) -> Result<Snapshot, ServiceError> {
    check_id("snapshotId", "snap", id)?;
    world
        .ec2
        .snapshots
        .get(id)
        .filter(|snapshot| snapshot.region == *region)
        .filter(|snapshot| is_visible(world, &context.caller.account, snapshot))
        .map(|snapshot| as_of_now(context, snapshot))
        .ok_or_else(|| not_found(id))
}

/// A snapshot that is the caller's own.
fn own(context: &Context, world: &World, id: &str) -> Result<Snapshot, ServiceError> {
    let snapshot = readable(context, world, id)?;
    if snapshot.owner == context.caller.account {
        Ok(snapshot)
    } else {
        Err(ServiceError::new(
            "AuthFailure",
            format!("Not authorized for snapshot: {id} is another account's"),
        )
        .status(403))
    }
}

/// A snapshot that must be completed to be used.
///
/// # Errors
/// `IncorrectState`.
pub fn completed(context: &Context, snapshot: &Snapshot) -> Result<(), ServiceError> {
    match state(snapshot, context.now) {
        "completed" => Ok(()),
        other => Err(ServiceError::new(
            "IncorrectState",
            format!(
                "Snapshot '{}' is not 'completed', it is '{other}'.",
                snapshot.id
            ),
        )),
    }
}

fn not_found(id: &str) -> ServiceError {
    ServiceError::new(
        "InvalidSnapshot.NotFound",
        format!("The snapshot '{id}' does not exist."),
    )
}

/// Whether an id has the form of its kind: the prefix and eight or seventeen hexadecimal digits.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn check_id(parameter: &str, prefix: &str, id: &str) -> Result<(), ServiceError> {
    let digits = id
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'));
    let fits = digits.is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    if fits {
        Ok(())
    } else {
        Err(ServiceError::invalid_value(
            parameter,
            id,
            format!("Expected: '{prefix}-...'."),
        ))
    }
}

/// What the sandbox does not have is refused, not ignored.
///
/// # Errors
/// `UnsupportedOperation` if the parameter is given.
pub fn refuse(
    params: &mut crate::sandbox::wire::query::Params,
    names: &[&str],
    what: &str,
) -> Result<(), ServiceError> {
    for name in names {
        if params.text(name).is_some() {
            return Err(ServiceError::new(
                "UnsupportedOperation",
                format!("The parameter {name} is not supported: the sandbox has no {what}"),
            ));
        }
    }
    Ok(())
}

/// The operations of this room.
pub fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "CreateSnapshot" => Operation::Act(create::create_snapshot),
        "CreateSnapshots" => Operation::Act(create::create_snapshots),
        "CopySnapshot" => Operation::Act(copy::copy_snapshot),
        "DeleteSnapshot" => Operation::Act(delete::delete_snapshot),
        "DescribeSnapshots" => Operation::Look(describe::describe_snapshots),
        "DescribeSnapshotAttribute" => Operation::Look(attribute::describe_snapshot_attribute),
        "ModifySnapshotAttribute" => Operation::Act(attribute::modify_snapshot_attribute),
        "ResetSnapshotAttribute" => Operation::Act(attribute::reset_snapshot_attribute),
        _ => return None,
    })
}
