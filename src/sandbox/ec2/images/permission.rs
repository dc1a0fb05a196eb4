//! Launch permissions: their types, and the two forms in which calls give them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::sandbox::error::ServiceError;
use crate::sandbox::id::AccountId;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;

/// Who may launch an image besides its owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchPermissions {
    /// Everybody.
    pub public: bool,
    /// Accounts.
    pub accounts: BTreeSet<AccountId>,
    /// Organizations by their ARNs.
    pub organizations: BTreeSet<String>,
    /// Organizational units by their ARNs, and whatever is in them.
    pub units: BTreeSet<String>,
}

/// One entry of a list of launch permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// Everybody.
    Everybody,
    /// An account.
    Account(AccountId),
    /// An organization.
    Organization(String),
    /// An organizational unit.
    Unit(String),
}

impl LaunchPermissions {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        usize::from(self.public) + self.accounts.len() + self.organizations.len() + self.units.len()
    }

    /// Whether nobody has a permission.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an entry; one that is there stays.
    pub fn add(&mut self, permission: &Permission) {
        match permission {
            Permission::Everybody => self.public = true,
            Permission::Account(account) => {
                self.accounts.insert(account.clone());
            }
            Permission::Organization(arn) => {
                self.organizations.insert(arn.clone());
            }
            Permission::Unit(arn) => {
                self.units.insert(arn.clone());
            }
        }
    }

    /// Removes an entry, if it is there.
    pub fn remove(&mut self, permission: &Permission) {
        match permission {
            Permission::Everybody => self.public = false,
            Permission::Account(account) => {
                self.accounts.remove(account);
            }
            Permission::Organization(arn) => {
                self.organizations.remove(arn);
            }
            Permission::Unit(arn) => {
                self.units.remove(arn);
            }
        }
    }

    /// Writes the list, as DescribeImageAttribute has it.
    pub fn write(&self, xml: &mut Xml) {
        let mut entries: Vec<(&str, &str)> = Vec::new();
        if self.public {
            entries.push(("group", "all"));
        }
        entries.extend(self.accounts.iter().map(|id| ("userId", id.as_str())));
        let organizations = self.organizations.iter();
        entries.extend(organizations.map(|arn| ("organizationArn", arn.as_str())));
        let units = self.units.iter();
        entries.extend(units.map(|arn| ("organizationalUnitArn", arn.as_str())));
        xml.list("launchPermission", entries, |xml, (name, value)| {
            xml.text(name, value);
        });
    }
}

/// Takes a list of entries: `<list>.N.UserId`, `.Group`, `.OrganizationArn` or
/// `.OrganizationalUnitArn`.
///
/// # Errors
/// An entry has none or more than one of these, or is against their form.
pub fn take_entries(params: &mut Params, list: &str) -> Result<Vec<Permission>, ServiceError> {
    params.structures(list, |entry| {
        let given = [
            entry.text("UserId").map(|id| account(&id)),
            entry.text("Group").map(|name| group(&name)),
            entry.text("OrganizationArn").map(|arn| organization(&arn)),
            entry.text("OrganizationalUnitArn").map(|arn| unit(&arn)),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(permission), None) => permission,
            _ => Err(ServiceError::invalid_combination(format!(
                "{} must contain exactly one of UserId, Group, OrganizationArn, \
                 OrganizationalUnitArn",
                entry.full("").trim_end_matches('.')
            ))),
        }
    })
}

/// Takes the older form: `UserId.N`, `UserGroup.N`, `OrganizationArn.N`, `OrganizationalUnitArn.N`.
///
/// # Errors
/// One is against its form.
pub fn take_flat(params: &mut Params) -> Result<Vec<Permission>, ServiceError> {
    let mut all = Vec::new();
    for (name, read) in [
        ("UserId", account as fn(&str) -> Result<_, _>),
        ("UserGroup", group),
        ("OrganizationArn", organization),
        ("OrganizationalUnitArn", unit),
    ] {
        for value in params.list(name)? {
            all.push(read(&value)?);
        }
    }
    Ok(all)
}

/// An entry that no permission can have.
pub fn invalid_item(value: &str, kind: &str) -> ServiceError {
    ServiceError::new(
        "InvalidAMIAttributeItemValue",
        format!("Invalid attribute item value \"{value}\" for {kind} item type."),
    )
}

fn account(value: &str) -> Result<Permission, ServiceError> {
    let account = value.parse().map_err(|_| invalid_item(value, "userId"))?;
    Ok(Permission::Account(account))
}

fn group(value: &str) -> Result<Permission, ServiceError> {
    match value {
        "all" => Ok(Permission::Everybody),
        _ => Err(invalid_item(value, "group")),
    }
}

fn organization(value: &str) -> Result<Permission, ServiceError> {
    match organization_parts(value).as_deref() {
        Some(["organization", organization]) if organization.starts_with("o-") => {
            Ok(Permission::Organization(value.to_owned()))
        }
        _ => Err(invalid_item(value, "organizationArn")),
    }
}

fn unit(value: &str) -> Result<Permission, ServiceError> {
    match organization_parts(value).as_deref() {
        Some(["ou", organization, unit])
            if organization.starts_with("o-") && unit.starts_with("ou-") =>
        {
            Ok(Permission::Unit(value.to_owned()))
        }
        _ => Err(invalid_item(value, "organizationalUnitArn")),
    }
}

/// The parts of an ARN of Organizations behind its account.
fn organization_parts(arn: &str) -> Option<Vec<&str>> {
    let rest = arn.strip_prefix("arn:aws:organizations::")?;
    let (account, resource) = rest.split_once(':')?;
    account.parse::<AccountId>().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let parts: Vec<&str> = resource.split('/').collect();
    let all_plain = parts
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(is_plain));
    all_plain.then_some(parts)
}
