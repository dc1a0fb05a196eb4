//! Statements: what they are about and whether they apply.

use std::collections::BTreeMap;

use super::condition::{self, Condition};
use super::document::Json;
use super::pattern;
use super::principal::{self, Principal, Principals};
use super::{PolicyError, Question};

/// What a statement does where it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// Patterns, or all but what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Patterns {
    These(Vec<String>),
    AllBut(Vec<String>),
}

impl Patterns {
    fn list(&self) -> &[String] {
        match self {
            Patterns::These(list) | Patterns::AllBut(list) => list,
        }
    }

    fn include(&self, matches: impl Fn(&str) -> bool) -> bool {
        match self {
            Patterns::These(list) => list.iter().any(|pattern| matches(pattern)),
            Patterns::AllBut(list) => !list.iter().any(|pattern| matches(pattern)),
        }
    }
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub effect: Effect,
    principals: Principals,
    actions: Patterns,
    resources: Patterns,
    conditions: Vec<Condition>,
}

impl Statement {
    /// Whether the statement is about a request.
    pub fn applies(
        &self,
        question: &Question<'_>,
        conditions: &BTreeMap<String, Vec<String>>,
    ) -> bool {
        self.principals.include(question.caller)
            && self
                .actions
                .include(|pattern| pattern::action_matches(pattern, question.action))
            && self
                .resources
                .include(|pattern| pattern::arn_matches(pattern, question.resource))
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(conditions))
    }

    /// Whether the statement is for a caller by more than its account.
    pub fn names(&self, caller: Option<&crate::sandbox::caller::Caller>) -> bool {
        self.principals.name(caller)
    }

    pub fn condition_keys(&self) -> impl Iterator<Item = &str> {
        self.conditions.iter().map(Condition::key)
    }

    pub fn action_patterns(&self) -> impl Iterator<Item = &str> {
        self.actions.list().iter().map(String::as_str)
    }

    pub fn resource_patterns(&self) -> impl Iterator<Item = &str> {
        self.resources.list().iter().map(String::as_str)
    }

    pub fn is_public(&self) -> bool {
        let everybody = match &self.principals {
            Principals::These(list) => list.contains(&Principal::Everybody),
            Principals::AllBut(_) => false,
        };
        self.effect == Effect::Allow && everybody && self.conditions.is_empty()
    }
}

/// Whose policy a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// A key's or a bucket's.
    Resource,
    /// A role's.
    Identity,
}

/// Reads the statements of a resource's document.
pub(super) fn read_policy(document: &Json) -> Result<Vec<Statement>, PolicyError> {
    read_document(document, Of::Resource)
}

/// Reads the statements of an identity's document.
pub(super) fn read_identity_policy(document: &Json) -> Result<Vec<Statement>, PolicyError> {
    read_document(document, Of::Identity)
}

fn read_document(document: &Json, of: Of) -> Result<Vec<Statement>, PolicyError> {
    let Json::Object(members) = document else {
        return Err(PolicyError::new("The policy is no JSON object."));
    };
    let mut statements = None;
    let mut has_variables = false;
    for (name, value) in members {
        match (name.as_str(), value) {
            ("Version", Json::Text(version)) => match version.as_str() {
                "2012-10-17" => has_variables = true,
                "2008-10-17" => {}
                _ => {
                    return Err(PolicyError::new(
                        "The policy must contain a valid version string",
                    ));
                }
            },
            ("Id", Json::Text(_)) => {}
            ("Statement", Json::Object(_)) => statements = Some(std::slice::from_ref(value)),
            ("Statement", Json::List(list)) if !list.is_empty() => {
                statements = Some(list.as_slice());
            }
            ("Version" | "Id" | "Statement", _) => {
                return Err(PolicyError::new(format!("Invalid policy element: {name}")));
            }
            _ => {
                return Err(PolicyError::new(format!(
                    "Unknown field {name} in the policy"
                )));
            }
        }
    }
    let statements =
        statements.ok_or_else(|| PolicyError::new("Missing required field Statement"))?;
    let mut seen = Vec::new();
    statements
        .iter()
        .map(|statement| read_statement(statement, of, has_variables, &mut seen))
        .collect()
}

