//! Parameters of the query protocol: `Filter.1.Value.2=x`, as a tree that is taken apart.
//!
//! Whoever handles an operation takes the parameters that it knows; what is left over is an error,
//! so that no parameter is ignored in silence.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::sandbox::error::ServiceError;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    value: Option<String>,
    children: BTreeMap<String, Node>,
}

/// A parameter's name has at most so many parts.
const DEEPEST: usize = 12;

/// Parameters not taken yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    /// Where these stand in the request: empty, or `Filter.1.`.
    prefix: String,
    root: Node,
}

impl Params {
    /// Reads a form-encoded body.
    ///
    /// # Errors
    /// A parameter is given twice, or its name has too many parts.
    pub fn parse(body: &[u8]) -> Result<Params, ServiceError> {
        let mut params = Params::default();
        for (name, value) in form_urlencoded::parse(body) {
            // The tree is walked by recursion, and no operation has parameters this deep.
            if name.split('.').count() > DEEPEST {
                let shown: String = name.chars().take(100).collect();
                return Err(unknown(&shown));
            }
            let mut node = &mut params.root;
            for part in name.split('.') {
                node = node.children.entry(part.to_owned()).or_default();
            }
            if node.value.replace(value.into_owned()).is_some() {
                return Err(ServiceError::new(
                    "InvalidParameterCombination",
                    format!("The parameter {name} is given more than once"),
                ));
            }
        }
        Ok(params)
    }

