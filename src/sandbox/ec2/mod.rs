//! EC2: images, snapshots, volumes, instances and what they need.

pub mod images;
pub mod instances;
pub mod network;
pub mod places;
pub mod snapshots;
pub mod tags;
pub mod templates;
pub mod usage;
pub mod volumes;

use super::context::Context;
use super::error::ServiceError;
use super::http::Reply;
use super::iam;
use super::shelf::{AnyShelf, Shelf};
use super::wire::query::Params;
use super::wire::xml::{Xml, ec2_document};
use super::world::World;

/// An operation that only looks.
pub type Look = fn(&Context, &World, &mut Params) -> Result<Xml, ServiceError>;
/// An operation that changes something.
pub type Act = fn(&Context, &mut World, &mut Params) -> Result<Xml, ServiceError>;

/// An operation. It takes its parameters, calls [`Params::finish`], and only then looks or acts.
#[derive(Clone, Copy)]
pub enum Operation {
    /// It only looks.
    Look(Look),
    /// It changes something.
    Act(Act),
}

/// EC2's state.
#[derive(Debug, Clone)]
pub struct Ec2State {
    /// Snapshots by id.
    pub snapshots: Shelf<snapshots::Snapshot>,
    /// Volumes by id.
    pub volumes: Shelf<volumes::Volume>,
    /// Images by id.
    pub images: Shelf<images::Image>,
    /// What there is about images besides the images.
    pub images_state: images::ImagesState,
    /// Instances by id.
    pub instances: Shelf<instances::Instance>,
    /// Launch templates by id.
    pub templates: Shelf<templates::Template>,
    /// Reports of who uses images, by id.
    pub usage_reports: Shelf<usage::Report>,
    /// Networks, security groups, key pairs.
    pub network: network::NetworkState,
    /// What is set for accounts as a whole.
    pub places: places::PlacesState,
}

impl Default for Ec2State {
    fn default() -> Ec2State {
        Ec2State {
            snapshots: Shelf::new("ec2-snapshot"),
            volumes: Shelf::new("ec2-volume"),
            images: Shelf::new("ec2-image"),
            images_state: images::ImagesState::default(),
            instances: Shelf::new("ec2-instance"),
            templates: Shelf::new("ec2-launch-template"),
            usage_reports: Shelf::new("ec2-image-usage-report"),
            network: network::NetworkState::default(),
            places: places::PlacesState::default(),
        }
    }
}

impl Ec2State {
    /// Its shelves.
    pub fn shelves(&mut self) -> Vec<&mut dyn AnyShelf> {
        let mut shelves: Vec<&mut dyn AnyShelf> = vec![
            &mut self.snapshots,
            &mut self.volumes,
            &mut self.images,
            &mut self.instances,
            &mut self.templates,
            &mut self.usage_reports,
        ];
        shelves.extend(self.images_state.shelves());
        shelves.extend(self.network.shelves());
        shelves.extend(self.places.shelves());
        shelves
    }
}

fn operation(name: &str) -> Option<Operation> {
    images::operation(name)
        .or_else(|| snapshots::operation(name))
        .or_else(|| volumes::operation(name))
        .or_else(|| instances::operation(name))
        .or_else(|| templates::operation(name))
        .or_else(|| usage::operation(name))
        .or_else(|| network::operation(name))
        .or_else(|| places::operation(name))
        .or_else(|| tags::operation(name))
}

/// Answers a call.
///
/// # Errors
/// EC2's own, among them `DryRunOperation` for a call that would have succeeded.
pub fn handle(context: &Context) -> Result<Reply, ServiceError> {
    let mut params = Params::parse(&context.request.body)?;
    let name = params
        .text("Action")
        .filter(|name| !name.is_empty())
        .ok_or_else(|| {
            ServiceError::new(
                "MissingAction",
                "The request is missing an action or a required parameter.",
            )
        })?;
    let version = params.required("Version")?;
    let Some(operation) = operation(&name).filter(|_| version == "2016-11-15") else {
        return Err(ServiceError::new(
            "InvalidAction",
            format!(
                "The action {name} is not valid for this web service (version {version}), or the \
                 sandbox does not have it."
            ),
        ));
    };
    iam::check_ec2(context, &name)?;
    let dry_run = params.flag("DryRun")?.unwrap_or(false);
    let would_have = || {
        ServiceError::new(
            "DryRunOperation",
            "Request would have succeeded, but DryRun flag is set.",
        )
        .status(412)
    };
    let content = match operation {
        Operation::Look(look) => {
            let content = context.read(|world| look(context, world, &mut params))?;
            if dry_run {
                return Err(would_have());
            }
            content
        }
        // An error takes the change back.
        Operation::Act(act) => context.transact(|world| {
            let content = act(context, world, &mut params)?;
            if dry_run {
                return Err(would_have());
            }
            Ok(content)
        })?,
    };
    Ok(Reply::xml(ec2_document(
        &name,
        &context.request_id,
        &content,
    )))
}
