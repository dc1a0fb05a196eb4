//! Putting blocks, and completing a snapshot.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::body::Bytes;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::error::{
    authorize, invalid_value, not_the_owner, snapshot_not_found, unreadable, validation,
};
use super::request::{Parts, parse};
use crate::sandbox::blocks::{BLOCK_SIZE, BLOCKS_PER_GIB, Entries, Job, Writer};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::snapshots::{self, Origin, Progress, Snapshot};
use crate::sandbox::error::ServiceError;
use crate::sandbox::http::Reply;
use crate::sandbox::kms::KeyUse;
use crate::sandbox::world::{Effect, World};

/// How long AWS takes until a snapshot that was sealed is completed.
const COMPLETION_TAKES: Duration = Duration::from_secs(15);

const ALGORITHM: &str = "SHA256";

pub(super) fn put_snapshot_block(
    context: &Context,
    id: &str,
    index: &str,
    parts: Parts<'_>,
) -> Result<Reply, ServiceError> {
    parts.finish()?;
    let index = parse("blockIndex", index, 0..=u64::from(u32::MAX >> 1))?;
    let length = parts.required_header("x-amz-Data-Length")?;
    let body = &context.request.body;
    if length != BLOCK_SIZE.to_string() || body.len() != BLOCK_SIZE {
        return Err(validation(
            "INVALID_BLOCK",
            format!(
                "A block has {BLOCK_SIZE} bytes; x-amz-Data-Length is {length}, and {} bytes came",
                body.len()
            ),
        ));
    }
    parts.required_header("x-amz-Checksum-Algorithm")?;
    parts.header_is("x-amz-Checksum-Algorithm", ALGORITHM)?;
    let progress = parts.header_number::<u8>("x-amz-Progress", 0..=100)?;
    let checksum = parts.required_header("x-amz-Checksum")?;
    let digest = &context.request.body_sha256;
    if BASE64_STANDARD.decode(checksum).ok().as_deref() != Some(&digest[..]) {
        return Err(invalid_value(format!(
            "x-amz-Checksum is {checksum}, and the block's is {}",
            BASE64_STANDARD.encode(digest)
        )));
    }
    let snapshot = context.read(|world| open(context, world, id))?;
    check_index(&snapshot, index)?;
    let writer = writer(context, id)?;
    let is_put = writer
        .put(index, body, digest, context.now)
        .map_err(|error| unreadable(id, &error))?;
    if !is_put {
        return Err(not_pending(id));
    }
    if let Some(progress) = progress {
        writer.set_progress(progress);
    }
    Ok(Reply {
        status: 201,
        headers: vec![
            ("x-amz-checksum", BASE64_STANDARD.encode(digest)),
            ("x-amz-checksum-algorithm", ALGORITHM.to_owned()),
        ],
        body: Bytes::new(),
    })
}

/// A snapshot that the caller may put blocks into.
fn open(context: &Context, world: &World, id: &str) -> Result<Snapshot, ServiceError> {
    let snapshot = snapshots::readable(context, world, id).map_err(|_| snapshot_not_found(id))?;
    if snapshot.owner != context.caller.account {
        return Err(not_the_owner(id));
    }
    match (&snapshot.progress, &snapshot.origin) {
        (Progress::Open, Origin::Direct { .. }) => {}
        _ => return Err(not_pending(id)),
    }
    authorize(context, world, snapshot.key.as_deref(), KeyUse::Decrypt)?;
    Ok(snapshot)
}

/// The writer of a snapshot that was open when the call looked.
fn writer(context: &Context, id: &str) -> Result<Arc<Writer>, ServiceError> {
    let shared = &context.shared;
    let writer = shared
        .blocks
        .writer(id, shared.clock.ahead_ms())
        .map_err(|error| unreadable(id, &error))?;
    // Who completes a snapshot closes the writer that it sealed: this one is new if that happened
    // since the call looked.
    let is_open = shared.read(|world| {
        let snapshot = world.ec2.snapshots.get(id)?;
        Some(snapshot.progress == Progress::Open)
    });
    match is_open {
        Some(true) => return Ok(writer),
        _ => shared.blocks.close(id),
    }
    Err(match is_open {
        Some(_) => not_pending(id),
        None => snapshot_not_found(id),
    })
}

