//! Listing the blocks of snapshots, and reading them.

use std::cmp::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::error::{authorize, invalid_value, snapshot_not_found, unreadable, validation};
use super::request::{Parts, parse};
use super::token;
use super::write::{check_index, json_reply};
use crate::sandbox::blocks::{BLOCK_SIZE, Entries, Entry};
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::snapshots::{self, Snapshot, state};
use crate::sandbox::error::ServiceError;
use crate::sandbox::http::Reply;
use crate::sandbox::kms::KeyUse;
use crate::sandbox::world::World;

/// How long a block's token holds.
const BLOCK_TOKEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a page's token holds.
const PAGE_TOKEN: Duration = Duration::from_secs(3600);

/// Blocks of a page, where the call does not say.
const PAGE: usize = 100;

/// The largest block index that there can be.
const LAST_INDEX: u64 = (u32::MAX >> 1) as u64;

/// A completed snapshot that the caller may read.
fn readable(context: &Context, world: &World, id: &str) -> Result<Snapshot, ServiceError> {
    let snapshot = snapshots::readable(context, world, id).map_err(|_| snapshot_not_found(id))?;
    if state(&snapshot, context.now) != "completed" {
        return Err(validation(
            "INVALID_SNAPSHOT_ID",
            format!("The snapshot '{id}' is not completed."),
        ));
    }
    authorize(context, world, snapshot.key.as_deref(), KeyUse::Decrypt)?;
    Ok(snapshot)
}

/// What stays the same between the pages of a list.
fn block_scope(snapshot: &str, index: u64) -> String {
    format!("block {snapshot} {index}")
}

fn block_token(context: &Context, snapshot: &str, index: u64, until: Timestamp) -> String {
    token::write(context, &block_scope(snapshot, index), index, until)
}

/// The page of a list that is asked for.
struct Page {
    size: usize,
    from: u64,
    scope: String,
}

impl Page {
    fn take(context: &Context, parts: &mut Parts<'_>, scope: String) -> Result<Page, ServiceError> {
        let size = parts.number("maxResults", 100..=10_000)?.unwrap_or(PAGE);
        let start = parts.number("startingBlockIndex", 0..=LAST_INDEX)?;
        let from = match parts.text("pageToken") {
            Some(token) => token::read(context, &scope, &token).ok_or_else(|| {
                validation(
                    "INVALID_PAGE_TOKEN",
                    "The page token is not one of this list's, or has expired",
                )
            })?,
            None => start.unwrap_or(0),
        };
        parts.finish()?;
        Ok(Page { size, from, scope })
    }

    /// The answer: a page of blocks and what goes with it.
    fn answer<T>(
        &self,
        context: &Context,
        snapshot: &Snapshot,
        name: &str,
        blocks: impl Iterator<Item = Result<(u64, T), ServiceError>>,
        write: impl Fn(u64, T, Timestamp) -> Value,
    ) -> Result<Reply, ServiceError> {
        let until = context.now.plus(BLOCK_TOKEN);
        let mut body = Map::new();
        let mut list = Vec::new();
        for block in blocks {
            let (index, block) = block?;
            if list.len() == self.size {
                let until = context.now.plus(PAGE_TOKEN);
                let next = token::write(context, &self.scope, index, until);
                body.insert("NextToken".to_owned(), next.into());
                break;
            }
            list.push(write(index, block, until));
        }
        body.insert(name.to_owned(), list.into());
        body.insert("ExpiryTime".to_owned(), until.epoch_seconds().into());
        body.insert("VolumeSize".to_owned(), snapshot.size_gib.into());
        body.insert("BlockSize".to_owned(), BLOCK_SIZE.into());
        Ok(json_reply(&Value::Object(body)))
    }
}

pub(super) fn list_snapshot_blocks(
    context: &Context,
    id: &str,
    parts: &mut Parts<'_>,
) -> Result<Reply, ServiceError> {
    let page = Page::take(context, parts, format!("blocks {id}"))?;
    let snapshot = context.read(|world| readable(context, world, id))?;
    let entries = entries(context, id, page.from)?;
    let blocks = entries.map(|entry| entry.map_err(ServiceError::internal));
    page.answer(context, &snapshot, "Blocks", blocks, |index, _, until| {
        json!({
            "BlockIndex": index,
            "BlockToken": block_token(context, id, index, until),
        })
    })
}

