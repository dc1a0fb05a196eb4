//! A template's value keeps its kind from layer to layer.
//!
//! A template that asks `if` takes the text "false" for true, and a service finds out at boot that
//! "soon" is no number of seconds.

use super::error::{Mistake, ProfileError};
use super::layer::Scalar;
use super::library::{at, wrap};
use super::loaded::Loaded;
use super::merge::{Node, Origin};

impl Scalar {
    /// What it is, for a sentence.
    fn kind(&self) -> &'static str {
        match self {
            Scalar::Bool(_) => "true or false",
            Scalar::Integer(_) => "a number",
            Scalar::Text(_) => "text",
            Scalar::List(_) => "a list",
        }
    }
}

/// Whether a value that the command line names is text, as the layers have it.
pub(super) fn is_text(layers: &[Loaded], name: &str) -> bool {
    let below = layers.iter().rev();
    let mut known = below.filter_map(|one| one.layer.values.get(name));
    !matches!(known.next(), Some(value) if !matches!(value, Scalar::Text(_)))
}

/// Refuses values that are of another kind in `upper` than in the layers beneath it.
///
/// # Errors
/// The first of them, with both places.
pub(super) fn keep(lower: &Node, upper: &Node) -> Result<(), ProfileError> {
    let (Some(Node::Table(lower)), Some(Node::Table(upper))) =
        (lower.get("values"), upper.get("values"))
    else {
        return Ok(());
    };
    for (name, node) in upper {
        if let Some(mistake) = lower.get(name).and_then(|below| changed(name, below, node)) {
            return Err(wrap(mistake));
        }
    }
    Ok(())
}

fn changed(name: &str, lower: &Node, upper: &Node) -> Option<Mistake> {
    let ((was, below), (is, here)) = (told(lower)?, told(upper)?);
    if was == is {
        return None;
    }
    let here = here?;
    let mut mistake = at(here, format!("`values.{name}` is {is} here"));
    let place = below.map_or_else(String::new, |origin| format!(" in {origin}"));
    mistake.hint = Some(format!("it is {was}{place}, and its templates go by that"));
    Some(mistake)
}

/// A value's kind, and where it was written; an empty list stands nowhere.
fn told(node: &Node) -> Option<(&'static str, Option<&Origin>)> {
    match node {
        Node::Value(value, origin) => {
            let scalar: Scalar = value.clone().try_into().ok()?;
            Some((scalar.kind(), Some(origin)))
        }
        Node::List(elements) => {
            let kind = Scalar::List(Vec::new()).kind();
            Some((kind, elements.first().map(|(_, origin)| origin)))
        }
        Node::Table(_) => None,
    }
}
