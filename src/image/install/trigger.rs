//! Which triggers fire: globs over the folders that changed.

use std::collections::BTreeSet;

use globset::GlobBuilder;

use crate::apk::database::Installed;

/// Every folder of the packages, as triggers see it: with a leading slash.
pub fn directories(installed: &[Installed]) -> BTreeSet<String> {
    installed
        .iter()
        .flat_map(|package| &package.records.directories)
        .map(|directory| format!("/{}", directory.path))
        .collect()
}

/// The folders that any of a package's globs matches, in order. `*` does not cross a slash
/// (`FNM_PATHNAME`); a leading `+`, which asks for changed folders only, changes nothing where
/// every folder is new.
pub fn matching(globs: &[&str], directories: &BTreeSet<String>) -> Vec<String> {
    let matchers: Vec<_> = globs
        .iter()
        .map(|glob| glob.strip_prefix('+').unwrap_or(glob))
        .filter_map(|glob| {
            let built = GlobBuilder::new(glob).literal_separator(true).build();
            built.ok().map(|glob| glob.compile_matcher())
        })
        .collect();
    directories
        .iter()
        .filter(|directory| matchers.iter().any(|glob| glob.is_match(directory)))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_one_level() {
        let directories = [
            "/bin",
            "/lib/modules",
            "/lib/modules/5.15",
            "/lib/modules/5.15/kernel",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(
            matching(&["/bin", "/lib/modules/*"], &directories),
            ["/bin", "/lib/modules/5.15"]
        );
        assert!(matching(&["+/usr"], &directories).is_empty());
    }
}
