//! A release's life after it is published: into channels, back out of them, verified, retired.
//!
//! | part | subject |
//! |---|---|
//! | [`desk`] | what all of this is done with: bucket, channels, key, customers, the lease |
//! | [`gate`] | whether a release may come into a channel |
//! | [`promote`](mod@promote), [`rollback`](mod@rollback) | into a channel; back to what was there before |
//! | `images` | its AMIs: whether they can be launched, and found |
//! | [`access`] | customers' access, given before a pointer is moved and taken after |
//! | [`withdraw`] | nobody is to use a release any more |
//! | [`catalog`], [`page`] | what customers read besides the channels themselves |
//! | [`prune`] | what nobody needs any more goes |
//! | [`verify`](mod@verify) | whether an AMI is what the publisher signed |
//! | [`error`] | why nothing was moved |

pub mod access;
pub mod catalog;
pub mod desk;
pub mod error;
pub mod gate;
mod images;
pub mod page;
pub mod promote;
pub mod prune;
pub mod rollback;
pub mod verify;
pub mod withdraw;
