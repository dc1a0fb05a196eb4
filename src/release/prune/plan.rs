//! What is to be done with each release, in each Region: pure.

use std::collections::BTreeMap;

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::keep::{Why, after, whys};
use super::seen::{HeldImage, Seen, SeenPlace, SeenRelease, Uses};
use super::settings::PruneSettings;
use crate::aws::{AmiId, Region, SnapshotId};
use crate::publish::release::ReleaseId;

/// A deprecation that is farther ahead is not the one that is meant here.
const SOON: Duration = Duration::days(1);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Release by release.
    pub releases: Vec<Planned>,
}

/// What is to be done with a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The release.
    pub release: ReleaseId,
    /// Why it stays; none if it is to go.
    pub kept: Vec<Why>,
    /// What is to be done in the Regions.
    pub steps: BTreeMap<Region, Step>,
    /// What could not be seen of it, which keeps its AMIs from being deregistered.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen: BTreeMap<Region, String>,
    /// What the manifest is to say once that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

/// What is to be done in a Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Step {
    /// The AMI is hidden from those who look for one.
    Deprecate {
        /// The AMI.
        ami: AmiId,
    },
    /// The AMI ends.
    Deregister {
        /// The AMI.
        ami: AmiId,
        /// Whether its snapshots end with it.
        with_snapshots: bool,
    },
    /// Snapshots end that the AMI left.
    DeleteSnapshots {
        /// The snapshots.
        snapshots: Vec<SnapshotId>,
    },
    /// The AMI is deprecated, and ends later.
    Wait {
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
    /// The AMI is deprecated, and needed again.
    Restore {
        /// The AMI.
        ami: AmiId,
    },
}

impl Step {
    /// Whether it changes anything.
    pub fn is_work(&self) -> bool {
        !matches!(self, Step::Wait { .. })
    }

    /// Whether it takes something away for good.
    pub fn removes(&self) -> bool {
        matches!(self, Step::Deregister { .. } | Step::DeleteSnapshots { .. })
    }

    /// The AMI that is hidden or ends.
    fn retires(&self) -> Option<&AmiId> {
        match self {
            Step::Deprecate { ami } | Step::Deregister { ami, .. } => Some(ami),
            _ => None,
        }
    }
}

/// What a manifest is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// All AMIs are deprecated.
    Deprecated,
    /// Nothing is left.
    Deregistered,
    /// It is needed again.
    Restored,
}

impl Planned {
    /// Whether there is anything to do.
    pub fn has_work(&self) -> bool {
        self.mark.is_some() || self.steps.values().any(Step::is_work)
    }
}

impl Plan {
    /// Whether there is anything to do.
    pub fn has_work(&self) -> bool {
        self.releases.iter().any(Planned::has_work)
    }

    /// What could not be seen, which keeps AMIs from being deregistered: of which release, and why.
    pub fn unseen(&self) -> impl Iterator<Item = (&ReleaseId, &String)> {
        self.releases
            .iter()
            .flat_map(|planned| planned.unseen.values().map(|why| (&planned.release, why)))
    }

    /// The AMIs of which it is to be known who uses them before that is done.
    pub fn questions(&self) -> impl Iterator<Item = (&ReleaseId, &Region, &AmiId)> {
        self.releases.iter().flat_map(|planned| {
            let steps = planned.steps.iter();
            steps.filter_map(|(region, step)| Some((&planned.release, region, step.retires()?)))
        })
    }
}

/// How it is planned.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// `[prune]`.
    pub settings: &'a PruneSettings,
    /// Whether what could not be seen keeps nothing.
    pub despite_unseen: bool,
}

/// What is to be done. While it was not asked who uses an AMI, nobody does: such a plan only says
/// what is to be asked.
pub fn plan(seen: &Seen, terms: Terms<'_>, now: OffsetDateTime) -> Plan {
    let mut releases: Vec<Planned> = seen
        .releases
        .iter()
        .map(|release| plan_release(seen, release, terms, now))
        .collect();
    releases.sort_by(|one, other| one.release.cmp(&other.release));
    Plan { releases }
}

