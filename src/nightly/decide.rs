//! What is to be done for an image: decided from what it would be made of tonight, and from what
//! the bucket says of its line.
//!
//! An image is the same as a release's if plan, packages, the boot loader's packages and the program
//! are. The program counts because what it does with them may have changed: a new version builds
//! once more, and where the bytes come out the same, so does the release.

use std::collections::BTreeSet;

use super::standing::Standing;
use crate::aws::Region;
use crate::builder::packages::of_checksums;
use crate::image::manifest::Manifest as ImageManifest;
use crate::publish::manifest::{ReleaseManifest, Source, State};
use crate::publish::release::ReleaseId;

/// What an image is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipe {
    /// Digest of the plan: profile, overlays, keys.
    pub plan: String,
    /// Digest of the packages.
    pub packages: String,
    /// Digest of the boot loader's packages.
    pub boot_packages: String,
    /// Name and version of the program.
    pub tool: String,
}

impl Recipe {
    /// What an image says it is made of.
    pub(super) fn of(image: &ImageManifest) -> Recipe {
        let boot = image.boot_packages.iter();
        Recipe {
            plan: image.plan_digest.clone(),
            packages: image.packages_digest.clone(),
            boot_packages: of_checksums(boot.map(|package| package.checksum.clone())),
            tool: image.tool.clone(),
        }
    }

    /// What of it is not as it was.
    fn changes_since(&self, before: &Recipe) -> Vec<&'static str> {
        let parts = [
            ("profile", self.plan != before.plan),
            ("packages", self.packages != before.packages),
            ("boot loader", self.boot_packages != before.boot_packages),
            ("program", self.tool != before.tool),
        ];
        let changed = parts.into_iter().filter(|(_, differs)| *differs);
        changed.map(|(name, _)| name).collect()
    }
}

/// A release of the line, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The release.
    pub release: ReleaseId,
    /// What it is made of; nothing of a bare snapshot or AMI.
    pub recipe: Option<Recipe>,
    /// Whether it is everywhere where it is to be, and said to be.
    pub is_whole: bool,
    /// Whether it has an AMI in its home Region, which all others can be copied from.
    pub is_rooted: bool,
    /// How it stands to the channel. What was there was tested.
    pub standing: Standing,
    /// Whether it may come into the channel as it is.
    pub is_proven: bool,
    /// Whether it was withdrawn: nobody is to use it any more.
    pub is_withdrawn: bool,
}

impl Seen {
    /// Of a manifest; `regions` are those that releases are to be in.
    pub(super) fn new(
        manifest: &ReleaseManifest,
        regions: &BTreeSet<Region>,
        standing: Standing,
    ) -> Seen {
        let has_ami = |region: &Region| {
            let place = manifest.regions.get(region);
            place.is_some_and(|place| place.ami.is_some())
        };
        Seen {
            release: manifest.release.clone(),
            recipe: manifest.image.as_ref().map(Recipe::of),
            is_whole: manifest.state == State::Published && regions.iter().all(has_ami),
            is_rooted: has_ami(&manifest.home),
            standing,
            is_proven: is_proven(manifest),
            is_withdrawn: manifest.withdrawn.is_some(),
        }
    }
}

/// Whether a release needs no more test before it comes into a channel: it says that its image has
/// passed one, or nothing here could test it, because the image is in a snapshot.
fn is_proven(manifest: &ReleaseManifest) -> bool {
    let has_passed = manifest.tested.as_ref().is_some_and(|tested| tested.passed);
    has_passed || !matches!(manifest.source, Source::Image { .. })
}

/// What is to be done for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing: this release is it.
    Unchanged(ReleaseId),
    /// This release is it, and an earlier run did not finish it, or it is in the channel no more because
    /// the packages were other ones meanwhile: publish it again, and promote it.
    Finish(ReleaseId),
    /// Everything. An image of the same bytes becomes the same release.
    Build(Why),
}

/// Why an image is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// It was asked for.
    Forced,
    /// There is no release of the line.
    First,
    /// The newest release is made of something else.
    Changed(ReleaseId, Vec<&'static str>),
    /// The release was not finished, and what is there of it does not do.
    Unfinished(ReleaseId),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Forced => f.write_str("asked for"),
            Why::First => f.write_str("the first of its line"),
            Why::Changed(before, what) if what.is_empty() => {
                write!(f, "nothing is known of what is in {before}")
            }
            Why::Changed(before, what) => write!(f, "new since {before}: {}", what.join(", ")),
            Why::Unfinished(release) => write!(f, "{release} was begun and not finished"),
        }
    }
}

