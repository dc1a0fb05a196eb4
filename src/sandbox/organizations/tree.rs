//! Who is where: organizations, their units, their accounts.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, random};
use crate::sandbox::world::World;

/// An organization. It has one root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// `o-…`.
    pub id: String,
    /// The management account.
    pub management: AccountId,
    /// `r-…`.
    pub root: String,
    /// `ALL` or `CONSOLIDATED_BILLING`.
    pub features: String,
}

impl Organization {
    /// Its ARN.
    pub fn arn(&self) -> String {
        self.arn_of("organization", "")
    }

    /// ARN of something of it.
    pub(super) fn arn_of(&self, kind: &str, id: &str) -> String {
        let tail = if id.is_empty() {
            String::new()
        } else {
            format!("/{id}")
        };
        format!(
            "arn:aws:organizations::{}:{kind}/{}{tail}",
            self.management, self.id
        )
    }
}

/// An organizational unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// `ou-<root>-…`.
    pub id: String,
    /// `o-…`.
    pub organization: String,
    /// The root or the unit that it is in.
    pub parent: String,
    /// Unique among its siblings.
    pub name: String,
}

/// How an account came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Joined {
    /// By an invitation, or as the management account.
    Invited,
    /// It was made in the organization.
    Created,
}

/// An account that is in an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The account.
    pub account: AccountId,
    /// `o-…`.
    pub organization: String,
    /// The root or the unit that it is in.
    pub parent: String,
    /// How it came in.
    pub joined: Joined,
    /// Since when it is in.
    pub since: Timestamp,
    /// When it may leave again at the earliest.
    pub may_leave: Timestamp,
}

/// Where an account is in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// `o-…`.
    pub organization_id: String,
    /// `arn:aws:organizations::<management account>:organization/o-…`.
    pub organization_arn: String,
    /// `o-…/r-…/ou-…/`, as `aws:PrincipalOrgPaths` has it.
    pub path: String,
    /// ARNs of the units that it is in, directly and through others.
    pub unit_arns: Vec<String>,
    /// The management account.
    pub management_account: AccountId,
}

/// Where an account is in an organization, if it is in one.
pub fn membership(world: &World, account: &AccountId) -> Option<Membership> {
    let state = &world.organizations;
    let member = state.members.get(account.as_str())?;
    let organization = state.organizations.get(&member.organization)?;
    Some(Membership {
        organization_id: organization.id.clone(),
        organization_arn: organization.arn(),
        path: path(world, organization, &member.parent),
        unit_arns: units_above(world, &member.parent)
            .iter()
            .map(|unit| organization.arn_of("ou", &unit.id))
            .collect(),
        management_account: organization.management.clone(),
    })
}

/// The unit `id` and those that it is in, inside out. None for a root.
pub(super) fn units_above<'a>(world: &'a World, id: &str) -> Vec<&'a Unit> {
    let units = &world.organizations.units;
    std::iter::successors(units.get(id), |unit| units.get(&unit.parent)).collect()
}

/// The path of a root or unit: `o-…/r-…/ou-…/`.
pub(super) fn path(world: &World, organization: &Organization, id: &str) -> String {
    let mut path = format!("{}/{}/", organization.id, organization.root);
    for unit in units_above(world, id).iter().rev() {
        path.push_str(&unit.id);
        path.push('/');
    }
    path
}

/// The caller's organization.
pub(super) fn organization(context: &Context, world: &World) -> Result<Organization, ServiceError> {
    let state = &world.organizations;
    state
        .members
        .get(context.caller.account.as_str())
        .and_then(|member| state.organizations.get(&member.organization))
        .cloned()
        .ok_or_else(|| {
            ServiceError::new(
                "AWSOrganizationsNotInUseException",
                "Your account is not a member of an organization.",
            )
        })
}

/// The organization that the caller manages.
pub(super) fn managed(context: &Context, world: &World) -> Result<Organization, ServiceError> {
    let organization = organization(context, world)?;
    if organization.management == context.caller.account {
        Ok(organization)
    } else {
        Err(access_denied())
    }
}

pub(super) fn access_denied() -> ServiceError {
    ServiceError::new(
        "AccessDeniedException",
        "You don't have permissions to access this resource.",
    )
}

/// Whether an organization has a root or unit of this id.
pub(super) fn has_parent(world: &World, organization: &Organization, id: &str) -> bool {
    id == organization.root
        || world
            .organizations
            .units
            .get(id)
            .is_some_and(|unit| unit.organization == organization.id)
}

/// A root or unit that must be there.
pub(super) fn check_parent(
    world: &World,
    organization: &Organization,
    id: &str,
) -> Result<(), ServiceError> {
    if has_parent(world, organization, id) {
        return Ok(());
    }
    Err(ServiceError::new(
        "ParentNotFoundException",
        "We can't find a root or OU with the ParentId that you specified.",
    ))
}

/// The accounts of an organization that the clock has reached, by id.
pub(super) fn members(
    context: &Context,
    world: &World,
    organization: &Organization,
) -> Vec<Member> {
    world
        .organizations
        .members
        .values()
        .filter(|member| member.organization == organization.id && member.since <= context.now)
        .cloned()
        .collect()
}

/// A root or unit as `Parent` and `Child` have it.
pub(super) fn parent_json(id: &str) -> Value {
    let kind = if id.starts_with("r-") {
        "ROOT"
    } else {
        "ORGANIZATIONAL_UNIT"
    };
    json!({"Id": id, "Type": kind})
}

/// `length` random characters of those that Organizations' ids are made of.
pub(super) fn random_name<const LENGTH: usize>() -> String {
    const CHARACTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
    random::<LENGTH>()
        .iter()
        .map(|byte| char::from(CHARACTERS[usize::from(byte % 32)]))
        .collect()
}
