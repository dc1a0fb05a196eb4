//! S3: buckets and objects.
//!
//! HTTP, signatures and the form of documents are the crate s3s's; what it leaves out of checking
//! credentials is in `gate`. Behind it stand this folder's operations: they read and change the
//! world as all services do, and keep objects' data in files.
//!
//! | part | subject |
//! |---|---|
//! | `answer`, `gate`, `call`, `operation` | a request on its way in and out |
//! | `backend` | the operations, as s3s calls them |
//! | `access`, `policies`, `public` | who may do what |
//! | `model`, `data` | what is remembered, and where the data is |
//! | `buckets`, `controls`, `tagging`, `encryption` | buckets and what is set for them |
//! | `put`, `get`, `attributes`, `delete`, `copy`, `multipart` | objects |
//! | `list`, `paging` | listings |
//! | `checksum`, `conditions` | checksums; conditional requests |

mod access;
mod actions;
mod answer;
mod attributes;
mod backend;
mod buckets;
mod call;
mod checksum;
mod conditions;
mod controls;
mod copy;
mod data;
mod delete;
mod encryption;
mod gate;
mod get;
mod list;
mod model;
mod multipart;
mod operation;
mod paging;
mod policies;
mod public;
mod put;
mod tagging;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hyper::body::Incoming;

use super::shared::Shared;

pub use backend::bucket_of_host;
pub use model::S3State;
pub use operation::operation;

/// Answers a request. A `SocketAddr` among its extensions is where it came from, for
/// `aws:SourceIp`.
pub async fn serve(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
    request_id: String,
) -> hyper::Response<super::server::Body> {
    answer::answer(shared, request.map(s3s::Body::from), request_id).await
}

/// Removes files of objects' data that a kill left behind. To be called before [`serve`].
pub fn recover(shared: &Shared) {
    data::sweep(shared);
}
