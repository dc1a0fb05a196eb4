//! Organizations: enough to put accounts in an organization and its units.

mod accounts;
mod creation;
mod handshakes;
mod input;
mod organization;
#[cfg(test)]
mod tests;
mod tree;
mod units;

use serde_json::Value;

use super::context::Context;
use super::error::ServiceError;
use super::http::Reply;
use super::iam;
use super::shelf::{AnyShelf, Shelf};
use super::world::World;

pub use creation::Creation;
pub use handshakes::Handshake;
pub use tree::{Joined, Member, Membership, Organization, Unit, membership};

/// Organizations' state.
#[derive(Debug, Clone)]
pub struct OrganizationsState {
    /// Organizations by id.
    pub organizations: Shelf<Organization>,
    /// Units by id.
    pub units: Shelf<Unit>,
    /// Accounts that are in an organization, by account id.
    pub members: Shelf<Member>,
    /// Invitations by id.
    pub handshakes: Shelf<Handshake>,
    /// Requests for new accounts by id.
    pub creations: Shelf<Creation>,
}

impl Default for OrganizationsState {
    fn default() -> OrganizationsState {
        OrganizationsState {
            organizations: Shelf::new("organization"),
            units: Shelf::new("organization-unit"),
            members: Shelf::new("organization-member"),
            handshakes: Shelf::new("organization-handshake"),
            creations: Shelf::new("organization-account-request"),
        }
    }
}

impl OrganizationsState {
    /// Its shelves.
    pub fn shelves(&mut self) -> Vec<&mut dyn AnyShelf> {
        vec![
            &mut self.organizations,
            &mut self.units,
            &mut self.members,
            &mut self.handshakes,
            &mut self.creations,
        ]
    }
}

/// An operation that only looks.
type Look = fn(&Context, &World) -> Result<Value, ServiceError>;
/// An operation that changes something.
type Act = fn(&Context, &mut World) -> Result<Value, ServiceError>;

enum Operation {
    Look(Look),
    Act(Act),
}

fn operation(name: &str) -> Option<Operation> {
    use Operation::{Act, Look};
    Some(match name {
        "CreateOrganization" => Act(organization::create),
        "DescribeOrganization" => Look(organization::describe),
        "DeleteOrganization" => Act(organization::delete),
        "ListRoots" => Look(organization::list_roots),
        "CreateOrganizationalUnit" => Act(units::create),
        "DescribeOrganizationalUnit" => Look(units::describe),
        "UpdateOrganizationalUnit" => Act(units::update),
        "DeleteOrganizationalUnit" => Act(units::delete),
        "ListOrganizationalUnitsForParent" => Look(units::list_for_parent),
        "ListParents" => Look(units::list_parents),
        "ListChildren" => Look(units::list_children),
        "InviteAccountToOrganization" => Act(handshakes::invite),
        "AcceptHandshake" => Act(handshakes::accept),
        "DeclineHandshake" => Act(handshakes::decline),
        "CancelHandshake" => Act(handshakes::cancel),
        "DescribeHandshake" => Look(handshakes::describe),
        "ListHandshakesForAccount" => Look(handshakes::list_for_account),
        "ListHandshakesForOrganization" => Look(handshakes::list_for_organization),
        "CreateAccount" => Act(creation::create),
        "DescribeCreateAccountStatus" => Look(creation::describe),
        "ListCreateAccountStatus" => Look(creation::list),
        "MoveAccount" => Act(accounts::move_account),
        "ListAccounts" => Look(accounts::list),
        "ListAccountsForParent" => Look(accounts::list_for_parent),
        "DescribeAccount" => Look(accounts::describe),
        "LeaveOrganization" => Act(accounts::leave),
        "RemoveAccountFromOrganization" => Act(accounts::remove),
        _ => return None,
    })
}

/// Answers a call.
///
/// # Errors
/// The service's own.
pub fn handle(context: &Context) -> Result<Reply, ServiceError> {
    let Some(operation) = operation(&context.operation) else {
        return Err(ServiceError::new(
            "UnknownOperationException",
            format!(
                "The operation {} is not one of the sandbox's",
                context.operation
            ),
        ));
    };
    let action = format!("organizations:{}", context.operation);
    iam::check(context, [iam::Wish::new(action, "*")])?;
    let answer = match operation {
        Operation::Look(look) => context.read(|world| look(context, world))?,
        Operation::Act(act) => context.transact(|world| act(context, world))?,
    };
    // Operations without a result answer with an empty body.
    if answer.is_null() {
        return Ok(Reply {
            status: 200,
            headers: vec![("content-type", "application/x-amz-json-1.1".to_owned())],
            body: Default::default(),
        });
    }
    Reply::json(&answer)
}
