//! A local AWS: a real HTTP endpoint, real disk blocks, real virtual machines, several accounts.
//!
//! It enforces what AWS enforces, so that whatever passes here has met AWS's rules, and it can be
//! told to misbehave. A call goes this way:
//!
//! ```text
//! server → sigv4 (who) → faults, limits → service → world (one transaction) → effects
//! ```
//!
//! | part | subject |
//! |---|---|
//! | [`server`], [`http`], [`service`], [`wire`], [`error`] | HTTP, AWS's protocols, which service a request is for |
//! | [`sigv4`], [`caller`], [`id`] | signatures, principals, accounts and Regions |
//! | [`context`], [`shared`], [`world`], [`shelf`], [`store`] | a call under way, and what is remembered |
//! | [`clock`], [`limits`], [`faults`], [`calls`], [`control`] | time, quotas and rates, mishaps on request, the record of calls, and how all that is set |
//! | [`token`], [`tag`] | client tokens and tags |
//! | [`ec2`], [`ebs`], [`kms`], [`s3`], [`sts`], [`organizations`] | the services |
//! | [`iam`] | identity policies of roles |
//! | [`policy`] | policy documents, for keys, buckets and roles |
//! | [`blocks`], [`machines`] | data of snapshots and volumes; virtual machines |

pub mod blocks;
pub mod caller;
pub mod calls;
pub mod clock;
pub mod context;
pub mod control;
pub mod ebs;
pub mod ec2;
pub mod error;
pub mod faults;
pub mod http;
pub mod iam;
pub mod id;
pub mod kms;
pub mod limits;
pub mod machines;
pub mod organizations;
pub mod policy;
pub mod s3;
pub mod server;
pub mod service;
pub mod shared;
pub mod shelf;
pub mod sigv4;
pub mod store;
pub mod sts;
pub mod tag;
#[cfg(test)]
pub(crate) mod testing;
pub mod token;
pub mod wire;
pub mod world;

pub use server::{Sandbox, SandboxConfig, SandboxError};
