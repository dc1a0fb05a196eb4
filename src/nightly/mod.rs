//! The unattended run: every image from lock to channel, and the report of it.

pub mod report;
