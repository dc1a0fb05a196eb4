//! Permissions of snapshots.

use std::collections::BTreeSet;

use super::{Snapshot, own};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::places::{PublicSnapshots, public_snapshots};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::AccountId;
use crate::sandbox::kms;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// A call changes so many permissions at most.
const MOST_CHANGES: usize = 500;

/// Accounts and perhaps everybody.
#[derive(Debug, Default, PartialEq, Eq)]
struct Grantees {
    accounts: BTreeSet<AccountId>,
    all: bool,
}

impl Grantees {
    fn account(&mut self, text: &str) -> Result<(), ServiceError> {
        let account = text.parse().map_err(|_| {
            ServiceError::new(
                "InvalidUserID.Malformed",
                format!("Invalid user id: \"{text}\""),
            )
        })?;
        self.accounts.insert(account);
        Ok(())
    }

    fn group(&mut self, text: &str) -> Result<(), ServiceError> {
        if text != "all" {
            return Err(ServiceError::new(
                "InvalidUserGroup",
                format!("The group \"{text}\" is not valid; the only one is all"),
            ));
        }
        self.all = true;
        Ok(())
    }

    fn len(&self) -> usize {
        self.accounts.len() + usize::from(self.all)
    }
}

fn take_items(params: &mut Params, name: &str) -> Result<Grantees, ServiceError> {
    let mut grantees = Grantees::default();
    let items = params.structures(name, |item| Ok((item.text("UserId"), item.text("Group"))))?;
    for item in items {
        match item {
            (Some(account), None) => grantees.account(&account)?,
            (None, Some(group)) => grantees.group(&group)?,
            _ => {
                return Err(ServiceError::invalid_combination(
                    "A permission is for either a user id or a group",
                ));
            }
        }
    }
    Ok(grantees)
}

/// The older form: one operation, and lists of accounts and groups.
fn take_flat(params: &mut Params) -> Result<(Option<String>, Grantees), ServiceError> {
    let mut grantees = Grantees::default();
    for account in params.list("UserId")? {
        grantees.account(&account)?;
    }
    for group in params.list("UserGroup")? {
        grantees.group(&group)?;
    }
    Ok((params.text("OperationType"), grantees))
}

/// Takes what is to be added and what is to be removed, of which one is empty.
fn take_changes(params: &mut Params) -> Result<(Grantees, Grantees), ServiceError> {
    let structured = params.structure("CreateVolumePermission", |permission| {
        Ok((
            take_items(permission, "Add")?,
            take_items(permission, "Remove")?,
        ))
    })?;
    let (operation, flat) = take_flat(params)?;
    let changes = match (structured, operation.as_deref()) {
        (Some(changes), None) if flat.len() == 0 => changes,
        (None, Some("add")) => (flat, Grantees::default()),
        (None, Some("remove")) => (Grantees::default(), flat),
        (None, Some(other)) if !matches!(other, "add" | "remove") => {
            return Err(ServiceError::invalid_value(
                "operationType",
                other,
                "It must be add or remove.",
            ));
        }
        (None, None) if flat.len() > 0 => {
            return Err(ServiceError::missing_parameter("OperationType"));
        }
        (None, None) => return Err(ServiceError::missing_parameter("CreateVolumePermission")),
        _ => {
            return Err(ServiceError::invalid_combination(
                "Permissions are given either as CreateVolumePermission or as OperationType with \
                 UserId and UserGroup",
            ));
        }
    };
    let (add, remove) = &changes;
    if add.len() > 0 && remove.len() > 0 {
        return Err(ServiceError::invalid_combination(
            "A call adds permissions or removes some, not both",
        ));
    }
    match add.len() + remove.len() {
        0 => Err(ServiceError::missing_parameter("UserId")),
        count if count > MOST_CHANGES => Err(ServiceError::new(
            "InvalidParameterValue",
            format!("A call changes {MOST_CHANGES} permissions at most"),
        )),
        _ => Ok(changes),
    }
}

/// The only attribute that can be changed.
fn check_attribute(attribute: &str) -> Result<(), ServiceError> {
    match attribute {
        "createVolumePermission" => Ok(()),
        "productCodes" => Err(ServiceError::new(
            "UnsupportedOperation",
            "The sandbox has no product codes",
        )),
        other => Err(ServiceError::invalid_value(
            "attribute",
            other,
            "It must be createVolumePermission.",
        )),
    }
}

pub(super) fn modify_snapshot_attribute(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("SnapshotId")?;
    let attribute = params.text("Attribute");
    let (add, remove) = take_changes(params)?;
    params.finish()?;
    check_attribute(attribute.as_deref().unwrap_or("createVolumePermission"))?;
    let snapshot = own(context, world, &id)?;
    check_sharing(world, &snapshot, &add)?;
    if let Some(snapshot) = world.ec2.snapshots.get_mut(&id) {
        snapshot.shared_with.extend(add.accounts);
        snapshot.public |= add.all;
        snapshot
            .shared_with
            .retain(|account| !remove.accounts.contains(account));
        snapshot.public &= !remove.all;
    }
    let mut xml = Xml::new();
    xml.text("return", true);
    Ok(xml)
}

fn check_sharing(world: &World, snapshot: &Snapshot, add: &Grantees) -> Result<(), ServiceError> {
    let refuse = |why: &str| Err(ServiceError::new("OperationNotPermitted", why));
    if let Some(key) = &snapshot.key {
        if add.all {
            return refuse("Encrypted snapshots cannot be shared publicly");
        }
        if add.len() > 0 && kms::is_aws_managed(world, key) {
            return refuse("Encrypted snapshots with EBS default key cannot be shared");
        }
    }
    let public = public_snapshots(world, &snapshot.owner, &snapshot.region);
    if add.all && public != PublicSnapshots::Unblocked {
        return refuse(
            "The snapshot cannot be shared publicly: block public access for snapshots is enabled",
        );
    }
    Ok(())
}

pub(super) fn reset_snapshot_attribute(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("SnapshotId")?;
    let attribute = params.required("Attribute")?;
    params.finish()?;
    check_attribute(&attribute)?;
    own(context, world, &id)?;
    if let Some(snapshot) = world.ec2.snapshots.get_mut(&id) {
        snapshot.shared_with.clear();
        snapshot.public = false;
    }
    let mut xml = Xml::new();
    xml.text("return", true);
    Ok(xml)
}

pub(super) fn describe_snapshot_attribute(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("SnapshotId")?;
    let attribute = params.required("Attribute")?;
    params.finish()?;
    let snapshot = own(context, world, &id)?;
    let mut xml = Xml::new();
    xml.text("snapshotId", &id);
    match attribute.as_str() {
        // There are none.
        "productCodes" => {
            xml.node("productCodes", |_| {});
        }
        _ => {
            check_attribute(&attribute)?;
            xml.node("createVolumePermission", |xml| {
                if snapshot.public {
                    xml.node("item", |xml| {
                        xml.text("group", "all");
                    });
                }
                for account in &snapshot.shared_with {
                    xml.node("item", |xml| {
                        xml.text("userId", account);
                    });
                }
            });
        }
    }
    Ok(xml)
}
