//! DescribeImages: which images a caller gets to see, and which of them it asks for.

use super::access::{self, Shared};
use super::deprecation::is_deprecated;
use super::{Image, ImageState, filter, show, state};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::AccountId;
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// What a call asks for.
struct Wanted {
    ids: Vec<String>,
    owners: Vec<Owner>,
    executable_by: Vec<Executor>,
    include_deprecated: bool,
    include_disabled: bool,
    filters: Filters,
}

/// Whose images are asked for.
enum Owner {
    Account(AccountId),
    /// Amazon, its marketplace, its backups: they have no images here.
    Amazon,
}

/// For whom images are asked that are shared.
enum Executor {
    /// The caller: with its account, its organization, its units.
    Caller,
    /// An account, by its id alone.
    Account(AccountId),
    /// Everybody.
    Everybody,
}

/// DescribeImages.
pub fn describe_images(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let page = Page::take(params, "DescribeImages", 1..=1000)?;
    let wanted = Wanted::take(context, params)?;
    params.finish()?;
    if page.is_limited() && !wanted.ids.is_empty() {
        return Err(ServiceError::invalid_combination(
            "The parameter imageIds cannot be used with the parameter maxResults",
        ));
    }
    wanted.check_ids(context, world)?;
    let images: Vec<(&Image, ImageState)> = world
        .ec2
        .images
        .values()
        .filter(|image| {
            image.region == context.region
                && access::visible(world, image, &context.caller.account)
                && wanted.names(image)
                && wanted.is_executable(context, world, image)
        })
        .map(|image| (image, state(world, image, context.now)))
        .filter(|(image, state)| wanted.shows(context, image, state))
        .filter(|(image, state)| {
            let values = |name: &str| filter::values(context, world, image, state, name);
            wanted.filters.pass(values)
        })
        .collect();
    let (images, next) = page.cut("DescribeImages", images, |(image, _)| image.id.clone());
    let mut xml = Xml::new();
    xml.list("imagesSet", images, |xml, (image, state)| {
        show::write(context, world, image, &state, xml);
    });
    xml.optional("nextToken", next);
    Ok(xml)
}

impl Wanted {
    fn take(context: &Context, params: &mut Params) -> Result<Wanted, ServiceError> {
        let own = &context.caller.account;
        Ok(Wanted {
            ids: params.list("ImageId")?,
            owners: take_users(params, "Owner", |name| match name {
                "self" => Some(Owner::Account(own.clone())),
                "amazon" | "aws-marketplace" | "aws-backup-vault" => Some(Owner::Amazon),
                id => id.parse().ok().map(Owner::Account),
            })?,
            executable_by: take_users(params, "ExecutableBy", |name| match name {
                "self" => Some(Executor::Caller),
                "all" => Some(Executor::Everybody),
                id if id == own.as_str() => Some(Executor::Caller),
                id => id.parse().ok().map(Executor::Account),
            })?,
            include_deprecated: params.flag("IncludeDeprecated")?.unwrap_or(false),
            include_disabled: params.flag("IncludeDisabled")?.unwrap_or(false),
            filters: Filters::take(params, filter::KNOWN)?,
        })
    }

    /// Images that are named must be there.
    fn check_ids(&self, context: &Context, world: &World) -> Result<(), ServiceError> {
        for id in &self.ids {
            access::check_id(id)?;
        }
        let is_seen = |id: &str| {
            world.ec2.images.get(id).is_some_and(|image| {
                image.region == context.region
                    && access::visible(world, image, &context.caller.account)
            })
        };
        let ids = self.ids.iter().map(String::as_str);
        let missing: Vec<&str> = ids.filter(|id| !is_seen(id)).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(access::not_found(&missing))
        }
    }

    /// Whether the image and its owner are among those named.
    fn names(&self, image: &Image) -> bool {
        let is_owner = |owner: &Owner| match owner {
            Owner::Account(account) => *account == image.owner,
            Owner::Amazon => false,
        };
        (self.ids.is_empty() || self.ids.contains(&image.id))
            && (self.owners.is_empty() || self.owners.iter().any(is_owner))
    }

    /// Whether the image is shared with one of those named. Only what is given counts: an owner's
    /// own right does not.
    fn is_executable(&self, context: &Context, world: &World, image: &Image) -> bool {
        let own = &context.caller.account;
        let can_execute = |executor: &Executor| match executor {
            Executor::Everybody => image.permissions.public,
            Executor::Account(account) => image.permissions.accounts.contains(account),
            Executor::Caller => matches!(
                access::shared_with(world, image, own),
                Some(Shared::Account | Shared::Organization)
            ),
        };
        self.executable_by.is_empty() || self.executable_by.iter().any(can_execute)
    }

    /// Whether the image is shown as it is now: deprecated ones of others are for those that know
    /// their ids or ask for them, disabled ones for owners that ask for them.
    fn shows(&self, context: &Context, image: &Image, state: &ImageState) -> bool {
        let is_own = image.owner == context.caller.account;
        let is_shown_deprecated = is_own || self.include_deprecated || !self.ids.is_empty();
        (is_shown_deprecated || !is_deprecated(image, context.now))
            && (self.include_disabled || *state != ImageState::Disabled)
    }
}

fn take_users<T>(
    params: &mut Params,
    name: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ServiceError> {
    let given = params.list(name)?;
    let users = given.iter().map(|user| {
        read(user).ok_or_else(|| {
            ServiceError::new(
                "InvalidUserID.Malformed",
                format!("Invalid user id: \"{user}\""),
            )
        })
    });
    users.collect()
}
