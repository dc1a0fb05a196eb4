//! The EBS direct APIs: writing and reading snapshots block by block.
//!
//! A put holds the world only to look whether it is allowed; its block goes straight to its place
//! in the snapshot's file.

mod error;
mod read;
mod request;
mod start;
#[cfg(test)]
mod tests;
mod token;
mod write;

use super::context::Context;
use super::error::ServiceError;
use super::http::{Reply, Request};
use super::iam;
use request::{Call, Parts};

/// The operation that a request asks for.
pub fn operation(request: &Request) -> Option<&'static str> {
    Call::of(request).map(|call| call.name())
}

/// Answers a call.
///
/// # Errors
/// The service's own.
pub fn handle(context: &Context) -> Result<Reply, ServiceError> {
    let Some(call) = Call::of(&context.request) else {
        return Err(ServiceError::new(
            "UnknownOperationException",
            format!(
                "The EBS direct APIs have no {} {}",
                context.request.method, context.request.path
            ),
        )
        .status(404));
    };
    let mut parts = Parts::new(&context.request)?;
    let first = parts.peek("firstSnapshotId").map(str::to_owned);
    let named: Vec<&str> = call
        .snapshot()
        .into_iter()
        .chain(first.as_deref())
        .collect();
    iam::check_ebs(context, call.name(), &named)?;
    match call {
        Call::StartSnapshot => start::start_snapshot(context, parts),
        Call::PutSnapshotBlock { snapshot, index } => {
            write::put_snapshot_block(context, &snapshot, &index, parts)
        }
        Call::CompleteSnapshot { snapshot } => write::complete_snapshot(context, &snapshot, parts),
        Call::ListSnapshotBlocks { snapshot } => {
            read::list_snapshot_blocks(context, &snapshot, &mut parts)
        }
        Call::ListChangedBlocks { second } => {
            read::list_changed_blocks(context, &second, &mut parts)
        }
        Call::GetSnapshotBlock { snapshot, index } => {
            read::get_snapshot_block(context, &snapshot, &index, &mut parts)
        }
    }
}