    /// A parameter's text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let node = self.root.children.get_mut(name)?;
        let value = node.value.take();
        if node.children.is_empty() {
            self.root.children.remove(name);
        }
        value
    }

    /// A parameter's text, which stays there.
    pub fn peek(&self, name: &str) -> Option<&str> {
        self.root.children.get(name)?.value.as_deref()
    }

    /// Whether there is a parameter of that name, or one that begins with it and a dot.
    pub fn has(&self, name: &str) -> bool {
        self.root.children.contains_key(name)
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// `MissingParameter`, also where it is empty.
    pub fn required(&mut self, name: &str) -> Result<String, ServiceError> {
        self.text(name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| ServiceError::missing_parameter(&self.full(name)))
    }

    /// A number.
    ///
    /// # Errors
    /// It is none.
    pub fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, ServiceError> {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    ServiceError::invalid_value(&self.full(name), &text, "It is no such number.")
                })
            })
            .transpose()
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// It is neither.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, ServiceError> {
        self.text(name)
            .map(|text| match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(ServiceError::invalid_value(
                    &self.full(name),
                    &text,
                    "It must be true or false.",
                )),
            })
            .transpose()
    }

    /// A list of texts: `ImageId.1`, `ImageId.2`, in the order of their numbers.
    ///
    /// # Errors
    /// An entry is no text, or has no number.
    pub fn list(&mut self, name: &str) -> Result<Vec<String>, ServiceError> {
        self.entries(name)?
            .into_iter()
            .map(|(prefix, node)| match node.value {
                Some(value) if node.children.is_empty() => Ok(value),
                _ => Err(unknown(&prefix)),
            })
            .collect()
    }

    /// A list of structures: `Filter.1.Name`; each is read by `read`, which must take all of it.
    ///
    /// # Errors
    /// What `read` finds, and members that it did not take.
    pub fn structures<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Params) -> Result<T, ServiceError>,
    ) -> Result<Vec<T>, ServiceError> {
        self.entries(name)?
            .into_iter()
            .map(|(prefix, root)| {
                Params {
                    prefix: format!("{prefix}."),
                    root,
                }
                .read_whole(&mut read)
            })
            .collect()
    }

    /// A structure: `MetadataOptions.HttpTokens`, read by `read`, which must take all of it.
    ///
    /// # Errors
    /// What `read` finds, and members that it did not take.
    pub fn structure<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Params) -> Result<T, ServiceError>,
    ) -> Result<Option<T>, ServiceError> {
        let prefix = format!("{}.", self.full(name));
        match self.root.children.remove(name) {
            Some(root) => Params { prefix, root }.read_whole(read).map(Some),
            None => Ok(None),
        }
    }

    /// Takes a parameter with all that is below it, and says whether it was there.
    pub fn discard(&mut self, name: &str) -> bool {
        self.root.children.remove(name).is_some()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `UnknownParameter` if a parameter was not taken.
    pub fn finish(&self) -> Result<(), ServiceError> {
        if self.root.value.is_some() {
            return Err(unknown(self.prefix.trim_end_matches('.')));
        }
        let mut name = self.prefix.clone();
        let Some((first, mut node)) = self.root.children.iter().next() else {
            return Ok(());
        };
        name.push_str(first);
        while let Some((next, child)) = node.children.iter().next() {
            name.push('.');
            name.push_str(next);
            node = child;
        }
        Err(unknown(&name))
    }

    /// What is left, as it was sent, in a fixed order: what two calls must have in common for one
    /// to be the repetition of the other.
    pub fn fingerprint(&self) -> String {
        fn walk(name: &str, node: &Node, out: &mut String) {
            if let Some(value) = &node.value {
                out.push_str(&format!("{name}={value}\n"));
            }
            for (part, child) in &node.children {
                walk(&format!("{name}.{part}"), child, out);
            }
        }
        let mut out = String::new();
        walk("", &self.root, &mut out);
        crate::digest::sha256(out.as_bytes())
    }

    /// What is left, by name, as it was sent.
    pub fn leaves(&self) -> BTreeMap<String, String> {
        fn walk(name: &str, node: &Node, out: &mut BTreeMap<String, String>) {
            if let Some(value) = &node.value {
                out.insert(name.to_owned(), value.clone());
            }
            for (part, child) in &node.children {
                walk(&format!("{name}.{part}"), child, out);
            }
        }
        let mut out = BTreeMap::new();
        for (part, child) in &self.root.children {
            walk(part, child, &mut out);
        }
        out
    }

    /// Adds parameters, but for those whose names begin like one that is there.
    pub fn lay_under(&mut self, leaves: impl IntoIterator<Item = (String, String)>) {
        let mut under = Node::default();
        for (name, value) in leaves {
            let mut node = &mut under;
            for part in name.split('.') {
                node = node.children.entry(part.to_owned()).or_default();
            }
            node.value = Some(value);
        }
        for (part, child) in under.children {
            self.root.children.entry(part).or_insert(child);
        }
    }

    /// The full name of a member.
    pub fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn read_whole<T>(
        mut self,
        read: impl FnOnce(&mut Params) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        let value = read(&mut self)?;
        self.finish()?;
        Ok(value)
    }

    /// The entries of a list with their full names, by number.
    fn entries(&mut self, name: &str) -> Result<Vec<(String, Node)>, ServiceError> {
        let full = self.full(name);
        let Some(node) = self.root.children.remove(name) else {
            return Ok(Vec::new());
        };
        if let Some(value) = node.value {
            // An empty list is sent as the bare name.
            if value.is_empty() && node.children.is_empty() {
                return Ok(Vec::new());
            }
            return Err(unknown(&full));
        }
        let mut entries = node
            .children
            .into_iter()
            .map(|(number, node)| {
                let prefix = format!("{full}.{number}");
                match number.parse::<u32>() {
                    Ok(number) => Ok((number, (prefix, node))),
                    Err(_) => Err(unknown(&prefix)),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(|(number, _)| *number);
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }
}

fn unknown(name: &str) -> ServiceError {
    ServiceError::new(
        "UnknownParameter",
        format!("The parameter {name} is not recognized"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(body: &str) -> Params {
        Params::parse(body.as_bytes()).expect("parameters")
    }

    #[test]
    fn taking_apart() {
        let mut params = params(
            "ImageId.10=c&ImageId.2=b&ImageId.1=a&Max=5&DryRun=TRUE&Filter.1.Name=n\
             &Filter.1.Value.1=v%20w&Options.Size=1",
        );
        assert_eq!(params.list("ImageId").expect("a list"), ["a", "b", "c"]);
        assert_eq!(params.number::<u32>("Max").expect("a number"), Some(5));
        assert_eq!(params.flag("DryRun").expect("a flag"), Some(true));
        assert_eq!(params.finish().unwrap_err().code, "UnknownParameter");
        let filters = params
            .structures("Filter", |filter| {
                Ok((filter.required("Name")?, filter.list("Value")?))
            })
            .expect("filters");
        assert_eq!(filters, [("n".to_owned(), vec!["v w".to_owned()])]);
        let error = params.finish().unwrap_err();
        assert!(error.message.contains("Options.Size"), "{error}");
        assert_eq!(
            params
                .structure("Options", |options| options.number::<u8>("Size"))
                .expect("a structure"),
            Some(Some(1))
        );
        params.finish().expect("all taken");
    }

    #[test]
    fn parameters_lie_under_others() {
        let mut over = params("A.1.B=own&C=own");
        let under = params("A.1.B=under&A.2.B=under&C=under&D.E.F=under").leaves();
        assert_eq!(under.len(), 4);
        over.lay_under(under);
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let expected = [("A.1.B", "own"), ("C", "own"), ("D.E.F", "under")].map(text);
        assert_eq!(over.leaves(), expected.into());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, code, part) in [
            ("A.1.B=1&A.1.C=2", "UnknownParameter", "A.1.C"),
            ("A.x.B=1", "UnknownParameter", "A.x"),
            ("A=1", "UnknownParameter", "A"),
        ] {
            let error = params(body)
                .structures("A", |entry| Ok(entry.text("B")))
                .unwrap_err();
            assert_eq!(error.code, code, "{body}");
            assert!(error.message.contains(part), "{error}");
        }
        assert!(Params::parse(b"A=1&A=2").is_err());
        let deep = format!("A{}=1", ".1".repeat(400_000));
        assert_eq!(
            Params::parse(deep.as_bytes()).unwrap_err().code,
            "UnknownParameter"
        );
        assert_eq!(
            params("A=x").number::<u8>("A").unwrap_err().code,
            "InvalidParameterValue"
        );
        assert_eq!(
            params("A=").required("A").unwrap_err().code,
            "MissingParameter"
        );
    }
}
