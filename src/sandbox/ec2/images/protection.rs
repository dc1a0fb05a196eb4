//! Protection from being deregistered.

use serde::{Deserialize, Serialize};

use super::{DAY, access};
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// Whether an image can be deregistered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// It can.
    #[default]
    Off,
    /// It cannot.
    On {
        /// Whether it cannot either for a day after the protection is taken off.
        cooldown: bool,
    },
    /// It can from a moment on.
    Ends(Timestamp),
}

impl Protection {
    /// EC2's name.
    pub fn name(self) -> &'static str {
        match self {
            Protection::Off | Protection::Ends(_) => "disabled",
            Protection::On { cooldown: false } => "enabled-without-cooldown",
            Protection::On { cooldown: true } => "enabled-with-cooldown",
        }
    }

    /// Checks that an image with this protection can be deregistered.
    ///
    /// # Errors
    /// `OperationNotPermitted`.
    pub fn check(self, id: &str, now: Timestamp) -> Result<(), ServiceError> {
        let why = match self {
            Protection::Off => return Ok(()),
            Protection::Ends(end) if end <= now => return Ok(()),
            Protection::Ends(end) => format!("its cooldown ends at {end}"),
            Protection::On { .. } => "disable it first".to_owned(),
        };
        Err(ServiceError::new(
            "OperationNotPermitted",
            format!(
                "The image {id} has deregistration protection and cannot be deregistered: {why}"
            ),
        ))
    }
}

/// EnableImageDeregistrationProtection.
pub fn enable(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("ImageId")?;
    let cooldown = params.flag("WithCooldown")?.unwrap_or(false);
    params.finish()?;
    access::own(context, world, &id)?.protection = Protection::On { cooldown };
    Ok(returned())
}

/// DisableImageDeregistrationProtection.
pub fn disable(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("ImageId")?;
    params.finish()?;
    let image = access::own(context, world, &id)?;
    image.protection = match image.protection {
        Protection::On { cooldown: true } => Protection::Ends(context.now.plus(DAY)),
        Protection::On { cooldown: false } => Protection::Off,
        other => other,
    };
    Ok(returned())
}

/// The answer of an operation that has nothing else to say.
pub fn returned() -> Xml {
    let mut xml = Xml::new();
    xml.text("return", true);
    xml
}
