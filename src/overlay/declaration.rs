//! `overlay.toml`: the modes and owners of an overlay's files, its folders and its links.

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use toml::Spanned;

use super::{NodeKind, OverlayError, OverlayNode};
use crate::assets::Asset;
use crate::profile::error::{mistake, read_toml};

/// The file as it is written.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// What the overlay is for.
    #[serde(default)]
    #[allow(dead_code, reason = "for people who read the file")]
    description: String,
    /// Modes and owners of files; the last rule that matches a path holds. Without one, a file is
    /// `0644 root:root`.
    #[serde(default)]
    rule: Vec<RuleWritten>,
    /// Folders, empty ones or those with a mode of their own.
    #[serde(default)]
    directory: Vec<DirectoryWritten>,
    /// Symbolic links.
    #[serde(default)]
    symlink: Vec<SymlinkWritten>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleWritten {
    /// Globs of paths in the image, without a leading slash.
    #[schemars(with = "Vec<String>")]
    paths: Vec<Spanned<String>>,
    mode: Option<Mode>,
    owner: Option<Owner>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct DirectoryWritten {
    #[schemars(with = "String")]
    path: Spanned<String>,
    mode: Option<Mode>,
    owner: Option<Owner>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct SymlinkWritten {
    #[schemars(with = "String")]
    path: Spanned<String>,
    target: String,
}

/// Permission bits in octal, as text.
#[derive(Debug, Clone, Copy, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
struct Mode(#[schemars(with = "String")] u32);

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        u32::from_str_radix(&text, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .map(Mode)
            .ok_or_else(|| format!("`{text}` is not a mode: write it in octal, such as \"0755\""))
    }
}

/// `user:group`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
struct Owner {
    user: String,
    group: String,
}

impl TryFrom<String> for Owner {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            Some((user, group)) if !user.is_empty() && !group.is_empty() => Ok(Owner {
                user: user.to_owned(),
                group: group.to_owned(),
            }),
            _ => Err(format!(
                "`{text}` is not an owner: write user:group, such as \"root:root\""
            )),
        }
    }
}

/// The rules of one overlay.
#[derive(Debug)]
pub(super) struct Declaration {
    origin: String,
    text: String,
    written: Written,
    rules: Vec<(GlobMatcher, usize, std::ops::Range<usize>)>,
}

impl Declaration {
    /// Reads `overlay.toml`, which every overlay has.
    pub fn read(overlay: &str, asset: Option<Asset>) -> Result<Declaration, OverlayError> {
        let Some(Asset { origin, bytes }) = asset else {
            let what = "every overlay needs this file: it declares modes and owners".to_owned();
            let file = format!("{overlay}/overlay.toml");
            return Err(wrap(mistake(&file, "", None, what)));
        };
        let (text, written) = read_toml::<Written>(&origin, bytes).map_err(wrap)?;
        let mut declaration = Declaration {
            origin,
            text,
            written,
            rules: Vec::new(),
        };
        for (index, rule) in declaration.written.rule.iter().enumerate() {
            for path in &rule.paths {
                let glob = GlobBuilder::new(path.get_ref())
                    .literal_separator(true)
                    .build()
                    .map_err(|error| declaration.at(path, error.to_string()))?;
                let rule = (glob.compile_matcher(), index, path.span());
                declaration.rules.push(rule);
            }
        }
        Ok(declaration)
    }

    fn at(&self, place: &Spanned<String>, what: String) -> OverlayError {
        wrap(mistake(&self.origin, &self.text, Some(place.span()), what))
    }

