//! Builders: from a plan to an image in a folder.
//!
//! [`packages`] resolves and fetches, [`local`] assembles on this machine, [`workdir`] keeps what is
//! half-done apart from what is finished.

pub mod local;
pub mod packages;
pub mod workdir;
