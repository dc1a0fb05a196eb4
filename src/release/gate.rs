//! Whether a release may come into a channel: decided here, without a call.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use crate::aws::Region;
use crate::channels::Stay;
use crate::channels::settings::Gate;
use crate::publish::manifest::ReleaseManifest;
use crate::publish::papers::UntrustedManifest;
use crate::share::desired::Missing;
use crate::sign::key::short;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: `tested`, `signed`, `age`, `approved`, `available`, `shared`.
    pub name: &'static str,
    /// Whether it is as the channel asks.
    pub passed: bool,
    /// What was seen.
    pub told: String,
    /// What to do where it is not.
    #[serde(skip)]
    pub advice: String,
}

/// What is known of a release that is to come into a channel.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// What it is.
    pub manifest: &'a ReleaseManifest,
    /// By which key the manifest is signed, or why that counts for nothing; nothing where the
    /// publisher has no key.
    pub signed: Option<Result<String, UntrustedManifest>>,
    /// The channel before, and the release's stays in it.
    pub before: Option<(String, Vec<Stay>)>,
    /// Who approves.
    pub approved_by: Option<&'a str>,
    /// Regions where its AMI is not available, and what it is there.
    pub unavailable: BTreeMap<Region, String>,
    /// What customers of the channel are to get of it and cannot.
    pub missing: BTreeSet<Missing>,
    /// The customers that get it.
    pub customers: Vec<String>,
    /// What time it is.
    pub now: OffsetDateTime,
}

/// Looks at everything that a gate asks for.
pub fn check(gate: &Gate, evidence: &Evidence<'_>) -> Vec<Check> {
    let checks = [
        withdrawn(evidence),
        tested(gate, evidence),
        signed(gate, evidence),
        age(gate, evidence),
        approved(gate, evidence),
        Some(available(evidence)),
        Some(shared(evidence)),
    ];
    checks.into_iter().flatten().collect()
}

fn told(
    name: &'static str,
    passed: bool,
    told: impl Into<String>,
    advice: impl Into<String>,
) -> Check {
    Check {
        name,
        passed,
        told: told.into(),
        advice: advice.into(),
    }
}

fn withdrawn(evidence: &Evidence<'_>) -> Option<Check> {
    let withdrawal = evidence.manifest.withdrawn.as_ref()?;
    let why = withdrawal.reason.as_ref();
    let why = why.map_or(String::new(), |why| format!(": {why}"));
    let said = format!("it was withdrawn by {}{why}", withdrawal.by);
    Some(told(
        "withdrawn",
        false,
        said,
        "publish and promote another one; what was withdrawn does not come back",
    ))
}

fn tested(gate: &Gate, evidence: &Evidence<'_>) -> Option<Check> {
    let release = &evidence.manifest.release;
    let test = "test the image and publish its folder again: `alpine-ami test DIR`, `alpine-ami publish DIR`; or ask for less: `gate = { tested = false }`";
    match (&evidence.manifest.tested, gate.tested) {
        (_, Some(false)) => None,
        (Some(tested), _) if tested.passed => {
            let seconds = tested.boot_seconds;
            let said = format!(
                "its test passed: booted in {seconds:.1} s under {}, {} checks",
                tested.firmware,
                tested.checks.len()
            );
            Some(told("tested", true, said, ""))
        }
        (Some(_), _) => {
            let said = format!("the test of {release} did not pass");
            Some(told("tested", false, said, test))
        }
        (None, Some(true)) => {
            let said = format!("no test of {release} is known");
            Some(told("tested", false, said, test))
        }
        (None, None) => None,
    }
}

fn signed(gate: &Gate, evidence: &Evidence<'_>) -> Option<Check> {
    let release = &evidence.manifest.release;
    let sign = format!("sign it as it is: `alpine-ami publish {release}`");
    match (&evidence.signed, gate.signed) {
        (_, Some(false)) => None,
        (Some(Ok(key)), _) => {
            let said = format!("its manifest is signed by the key {}…", short(key));
            Some(told("signed", true, said, ""))
        }
        (Some(Err(why)), _) => {
            let advice = match why {
                UntrustedManifest::Missing => sign,
                UntrustedManifest::Newer(_) => "update alpine-ami".to_owned(),
                _ => format!(
                    "if another key signed it before, name that key in [signing] trusted; if not, find out who changed it; then {sign}"
                ),
            };
            let said = format!("its manifest cannot be trusted: {why}");
            Some(told("signed", false, said, advice))
        }
        (None, Some(true)) => {
            let said = "its manifest cannot be verified: [signing] names no key";
            let advice = "name a key of KMS ([signing] key = \"alias/…\") or a file (file = \"…\"), and publish the release again";
            Some(told("signed", false, said, advice))
        }
        (None, None) => None,
    }
}

