//! A release's life after it is published.
//!
//! | part | subject |
//! |---|---|
//! | [`prune`] | what nobody needs any more goes |

pub mod prune;
