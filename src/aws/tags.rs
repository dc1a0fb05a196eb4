//! What every resource is tagged with in the call that creates it.
//!
//! Tags are seen by the account alone, not by those an AMI is shared with.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The release that a resource belongs to.
pub const RELEASE: &str = "alpine-ami:release";
/// The run that made it.
pub const RUN: &str = "alpine-ami:run";
/// When it may be swept if no release holds it.
pub const END_OF_LIFE: &str = "alpine-ami:end-of-life";
/// SHA-256 of the image's bytes, or the snapshot or AMI that it came from.
pub const SOURCE: &str = "alpine-ami:source";
/// The build that made an instance, its volumes and their snapshots, and that alone ends them.
pub const BUILD: &str = "alpine-ami:build";
/// SHA-256 of the job that a build instance does.
pub const JOB: &str = "alpine-ami:job";
/// What the console shows.
pub const NAME: &str = "Name";

/// Tags of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    /// Tags of what belongs to a release.
    pub fn of_release(release: &str, run: &str, source: &str, end_of_life: OffsetDateTime) -> Tags {
        let end = moment(end_of_life);
        let tags = [
            (NAME, release),
            (RELEASE, release),
            (RUN, run),
            (SOURCE, source),
            (END_OF_LIFE, &end),
        ];
        Tags(
            tags.map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        )
    }

    /// Tags of what is made for a build on an instance, which is of no release yet.
    pub fn of_build(build: &str, run: &str, end_of_life: OffsetDateTime) -> Tags {
        let end = moment(end_of_life);
        let name = format!("build {build}");
        let tags = [
            (NAME, name.as_str()),
            (BUILD, build),
            (RUN, run),
            (END_OF_LIFE, &end),
        ];
        Tags(
            tags.map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        )
    }

    /// A tag's value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// A time as tags say it, to the second.
pub fn moment(time: OffsetDateTime) -> String {
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339)
        .expect("a time within the years that RFC 3339 can write")
}
