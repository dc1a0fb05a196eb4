//! A call under way: who calls what, where, and the world as that call sees it.

use std::sync::Arc;

use super::caller::Caller;
use super::clock::Timestamp;
use super::error::ServiceError;
use super::faults::Mishaps;
use super::http::Request;
use super::id::Region;
use super::service::Service;
use super::shared::Shared;
use super::world::World;

/// A call under way.
#[derive(Debug, Clone)]
pub struct Context {
    /// The sandbox.
    pub shared: Arc<Shared>,
    /// Who calls.
    pub caller: Caller,
    /// The Region that the request is signed for.
    pub region: Region,
    /// The service.
    pub service: Service,
    /// The operation, such as `DescribeImages`.
    pub operation: String,
    /// The request's id, a UUID.
    pub request_id: String,
    /// The request.
    pub request: Request,
    /// The sandbox's time when the call came in.
    pub now: Timestamp,
    /// What the call is to do badly, by a fault that was asked for.
    pub mishaps: Mishaps,
    /// The world as it was a while ago, for a call that is to see that.
    pub stale: Option<Arc<World>>,
}

impl Context {
    /// Looks at the world.
    pub fn read<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        match &self.stale {
            Some(world) => look(world),
            None => self.shared.read(look),
        }
    }

    /// Changes the world; the change is kept if `change` succeeds, and taken back if not.
    ///
    /// # Errors
    /// What `change` says, and `InternalError` if the state cannot be written.
    pub fn transact<T>(
        &self,
        change: impl FnOnce(&mut World) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        self.shared.transact(change)
    }
}