    /// Gives each file its mode and owner and adds folders and links.
    ///
    /// # Errors
    /// A rule that matches nothing: it is a misspelling or has outlived its file.
    pub fn apply(
        &self,
        overlay: &str,
        files: Vec<(String, NodeKind)>,
    ) -> Result<Vec<(String, OverlayNode)>, OverlayError> {
        let node = |kind, mode: Option<Mode>, owner: Option<&Owner>, default| OverlayNode {
            kind,
            mode: mode.map_or(default, |mode| mode.0),
            owner: owner.map_or("root", |owner| &owner.user).to_owned(),
            group: owner.map_or("root", |owner| &owner.group).to_owned(),
            overlay: overlay.to_owned(),
        };
        let mut used = vec![false; self.rules.len()];
        let mut laid = Vec::new();
        for (path, kind) in files {
            let (mut mode, mut owner) = (None, None);
            for (index, (glob, rule, _)) in self.rules.iter().enumerate() {
                if glob.is_match(&path) {
                    used[index] = true;
                    let rule = &self.written.rule[*rule];
                    mode = rule.mode.or(mode);
                    owner = rule.owner.as_ref().or(owner);
                }
            }
            laid.push((path, node(kind, mode, owner, 0o644)));
        }
        if let Some(idle) = used.iter().position(|used| !used) {
            let span = self.rules[idle].2.clone();
            let what = "this rule matches no file of the overlay".to_owned();
            return Err(wrap(mistake(&self.origin, &self.text, Some(span), what)));
        }
        for directory in &self.written.directory {
            let path = self.clean(&directory.path)?;
            let (mode, owner) = (directory.mode, directory.owner.as_ref());
            laid.push((path, node(NodeKind::Directory, mode, owner, 0o755)));
        }
        for link in &self.written.symlink {
            let path = self.clean(&link.path)?;
            let kind = NodeKind::Symlink(link.target.clone());
            laid.push((path, node(kind, None, None, 0o777)));
        }
        Ok(laid)
    }

    /// A path inside the image.
    fn clean(&self, path: &Spanned<String>) -> Result<String, OverlayError> {
        let inside = !path.get_ref().is_empty()
            && path
                .get_ref()
                .split('/')
                .all(|part| !part.is_empty() && part != "." && part != "..");
        if inside {
            return Ok(path.get_ref().clone());
        }
        let what = "write a path of the image without a leading slash, `.` or `..`".to_owned();
        Err(self.at(path, what))
    }
}

fn wrap(mistake: crate::profile::error::Mistake) -> OverlayError {
    OverlayError::Mistake(Box::new(mistake))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(text: &str) -> Result<Declaration, OverlayError> {
        let asset = Asset {
            origin: "o/overlay.toml".to_owned(),
            bytes: text.into(),
        };
        Declaration::read("o", Some(asset))
    }

    fn file(path: &str) -> (String, NodeKind) {
        (path.to_owned(), NodeKind::File(Vec::new()))
    }

    #[test]
    fn the_last_rule_that_matches_holds() {
        let text = "[[rule]]\npaths = [\"etc/**\"]\nmode = \"0600\"\nowner = \"a:b\"\n\
                    [[rule]]\npaths = [\"etc/init.d/*\"]\nmode = \"0755\"\n";
        let laid = declaration(text)
            .and_then(|read| read.apply("o", vec![file("etc/init.d/x"), file("usr/y")]))
            .expect("applies");
        let seen: Vec<_> = laid
            .iter()
            .map(|(path, node)| format!("{path} {:04o} {}:{}", node.mode, node.owner, node.group))
            .collect();
        assert_eq!(seen, ["etc/init.d/x 0755 a:b", "usr/y 0644 root:root"]);
    }

    #[test]
    fn mistakes_have_a_place() {
        let idle = declaration("[[rule]]\npaths = [\"etc/nit.d/*\"]\n")
            .and_then(|read| read.apply("o", vec![file("etc/init.d/x")]))
            .expect_err("matches nothing");
        assert_eq!(
            idle.to_string(),
            "o/overlay.toml:2:10: this rule matches no file of the overlay"
        );
        let mode = declaration("[[rule]]\npaths = [\"*\"]\nmode = \"rwx\"\n").expect_err("no mode");
        assert!(
            mode.to_string().starts_with("o/overlay.toml:3:8: `rwx`"),
            "{mode}"
        );
        let outside = declaration("[[symlink]]\npath = \"../x\"\ntarget = \"y\"\n")
            .and_then(|read| read.apply("o", Vec::new()))
            .expect_err("outside");
        assert!(
            outside.to_string().starts_with("o/overlay.toml:2:8: "),
            "{outside}"
        );
    }
}
