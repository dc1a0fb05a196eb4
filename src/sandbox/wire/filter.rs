//! Filters of Describe calls: names each operation knows, values with `*` and `?`.

use super::query::Params;
use crate::sandbox::error::ServiceError;

/// Filters of a call; all must hold, and of each filter one value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// Takes `Filter.N.Name` and `Filter.N.Value.M`. `known` are the names that the operation has;
    /// `tag-key` and `tag:` must be among them where it has those.
    ///
    /// # Errors
    /// A filter is not known, or has no value.
    pub fn take(params: &mut Params, known: &[&str]) -> Result<Filters, ServiceError> {
        let filters = params.structures("Filter", |filter| {
            let name = filter.required("Name")?;
            let values = filter.list("Value")?;
            let is_known = known.iter().any(|known| match known.strip_suffix(':') {
                Some(prefix) => name
                    .strip_prefix(prefix)
                    .is_some_and(|rest| rest.len() > 1 && rest.starts_with(':')),
                None => *known == name,
            });
            if !is_known {
                return Err(ServiceError::new(
                    "InvalidParameterValue",
                    format!("The filter '{name}' is invalid"),
                ));
            }
            if values.is_empty() || values.len() > 200 {
                return Err(ServiceError::new(
                    "InvalidParameterValue",
                    format!("The filter '{name}' takes 1 to 200 values"),
                ));
            }
            Ok((name, values))
        })?;
        Ok(Filters(filters))
    }

    /// Whether something passes, whose values for a filter's name `values` gives (for `tag:K` the
    /// tag's value; none where it has none).
    pub fn pass(&self, values: impl Fn(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|(name, wanted)| {
            let values = values(name);
            wanted
                .iter()
                .any(|pattern| values.iter().any(|value| matches(pattern, value)))
        })
    }

    /// Whether a filter of that name is given.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(filter, _)| filter == name)
    }
}

/// Whether a text matches a pattern with `*` (any text) and `?` (any character); a backslash takes
/// the meaning from the next one.
pub fn matches(pattern: &str, text: &str) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum Part {
        Any,
        One,
        Char(char),
    }
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        parts.push(match char {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => Part::Char(chars.next().unwrap_or('\\')),
            other => Part::Char(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    // Greedy with one way back: to the last star, which takes one character more each time.
    let (mut at, mut part, mut star) = (0, 0, None);
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Any) => {
                star = Some((part, at));
                part += 1;
                continue;
            }
            Some(Part::One) => {}
            Some(Part::Char(char)) if *char == text[at] => {}
            _ => match star {
                Some((star_part, star_at)) => {
                    star = Some((star_part, star_at + 1));
                    part = star_part + 1;
                    at = star_at + 1;
                    continue;
                }
                None => return false,
            },
        }
        part += 1;
        at += 1;
    }
    parts[part..].iter().all(|part| *part == Part::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("a", "a", true),
            ("a", "b", false),
            ("a", "aa", false),
            ("*", "", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*/x86_64/*", "kubezero/x86_64/1", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("**b*", "ab", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn known_names_only() {
        let known = &["name", "tag-key", "tag:"];
        for (body, ok) in [
            ("Filter.1.Name=name&Filter.1.Value.1=x", true),
            ("Filter.1.Name=tag:x&Filter.1.Value.1=x", true),
            ("Filter.1.Name=tag:&Filter.1.Value.1=x", false),
            ("Filter.1.Name=tag&Filter.1.Value.1=x", false),
            ("Filter.1.Name=nam&Filter.1.Value.1=x", false),
            ("Filter.1.Name=name", false),
            ("Filter.1.Name=name&Filter.1.Values.1=x", false),
        ] {
            let mut params = Params::parse(body.as_bytes()).expect("parameters");
            assert_eq!(Filters::take(&mut params, known).is_ok(), ok, "{body}");
        }
    }
}
