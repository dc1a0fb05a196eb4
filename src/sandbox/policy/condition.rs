//! Conditions: an operator, a key, the values that it may have.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::sandbox::clock::Timestamp;

use super::PolicyError;
use super::document::Json;
use super::keys;
use super::pattern;
use super::statement::refuse_variable;

/// How several values of a request are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    /// The key has one value.
    One,
    /// `ForAnyValue:`.
    Any,
    /// `ForAllValues:`; true where there are none.
    All,
}

/// How two numbers or moments are to stand to each other: the request's to the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Text,
    TextIgnoringCase,
    Like,
    Arn,
    Bool,
    Number(Order),
    Date(Order),
    Address,
    Null,
}

/// An operator without its prefix and suffix, and whether it is one of the `Not` ones.
fn comparison(name: &str) -> Option<(Comparison, bool)> {
    use Comparison::*;
    Some(match name {
        "StringEquals" => (Text, false),
        "StringNotEquals" => (Text, true),
        "StringEqualsIgnoreCase" => (TextIgnoringCase, false),
        "StringNotEqualsIgnoreCase" => (TextIgnoringCase, true),
        "StringLike" => (Like, false),
        "StringNotLike" => (Like, true),
        // AWS treats these pairs alike.
        "ArnEquals" | "ArnLike" => (Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Arn, true),
        "Bool" => (Bool, false),
        "NumericEquals" => (Number(Order::Equal), false),
        "NumericNotEquals" => (Number(Order::Equal), true),
        "NumericLessThan" => (Number(Order::Less), false),
        "NumericLessThanEquals" => (Number(Order::LessOrEqual), false),
        "NumericGreaterThan" => (Number(Order::Greater), false),
        "NumericGreaterThanEquals" => (Number(Order::GreaterOrEqual), false),
        "DateEquals" => (Date(Order::Equal), false),
        "DateNotEquals" => (Date(Order::Equal), true),
        "DateLessThan" => (Date(Order::Less), false),
        "DateLessThanEquals" => (Date(Order::LessOrEqual), false),
        "DateGreaterThan" => (Date(Order::Greater), false),
        "DateGreaterThanEquals" => (Date(Order::GreaterOrEqual), false),
        "IpAddress" => (Address, false),
        "NotIpAddress" => (Address, true),
        "Null" => (Null, false),
        _ => return None,
    })
}

/// A condition of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    quantifier: Quantifier,
    comparison: Comparison,
    negated: bool,
    if_exists: bool,
    /// In lower case.
    key: String,
    values: Vec<String>,
}

impl Condition {
    /// The condition key, in lower case.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether a request with these condition keys meets the condition.
    pub fn holds(&self, request: &BTreeMap<String, Vec<String>>) -> bool {
        let found = request.get(&self.key).map(Vec::as_slice);
        let found = found.filter(|values| !values.is_empty());
        if self.comparison == Comparison::Null {
            return self.values[0].eq_ignore_ascii_case("true") == found.is_none();
        }
        let Some(found) = found else {
            return match self.quantifier {
                Quantifier::All => true,
                Quantifier::Any => self.if_exists,
                Quantifier::One => self.if_exists || self.negated,
            };
        };
        let meets = |value: &String| self.values.iter().any(|wanted| self.compare(value, wanted));
        match self.quantifier {
            Quantifier::Any => found.iter().any(|value| meets(value) != self.negated),
            Quantifier::All => found.iter().all(|value| meets(value) != self.negated),
            // Keys that may have several values are refused without a quantifier.
            Quantifier::One => found.iter().any(meets) != self.negated,
        }
    }

    fn compare(&self, value: &str, wanted: &str) -> bool {
        match self.comparison {
            Comparison::Text => value == wanted,
            Comparison::TextIgnoringCase => value.to_lowercase() == wanted.to_lowercase(),
            Comparison::Like => pattern::matches(wanted, value),
            Comparison::Arn => pattern::arn_matches(wanted, value),
            Comparison::Bool => value.eq_ignore_ascii_case(wanted),
            Comparison::Number(order) => ordered(order, number(value), number(wanted)),
            Comparison::Date(order) => ordered(order, moment(value), moment(wanted)),
            Comparison::Address => match (value.parse(), Network::parse(wanted)) {
                (Ok(address), Some(network)) => network.has(address),
                _ => false,
            },
            Comparison::Null => false,
        }
    }
}