fn not_pending(id: &str) -> ServiceError {
    validation(
        "INVALID_SNAPSHOT_ID",
        format!("The snapshot '{id}' takes no blocks: it is not pending."),
    )
}

/// A block must lie within the volume.
pub(super) fn check_index(snapshot: &Snapshot, index: u64) -> Result<(), ServiceError> {
    let blocks = u64::from(snapshot.size_gib) * BLOCKS_PER_GIB;
    if index < blocks {
        Ok(())
    } else {
        Err(validation(
            "INVALID_BLOCK",
            format!(
                "There is no block {index}: the snapshot '{}' has {blocks}",
                snapshot.id
            ),
        ))
    }
}

pub(super) fn complete_snapshot(
    context: &Context,
    id: &str,
    parts: Parts<'_>,
) -> Result<Reply, ServiceError> {
    parts.finish()?;
    let count = parts
        .header_number::<u64>("x-amz-ChangedBlocksCount", 0..=u64::from(u32::MAX >> 1))?
        .ok_or_else(|| invalid_value("The header x-amz-ChangedBlocksCount is missing"))?;
    let has_algorithm = parts.header_is("x-amz-Checksum-Algorithm", ALGORITHM)?;
    let has_method = parts.header_is("x-amz-Checksum-Aggregation-Method", "LINEAR")?;
    let checksum = parts.header("x-amz-Checksum");
    if checksum.is_some() != has_algorithm || checksum.is_some() != has_method {
        return Err(invalid_value(
            "x-amz-Checksum, x-amz-Checksum-Algorithm and x-amz-Checksum-Aggregation-Method go \
             together",
        ));
    }
    context.read(|world| open(context, world, id))?;
    let shared = &context.shared;
    let writer = writer(context, id)?;
    // No put comes between the look at the blocks and the snapshot's being sealed.
    let mut sealed = writer.seal();
    let entries = writer.entries().map_err(ServiceError::internal)?;
    check_blocks(entries, count, checksum)?;
    context.transact(|world| {
        let snapshot = open(context, world, id)?;
        let has_parent = matches!(
            &snapshot.origin,
            Origin::Direct {
                parent: Some(_),
                ..
            }
        );
        let ready = shared.clock.after(COMPLETION_TAKES);
        let progress = match &context.mishaps.fail_later {
            Some(reason) => Progress::Fails {
                at: ready,
                reason: reason.clone(),
            },
            None => Progress::Until {
                ready,
                done: !has_parent,
            },
        };
        if matches!(progress, Progress::Until { done: false, .. }) {
            let job = Job::Snapshot(id.to_owned());
            world.effects.push(Effect::Blocks(job));
        }
        if let Some(snapshot) = world.ec2.snapshots.get_mut(id) {
            snapshot.progress = progress;
        }
        Ok(())
    })?;
    *sealed = true;
    shared.blocks.close(id);
    Ok(Reply {
        status: 202,
        ..json_reply(&json!({ "Status": "pending" }))
    })
}

/// Compares the blocks that were put with what the caller thinks it put.
fn check_blocks(entries: Entries, count: u64, checksum: Option<&str>) -> Result<(), ServiceError> {
    let (mut put, mut linear) = (0, Sha256::new());
    for entry in entries {
        let (_, digest) = entry.map_err(ServiceError::internal)?;
        put += 1;
        linear.update(digest);
    }
    if put != count {
        return Err(invalid_value(format!(
            "x-amz-ChangedBlocksCount is {count}, and {put} blocks were written"
        )));
    }
    let linear = BASE64_STANDARD.encode(linear.finalize());
    match checksum {
        Some(checksum) if checksum != linear => Err(invalid_value(format!(
            "x-amz-Checksum is {checksum}, and that of the blocks written is {linear}"
        ))),
        _ => Ok(()),
    }
}

/// An answer in JSON.
pub(super) fn json_reply(body: &serde_json::Value) -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.to_string().into(),
    }
}
