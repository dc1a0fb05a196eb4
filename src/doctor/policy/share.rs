//! What `share` needs and no other command.
//!
//! Whoever may put a key's policy may give that key to anybody, oneself too: no condition takes that
//! back. What is said here keeps a run to its own AMIs, Regions, keys and objects.

use super::{Scope, Statement, allow};

/// Who may launch AMIs and copy snapshots: read, and changed.
pub(super) const ATTRIBUTES: [&str; 4] = [
    "ec2:DescribeImageAttribute",
    "ec2:DescribeSnapshotAttribute",
    "ec2:ModifyImageAttribute",
    "ec2:ModifySnapshotAttribute",
];

/// What comes into a channel again is not to be hidden.
pub(super) const SHOW: [&str; 1] = ["ec2:DisableImageDeprecation"];

/// Who may use keys: read, and changed.
pub(super) const KEYS: [&str; 5] = [
    "kms:CreateGrant",
    "kms:GetKeyPolicy",
    "kms:ListGrants",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
];

impl Scope<'_> {
    /// With `publish`, they stand among what it does with keys.
    pub(super) fn share_keys(&self) -> Statement {
        allow("ShareKeys", &KEYS, self.key_arns(self.regions))
    }
}
