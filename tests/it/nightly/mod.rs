//! `nightly`: everything, unattended.

mod bad_input;
mod kill;
mod life;
mod machine;
mod node;
mod policy;
pub mod town;
