//! The actions that a bucket's policy may name.

use crate::sandbox::wire::filter::matches;

/// Actions of buckets and objects, without `s3:` ("Actions, resources, and condition keys for Amazon
/// S3", service authorization reference).
const KNOWN: &[&str] = &[
    "AbortMultipartUpload",
    "BypassGovernanceRetention",
    "CreateBucket",
    "DeleteBucket",
    "DeleteBucketPolicy",
    "DeleteBucketWebsite",
    "DeleteObject",
    "DeleteObjectTagging",
    "DeleteObjectVersion",
    "DeleteObjectVersionTagging",
    "GetAccelerateConfiguration",
    "GetAnalyticsConfiguration",
    "GetBucketAcl",
    "GetBucketCORS",
    "GetBucketLocation",
    "GetBucketLogging",
    "GetBucketNotification",
    "GetBucketObjectLockConfiguration",
    "GetBucketOwnershipControls",
    "GetBucketPolicy",
    "GetBucketPolicyStatus",
    "GetBucketPublicAccessBlock",
    "GetBucketRequestPayment",
    "GetBucketTagging",
    "GetBucketVersioning",
    "GetBucketWebsite",
    "GetEncryptionConfiguration",
    "GetIntelligentTieringConfiguration",
    "GetInventoryConfiguration",
    "GetLifecycleConfiguration",
    "GetMetricsConfiguration",
    "GetObject",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectLegalHold",
    "GetObjectRetention",
    "GetObjectTagging",
    "GetObjectTorrent",
    "GetObjectVersion",
    "GetObjectVersionAcl",
    "GetObjectVersionAttributes",
    "GetObjectVersionForReplication",
    "GetObjectVersionTagging",
    "GetObjectVersionTorrent",
    "GetReplicationConfiguration",
    "InitiateReplication",
    "ListBucket",
    "ListBucketMultipartUploads",
    "ListBucketVersions",
    "ListMultipartUploadParts",
    "ObjectOwnerOverrideToBucketOwner",
    "PutAccelerateConfiguration",
    "PutAnalyticsConfiguration",
    "PutBucketAcl",
    "PutBucketCORS",
    "PutBucketLogging",
    "PutBucketNotification",
    "PutBucketObjectLockConfiguration",
    "PutBucketOwnershipControls",
    "PutBucketPolicy",
    "PutBucketPublicAccessBlock",
    "PutBucketRequestPayment",
    "PutBucketTagging",
    "PutBucketVersioning",
    "PutBucketWebsite",
    "PutEncryptionConfiguration",
    "PutIntelligentTieringConfiguration",
    "PutInventoryConfiguration",
    "PutLifecycleConfiguration",
    "PutMetricsConfiguration",
    "PutObject",
    "PutObjectAcl",
    "PutObjectLegalHold",
    "PutObjectRetention",
    "PutObjectTagging",
    "PutObjectVersionAcl",
    "PutObjectVersionTagging",
    "PutReplicationConfiguration",
    "ReplicateDelete",
    "ReplicateObject",
    "ReplicateTags",
    "RestoreObject",
];

/// Whether an action, as a policy writes it, is of S3 or means some of S3's.
pub(super) fn is_known(pattern: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    pattern == "*"
        || pattern.strip_prefix("s3:").is_some_and(|pattern| {
            KNOWN
                .iter()
                .any(|known| matches(pattern, &known.to_ascii_lowercase()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_policies_name() {
        for (pattern, expected) in [
            ("s3:GetObject", true),
            ("S3:getobject", true),
            ("s3:Get*", true),
            ("s3:*", true),
            ("*", true),
            ("s3:GetObjcet", false),
            ("s3:FlyToMoon", false),
            ("s3:Fly*", false),
            ("ec2:*", false),
            ("GetObject", false),
        ] {
            assert_eq!(is_known(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn what_the_sandbox_asks_for_can_be_named() {
        let sources = concat!(
            include_str!("access.rs"),
            include_str!("policies.rs"),
            include_str!("put.rs"),
            include_str!("get.rs"),
            include_str!("list.rs"),
            include_str!("multipart.rs"),
        );
        let mut asked: Vec<&str> = sources
            .split("\"s3:")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|name| name.starts_with(char::is_uppercase))
            .collect();
        asked.sort_unstable();
        asked.dedup();
        assert!(asked.len() > 5, "{asked:?}");
        for name in asked {
            assert!(is_known(&format!("s3:{name}")), "{name}");
        }
    }
}
