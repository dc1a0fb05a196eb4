//! All profiles that can be named, and the merging of one's layers into a [`Profile`].

use std::iter;

use serde::Deserialize;
use toml::de::DeTable;

use super::error::{Mistake, ProfileError, nearest, toml_mistake};
use super::kinds;
use super::layer::Layer;
use super::loaded::Loaded;
use super::merge::{Leaf, Node, Origin, STRUCTURAL};
use super::value::AlpineRelease;
use super::{Profile, ProfileSource};
use crate::arch::Arch;
use crate::assets::Assets;

/// Every profile that can be named.
#[derive(Debug, Clone)]
pub struct Library {
    pub(super) assets: Assets,
    overlays: Assets,
}

/// One line of `profile list`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Architectures that it can be built for.
    pub arch: Vec<Arch>,
    /// The Alpine release that it takes unless told otherwise.
    pub alpine: AlpineRelease,
    /// The file that it is written in.
    pub file: String,
}

/// A merged profile and where its values come from.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The values.
    pub profile: Profile,
    /// Each with its origin.
    pub leaves: Vec<Leaf>,
}

impl Library {
    /// The profiles of `assets`, over the overlays that they name.
    pub fn new(assets: Assets, overlays: Assets) -> Library {
        Library { assets, overlays }
    }

    /// The shelf that profiles lie on: their keys lie there too.
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// The shelf that overlays lie on.
    pub fn overlays(&self) -> &Assets {
        &self.overlays
    }

    /// The names of all files, layers for inclusion too.
    ///
    /// # Errors
    /// A folder of profiles cannot be read.
    pub fn names(&self) -> Result<Vec<String>, ProfileError> {
        let names = self.assets.names("")?.into_iter();
        Ok(names
            .filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned()))
            .collect())
    }

    /// The profiles that can be built.
    ///
    /// # Errors
    /// A file that makes no sense.
    pub fn list(&self) -> Result<Vec<Listed>, ProfileError> {
        let mut listed = Vec::new();
        for name in self.names()? {
            let top = self.load(&name)?;
            if top.layer.only_included {
                continue;
            }
            let resolved = self.resolve(&ProfileSource::new(&name))?;
            listed.push(Listed {
                name,
                description: resolved.profile.description,
                arch: resolved.profile.arch,
                alpine: resolved.profile.alpine,
                file: top.origin.to_string(),
            });
        }
        Ok(listed)
    }

    /// Merges the layers of a profile for one architecture.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub fn resolve(&self, source: &ProfileSource) -> Result<Resolved, ProfileError> {
        let layers = self.layers(&source.name)?;
        let top = layers.last().expect("a profile is its own last layer");
        if top.layer.only_included {
            return Err(ProfileError::OnlyIncluded(source.name.clone()));
        }
        let set = self.assignments(&source.set, &layers)?;

        // The release and the firmware decide which conditional layers hold, and any layer or
        // `--set` may say them: so merge without conditions first.
        let mut plain = Node::table();
        for loaded in &layers {
            plain.merge(loaded.node()?);
        }
        plain.merge(set.clone());
        let plain = self.typed(source, &plain, &layers)?;
        let arch = plain.choose_arch(source.arch)?;
        let firmware = plain.firmware_on(arch);

        let mut merged = Node::table();
        for loaded in &layers {
            let conditional = loaded.conditional(arch, plain.alpine, &firmware)?;
            for node in iter::once(loaded.node()?).chain(conditional) {
                kinds::keep(&merged, &node)?;
                merged.merge(node);
            }
        }
        kinds::keep(&merged, &set)?;
        merged.merge(set);
        reject_idle_removals(&merged)?;
        let profile = self.typed(source, &merged, &layers)?;
        self.check_overlays(&profile, &merged)?;
        Ok(Resolved {
            profile,
            leaves: merged.leaves(),
        })
    }

    fn typed(
        &self,
        source: &ProfileSource,
        merged: &Node,
        layers: &[Loaded],
    ) -> Result<Profile, ProfileError> {
        let incomplete = |what: String| ProfileError::Incomplete {
            profile: source.name.clone(),
            what,
        };
        let mut value = merged.to_value();
        let top = layers.last().expect("a profile is its own last layer");
        if let Some(table) = value.as_table_mut() {
            let description = top.layer.description.clone().unwrap_or_default();
            table.insert("name".to_owned(), source.name.clone().into());
            table.insert("description".to_owned(), description.into());
            if let (None, Some(alpine)) = (table.get("version"), table.get("alpine").cloned()) {
                table.insert("version".to_owned(), alpine);
            }
        }
        let profile = Profile::deserialize(value).map_err(|error| {
            incomplete(error.message().replace("missing field", "nothing sets"))
        })?;
        profile.validate().map_err(incomplete)?;
        Ok(profile)
    }

    /// `--set KEY=VALUE`, checked against the same types as a file. A key that is no key of a
    /// profile is one of its template values.
    fn assignments(&self, set: &[String], layers: &[Loaded]) -> Result<Node, ProfileError> {
        let mut all = Node::table();
        for assignment in set {
            let error = |why: String| ProfileError::Set {
                assignment: assignment.clone(),
                why,
            };
            let (key, value) = assignment
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| error("there is no `KEY=` in it".to_owned()))?;
            let root = key.split('.').next().unwrap_or(key).trim();
            if STRUCTURAL.contains(&root) {
                return Err(error(format!("`{root}` belongs into a profile's file")));
            }
            let is_value = |key: &str| layers.iter().any(|one| one.layer.values.contains_key(key));
            let key = if is_value(key) {
                format!("values.{key}")
            } else {
                key.to_owned()
            };
            let quoted = toml::Value::String(value.to_owned()).to_string();
            // As text first: 3.20 is a release, not the number 3.2.
            let mut texts = [format!("{key} = {quoted}"), format!("{key} = {value}")];
            if let Some(name) = key.strip_prefix("values.")
                && !kinds::is_text(layers, name)
            {
                texts.reverse();
            }
            let text = texts
                .iter()
                .find(|text| toml::from_str::<Layer>(text).is_ok());
            let Some(text) = text else {
                let first = toml::from_str::<Layer>(&texts[0]).err();
                let mistake = first.map(|first| toml_mistake("", &texts[0], &first));
                return Err(error(mistake.map_or_else(String::new, |mistake| {
                    let hint = mistake.hint.map(|hint| format!("; {hint}"));
                    format!("{}{}", mistake.what, hint.unwrap_or_default())
                })));
            };
            let table = DeTable::parse(text).map_err(|parse| error(parse.to_string()))?;
            let origin = format!("--set {assignment}").into();
            let mut node = Node::from_table(table.get_ref(), &origin, text);
            without_lines(&mut node);
            all.merge(node);
        }
        Ok(all)
    }

    fn check_overlays(&self, profile: &Profile, merged: &Node) -> Result<(), ProfileError> {
        let Some(Node::List(written)) = merged.get("overlays") else {
            return Ok(());
        };
        for (overlay, (_, origin)) in profile.overlays.iter().zip(written) {
            let assets = &self.overlays;
            if assets.names(&overlay.value)?.is_empty() {
                let known = assets.names("")?;
                let hint = nearest(&overlay.value, known.iter().map(String::as_str))
                    .map(|near| format!("did you mean `{near}`?"))
                    .unwrap_or_else(|| format!("there are: {}", known.join(", ")));
                let what = format!("missing overlay `{}`", overlay.value);
                let mut mistake = at(origin, what);
                mistake.hint = Some(hint);
                return Err(wrap(mistake));
            }
        }
        Ok(())
    }
}

