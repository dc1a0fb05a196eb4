//! Everything that the sandbox remembers.

use std::sync::Arc;

use super::caller::AccessKey;
use super::clock::Clock;
use super::ec2::Ec2State;
use super::iam::IamState;
use super::id::AccountId;
use super::kms::KmsState;
use super::organizations::OrganizationsState;
use super::s3::S3State;
use super::shelf::{AnyShelf, Shelf};
use super::tag::Tags;
use super::token::Tokens;
use serde::{Deserialize, Serialize};

/// An account of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name, as `sandbox env --account` takes it.
    pub name: String,
}

/// What is to be done outside the world once a change to it is kept.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Work on the blocks of snapshots and volumes.
    Blocks(super::blocks::Job),
    /// Work on virtual machines.
    Machine(super::machines::Order),
}

/// The state of every service, and effects of the changes under way.
#[derive(Debug, Clone)]
pub struct World {
    /// The sandbox's time, for what depends on it and is asked without a call's context.
    pub clock: Arc<Clock>,
    /// Accounts by id.
    pub accounts: Shelf<Account>,
    /// Credentials by access key id.
    pub access_keys: Shelf<AccessKey>,
    /// Client tokens.
    pub tokens: Tokens,
    /// Tags of EC2's resources.
    pub tags: Tags,
    /// EC2 and its snapshots and volumes.
    pub ec2: Ec2State,
    /// KMS.
    pub kms: KmsState,
    /// S3.
    pub s3: S3State,
    /// Organizations.
    pub organizations: OrganizationsState,
    /// Identity policies of roles.
    pub iam: IamState,
    /// To be done once the change under way is kept.
    pub effects: Vec<Effect>,
}

impl World {
    /// A world with nothing in it.
    pub fn new() -> World {
        World {
            clock: Arc::new(Clock::new(1.0)),
            accounts: Shelf::new("account"),
            access_keys: Shelf::new("access-key"),
            tokens: Tokens::default(),
            tags: Tags::default(),
            ec2: Ec2State::default(),
            kms: KmsState::default(),
            s3: S3State::default(),
            organizations: OrganizationsState::default(),
            iam: IamState::default(),
            effects: Vec::new(),
        }
    }

    /// Every shelf, for the store.
    pub fn shelves(&mut self) -> Vec<&mut dyn AnyShelf> {
        let mut shelves: Vec<&mut dyn AnyShelf> = vec![
            &mut self.accounts,
            &mut self.access_keys,
            &mut self.tokens.0,
            &mut self.tags.0,
        ];
        shelves.extend(self.ec2.shelves());
        shelves.extend(self.kms.shelves());
        shelves.extend(self.s3.shelves());
        shelves.extend(self.organizations.shelves());
        shelves.extend(self.iam.shelves());
        shelves
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}
