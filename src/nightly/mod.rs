//! The unattended run: every image from its packages to the first channel, and the report of it.
//!
//! ```text
//! for each profile and architecture, side by side:  lock → unchanged? → build → test → publish
//! then, once:                                       share → promote each → prune → report
//! ```
//!
//! An image that fails does not stop the others. Every step finds what an earlier run left, so that a
//! run that died is finished by the next one, and nothing is made twice: what has the same bytes is
//! the same release. A release comes into the channel only when it is in every Region and its image
//! has passed its test.
//!
//! A night takes the newest packages, whatever is in the folder of locks, and writes nothing there: it
//! locks them for itself, decides by what that comes to, and builds of exactly that. The lock lies
//! beside the image, and its digest is in the manifest, with the dates of the indexes: the next night
//! refuses older ones.
//!
//! | part | subject |
//! |---|---|
//! | [`settings`] | `[nightly]` in `alpine-ami.toml`, with the command line |
//! | [`run`](mod@run) | the order of a run |
//! | `decide`, `standing` | what is to be done for an image; how a release stands to the channel |
//! | `image`, `ledger` | one image's way; how each step of it went |
//! | `builders`, `trial`, `changes` | building it, booting it, what is new in it |
//! | `after` | sharing, promoting, pruning |
//! | [`report`] | what is told of it: text, JSON, JUnit, Markdown |

mod after;
mod builders;
mod changes;
mod decide;
pub mod error;
mod image;
mod ledger;
pub mod report;
pub mod run;
pub mod settings;
mod standing;
mod trial;
