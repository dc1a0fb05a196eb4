//! Sharing: what customers get, and how AWS comes to hold it.
//!
//! ```text
//! customers.toml + channels → desired ┐
//! launch and volume permissions, key policies, grants → present ┴→ plan → apply
//! ```
//!
//! | part | subject |
//! |---|---|
//! | [`settings`], [`customers`] | `[share]`; `customers.toml`: who gets what, read and checked |
//! | [`desired`], [`present`] | what AWS is to hold, and what it holds |
//! | [`policy`] | our statements in keys' policies |
//! | [`owners`] | whose an account is: what the file says, and what it said |
//! | [`plan`] | what is to be changed, and how it is told |
//! | [`mod@survey`], [`mod@apply`], [`error`] | looking it up, doing it, what can go wrong |

pub mod apply;
pub mod customers;
pub mod desired;
pub mod error;
pub mod owners;
pub mod plan;
pub mod policy;
pub mod present;
pub mod settings;
pub mod survey;
