//! Deprecation: from a moment on, an image is shown to others only if they ask for it.

use std::time::Duration;

use super::protection::returned;
use super::{Image, access};
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

const MINUTE_MS: i64 = 60_000;

/// When an image is deprecated, if it is to be. A public one is two years after it was made, at
/// the latest, whether its owner wants it or not.
pub fn deprecation(image: &Image) -> Option<Timestamp> {
    if !image.permissions.public {
        return image.deprecate_at;
    }
    let latest = years_after(image.created, 2);
    Some(image.deprecate_at.map_or(latest, |at| at.min(latest)))
}

/// Whether an image is deprecated.
pub fn is_deprecated(image: &Image, now: Timestamp) -> bool {
    deprecation(image).is_some_and(|at| at <= now)
}

/// EnableImageDeprecation.
pub fn enable(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("ImageId")?;
    let text = params.required("DeprecateAt")?;
    params.finish()?;
    let invalid = |why: &str| ServiceError::invalid_value("DeprecateAt", &text, why);
    let at = Timestamp::parse(&text)
        .ok_or_else(|| invalid("It must be of the form YYYY-MM-DDTHH:MM:SSZ."))?;
    let image = access::own(context, world, &id)?;
    if at <= context.now {
        return Err(invalid("It must not be in the past."));
    }
    if image.permissions.public && at > years_after(image.created, 2) {
        return Err(invalid(
            "A public image must be deprecated within 2 years of its creation.",
        ));
    }
    if at > years_after(context.now, 10) {
        return Err(invalid("It must be within 10 years from now."));
    }
    image.deprecate_at = Some(to_minute(at));
    Ok(returned())
}

/// DisableImageDeprecation.
pub fn disable(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("ImageId")?;
    params.finish()?;
    let image = access::own(context, world, &id)?;
    if image.permissions.public {
        return Err(ServiceError::new(
            "OperationNotPermitted",
            format!(
                "The deprecation of the public image {id} cannot be cancelled: make it private"
            ),
        ));
    }
    image.deprecate_at = None;
    Ok(returned())
}

fn years_after(moment: Timestamp, years: i32) -> Timestamp {
    let date = moment.date_time();
    let later = date.replace_year(date.year().saturating_add(years)).ok();
    match later.and_then(|later| i64::try_from(later.unix_timestamp_nanos() / 1_000_000).ok()) {
        Some(ms) => Timestamp(ms),
        // 29 February has no day of that name in other years.
        None => moment.plus(Duration::from_secs(
            u64::from(years.unsigned_abs()) * 365 * 24 * 3600,
        )),
    }
}

/// To the nearest minute.
fn to_minute(moment: Timestamp) -> Timestamp {
    let minutes = moment.0.saturating_add(MINUTE_MS / 2).div_euclid(MINUTE_MS);
    Timestamp(minutes.saturating_mul(MINUTE_MS))
}