fn age(gate: &Gate, evidence: &Evidence<'_>) -> Option<Check> {
    let asked = gate.min_age_hours;
    if asked == 0 {
        return None;
    }
    let Some((channel, stays)) = &evidence.before else {
        let said = format!("it is to be {asked} h in the channel before, and there is none");
        let advice = "name one in the gate: `after = \"…\"`";
        return Some(told("age", false, said, advice));
    };
    // What left it again counts for nothing: it may have been taken back.
    let staying = stays.iter().filter(|stay| stay.until.is_none());
    let longest = staying.map(|stay| evidence.now - stay.since).max();
    let promote = format!(
        "`alpine-ami promote {} --to {channel}`, and wait",
        evidence.manifest.release
    );
    Some(match longest {
        None => {
            let said = format!("it is not in {channel}, where it is to be for {asked} h");
            told("age", false, said, promote)
        }
        Some(age) if age >= Duration::hours(asked.into()) => {
            let said = format!("{} h in {channel}, of {asked}", age.whole_hours());
            told("age", true, said, "")
        }
        Some(age) => {
            let left = Duration::hours(asked.into()) - age;
            let said = format!(
                "it has been {} h in {channel}, not {asked}",
                age.whole_hours()
            );
            let hours = left.whole_hours() + 1;
            told("age", false, said, format!("wait for {hours} h more"))
        }
    })
}

fn approved(gate: &Gate, evidence: &Evidence<'_>) -> Option<Check> {
    let names = gate.approvers.join(", ");
    match (gate.approvers.is_empty(), evidence.approved_by) {
        (true, _) => None,
        (false, Some(name)) if gate.approvers.iter().any(|known| known == name) => {
            Some(told("approved", true, format!("approved by {name}"), ""))
        }
        (false, Some(name)) => {
            let said = format!("{name} is none of those who approve: {names}");
            Some(told("approved", false, said, "ask one of them"))
        }
        (false, None) => {
            let said = format!("nobody has approved of it; one of these must: {names}");
            Some(told("approved", false, said, "add --approved-by NAME"))
        }
    }
}

fn available(evidence: &Evidence<'_>) -> Check {
    let Evidence {
        manifest,
        unavailable,
        ..
    } = evidence;
    if unavailable.is_empty() {
        let said = format!("available in {} Regions", manifest.regions.len());
        return told("available", true, said, "");
    }
    let where_ = unavailable.iter();
    let where_: Vec<String> = where_
        .map(|(region, state)| format!("{region} ({state})"))
        .collect();
    let said = format!("its AMI is not available in {}", where_.join(", "));
    let advice = format!(
        "`alpine-ami publish {}` makes what is missing",
        manifest.release
    );
    told("available", false, said, advice)
}

fn shared(evidence: &Evidence<'_>) -> Check {
    let Evidence {
        missing, customers, ..
    } = evidence;
    if missing.is_empty() {
        let said = match customers.len() {
            0 => "no customer gets it".to_owned(),
            1 => format!("there for its one customer: {}", customers[0]),
            count => format!("there for {count} customers: {}", customers.join(", ")),
        };
        return told("shared", true, said, "");
    }
    let lacks = missing.iter();
    let lacks: Vec<String> = lacks
        .map(|lack| {
            format!(
                "{} needs it in {}, and {}",
                lack.customer, lack.region, lack.why
            )
        })
        .collect();
    let region = missing.first().map_or("…", |lack| lack.region.as_str());
    let advice = format!(
        "`alpine-ami publish {} --add-region {region}`, or leave the Region out of the customer's",
        evidence.manifest.release
    );
    told("shared", false, lacks.join("; "), advice)
}
