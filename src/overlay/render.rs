//! Templates: a name that the profile does not define is an error, never an empty text.

use serde::Serialize;
use tera::Tera;

use super::OverlayError;
use crate::assets::Asset;
use crate::profile::error::{Mistake, nearest, position};

const TEMPLATE: &str = "template";

/// The values that templates see.
#[derive(Debug, Clone)]
pub struct Context {
    inner: tera::Context,
    names: Vec<String>,
}

impl Context {
    /// The fields of `values` as top-level names.
    pub fn new(values: &impl Serialize) -> Context {
        // Profiles hold text, numbers, flags and lists of them: all of it serializes.
        let value = serde_json::to_value(values).unwrap_or_default();
        let entries = value.as_object().cloned().unwrap_or_default();
        let mut inner = tera::Context::new();
        for (name, value) in &entries {
            inner.insert(name.clone(), value);
        }
        let names = entries.keys().cloned().collect();
        Context { inner, names }
    }

    /// Renders one template.
    pub(super) fn render(&self, asset: &Asset) -> Result<Vec<u8>, OverlayError> {
        let mistake = |line, column, what: String| {
            let hint = self.hint(&what);
            OverlayError::Mistake(Box::new(Mistake {
                file: asset.origin.clone(),
                line,
                column,
                what,
                hint,
            }))
        };
        let text = std::str::from_utf8(&asset.bytes)
            .map_err(|_| mistake(0, 0, "it is not UTF-8 text".to_owned()))?;
        let failed = |error: &tera::Error| {
            let (line, column, what) = explain(error);
            mistake(line, column, what)
        };
        let mut tera = Tera::new();
        // Nothing here is HTML.
        tera.autoescape_on(Vec::<&str>::new());
        tera.add_raw_template(TEMPLATE, text)
            .map_err(|error| failed(&error))?;
        // Tera takes an undefined name in a condition for false: a misspelling would go unseen.
        let used = tera
            .get_template_variables(TEMPLATE)
            .map_err(|error| failed(&error))?;
        let known = |name: &str| self.names.iter().any(|known| known == name);
        if let Some(unknown) = used.into_iter().filter(|name| !known(name)).min() {
            let (line, column) = find_word(text, unknown);
            return Err(mistake(
                line,
                column,
                format!("Variable `{unknown}` is not defined"),
            ));
        }
        tera.render(TEMPLATE, &self.inner)
            .map(String::into_bytes)
            .map_err(|error| failed(&error))
    }

    fn hint(&self, what: &str) -> Option<String> {
        let name = what.split('`').nth(1)?;
        let near = nearest(name, self.names.iter().map(String::as_str));
        Some(match near {
            Some(near) if near != name => format!("did you mean `{near}`?"),
            _ => format!("templates know: {}", self.names.join(", ")),
        })
    }
}

/// Where `word` first stands in a tag of the template.
fn find_word(text: &str, word: &str) -> (usize, usize) {
    let boundary = |c: char| !c.is_alphanumeric() && c != '_';
    let in_tag = |offset: usize| {
        let before = &text[..offset];
        let opened = before.rfind("{{").max(before.rfind("{%"));
        opened > before.rfind("}}").max(before.rfind("%}"))
    };
    text.match_indices(word)
        .find(|(offset, _)| {
            text[..*offset].ends_with(boundary)
                && text[offset + word.len()..].starts_with(boundary)
                && in_tag(*offset)
        })
        .map_or((0, 0), |(offset, _)| position(text, offset))
}

/// Line, column and reason out of Tera's report, whose first line is the reason and whose second
/// ends in the place.
fn explain(error: &tera::Error) -> (usize, usize, String) {
    let text = error.to_string();
    let mut lines = text.lines();
    let what = lines.next().unwrap_or_default();
    let place = lines.next().and_then(|line| {
        let mut parts = line.rsplit(':');
        let column = parts.next()?.parse().ok()?;
        Some((parts.next()?.parse().ok()?, column))
    });
    let (line, column) = place.unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(what);
    (line, column, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> Result<String, String> {
        let context = Context::new(&serde_json::json!({ "alpine": "3.15", "modules": ["a", "b"] }));
        let asset = Asset {
            origin: "overlays/x/root/etc/motd.tera".to_owned(),
            bytes: template.into(),
        };
        context
            .render(&asset)
            .map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
            .map_err(|error| format!("{error} | {}", error.advice().unwrap_or_default()))
    }

    #[test]
    fn values_are_filled_in() {
        let text =
            render("v{{ alpine }}{% for m in modules %} {{ m }}{% endfor %}\n").expect("renders");
        assert_eq!(text, "v3.15 a b\n");
        assert_eq!(render("a & <b>").expect("renders"), "a & <b>");
    }

    #[test]
    fn undefined_names_are_errors_with_a_place() {
        for (template, place) in [
            ("a\n {{ alpin }}", "2:5"),
            ("alpin\n{% if alpin %}x{% endif %}", "2:7"),
            ("\n\n{% for x in alpin %}{% endfor %}", "3:13"),
        ] {
            let error = render(template).expect_err(template);
            let expected = format!(
                "overlays/x/root/etc/motd.tera:{place}: Variable `alpin` is not defined | did you mean `alpine`?"
            );
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn a_broken_template_is_an_error_with_a_place() {
        let error = render("x\n{{ alpine ").expect_err("cut short");
        assert!(
            error.starts_with("overlays/x/root/etc/motd.tera:2:"),
            "{error}"
        );
    }
}
