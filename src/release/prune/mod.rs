//! `prune`: releases that nobody needs any more are deprecated, and later deregistered.
//!
//! A release stays as long as anything here says so:
//!
//! - it is in a channel; it is one of the last few that were in one (`keep.releases`); it left one a
//!   short while ago (`keep.days`, or a customer's grace where that is longer);
//! - it was in no channel yet, and is not old (`unpromoted_days`);
//! - it is the newest of its profile and architecture; of each other version of these, the newest
//!   stays for a while after a channel had it last (`version_days`): versions are kept in parallel, but
//!   not for ever;
//! - somebody uses it: an instance, launch template, parameter or recipe of the publisher's own, or
//!   another account's instance or launch template, as AWS's usage reports say.
//!
//! What is to go is deprecated first, and deregistered with its snapshots `deregister_after_days`
//! later, if it still is to go. Where it could not be seen whether anybody uses a release, it is
//! deprecated at most. The manifest stays, marked: history is kept.
//!
//! | part | subject |
//! |---|---|
//! | [`settings`] | what the configuration says |
//! | [`seen`] | what there is, as it was found |
//! | [`keep`] | why a release stays |
//! | [`plan`] | what is to be done: pure |
//! | [`survey`](mod@survey), [`uses`] | looking: what there is, and who uses it |
//! | [`act`] | doing it, Region by Region |
//! | [`orphans`] | what dead runs left |
//! | [`text`], [`error`] | what people read |

pub mod act;
pub mod error;
pub mod keep;
pub mod orphans;
pub mod plan;
pub mod seen;
pub mod settings;
pub mod survey;
#[cfg(test)]
mod tests;
pub mod text;
pub mod uses;

use crate::aws::Aws;
use crate::channels::settings::ChannelSettings;
use crate::publish::complete::Publisher;
use crate::publish::progress::Progress;
use crate::share::customers::Customer;
use settings::PruneSettings;

/// Whose releases are pruned, and how.
pub struct Job<'a> {
    /// The publisher's configuration.
    pub publisher: &'a Publisher,
    /// The publisher's session.
    pub aws: &'a Aws,
    /// `[prune]`.
    pub settings: &'a PruneSettings,
    /// `[[channels]]`.
    pub channels: &'a [ChannelSettings],
    /// The customers; none where there is no file of them.
    pub customers: &'a [Customer],
    /// Whether releases are deregistered of which it could not be seen whether anybody uses them.
    pub despite_unseen: bool,
    /// Who is told what goes on.
    pub progress: &'a Progress,
}
