//! Work on blocks that follows changes of the world.
//!
//! A job names what it is about and nothing else; what is to be done follows from the documents, so
//! that it can be found out again after a kill.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::BLOCKS_PER_GIB;
use super::make::{Beginning, remove};
use crate::sandbox::ec2::snapshots::{Origin, Progress, Snapshot};
use crate::sandbox::ec2::volumes::Volume;
use crate::sandbox::machines::Paused;
use crate::sandbox::shared::Shared;
use crate::sandbox::world::World;

/// Work on blocks, done after the change that asks for it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Make the data of a snapshot that is not done.
    Snapshot(String),
    /// Make the data of a volume that is not done.
    Volume(String),
    /// Remove the data of a snapshot or volume that is gone.
    Remove(String),
}

/// Does a job, on a thread of its own.
pub fn perform(shared: &Arc<Shared>, job: Job) {
    shared.spawn_job(move |shared| match job {
        Job::Snapshot(id) => make_snapshot(shared, &id),
        Job::Volume(id) => make_volume(shared, &id),
        Job::Remove(id) => remove_unneeded(shared, &id),
    });
}

/// Takes up what a killed sandbox left unfinished.
pub fn recover(shared: &Arc<Shared>) {
    let jobs = shared.read(unfinished);
    if let Err(error) = sweep(shared) {
        tracing::error!("sandbox: cannot clean up the data of snapshots and volumes: {error}");
    }
    for job in jobs {
        perform(shared, job);
    }
}

fn unfinished(world: &World) -> Vec<Job> {
    let snapshots = world.ec2.snapshots.values().filter(|s| is_undone(s));
    let volumes = world.ec2.volumes.values().filter(|v| is_unmade(v));
    snapshots
        .map(|snapshot| Job::Snapshot(snapshot.id.clone()))
        .chain(volumes.map(|volume| Job::Volume(volume.id.clone())))
        .collect()
}

fn is_undone(snapshot: &Snapshot) -> bool {
    matches!(snapshot.progress, Progress::Until { done: false, .. })
}

fn is_unmade(volume: &Volume) -> bool {
    !volume.done && volume.failed.is_none()
}

/// What a snapshot's data comes from.
fn source(snapshot: &Snapshot) -> Option<&str> {
    match &snapshot.origin {
        Origin::Volume(source) | Origin::Copy { source, .. } => Some(source),
        Origin::Direct { .. } => None,
    }
}

/// Whether data is somebody's, or something that is not done is made from it.
fn is_needed(world: &World, id: &str) -> bool {
    let ec2 = &world.ec2;
    ec2.snapshots.get(id).is_some()
        || ec2.volumes.get(id).is_some()
        || ec2
            .snapshots
            .values()
            .any(|snapshot| is_undone(snapshot) && source(snapshot) == Some(id))
        || ec2
            .volumes
            .values()
            .any(|volume| is_unmade(volume) && volume.snapshot_id.as_deref() == Some(id))
}

fn make_snapshot(shared: &Arc<Shared>, id: &str) {
    let snapshot = shared.read(|world| world.ec2.snapshots.get(id).cloned());
    let Some(snapshot) = snapshot.filter(is_undone) else {
        return;
    };
    let blocks = &shared.blocks;
    let made = match &snapshot.origin {
        Origin::Volume(volume) => {
            let _paused = pause_user(shared, volume);
            blocks.make_snapshot(id, volume)
        }
        Origin::Copy { source, .. } => blocks.make_copy(id, source),
        Origin::Direct { .. } => blocks.merge_parent(id),
    };
    let kept = shared.transact(|world| {
        if let Some(snapshot) = world.ec2.snapshots.get_mut(id)
            && let Progress::Until { done, .. } = &mut snapshot.progress
        {
            match &made {
                Ok(()) => *done = true,
                Err(error) => {
                    snapshot.progress = Progress::Fails {
                        at: shared.clock.now(),
                        reason: format!("The sandbox failed: {error}"),
                    };
                }
            }
        }
        Ok(())
    });
    ended(id, made.and(kept.map_err(io::Error::other)));
    if let Origin::Direct { .. } = snapshot.origin {
        ended(id, blocks.drop_base(id));
    }
    remove_unneeded(shared, id);
    if let Some(source) = source(&snapshot) {
        remove_unneeded(shared, source);
    }
}

/// Has the instance that writes to a volume stand still: a snapshot is of one moment.
fn pause_user(shared: &Shared, volume: &str) -> Option<Paused> {
    let instance = shared.read(|world| {
        let attachment = world.ec2.volumes.get(volume)?.attachment.as_ref()?;
        Some(attachment.instance_id.clone())
    });
    shared.machines.pause(&instance?)
}

fn make_volume(shared: &Arc<Shared>, id: &str) {
    let volume = shared.read(|world| world.ec2.volumes.get(id).cloned());
    let Some(volume) = volume.filter(is_unmade) else {
        return;
    };
    let beginning = volume.snapshot_id.as_deref().map(|snapshot| Beginning {
        snapshot,
        blocks: u64::from(volume.snapshot_size_gib) * BLOCKS_PER_GIB,
        encrypted: volume.snapshot_encrypted,
    });
    let made = shared.blocks.make_volume(id, volume.size_gib, beginning);
    let kept = shared.transact(|world| {
        if let Some(volume) = world.ec2.volumes.get_mut(id) {
            match &made {
                Ok(()) => volume.done = true,
                Err(error) => volume.failed = Some(format!("The sandbox failed: {error}")),
            }
        }
        Ok(())
    });
    ended(id, made.and(kept.map_err(io::Error::other)));
    remove_unneeded(shared, id);
    if let Some(source) = &volume.snapshot_id {
        remove_unneeded(shared, source);
    }
}

/// Removes data that nobody needs.
fn remove_unneeded(shared: &Arc<Shared>, id: &str) {
    if shared.read(|world| is_needed(world, id)) {
        return;
    }
    shared.blocks.close(id);
    for end in [
        "table",
        "data",
        "raw",
        "base.table",
        "base.data",
        "table.part",
        "data.part",
        "raw.part",
    ] {
        ended(id, remove(&shared.blocks.file(id, end)));
    }
}

fn ended(id: &str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!("sandbox: data of {id}: {error}");
    }
}

/// Removes the files that no document needs, and what was half written.
fn sweep(shared: &Arc<Shared>) -> io::Result<()> {
    let mut ids = BTreeSet::new();
    for entry in std::fs::read_dir(&shared.blocks.folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let Some((id, end)) = name.split_once('.') else {
            continue;
        };
        if !id.starts_with("snap-") && !id.starts_with("vol-") {
            continue;
        }
        if end.ends_with(".part") {
            remove(&entry.path())?;
        }
        ids.insert(id.to_owned());
    }
    for id in ids {
        let is_done = shared.read(|world| {
            let snapshot = world.ec2.snapshots.get(&id)?;
            Some(matches!(
                snapshot.progress,
                Progress::Until { done: true, .. }
            ))
        });
        if is_done == Some(true) {
            shared.blocks.drop_base(&id)?;
        }
        remove_unneeded(shared, &id);
    }
    Ok(())
}
