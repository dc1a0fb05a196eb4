//! Releases end as their publisher does it: planned, done, in use, killed.

pub mod cellar;
mod kill;
mod life;
mod orphans;
mod policy;
