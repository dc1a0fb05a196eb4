//! The page in a browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use alpine_ami::release::page;

use super::catalogs;
use crate::sandbox::place::python_tool;
use crate::support::skip;

/// Debian's, or the one that `ALPINE_AMI_CHROMIUM` names.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("ALPINE_AMI_CHROMIUM").map(PathBuf::from);
    let path = named.unwrap_or_else(|| PathBuf::from("/usr/bin/chromium"));
    path.exists().then_some(path)
}

/// Writes all pages into a folder and runs one of the driver's checks over them.
#[track_caller]
fn check(name: &str) {
    let Some(chromium) = chromium() else {
        let why = "there is no Chromium; run scripts/setup, or apt-get install chromium";
        return skip(&format!("page::browser::{name}"), why);
    };
    let dir = tempfile::tempdir().expect("a folder");
    let pages = [
        ("full", catalogs::full()),
        ("empty", catalogs::empty()),
        ("no-channels", catalogs::no_channels()),
        ("one", catalogs::one()),
        ("many", catalogs::many()),
        ("hostile", catalogs::hostile()),
    ];
    for (name, data) in pages {
        let path = dir.path().join(format!("{name}.html"));
        std::fs::write(path, page::render(&data)).expect("written");
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python_tool("python"))
        .arg(here.join("tests/it/page/browser.py"))
        .arg(name)
        .arg(chromium)
        .arg(dir.path())
        .arg(here.join("target/page"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}:\n{said}{failed}");
    // The driver counts what it looked at: a check that looks at nothing is none.
    let looked = said
        .trim()
        .strip_prefix("looked at ")
        .map(str::parse::<u32>);
    assert!(matches!(looked, Some(Ok(1..))), "{name}: {said}{failed}");
}

macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])* #[test] fn $name() { check(stringify!($name)); })*
    };
}

checks! {
    /// No page asks the network for anything, breaks its own policy or runs what stands in a text.
    it_is_quiet,
    /// The policy is in force: what is not in the page does not run.
    the_policy_holds,
    search_and_filters_narrow_the_list,
    ids_are_copied,
    a_keyboard_is_enough,
    themes_follow_the_system_and_the_choice,
    a_telephone_shows_all_without_scrolling_sideways,
    /// axe-core finds nothing, contrast included.
    it_is_accessible,
    a_release_tells_how_to_use_it,
    packages_and_changes_are_listed,
    without_script_it_is_still_a_list,
    many_releases_are_no_burden,
}
