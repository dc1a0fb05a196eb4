//! Build instances: an image assembled in EC2, onto an encrypted volume that becomes a snapshot.
//!
//! | part | subject |
//! |---|---|
//! | [`settings`] | `[build]` in `alpine-ami.toml` |
//! | [`site`], [`program`] | what instances need, looked at before anything is made; the worker's file |
//! | [`run`], `sweep` | one image, from its lease to its snapshot; what there is of it, and its end |
//! | [`shelf`], [`stage`] | what lies in the bucket; the job of an instance |
//! | [`user_data`] | the script that fetches and runs it |
//! | [`launch`], [`follow`], [`finish`] | an instance, its words and its result, the snapshot of its volume |
//! | [`error`] | why a build failed |
//!
//! Publisher's bucket, keys and leases are those of [`crate::publish`].

pub mod error;
pub mod finish;
pub mod follow;
pub mod launch;
pub mod program;
pub mod run;
pub mod settings;
pub mod shelf;
pub mod site;
pub mod stage;
mod sweep;
pub mod user_data;

pub use error::InstanceBuildError;
