//! `[prune]`, and `keep` of `[[channels]]`, in `alpine-ami.toml`.

use serde::Deserialize;

/// How long a channel keeps what was in it.
///
/// ```toml
/// [[channels]]
/// name = "stable"
/// keep = { releases = 5, days = 30 }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// How many releases of a profile and architecture stay, of those that were in the channel, the
    /// one that is in it now among them.
    pub releases: u32,
    /// Days for which a release stays that has left the channel.
    pub days: u32,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep {
            releases: 5,
            days: 30,
        }
    }
}

/// How releases end.
///
/// ```toml
/// [prune]
/// deregister_after_days = 30
/// unpromoted_days = 30
/// version_days = 180
/// report_minutes = 15
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PruneSettings {
    /// Days from the deprecation of a release to the end of its AMIs.
    pub deregister_after_days: u32,
    /// Days for which a release stays that was never in a channel.
    pub unpromoted_days: u32,
    /// Days for which the newest release of a version stays after a channel had it last, if another
    /// version of the profile has newer ones.
    pub version_days: u32,
    /// Minutes for which AWS's usage reports are waited for. Those that take longer are read by the
    /// next run, if that comes within the hour.
    pub report_minutes: u32,
}

impl Default for PruneSettings {
    fn default() -> PruneSettings {
        PruneSettings {
            deregister_after_days: 30,
            unpromoted_days: 30,
            version_days: 180,
            report_minutes: 15,
        }
    }
}