fn ordered<T: PartialOrd>(order: Order, value: Option<T>, wanted: Option<T>) -> bool {
    let (Some(value), Some(wanted)) = (value, wanted) else {
        return false;
    };
    match order {
        Order::Equal => value == wanted,
        Order::Less => value < wanted,
        Order::LessOrEqual => value <= wanted,
        Order::Greater => value > wanted,
        Order::GreaterOrEqual => value >= wanted,
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A moment in milliseconds: a date, a date and a time, or seconds since 1970.
fn moment(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1000);
    }
    Timestamp::parse(text)
        .or_else(|| Timestamp::parse(&format!("{text}T00:00:00Z")))
        .map(|moment| moment.0)
}

/// An address range, as `203.0.113.0/24`.
struct Network {
    base: u128,
    bits: u32,
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let (base, bits) = number_of(address.parse().ok()?);
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(Network { base, bits, prefix })
    }

    fn has(&self, address: IpAddr) -> bool {
        let (address, bits) = number_of(address);
        let host = self.bits - self.prefix;
        // Shifting away all 128 bits is no shift that the processor has.
        let part = |number: u128| number.checked_shr(host).unwrap_or(0);
        bits == self.bits && part(address) == part(self.base)
    }
}

fn number_of(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// Reads a `Condition`.
pub(super) fn read(value: &Json, has_variables: bool) -> Result<Vec<Condition>, PolicyError> {
    let Json::Object(operators) = value else {
        return Err(PolicyError::new("Condition is no JSON object"));
    };
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let Json::Object(keys) = keys else {
            return Err(PolicyError::new(format!(
                "The condition {operator} is no JSON object"
            )));
        };
        for (key, values) in keys {
            conditions.push(read_one(operator, key, values, has_variables)?);
        }
    }
    Ok(conditions)
}

fn read_one(
    operator: &str,
    key: &str,
    values: &Json,
    has_variables: bool,
) -> Result<Condition, PolicyError> {
    let (quantifier, rest) = match operator.split_once(':') {
        Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
        Some(("ForAllValues", rest)) => (Quantifier::All, rest),
        _ => (Quantifier::One, operator),
    };
    let (name, if_exists) = match rest.strip_suffix("IfExists") {
        Some(name) => (name, true),
        None => (rest, false),
    };
    let Some((comparison, negated)) = comparison(name)
        .filter(|(found, _)| *found != Comparison::Null || (!if_exists && rest == operator))
    else {
        return Err(PolicyError::new(format!(
            "Invalid Condition type : {operator}"
        )));
    };
    let lower = key.to_ascii_lowercase();
    if !keys::is_known(&lower) {
        return Err(PolicyError::new(format!(
            "Policy has an invalid condition key: {key}"
        )));
    }
    // AWS leaves open what such a condition means, and a negated one would hold for everybody.
    let lacks_quantifier = quantifier == Quantifier::One && comparison != Comparison::Null;
    if lacks_quantifier && keys::is_multiple(&lower) {
        return Err(PolicyError::new(format!(
            "The condition key {key} can have several values: use ForAnyValue:{operator} or \
             ForAllValues:{operator}"
        )));
    }
    let values = read_values(values).ok_or_else(|| {
        PolicyError::new(format!("The condition {operator} of {key} has no values"))
    })?;
    if comparison == Comparison::Null && values.len() > 1 {
        return Err(PolicyError::new(format!(
            "The condition Null of {key} has more than one value"
        )));
    }
    for value in &values {
        refuse_variable(value, has_variables)?;
        if !is_value(comparison, value) {
            return Err(PolicyError::new(format!(
                "Invalid value for the condition {operator} of {key}: {value}"
            )));
        }
    }
    Ok(Condition {
        quantifier,
        comparison,
        negated,
        if_exists,
        key: lower,
        values,
    })
}

fn read_values(values: &Json) -> Option<Vec<String>> {
    match values {
        Json::List(list) if !list.is_empty() => list.iter().map(Json::scalar).collect(),
        one => one.scalar().map(|value| vec![value]),
    }
}

fn is_value(comparison: Comparison, value: &str) -> bool {
    let is_flag = || value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false");
    match comparison {
        Comparison::Text | Comparison::TextIgnoringCase | Comparison::Like => true,
        Comparison::Arn => value == "*" || value.splitn(6, ':').count() == 6,
        Comparison::Bool | Comparison::Null => is_flag(),
        Comparison::Number(_) => number(value).is_some(),
        Comparison::Date(_) => moment(value).is_some(),
        Comparison::Address => Network::parse(value).is_some(),
    }
}
