//! AWS: sessions, a client per service and Region, one retry, waits, tags, tokens.
//!
//! Types of the SDK stay in here: what leaves is the typed result of a call, or an [`AwsError`]
//! that names the action, the resource, the Region and the account.
//!
//! | part | subject |
//! |---|---|
//! | [`names`] | Regions, accounts, ids of resources, ARNs of keys: parsed once, at the edge |
//! | [`session`] | credentials, roles, refreshing; where clients come from |
//! | [`error`], [`retry`], [`wait`] | what went wrong, whether to try again, and waiting for a state |
//! | [`tags`], [`token`] | what every resource is tagged with; client tokens |
//! | [`probe`] | calls that make nothing, to see what a session may do |
//! | [`ec2`], [`ebs`], [`kms`], [`s3`], [`sts`] | the calls that this program makes |

pub mod ebs;
pub mod ec2;
pub mod error;
pub mod kms;
pub mod names;
pub mod probe;
pub mod retry;
pub mod s3;
pub mod session;
pub mod settings;
pub mod sts;
pub mod tags;
#[cfg(test)]
pub(crate) mod testing;
pub mod token;
pub mod wait;

pub use error::{AwsError, Kind};
pub use names::{
    AccountId, AmiId, InstanceId, KeyArn, OrganizationArn, Place, Region, RoleArn, SnapshotId,
    SubnetId, UnitArn, VolumeId,
};
pub use session::Aws;
