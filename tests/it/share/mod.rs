//! Sharing as its users do it: customers, channels, access.

mod bad_input;
mod catalog;
mod edit;
mod kill;
mod life;
mod policy;
pub mod street;
