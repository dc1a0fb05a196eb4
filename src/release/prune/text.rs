//! The plan as people read it.

use std::fmt::Write as _;

use super::act::Proposal;
use super::orphans::Orphans;
use super::plan::{Planned, Step};
use super::uses::NEVER_SEEN;
use crate::aws::Region;
use crate::ui::text::table;

/// What is to be done, what stays and why, and what could not be seen.
pub fn proposal(proposal: &Proposal) -> String {
    let releases = &proposal.plan.releases;
    let going: Vec<&Planned> = releases.iter().filter(|one| one.kept.is_empty()).collect();
    let kept: Vec<&Planned> = releases.iter().filter(|one| !one.kept.is_empty()).collect();
    let mut text = format!("{} of {} releases are to go\n", going.len(), releases.len());
    let mut rows = Vec::new();
    for planned in releases {
        rows.extend(steps(planned));
    }
    text.push_str(&indented(&rows));
    if !kept.is_empty() {
        text.push_str("\nkept:\n");
        let rows: Vec<Vec<String>> = kept
            .iter()
            .map(|planned| {
                let whys: Vec<String> = planned.kept.iter().map(ToString::to_string).collect();
                vec![planned.release.to_string(), whys.join("; ")]
            })
            .collect();
        text.push_str(&indented(&rows));
    }
    let mut unseen = String::new();
    for planned in releases {
        for (region, why) in &planned.unseen {
            // Writing to a string does not fail.
            let _ = writeln!(unseen, "  {} in {region}: {why}", planned.release);
        }
    }
    if !unseen.is_empty() {
        text.push_str("\nnot seen, so not deregistered unless --despite-unseen is given:\n");
        text.push_str(&unseen);
    }
    if let Some(orphans) = &proposal.orphans {
        text.push_str(&left(orphans));
    }
    if releases
        .iter()
        .any(|one| one.steps.values().any(Step::removes))
    {
        let _ = writeln!(text, "\n{NEVER_SEEN}.");
    }
    text
}

/// What dead runs left.
fn left(orphans: &Orphans) -> String {
    if orphans.found.is_empty() {
        return "\ndead runs left nothing\n".to_owned();
    }
    let rows: Vec<Vec<String>> = orphans
        .found
        .iter()
        .map(|orphan| {
            [
                "remove".to_owned(),
                orphan.of.to_string(),
                orphan.region.to_string(),
                orphan.thing.to_string(),
            ]
            .into()
        })
        .collect();
    format!("\nleft by dead runs:\n{}", indented(&rows))
}

/// What is done with a release, the Regions of the same in one row.
fn steps(planned: &Planned) -> Vec<Vec<String>> {
    let mut rows: Vec<(String, Vec<&Region>)> = Vec::new();
    for (region, step) in &planned.steps {
        let word = word(step);
        match rows.iter_mut().find(|(known, _)| *known == word) {
            Some((_, regions)) => regions.push(region),
            None => rows.push((word, vec![region])),
        }
    }
    if rows.is_empty() && planned.mark.is_some() {
        rows.push(("forget".to_owned(), Vec::new()));
    }
    let row = |(word, regions): (String, Vec<&Region>)| {
        let regions: Vec<&str> = regions.iter().map(|region| region.as_str()).collect();
        vec![word, planned.release.to_string(), regions.join(", ")]
    };
    rows.into_iter().map(row).collect()
}

fn word(step: &Step) -> String {
    match step {
        Step::Deprecate { .. } => "deprecate".to_owned(),
        Step::Deregister { .. } => "deregister".to_owned(),
        Step::DeleteSnapshots { .. } => "delete snapshots".to_owned(),
        Step::Wait { until } => format!("deregister from {} on", until.date()),
        Step::Restore { .. } => "show again".to_owned(),
    }
}

fn indented(rows: &[Vec<String>]) -> String {
    let table = table(rows);
    table.lines().map(|line| format!("  {line}\n")).collect()
}
