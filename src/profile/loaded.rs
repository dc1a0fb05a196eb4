//! One profile file as it was read, and the files it includes.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Mistake, ProfileError, mistake, nearest, read_toml, toml_mistake};
use super::layer::{Firmware, Layer};
use super::library::{Library, wrap};
use super::merge::Node;
use super::value::AlpineRelease;
use crate::arch::Arch;

/// A file as it was read.
pub(super) struct Loaded {
    /// The profile's name.
    pub name: String,
    /// Where it was found.
    pub origin: Arc<str>,
    /// Its typed content.
    pub layer: Layer,
    text: String,
}

impl Loaded {
    fn table(&self) -> Result<Spanned<DeTable<'_>>, ProfileError> {
        DeTable::parse(&self.text)
            .map_err(|error| wrap(toml_mistake(&self.origin, &self.text, &error)))
    }

    fn mistake(&self, span: std::ops::Range<usize>, what: String) -> Mistake {
        mistake(&self.origin, &self.text, Some(span), what)
    }

    /// What holds without a condition.
    pub fn node(&self) -> Result<Node, ProfileError> {
        let table = self.table()?;
        Ok(Node::from_table(table.get_ref(), &self.origin, &self.text))
    }

    /// What holds for this architecture, release and firmware only, in the order of the file.
    pub fn conditional(
        &self,
        arch: Arch,
        alpine: AlpineRelease,
        firmware: &[Firmware],
    ) -> Result<Vec<Node>, ProfileError> {
        let table = self.table()?;
        let Some(written) = table
            .get_ref()
            .get("when")
            .and_then(|when| when.get_ref().as_array())
        else {
            return Ok(Vec::new());
        };
        let holds = |index: usize| {
            let when = &self.layer.when[index];
            when.arch.is_none_or(|wanted| wanted == arch)
                && when.alpine.is_none_or(|range| range.contains(alpine))
                && when
                    .firmware
                    .is_none_or(|wanted| firmware.contains(&wanted))
        };
        let nodes = written
            .iter()
            .enumerate()
            .filter(|(index, _)| holds(*index));
        let nodes = nodes.filter_map(|(_, entry)| match entry.get_ref().get("set")?.get_ref() {
            DeValue::Table(set) => Some(Node::from_table(set, &self.origin, &self.text)),
            _ => None,
        });
        Ok(nodes.collect())
    }

    fn includes(&self) -> Result<Vec<Spanned<String>>, ProfileError> {
        /// Only the includes, with their places.
        #[derive(Deserialize)]
        struct Includes {
            #[serde(default)]
            include: Vec<Spanned<String>>,
        }
        toml::from_str::<Includes>(&self.text)
            .map(|read| read.include)
            .map_err(|error| wrap(toml_mistake(&self.origin, &self.text, &error)))
    }
}

impl Library {
    /// The layers of a profile, lowest first, each once.
    pub(super) fn layers(&self, name: &str) -> Result<Vec<Loaded>, ProfileError> {
        let mut done = Vec::new();
        let top = self.load(name)?;
        self.visit(top, &mut Vec::new(), &mut done)?;
        Ok(done)
    }

    fn visit(
        &self,
        loaded: Loaded,
        path: &mut Vec<String>,
        done: &mut Vec<Loaded>,
    ) -> Result<(), ProfileError> {
        path.push(loaded.name.clone());
        for include in loaded.includes()? {
            let name = include.get_ref();
            let at = |what| loaded.mistake(include.span(), what);
            if path.contains(name) {
                let cycle = format!("{} -> {name}", path.join(" -> "));
                return Err(wrap(at(format!("the layers include one another: {cycle}"))));
            }
            if done.iter().any(|other| other.name == *name) {
                continue;
            }
            let below = match self.load(name) {
                Err(ProfileError::Unknown { name, known }) => {
                    let mut mistake = at(format!("unknown layer `{name}`"));
                    mistake.hint = nearest(&name, known.iter().map(String::as_str))
                        .map(|near| format!("did you mean `{near}`?"))
                        .or_else(|| Some(format!("there are: {}", known.join(", "))));
                    return Err(wrap(mistake));
                }
                other => other?,
            };
            self.visit(below, path, done)?;
        }
        path.pop();
        done.push(loaded);
        Ok(())
    }

    pub(super) fn load(&self, name: &str) -> Result<Loaded, ProfileError> {
        let unknown = || -> Result<ProfileError, ProfileError> {
            let known = self.names()?;
            let name = name.to_owned();
            Ok(ProfileError::Unknown { name, known })
        };
        // A name is one file, never a path out of the folder.
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(unknown()?);
        }
        let Some(asset) = self.assets.read(&format!("{name}.toml"))? else {
            return Err(unknown()?);
        };
        let origin: Arc<str> = asset.origin.into();
        let (text, layer) = read_toml(&origin, asset.bytes).map_err(wrap)?;
        let name = name.to_owned();
        Ok(Loaded {
            name,
            origin,
            text,
            layer,
        })
    }
}