/// Decides. `seen` are the newest releases of the line, newest first, down to the newest that is
/// published, and the one that is in the channel.
pub(super) fn decide(recipe: &Recipe, seen: &[Seen], force: bool) -> Decision {
    if force {
        return Decision::Build(Why::Forced);
    }
    let same = seen
        .iter()
        .find(|release| release.recipe.as_ref() == Some(recipe));
    let Some(same) = same else {
        return Decision::Build(match seen.first() {
            None => Why::First,
            Some(newest) => {
                let before = newest.recipe.as_ref();
                let what = before.map(|before| recipe.changes_since(before));
                Why::Changed(newest.release.clone(), what.unwrap_or_default())
            }
        });
    };
    let release = same.release.clone();
    match same {
        Seen {
            is_withdrawn: true, ..
        }
        | Seen {
            is_whole: true,
            standing: Standing::There | Standing::TakenOut,
            ..
        } => Decision::Unchanged(release),
        // What has no AMI that could be copied needs the image, or another snapshot.
        Seen {
            is_rooted: false, ..
        } => Decision::Build(Why::Unfinished(release)),
        Seen {
            standing: Standing::New,
            is_proven: false,
            ..
        } => Decision::Build(Why::Unfinished(release)),
        _ => Decision::Finish(release),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(packages: &str) -> Recipe {
        Recipe {
            plan: "plan".to_owned(),
            packages: packages.to_owned(),
            boot_packages: "boot".to_owned(),
            tool: "alpine-ami 1".to_owned(),
        }
    }

    fn id(day: u32) -> ReleaseId {
        format!("base-3.15-x86_64-{day}.1").parse().expect("an id")
    }

    /// A release of those packages that went all the way.
    fn done(day: u32, packages: &str) -> Seen {
        Seen {
            release: id(day),
            recipe: Some(recipe(packages)),
            is_whole: true,
            is_rooted: true,
            standing: Standing::There,
            is_proven: false,
            is_withdrawn: false,
        }
    }

    /// One whose run died when the AMI was in the home Region.
    fn dead(day: u32, packages: &str) -> Seen {
        Seen {
            is_whole: false,
            standing: Standing::New,
            ..done(day, packages)
        }
    }

    #[test]
    fn what_is_known_says_what_is_to_be_done() {
        use Decision::{Build, Finish, Unchanged};
        const FIRST: u32 = 20_260_131;
        const NEXT: u32 = 20_260_201;
        let changed = |what| Build(Why::Changed(id(FIRST), what));
        let not_promoted = Seen {
            standing: Standing::New,
            ..done(FIRST, "a")
        };
        let new_region = Seen {
            is_whole: false,
            ..done(FIRST, "a")
        };
        let proven = |seen: Seen| Seen {
            is_proven: true,
            ..seen
        };
        let uploading = Seen {
            is_rooted: false,
            ..proven(dead(FIRST, "a"))
        };
        let bare = Seen {
            recipe: None,
            ..done(FIRST, "a")
        };
        let stood = |standing, packages| Seen {
            standing,
            ..done(FIRST, packages)
        };
        let table: [(&str, Vec<Seen>, Decision); 15] = [
            ("nothing is there", vec![], Build(Why::First)),
            ("all is there", vec![done(FIRST, "a")], Unchanged(id(FIRST))),
            (
                "other packages",
                vec![done(FIRST, "b")],
                changed(vec!["packages"]),
            ),
            ("a bare snapshot", vec![bare], changed(vec![])),
            (
                "not promoted, not known to be tested",
                vec![not_promoted.clone()],
                Build(Why::Unfinished(id(FIRST))),
            ),
            (
                "not promoted, proven",
                vec![proven(not_promoted)],
                Finish(id(FIRST)),
            ),
            ("one more Region", vec![new_region], Finish(id(FIRST))),
            (
                "died while it copied",
                vec![proven(dead(FIRST, "a"))],
                Finish(id(FIRST)),
            ),
            (
                "died while it copied, not known to be tested",
                vec![dead(FIRST, "a")],
                Build(Why::Unfinished(id(FIRST))),
            ),
            (
                "died while it sent",
                vec![uploading],
                Build(Why::Unfinished(id(FIRST))),
            ),
            (
                "died with other packages, and they are gone again",
                vec![dead(NEXT, "b"), done(FIRST, "a")],
                Unchanged(id(FIRST)),
            ),
            (
                "packages went back to what the channel holds",
                vec![done(NEXT, "b"), done(FIRST, "a")],
                Unchanged(id(FIRST)),
            ),
            (
                "a night replaced it",
                vec![stood(Standing::Replaced, "a")],
                Finish(id(FIRST)),
            ),
            (
                "somebody took it out",
                vec![stood(Standing::TakenOut, "a")],
                Unchanged(id(FIRST)),
            ),
            (
                "died with other packages",
                vec![dead(FIRST, "b"), done(20_260_130, "c")],
                changed(vec!["packages"]),
            ),
        ];
        for (case, seen, expected) in table {
            assert_eq!(decide(&recipe("a"), &seen, false), expected, "{case}");
            let forced = decide(&recipe("a"), &seen, true);
            assert_eq!(forced, Build(Why::Forced), "{case}");
        }
    }

    #[test]
    fn each_part_of_an_image_counts() {
        let seen = [done(20_260_131, "a")];
        type Changing = fn(&mut Recipe);
        let changes: [(Changing, &str); 4] = [
            (|recipe| recipe.plan.clear(), "profile"),
            (|recipe| recipe.packages.clear(), "packages"),
            (|recipe| recipe.boot_packages.clear(), "boot loader"),
            (|recipe| recipe.tool.clear(), "program"),
        ];
        for (change, name) in changes {
            let mut recipe = recipe("a");
            change(&mut recipe);
            let Decision::Build(why) = decide(&recipe, &seen, false) else {
                panic!("{name} does not count");
            };
            assert_eq!(
                why.to_string(),
                format!("new since base-3.15-x86_64-20260131.1: {name}")
            );
        }
    }
}
