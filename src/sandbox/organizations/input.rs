//! Reading requests: what must be there, what it must look like, pages.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::json;
use crate::sandbox::wire::page::{Page, read_token};

/// Pages of every list are this long at most.
const LONGEST_PAGE: usize = 20;

/// An `InvalidInputException` with its reason.
pub(super) fn invalid(reason: &str, message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidInputException", message).member("Reason", reason)
}

/// A `ConstraintViolationException` with its reason.
pub(super) fn violates(reason: &str, message: impl Into<String>) -> ServiceError {
    ServiceError::new("ConstraintViolationException", message).member("Reason", reason)
}

/// What the sandbox does not have.
pub(super) fn not_here(what: &str) -> ServiceError {
    ServiceError::new(
        "UnsupportedAPIEndpointException",
        format!("The sandbox does not have {what}"),
    )
}

/// The request's body.
pub(super) fn body<T: DeserializeOwned>(context: &Context) -> Result<T, ServiceError> {
    json::read(&context.request.body)
}

/// The body of a request that takes nothing.
pub(super) fn nothing(context: &Context) -> Result<(), ServiceError> {
    match body::<Map<String, Value>>(context)?.keys().next() {
        Some(name) => Err(ServiceError::new(
            "SerializationException",
            format!("unknown field `{name}`"),
        )),
        None => Ok(()),
    }
}

/// A member that must be there.
pub(super) fn required(value: Option<String>, name: &str) -> Result<String, ServiceError> {
    value.filter(|text| !text.is_empty()).ok_or_else(|| {
        invalid(
            "INPUT_REQUIRED",
            format!("You must include a value for {name}"),
        )
    })
}

/// An error unless a text has the form that the member must have.
pub(super) fn pattern(holds: bool, name: &str, value: &str) -> Result<(), ServiceError> {
    if holds {
        return Ok(());
    }
    Err(invalid(
        "INVALID_PATTERN",
        format!("The value `{value}` of {name} doesn't match the required pattern"),
    ))
}

/// An error unless a text is one of these.
pub(super) fn one_of(value: &str, name: &str, known: &[&str]) -> Result<(), ServiceError> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(invalid(
        "INVALID_ENUM",
        format!(
            "The value `{value}` of {name} is none of {}",
            known.join(", ")
        ),
    ))
}

/// An error unless a text is at most so long.
pub(super) fn at_most(value: &str, name: &str, most: usize) -> Result<(), ServiceError> {
    if value.chars().count() <= most {
        return Ok(());
    }
    Err(invalid(
        "MAX_LENGTH_EXCEEDED",
        format!("{name} has more than {most} characters"),
    ))
}

/// Twelve digits.
pub(super) fn is_account(id: &str) -> bool {
    id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// `ou-<root>-<8 to 32 characters>`.
pub(super) fn is_unit(id: &str) -> bool {
    let Some((root, own)) = id.strip_prefix("ou-").and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    is_name(root, 4) && is_name(own, 8)
}

/// A root's or a unit's id.
pub(super) fn is_parent(id: &str) -> bool {
    is_unit(id) || id.strip_prefix("r-").is_some_and(|root| is_name(root, 4))
}

/// `<prefix><8 to 32 characters>`.
pub(super) fn is_id(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|rest| is_name(rest, 8))
}

fn is_name(text: &str, least: usize) -> bool {
    (least..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// `somebody@example.com`.
pub(super) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    (6..=64).contains(&text.len())
        && !local.is_empty()
        && !text.contains(char::is_whitespace)
        && !domain.contains('@')
        && domain
            .rsplit_once('.')
            .is_some_and(|(host, top)| !host.is_empty() && !top.is_empty())
}

/// The page that is asked for.
pub(super) fn page(
    context: &Context,
    size: Option<i64>,
    token: Option<&str>,
) -> Result<Page, ServiceError> {
    let size = size.unwrap_or(LONGEST_PAGE as i64);
    if size < 1 {
        return Err(invalid("MIN_VALUE_EXCEEDED", "MaxResults is at least 1"));
    }
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size <= LONGEST_PAGE)
        .ok_or_else(|| {
            invalid(
                "MAX_VALUE_EXCEEDED",
                format!("MaxResults is at most {LONGEST_PAGE}"),
            )
        })?;
    let after = token
        .map(|token| {
            read_token(&context.operation, token).ok_or_else(|| {
                invalid(
                    "INVALID_NEXT_TOKEN",
                    "Get the value for the NextToken parameter from the response to a previous \
                     call of the operation.",
                )
            })
        })
        .transpose()?;
    Ok(Page::new(Some(size), after))
}

/// The answer of a list: the page's part of `items`, which are in the order of their keys.
pub(super) fn listed(
    context: &Context,
    page: &Page,
    name: &str,
    items: Vec<(String, Value)>,
) -> Value {
    let (items, next) = page.cut(&context.operation, items, |(key, _)| key.clone());
    let mut answer = Map::new();
    answer.insert(
        name.to_owned(),
        items.into_iter().map(|(_, item)| item).collect(),
    );
    if let Some(next) = next {
        answer.insert("NextToken".to_owned(), next.into());
    }
    Value::Object(answer)
}
