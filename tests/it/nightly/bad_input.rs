//! What makes no sense is told before anything is done.

use super::town::Town;
use crate::support::Ended;

#[track_caller]
fn refused(town: &Town, args: &[&str], words: &[&str]) {
    let ended = Ended::from(town.command(args).output().expect("it starts"));
    let said = ended.failed(2);
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    assert!(town.releases().is_empty());
    assert!(town.yard.house.calls("operation=RunInstances").is_empty());
}

#[test]
fn what_makes_no_sense_is_told_before_anything_is_done() {
    let town = Town::new();
    refused(
        &town,
        &[],
        &["there is no profile to build", "profiles = [\"base\"]"],
    );
    refused(&town, &["base", "base"], &["`base` is named twice"]);
    refused(
        &town,
        &["base", "kubezreo"],
        &["there is no profile `kubezreo`", "did you mean `kubezero`?"],
    );
    refused(&town, &["core"], &["layer for other profiles"]);
    refused(&town, &["base", "--set", "x"], &["--set x"]);
    refused(
        &town,
        &["base", "--report-junit", "nowhere/junit.xml"],
        &["cannot write the report nowhere/junit.xml"],
    );
    town.configure("[nightly]\nchannel = \"nihgtly\"");
    refused(
        &town,
        &["base"],
        &["nightly.channel: there is no channel `nihgtly`; there are nightly, candidate, stable"],
    );
    town.reconfigure("channel = \"nihgtly\"", "jobs = 0");
    refused(&town, &["base"], &["nightly.jobs is 0"]);
}
