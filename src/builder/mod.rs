//! Builders: from a plan to an image, on this machine or on a build instance.
//!
//! | part | subject |
//! |---|---|
//! | [`packages`] | what a plan's packages are, and their files |
//! | [`gather`] | the files of a lock's packages |
//! | [`local`] | assembling on this machine |
//! | [`draft`] | what a job is made of, before anything is anywhere |
//! | [`job`] | what a build instance is told, and what it answers |
//! | [`worker`] | doing a job: the same assembling, onto an attached disk |
//! | [`ec2`] | build instances |

pub mod draft;
pub mod ec2;
pub mod gather;
pub mod job;
pub mod local;
pub mod packages;
pub mod worker;
