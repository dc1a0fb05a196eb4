//! Building on EC2: a machine of its own assembles the image onto an encrypted disk of its own.
//!
//! [`user_data`] is the script that a build instance runs.

pub mod user_data;
