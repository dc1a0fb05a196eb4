//! Checks of STS's parameters, with the messages that AWS has for them.

use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;

/// A `ValidationError`.
pub(super) fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new("ValidationError", message)
}

fn violated(value: &str, member: &str, constraint: &str) -> ServiceError {
    invalid(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy \
         constraint: {constraint}"
    ))
}

/// A parameter that must be there.
pub(super) fn required(params: &mut Params, name: &str) -> Result<String, ServiceError> {
    params.text(name).ok_or_else(|| {
        let mut member = name.to_owned();
        member[..1].make_ascii_lowercase();
        invalid(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy \
             constraint: Member must not be null"
        ))
    })
}

/// A text's length.
pub(super) fn length(
    value: &str,
    member: &str,
    least: usize,
    most: usize,
) -> Result<(), ServiceError> {
    let length = value.chars().count();
    if length < least {
        let constraint = format!("Member must have length greater than or equal to {least}");
        Err(violated(value, member, &constraint))
    } else if length > most {
        let constraint = format!("Member must have length less than or equal to {most}");
        Err(violated(value, member, &constraint))
    } else {
        Ok(())
    }
}

/// A text of letters, digits, underscores and `others`; `shown` is the pattern that AWS names.
pub(super) fn pattern(
    value: &str,
    member: &str,
    others: &str,
    shown: &str,
) -> Result<(), ServiceError> {
    let allowed = |char: char| char.is_ascii_alphanumeric() || char == '_' || others.contains(char);
    if value.chars().all(allowed) {
        return Ok(());
    }
    let constraint = format!("Member must satisfy regular expression pattern: {shown}");
    Err(violated(value, member, &constraint))
}

/// A number within bounds.
pub(super) fn number(
    params: &mut Params,
    name: &str,
    member: &str,
    least: u64,
    most: u64,
) -> Result<Option<u64>, ServiceError> {
    let Some(text) = params.text(name) else {
        return Ok(None);
    };
    let number: i64 = text
        .parse()
        .map_err(|_| ServiceError::new("MalformedInput", format!("{name} is no number")))?;
    match u64::try_from(number) {
        Ok(number) if number > most => {
            let constraint = format!("Member must have value less than or equal to {most}");
            Err(violated(&text, member, &constraint))
        }
        Ok(number) if number >= least => Ok(Some(number)),
        _ => {
            let constraint = format!("Member must have value greater than or equal to {least}");
            Err(violated(&text, member, &constraint))
        }
    }
}

/// A parameter that the sandbox does not have.
pub(super) fn refuse(params: &mut Params, name: &str, why: &str) -> Result<(), ServiceError> {
    // An empty list is sent as the bare name.
    let as_text = params.text(name).is_some_and(|text| !text.is_empty());
    let given = as_text || params.structure(name, take_all)?.is_some();
    if given {
        return Err(invalid(format!("The sandbox does not take {name}: {why}")));
    }
    Ok(())
}

fn take_all(params: &mut Params) -> Result<(), ServiceError> {
    *params = Params::default();
    Ok(())
}
