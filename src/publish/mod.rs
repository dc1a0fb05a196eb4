//! From an image to a release: an encrypted snapshot, an AMI in every Region, a manifest.
//!
//! The order of a run, each step of which finds what an earlier run left and goes on from there:
//!
//! ```text
//! preflight (bucket, Regions, keys, names) → lease → claim (manifest) → upload → register
//!   → copy, all Regions at once → manifest → verify
//! ```
//!
//! | part | subject |
//! |---|---|
//! | [`run`], [`outcome`], [`error`] | the order of the steps, what they come to, why they do not |
//! | [`settings`], [`complete`] | `[publish]` in `alpine-ami.toml`, as written and complete |
//! | [`subject`], `preflight`, `draft` | what is published, and what is decided before anything is made |
//! | [`release`], [`description`], [`manifest`], `book` | ids and names; what a release is and where; keeping that written |
//! | [`bucket`], [`claim`], [`lease`], [`holder`] | where manifests lie; one id for a source, one writer for a line |
//! | [`keys`] | the key of each Region, checked |
//! | [`upload`], `home` | a snapshot of an image's blocks; the home Region |
//! | [`regions`], `verify`, `files` | AMIs: register, copy, wait; reading back; the list of files |
//! | [`reader`] | what `diff` reads |
//! | [`progress`] | what a run tells while it goes on |

mod book;
pub mod bucket;
pub mod claim;
pub mod complete;
pub mod description;
mod draft;
pub mod error;
mod files;
pub mod holder;
mod home;
pub mod keys;
pub mod lease;
pub mod manifest;
pub mod outcome;
pub mod papers;
mod preflight;
pub mod progress;
pub mod provenance;
pub mod reader;
pub mod regions;
pub mod release;
pub mod run;
pub mod settings;
pub mod subject;
pub mod upload;
mod verify;

pub use error::PublishError;
