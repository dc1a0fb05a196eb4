//! Builders: from a plan to an image in a folder.
//!
//! [`packages`] resolves and fetches, [`local`] assembles on this machine.

pub mod local;
pub mod packages;
