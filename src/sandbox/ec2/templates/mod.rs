//! Launch templates: what a launch asks for, in numbered versions under a name.
//!
//! A version's data are parameters of RunInstances, remembered as they were sent. A launch lays them
//! under its own: a parameter of the call takes the place of the template's of that name, with all
//! that is below it.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-launch-templates.html>
//!
//! | part | subject |
//! |---|---|
//! | `create` | new templates, new versions, the default one, and their end |
//! | `describe` | DescribeLaunchTemplates, DescribeLaunchTemplateVersions |
//! | `data` | a version's parameters, and how they are shown |
//! | `launch` | RunInstances with a template |

mod create;
mod data;
mod describe;
mod launch;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::wire::query::Params;
use crate::sandbox::world::World;

pub use data::Data;
pub use launch::{lay_under, spread};

/// A launch template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// `lt-…`.
    pub id: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Where it is.
    pub region: Region,
    /// Unique among the owner's in the Region.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// By whom: an ARN.
    pub created_by: String,
    /// The number of the version that is meant where none is named.
    pub default_version: u64,
    /// In the order of their numbers; there is always one.
    pub versions: Vec<Version>,
}

/// A version of a launch template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// From 1.
    pub number: u64,
    /// What its owner says of it.
    pub description: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// By whom: an ARN.
    pub created_by: String,
    /// What it asks for.
    pub data: Data,
}

impl Template {
    /// The newest version.
    fn latest(&self) -> &Version {
        self.versions
            .last()
            .expect("a template is made with a version, and keeps its default one")
    }

    /// Whether one of the newest `depth` versions names an image.
    pub fn names(&self, image: &str, depth: usize) -> bool {
        let newest = self.versions.iter().rev().take(depth);
        newest
            .into_iter()
            .any(|version| version.data.image() == Some(image))
    }

    /// The version that a text means: a number, `$Latest`, `$Default`, or nothing.
    ///
    /// # Errors
    /// `InvalidLaunchTemplateId.VersionNotFound`.
    fn version(&self, text: Option<&str>) -> Result<&Version, ServiceError> {
        let number = match text {
            Some("$Latest") => self.latest().number,
            None | Some("" | "$Default") => self.default_version,
            Some(number) => number.parse().map_err(|_| {
                ServiceError::new(
                    "InvalidLaunchTemplateVersion.Malformed",
                    format!("'{number}' is no version: a number, $Latest or $Default"),
                )
            })?,
        };
        let found = self
            .versions
            .iter()
            .find(|version| version.number == number);
        found.ok_or_else(|| {
            ServiceError::new(
                "InvalidLaunchTemplateId.VersionNotFound",
                format!(
                    "Could not find launch template version {number} for the launch template '{}'",
                    self.id
                ),
            )
        })
    }
}

/// How a call names a template: by its id or by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    id: Option<String>,
    name: Option<String>,
}

impl Named {
    /// Takes `LaunchTemplateId` and `LaunchTemplateName`; nothing if neither is there.
    ///
    /// # Errors
    /// Both are.
    fn take(params: &mut Params) -> Result<Option<Named>, ServiceError> {
        let named = Named {
            id: params.text("LaunchTemplateId"),
            name: params.text("LaunchTemplateName"),
        };
        match (&named.id, &named.name) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(ServiceError::invalid_combination(
                "Only one of launch template ID and launch template name may be specified",
            )),
            _ => Ok(Some(named)),
        }
    }

    /// Takes one of them, which must be there.
    ///
    /// # Errors
    /// Neither or both are.
    fn required(params: &mut Params) -> Result<Named, ServiceError> {
        Named::take(params)?.ok_or_else(|| {
            ServiceError::new(
                "MissingParameter",
                "Either a launch template ID or a launch template name must be specified",
            )
        })
    }

    /// The caller's template in the call's Region.
    ///
    /// # Errors
    /// `InvalidLaunchTemplateId.Malformed`, `.NotFound`, `InvalidLaunchTemplateName.NotFoundException`.
    fn find<'a>(&self, context: &Context, world: &'a World) -> Result<&'a Template, ServiceError> {
        if let Some(id) = &self.id {
            check_id(id)?;
        }
        let is_it = |template: &&Template| match (&self.id, &self.name) {
            (Some(id), _) => template.id == *id,
            (None, name) => Some(&template.name) == name.as_ref(),
        };
        let found = own(context, world).find(is_it);
        found.ok_or_else(|| match (&self.id, &self.name) {
            (Some(id), _) => not_found(id),
            (None, name) => ServiceError::new(
                "InvalidLaunchTemplateName.NotFoundException",
                format!(
                    "The specified launch template, with template name {}, does not exist",
                    name.as_deref().unwrap_or_default()
                ),
            ),
        })
    }
}

/// The caller's templates in the call's Region.
pub fn own<'a>(context: &Context, world: &'a World) -> impl Iterator<Item = &'a Template> {
    let (account, region) = (context.caller.account.clone(), context.region.clone());
    let templates = world.ec2.templates.values();
    templates.filter(move |template| template.owner == account && template.region == region)
}

fn check_id(id: &str) -> Result<(), ServiceError> {
    let digits = id.strip_prefix("lt-").unwrap_or_default();
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if matches!(digits.len(), 8 | 17) && digits.bytes().all(is_hex) {
        return Ok(());
    }
    Err(ServiceError::new(
        "InvalidLaunchTemplateId.Malformed",
        format!("The provided launch template id '{id}' is not valid (expecting \"lt-...\")"),
    ))
}

fn not_found(id: &str) -> ServiceError {
    ServiceError::new(
        "InvalidLaunchTemplateId.NotFound",
        format!("The specified launch template, with template ID {id}, does not exist."),
    )
}

/// The operations of this room.
pub fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "CreateLaunchTemplate" => Operation::Act(create::template),
        "CreateLaunchTemplateVersion" => Operation::Act(create::version),
        "ModifyLaunchTemplate" => Operation::Act(create::modify),
        "DeleteLaunchTemplate" => Operation::Act(create::delete),
        "DescribeLaunchTemplates" => Operation::Look(describe::templates),
        "DescribeLaunchTemplateVersions" => Operation::Look(describe::versions),
        _ => return None,
    })
}
