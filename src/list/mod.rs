//! What a customer, or the publisher, can launch.
//!
//! | part | subject |
//! |---|---|
//! | [`settings`] | `[list]` in `alpine-ami.toml` |

pub mod settings;
