//! What a customer, or the publisher, can launch.
//!
//! A customer has a login and this program. Of the publisher's AMIs it sees what DescribeImages shows:
//! names and descriptions, no tags. What the names say is checked before it is printed, and whose an
//! AMI is, only its owner says: names can be anybody's.
//!
//! | part | subject |
//! |---|---|
//! | [`settings`] | `[list]` in `alpine-ami.toml` |
//! | [`ask`] | the session, the Regions, the AMIs in them |
//! | [`rows`] | an AMI a row: what its name says, whether it is the newest |
//! | [`filter`] | which rows are asked for, and the one that a script needs |
//! | [`catalog`] | the publisher's channels, in a bucket or on a web server |
//! | [`format`](mod@format) | tables, JSON, CSV, CloudFormation, Terraform |
//! | [`setup`] | what the customer's account still needs: grants and a policy |
//! | [`check`] | whether it works |
//! | [`error`] | what can go wrong |

pub mod ask;
pub mod catalog;
pub mod check;
pub mod error;
pub mod filter;
pub mod format;
pub mod rows;
pub mod settings;
pub mod setup;
#[cfg(test)]
pub(crate) mod testing;

pub use ask::{Listing, Question};
pub use error::ListError;
pub use filter::Filter;
pub use rows::Row;