/// What is to be done with one release.
pub fn plan_release(
    seen: &Seen,
    release: &SeenRelease,
    terms: Terms<'_>,
    now: OffsetDateTime,
) -> Planned {
    let kept = whys(seen, release, terms.settings, now);
    let mut planned = Planned {
        release: release.id.clone(),
        kept,
        steps: BTreeMap::new(),
        unseen: BTreeMap::new(),
        mark: None,
    };
    if planned.kept.is_empty() {
        retire(release, terms, now, &mut planned);
    } else {
        restore(release, &mut planned);
    }
    planned
}

/// What `prune` deprecated before it came back into a channel is shown to everybody again. What a
/// person deprecated stays so.
fn restore(release: &SeenRelease, planned: &mut Planned) {
    let is_in_channel = |why: &Why| matches!(why, Why::InChannel { .. });
    let was_ours = release
        .retired
        .is_some_and(|retired| retired.deprecated.is_some());
    if !was_ours || !planned.kept.iter().any(is_in_channel) {
        return;
    }
    for (region, place) in &release.places {
        if let Some(HeldImage {
            id,
            deprecation: Some(_),
            ..
        }) = image(place)
        {
            let step = Step::Restore { ami: id.clone() };
            planned.steps.insert(region.clone(), step);
        }
    }
    planned.mark = Some(Mark::Restored);
}

fn retire(release: &SeenRelease, terms: Terms<'_>, now: OffsetDateTime, planned: &mut Planned) {
    for (region, place) in &release.places {
        let why = match place {
            SeenPlace::Unread(why) => why,
            SeenPlace::Held {
                uses: Uses::Unseen(why),
                ..
            } => why,
            SeenPlace::Held { .. } => continue,
        };
        planned.unseen.insert(region.clone(), why.clone());
    }
    let may_remove = planned.unseen.is_empty() || terms.despite_unseen;
    for (region, place) in &release.places {
        let step = step(place, terms, now).filter(|step| may_remove || !step.removes());
        if let Some(step) = step {
            planned.steps.insert(region.clone(), step);
        }
    }
    planned.mark = mark(release, &planned.steps);
}

fn step(place: &SeenPlace, terms: Terms<'_>, now: OffsetDateTime) -> Option<Step> {
    let SeenPlace::Held {
        image, snapshots, ..
    } = place
    else {
        return None;
    };
    let Some(image) = image else {
        let snapshots = snapshots.clone();
        return (!snapshots.is_empty()).then_some(Step::DeleteSnapshots { snapshots });
    };
    let ami = image.id.clone();
    let Some(since) = image.deprecation.filter(|at| *at <= now + SOON) else {
        return Some(Step::Deprecate { ami });
    };
    let until = after(since, terms.settings.deregister_after_days);
    Some(match until <= now {
        true => Step::Deregister {
            ami,
            with_snapshots: image.owns_snapshots,
        },
        false => Step::Wait { until },
    })
}

/// What the manifest is to say when the steps are done, if it does not yet.
fn mark(release: &SeenRelease, steps: &BTreeMap<Region, Step>) -> Option<Mark> {
    let retired = release.retired.unwrap_or_default();
    let is_gone = |(region, place): (&Region, &SeenPlace)| match place {
        SeenPlace::Unread(_) => false,
        SeenPlace::Held {
            image: None,
            snapshots,
            ..
        } if snapshots.is_empty() => true,
        SeenPlace::Held { .. } => steps.get(region).is_some_and(Step::removes),
    };
    let is_hidden = |(region, place): (&Region, &SeenPlace)| match place {
        SeenPlace::Unread(_) => false,
        SeenPlace::Held { image: None, .. } => true,
        SeenPlace::Held {
            image: Some(image), ..
        } => image.deprecation.is_some() || steps.contains_key(region),
    };
    if release.places.iter().all(is_gone) {
        return retired.deregistered.is_none().then_some(Mark::Deregistered);
    }
    let is_marked = retired.deprecated.is_some();
    (release.places.iter().all(is_hidden) && !is_marked).then_some(Mark::Deprecated)
}

fn image(place: &SeenPlace) -> Option<&HeldImage> {
    match place {
        SeenPlace::Held { image, .. } => image.as_ref(),
        SeenPlace::Unread(_) => None,
    }
}