fn read_statement(
    statement: &Json,
    of: Of,
    has_variables: bool,
    sids: &mut Vec<String>,
) -> Result<Statement, PolicyError> {
    let Json::Object(members) = statement else {
        return Err(PolicyError::new("A statement is no JSON object."));
    };
    let (mut effect, mut principals, mut actions, mut resources) = (None, None, None, None);
    let mut conditions = Vec::new();
    for (name, value) in members {
        match name.as_str() {
            "Sid" => note_sid(value, sids)?,
            "Effect" => {
                effect = Some(match value {
                    Json::Text(text) if text == "Allow" => Effect::Allow,
                    Json::Text(text) if text == "Deny" => Effect::Deny,
                    _ => return Err(PolicyError::new("Invalid effect: it is Allow or Deny")),
                });
            }
            "Principal" => once(&mut principals, Principals::These(principal::read(value)?))?,
            "NotPrincipal" => once(&mut principals, Principals::AllBut(principal::read(value)?))?,
            "Action" => once(&mut actions, Patterns::These(read_actions(value)?))?,
            "NotAction" => once(&mut actions, Patterns::AllBut(read_actions(value)?))?,
            "Resource" => once(
                &mut resources,
                Patterns::These(read_resources(value, has_variables)?),
            )?,
            "NotResource" => once(
                &mut resources,
                Patterns::AllBut(read_resources(value, has_variables)?),
            )?,
            "Condition" => conditions = condition::read(value, has_variables)?,
            _ => {
                return Err(PolicyError::new(format!(
                    "Unknown field {name} in a statement"
                )));
            }
        }
    }
    if of == Of::Identity && principals.is_some() {
        return Err(PolicyError::new(
            "Policy document should not specify a principal.",
        ));
    }
    if of == Of::Identity {
        // Whoever has the policy.
        principals = Some(Principals::These(vec![Principal::Everybody]));
    }
    let missing = |name| PolicyError::new(format!("Missing required field {name}"));
    let statement = Statement {
        effect: effect.ok_or_else(|| missing("Effect"))?,
        principals: principals.ok_or_else(|| missing("Principal"))?,
        actions: actions.ok_or_else(|| missing("Action"))?,
        resources: resources.ok_or_else(|| missing("Resource"))?,
        conditions,
    };
    if statement.effect == Effect::Allow && matches!(statement.principals, Principals::AllBut(_)) {
        return Err(PolicyError::new(
            "Allow with NotPrincipal is not allowed: NotPrincipal goes with Deny only",
        ));
    }
    Ok(statement)
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), PolicyError> {
    if place.replace(value).is_some() {
        return Err(PolicyError::new(
            "A statement has an element and its opposite (such as Action and NotAction)",
        ));
    }
    Ok(())
}

fn note_sid(value: &Json, sids: &mut Vec<String>) -> Result<(), PolicyError> {
    let Json::Text(sid) = value else {
        return Err(PolicyError::new("Statement IDs (SID) must be texts."));
    };
    if !sid.is_empty() && sids.contains(sid) {
        return Err(PolicyError::new(format!(
            "Statement IDs (SID) in a single policy must be unique: {sid}"
        )));
    }
    sids.push(sid.clone());
    Ok(())
}

fn read_actions(value: &Json) -> Result<Vec<String>, PolicyError> {
    let actions = value.texts().filter(|texts| !texts.is_empty());
    let actions =
        actions.ok_or_else(|| PolicyError::new("Action is no text and no list of texts"))?;
    for action in &actions {
        let is_action = action == "*"
            || action.split_once(':').is_some_and(|(service, name)| {
                let plain = |text: &str, others: &[u8]| {
                    !text.is_empty()
                        && text
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
                };
                plain(service, b"-") && plain(name, b"*?")
            });
        if !is_action {
            return Err(PolicyError::new(format!(
                "Policy has invalid action: {action}"
            )));
        }
    }
    Ok(actions)
}

fn read_resources(value: &Json, has_variables: bool) -> Result<Vec<String>, PolicyError> {
    let resources = value.texts().filter(|texts| !texts.is_empty());
    let resources =
        resources.ok_or_else(|| PolicyError::new("Resource is no text and no list of texts"))?;
    for resource in &resources {
        let is_resource = resource == "*"
            || (resource.starts_with("arn:") && resource.splitn(6, ':').count() == 6);
        if !is_resource {
            return Err(PolicyError::new(format!(
                "Policy has invalid resource: {resource}"
            )));
        }
        refuse_variable(resource, has_variables)?;
    }
    Ok(resources)
}

/// Policy variables (`${aws:username}`) are not evaluated here; taken as plain text they would mean
/// something else.
pub(super) fn refuse_variable(text: &str, has_variables: bool) -> Result<(), PolicyError> {
    if has_variables && text.contains("${") {
        return Err(PolicyError::new(format!(
            "The sandbox has no policy variables: {text}"
        )));
    }
    Ok(())
}
