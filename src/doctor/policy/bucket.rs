//! What commands do with the publisher's bucket.

use serde_json::json;

use super::{Scope, Statement, Wanted, allow};
use crate::share::settings::Readers;

/// What says how a bucket is.
const ASKS: [&str; 3] = [
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
];

/// What lets customers read the catalog, as `catalog` in `[share]` says.
const SERVES: [&str; 5] = [
    "s3:DeleteBucketPolicy",
    "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetEncryptionConfiguration",
    "s3:PutBucketPolicy",
];

impl Scope<'_> {
    /// What commands do with the bucket.
    pub(super) fn using_bucket(&self, bucket: &str, wanted: Wanted) -> Vec<Statement> {
        let mut using = Vec::new();
        if wanted.reads_bucket() {
            let serves = wanted.share && self.catalog != Readers::Nobody;
            let list = self.list_bucket(bucket).and(serves.then_some(SERVES));
            using.push(list.and(wanted.doctor.then_some(ASKS)));
            let writes = wanted.fills_bucket();
            using.push(self.objects(bucket, writes));
            if !writes {
                using.extend(self.records(bucket, wanted));
            }
        } else if wanted.doctor {
            using.push(self.ask_about_bucket(bucket));
        }
        using
    }

    fn bucket(&self, bucket: &str) -> String {
        format!("arn:{}:s3:::{bucket}", self.partition())
    }

    /// What keys of objects begin with: nothing, or what ends with `/`.
    fn prefix(&self) -> String {
        match self.settings.prefix.trim_matches('/') {
            "" => String::new(),
            words => format!("{words}/"),
        }
    }

    /// `IfExists`: HeadBucket has no prefix, nor has what is asked and said of the bucket as a whole, and
    /// neither has the question that S3 asks itself to decide whether a missing object is "not there" or
    /// "not for you".
    fn list_bucket(&self, bucket: &str) -> Statement {
        let list = allow("ListBucket", &["s3:ListBucket"], vec![self.bucket(bucket)]);
        let prefix = self.prefix();
        match prefix.as_str() {
            "" => list,
            prefix => list.when(json!({ "StringLikeIfExists": {
                "s3:prefix": [prefix, format!("{prefix}*")],
            } })),
        }
    }

    fn objects(&self, bucket: &str, writes: bool) -> Statement {
        let resource = vec![format!("{}/{}*", self.bucket(bucket), self.prefix())];
        match writes {
            true => {
                let actions = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"];
                allow("WriteObjects", &actions, resource)
            }
            false => allow("ReadObjects", &["s3:GetObject"], resource),
        }
    }

    fn ask_about_bucket(&self, bucket: &str) -> Statement {
        let ask = allow("AskAboutBucket", &ASKS, vec![self.bucket(bucket)]);
        ask.and(Some(["s3:ListBucket"]))
    }

    /// The objects that are written where not all may be.
    fn records(&self, bucket: &str, wanted: Wanted) -> Vec<Statement> {
        let object = |key: &str| format!("{}/{}{key}", self.bucket(bucket), self.prefix());
        // `prune` holds those of lines and builds, too.
        let leases = object(match wanted.prune {
            true => "leases/*",
            false => "leases/access.json",
        });
        let (mut written, mut removed) = (Vec::new(), Vec::new());
        // `prune` writes the page again: what has become of releases shows on it.
        if wanted.promote || wanted.prune {
            written.extend([object("catalog/*"), object("releases/*/manifest.json")]);
        }
        if wanted.promote {
            written.push(object("channels/*.json"));
        }
        if wanted.rollback {
            written.push(object("releases/*/release.json"));
        }
        if wanted.share || wanted.prune {
            written.push(leases.clone());
            removed.push(leases);
        }
        if wanted.share {
            written.push(object("shares.json"));
        }
        if wanted.prune {
            removed.push(object("builds/*"));
        }
        let mut records = Vec::new();
        if !written.is_empty() {
            records.push(allow("WriteRecords", &["s3:PutObject"], written));
        }
        if !removed.is_empty() {
            records.push(allow("RemoveRecords", &["s3:DeleteObject"], removed));
        }
        records
    }
}