pub(super) fn wrap(mistake: Mistake) -> ProfileError {
    ProfileError::Mistake(Box::new(mistake))
}

pub(super) fn at(origin: &Origin, what: String) -> Mistake {
    Mistake {
        file: origin.file.to_string(),
        line: origin.line,
        column: origin.column,
        what,
        hint: None,
    }
}

/// Values of the command line have no place in a file.
fn without_lines(node: &mut Node) {
    let clear = |origin: &mut Origin| (origin.line, origin.column) = (0, 0);
    match node {
        Node::Value(_, origin) => clear(origin),
        Node::List(elements) => elements.iter_mut().for_each(|(_, origin)| clear(origin)),
        Node::Table(entries) => entries.values_mut().for_each(without_lines),
    }
}

/// A `-name` that took nothing away is a misspelling or has outlived its reason.
fn reject_idle_removals(merged: &Node) -> Result<(), ProfileError> {
    let idle = merged.leaves().into_iter().find(|leaf| {
        let text = leaf.value.as_str();
        is_entry_list(&leaf.path) && text.is_some_and(|text| text.starts_with('-'))
    });
    idle.map_or(Ok(()), |leaf| {
        let mut mistake = at(
            &leaf.origin,
            format!("{} takes nothing away from {}", leaf.value, leaf.path),
        );
        mistake.hint = Some("no lower layer has it: take the line out".to_owned());
        Err(wrap(mistake))
    })
}

fn is_entry_list(path: &str) -> bool {
    [
        "packages",
        "overlays",
        "keys",
        "boot.packages",
        "kernel.cmdline",
        "kernel.modules",
    ]
    .contains(&path)
        || path.starts_with("services.")
        || (path.starts_with("users.") && path.ends_with(".groups"))
}
