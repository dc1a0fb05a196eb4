//! `nightly`: everything, unattended.

mod bad_input;
mod kill;
mod life;
mod machine;
mod month;
mod node;
mod policy;
pub mod town;
