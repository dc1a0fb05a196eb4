//! `nightly`: everything, unattended.

mod bad_input;
mod kill;
mod life;
mod machine;
mod policy;
pub mod town;
