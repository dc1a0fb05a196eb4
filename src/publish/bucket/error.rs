//! What can be wrong with the publisher's bucket.

use super::Bucket;
use crate::aws::{AccountId, AwsError, Region};
use crate::publish::manifest::SCHEMA;

/// What is wrong with the bucket, or with an object in it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BucketError {
    /// A call failed.
    #[error(transparent)]
    Aws(Box<AwsError>),
    /// No account has such a bucket.
    #[error("there is no bucket {bucket} (looked for in {region})")]
    Missing {
        /// Its name.
        bucket: String,
        /// The home Region.
        region: Region,
    },
    /// It is in another Region than images are uploaded to.
    #[error("the bucket {bucket} is in {}, not in the home Region {home}", place(.region))]
    Elsewhere {
        /// Its name.
        bucket: String,
        /// Where it is, if AWS said so.
        region: Option<Region>,
        /// The home Region.
        home: Region,
    },
    /// It is another account's.
    #[error("the bucket {bucket} in {region} belongs to another account than {account}")]
    NotOurs {
        /// Its name.
        bucket: String,
        /// Where it is.
        region: Region,
        /// Ours.
        account: AccountId,
    },
    /// AWS lets us know nothing about it.
    #[error(
        "the bucket {bucket} in {region} may not be looked into by account {account}: it belongs \
         to another account, or s3:ListBucket is not allowed"
    )]
    Denied {
        /// Its name.
        bucket: String,
        /// The home Region.
        region: Region,
        /// Ours.
        account: AccountId,
    },
    /// An object is not what it should be.
    #[error("{object} in {region} cannot be read: {why}")]
    Unreadable {
        /// Where it is: `s3://…`.
        object: String,
        /// The bucket's Region.
        region: Region,
        /// What is wrong with it.
        why: String,
    },
    /// A manifest was written by a newer version of this program.
    #[error("{object} in {region} has format {schema}; this version knows formats up to {SCHEMA}")]
    Newer {
        /// Where it is: `s3://…`.
        object: String,
        /// The bucket's Region.
        region: Region,
        /// Its format.
        schema: u32,
    },
    /// An object that should be there is not.
    #[error("{object} in {region} is not there any more")]
    Gone {
        /// Where it should be: `s3://…`.
        object: String,
        /// The bucket's Region.
        region: Region,
    },
    /// An attachment is not the one that the manifest speaks of.
    #[error("{object} in {region} has the SHA-256 {found}, where the manifest says {expected}")]
    Altered {
        /// Where it is: `s3://…`.
        object: String,
        /// The bucket's Region.
        region: Region,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Others write the same object all the time.
    #[error("{object} in {region} is being changed by others, faster than it can be read")]
    Contended {
        /// Where it is: `s3://…`.
        object: String,
        /// The bucket's Region.
        region: Region,
    },
}

impl From<AwsError> for BucketError {
    fn from(error: AwsError) -> BucketError {
        BucketError::Aws(Box::new(error))
    }
}

impl BucketError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            BucketError::Aws(error) => error.advice(),
            BucketError::Missing { bucket, region } => format!(
                "check `bucket` in [publish], or make it: {}",
                how_to_make(bucket, region)
            ),
            BucketError::Elsewhere { region, home, .. } => match region {
                Some(region) => format!(
                    "set `home = \"{region}\"` in [publish], or name a bucket that is in {home}"
                ),
                None => format!("name a bucket in [publish] that is in {home}"),
            },
            BucketError::NotOurs { account, .. } => format!(
                "name a bucket of account {account} in [publish], or use credentials of the \
                 bucket's account"
            ),
            BucketError::Denied { bucket, .. } => format!(
                "if {bucket} is yours, allow the principal what `alpine-ami doctor --iam-policy` \
                 prints; if not, name another bucket in [publish]"
            ),
            BucketError::Unreadable { object, .. } => format!(
                "look at it (`aws s3 cp {object} -`); an earlier version of it, where the bucket \
                 keeps versions, can be put back"
            ),
            BucketError::Newer { .. } => "update alpine-ami".to_owned(),
            BucketError::Gone { .. } => {
                "somebody removed it; where the bucket keeps versions, it can be put back, then \
                 run the same command again"
                    .to_owned()
            }
            BucketError::Altered { .. } => {
                "run `alpine-ami publish` for the release again: it writes what is missing"
                    .to_owned()
            }
            BucketError::Contended { .. } => {
                "see what else publishes the same release, then run the same command again"
                    .to_owned()
            }
        })
    }
}

/// The command for the AWS CLI. `us-east-1` is the one Region that must not be named twice.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>
fn how_to_make(bucket: &str, region: &Region) -> String {
    let place = match region.as_str() {
        "us-east-1" => String::new(),
        region => {
            format!(" --create-bucket-configuration LocationConstraint={region}")
        }
    };
    format!("aws s3api create-bucket --bucket {bucket} --region {region}{place}")
}

fn place(region: &Option<Region>) -> String {
    match region {
        Some(region) => region.to_string(),
        None => "another Region".to_owned(),
    }
}

pub(super) fn missing(of: &Bucket) -> BucketError {
    BucketError::Missing {
        bucket: of.name().to_owned(),
        region: of.region().clone(),
    }
}

pub(super) fn elsewhere(of: &Bucket, region: Option<Region>) -> BucketError {
    BucketError::Elsewhere {
        bucket: of.name().to_owned(),
        region,
        home: of.region().clone(),
    }
}

pub(super) fn not_ours(of: &Bucket, account: &AccountId) -> BucketError {
    BucketError::NotOurs {
        bucket: of.name().to_owned(),
        region: of.region().clone(),
        account: account.clone(),
    }
}

pub(super) fn denied(of: &Bucket, account: &AccountId) -> BucketError {
    BucketError::Denied {
        bucket: of.name().to_owned(),
        region: of.region().clone(),
        account: account.clone(),
    }
}

pub(super) fn unreadable(of: &Bucket, key: &str, why: String) -> BucketError {
    BucketError::Unreadable {
        object: of.url(key),
        region: of.region().clone(),
        why,
    }
}

pub(super) fn newer(of: &Bucket, key: &str, schema: u32) -> BucketError {
    BucketError::Newer {
        object: of.url(key),
        region: of.region().clone(),
        schema,
    }
}

pub(super) fn gone(of: &Bucket, key: &str) -> BucketError {
    BucketError::Gone {
        object: of.url(key),
        region: of.region().clone(),
    }
}

pub(super) fn altered(of: &Bucket, key: &str, expected: &str, found: String) -> BucketError {
    BucketError::Altered {
        object: of.url(key),
        region: of.region().clone(),
        expected: expected.to_owned(),
        found,
    }
}

pub(super) fn contended(of: &Bucket, key: &str) -> BucketError {
    BucketError::Contended {
        object: of.url(key),
        region: of.region().clone(),
    }
}
