//! The sandbox as AWS's clients see it: over HTTP, with signatures made by another implementation.

mod bad_input;
mod cli;
mod client;
mod coldsnap;
mod faults;
mod guest;
mod keys;
mod life;
mod moto;
mod place;
mod restart;
mod rules;
mod signatures;
mod size;
mod things;
mod tree;
