//! Sharing: what customers get, and how AWS comes to hold it.
//!
//! | part | subject |
//! |---|---|
//! | [`customers`] | `customers.toml`: who gets what, read and checked |
//! | [`settings`] | `[share]` in `alpine-ami.toml` |

pub mod customers;
pub mod settings;
