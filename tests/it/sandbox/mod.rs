//! The sandbox as AWS's clients see it: over HTTP, with signatures made by another implementation.

mod bad_input;
pub mod cli;
pub mod client;
mod coldsnap;
mod faults;
mod guest;
pub mod instances;
mod keys;
pub mod life;
mod moto;
pub mod place;
mod process;
mod restart;
mod rules;
mod signatures;
mod size;
pub mod things;
pub mod tree;
