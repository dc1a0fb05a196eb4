//! The condition keys that are known.

/// Keys with one value at most, in lower case.
const SINGLE: &[&str] = &[
    "aws:currenttime",
    "aws:epochtime",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgmasteraccountid",
    "aws:principaltype",
    "aws:requestedregion",
    "aws:resourceaccount",
    "aws:resourceorgid",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:userid",
    "aws:username",
    "ebs:description",
    "ebs:parentsnapshot",
    "ebs:volumesize",
    "ec2:createaction",
    "ec2:metadatahttptokens",
    "ec2:owner",
    "ec2:region",
    "iam:passedtoservice",
    "kms:bypasspolicylockoutsafetycheck",
    "kms:calleraccount",
    "kms:encryptionalgorithm",
    "kms:grantconstrainttype",
    "kms:granteeprincipal",
    "kms:grantisforawsresource",
    "kms:keyorigin",
    "kms:keyspec",
    "kms:keyusage",
    "kms:messagetype",
    "kms:multiregion",
    "kms:multiregionkeytype",
    "kms:primaryregion",
    "kms:reencryptonsamekey",
    "kms:replicaregion",
    "kms:requestalias",
    "kms:retiringprincipal",
    "kms:scheduledeletionpendingwindowindays",
    "kms:signingalgorithm",
    "kms:viaservice",
    "s3:authtype",
    "s3:delimiter",
    "s3:max-keys",
    "s3:prefix",
    "s3:resourceaccount",
    "s3:signatureage",
    "s3:signatureversion",
    "s3:tlsversion",
    "s3:versionid",
    "s3:x-amz-acl",
    "s3:x-amz-content-sha256",
    "s3:x-amz-copy-source",
    "s3:x-amz-metadata-directive",
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-storage-class",
    "s3:if-match",
    "s3:if-none-match",
];

/// Keys with any number of values, in lower case.
const MULTIPLE: &[&str] = &[
    "aws:calledvia",
    "aws:principalorgpaths",
    "aws:resourceorgpaths",
    "aws:tagkeys",
    "kms:encryptioncontextkeys",
    "kms:grantoperations",
    "kms:resourcealiases",
    "s3:requestobjecttagkeys",
];

/// Keys whose name goes on with a name of the user's, in lower case.
const FAMILIES: &[&str] = &[
    "aws:requesttag/",
    "aws:resourcetag/",
    "ec2:resourcetag/",
    "kms:encryptioncontext:",
    "s3:existingobjecttag/",
    "s3:requestobjecttag/",
];

/// Whether a key, in lower case, is known.
pub(super) fn is_known(key: &str) -> bool {
    SINGLE.contains(&key)
        || is_multiple(key)
        || FAMILIES.iter().any(|family| {
            key.strip_prefix(family)
                .is_some_and(|name| !name.is_empty())
        })
}

/// Whether a key can have several values at once, so that it needs `ForAnyValue:` or
/// `ForAllValues:`.
pub(super) fn is_multiple(key: &str) -> bool {
    MULTIPLE.contains(&key)
}