fn entries(context: &Context, id: &str, from: u64) -> Result<Entries, ServiceError> {
    let blocks = &context.shared.blocks;
    blocks
        .entries(id, from)
        .map_err(|error| unreadable(id, &error))
}

pub(super) fn list_changed_blocks(
    context: &Context,
    second: &str,
    parts: &mut Parts<'_>,
) -> Result<Reply, ServiceError> {
    let first = parts
        .text("firstSnapshotId")
        .ok_or_else(|| invalid_value("firstSnapshotId is missing"))?;
    let page = Page::take(context, parts, format!("changes {first} {second}"))?;
    let snapshot = context.read(|world| {
        let first = readable(context, world, &first)?;
        let second = readable(context, world, second)?;
        if first.lineage != second.lineage || first.id == second.id {
            return Err(validation(
                "UNRELATED_SNAPSHOTS",
                format!(
                    "The snapshots '{}' and '{}' are not of the same lineage.",
                    first.id, second.id
                ),
            ));
        }
        Ok(second)
    })?;
    let changes = Changes {
        first: entries(context, &first, page.from)?.peekable(),
        second: entries(context, second, page.from)?.peekable(),
    };
    page.answer(
        context,
        &snapshot,
        "ChangedBlocks",
        changes,
        |index, sides, until| {
            let mut block = Map::new();
            block.insert("BlockIndex".to_owned(), index.into());
            if sides.in_first {
                let token = block_token(context, &first, index, until);
                block.insert("FirstBlockToken".to_owned(), token.into());
            }
            if sides.in_second {
                let token = block_token(context, second, index, until);
                block.insert("SecondBlockToken".to_owned(), token.into());
            }
            Value::Object(block)
        },
    )
}

/// Which of two snapshots have a block.
struct Sides {
    in_first: bool,
    in_second: bool,
}

/// Blocks that two snapshots do not have in common, in the order of their indexes.
struct Changes {
    first: std::iter::Peekable<Entries>,
    second: std::iter::Peekable<Entries>,
}

impl Iterator for Changes {
    type Item = Result<(u64, Sides), ServiceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = |entry: Option<&std::io::Result<Entry>>| match entry {
            Some(Ok((index, _))) => Some(*index),
            // What cannot be read comes first, to be told.
            Some(Err(_)) => Some(0),
            None => None,
        };
        loop {
            let order = match (index(self.first.peek()), index(self.second.peek())) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(first), Some(second)) => first.cmp(&second),
            };
            let first = if order.is_le() {
                self.first.next()
            } else {
                None
            };
            let second = if order.is_ge() {
                self.second.next()
            } else {
                None
            };
            let (first, second) = match (first.transpose(), second.transpose()) {
                (Ok(first), Ok(second)) => (first, second),
                (Err(error), _) | (_, Err(error)) => {
                    return Some(Err(ServiceError::internal(error)));
                }
            };
            if first == second {
                continue;
            }
            let (index, _) = first.or(second)?;
            let sides = Sides {
                in_first: first.is_some(),
                in_second: second.is_some(),
            };
            return Some(Ok((index, sides)));
        }
    }
}

pub(super) fn get_snapshot_block(
    context: &Context,
    id: &str,
    index: &str,
    parts: &mut Parts<'_>,
) -> Result<Reply, ServiceError> {
    let index = parse("blockIndex", index, 0..=LAST_INDEX)?;
    let block_token = parts
        .text("blockToken")
        .ok_or_else(|| invalid_value("blockToken is missing"))?;
    parts.finish()?;
    let snapshot = context.read(|world| readable(context, world, id))?;
    check_index(&snapshot, index)?;
    let invalid_token = || {
        validation(
            "INVALID_BLOCK_TOKEN",
            format!("The block token is not that of block {index} of '{id}', or has expired"),
        )
    };
    token::read(context, &block_scope(id, index), &block_token).ok_or_else(invalid_token)?;
    let block = context.shared.blocks.read(id, index);
    let (block, digest) = block
        .map_err(|error| unreadable(id, &error))?
        .ok_or_else(invalid_token)?;
    Ok(Reply {
        status: 200,
        headers: vec![
            ("content-type", "application/octet-stream".to_owned()),
            ("x-amz-data-length", BLOCK_SIZE.to_string()),
            ("x-amz-checksum", BASE64_STANDARD.encode(digest)),
            ("x-amz-checksum-algorithm", "SHA256".to_owned()),
        ],
        body: block.into(),
    })
}
