//! Key pairs for SSH.

use serde::{Deserialize, Serialize};

use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::world::World;

/// A key pair, of which the sandbox keeps the public half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// `key-…`.
    pub id: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Where it is.
    pub region: Region,
    /// Unique among the owner's in the Region.
    pub name: String,
    /// `rsa` or `ed25519`.
    pub kind: String,
    /// As EC2 gives it: of an RSA key MD5 or SHA-1 in hexadecimal, of an ED25519 key SHA-256 in
    /// Base64.
    pub fingerprint: String,
    /// `ssh-ed25519 AAAA… name`.
    pub public_key_openssh: String,
    /// When it was made.
    pub created: Timestamp,
}

/// A key pair of an account by its name.
///
/// # Errors
/// `InvalidKeyPair.NotFound`.
pub fn key_pair(
    world: &World,
    account: &AccountId,
    region: &Region,
    name: &str,
) -> Result<KeyPair, ServiceError> {
    world
        .ec2
        .network
        .keys
        .values()
        .find(|key| key.owner == *account && key.region == *region && key.name == name)
        .cloned()
        .ok_or_else(|| {
            ServiceError::new(
                "InvalidKeyPair.NotFound",
                format!("The key pair '{name}' does not exist"),
            )
        })
}
