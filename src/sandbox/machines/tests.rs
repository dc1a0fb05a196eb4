use std::sync::Arc;

use super::{Order, end};
use crate::sandbox::ec2::instances::{self, Ending};
use crate::sandbox::shared::Shared;

/// Does an order without a machine: it runs at once, and ends at once.
pub(super) fn perform(shared: &Arc<Shared>, order: Order) {
    match order {
        Order::Run(id) => shared
            .transact(|world| {
                match instances::data_is_there(world, &id) {
                    Ok(_) => instances::booted(world, &shared.clock, &id),
                    Err(reason) => instances::launch_failed(world, &shared.clock, &id, reason),
                }
                Ok(())
            })
            .expect("a change"),
        Order::Stop(id, _) => end(shared, &id, &Ending::Off),
        Order::Reboot(_) => {}
    }
}
