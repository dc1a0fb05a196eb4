//! The bucket of manifests and leases.
//!
//! S3 has no dry runs. Reading and writing are asked for in a way that changes nothing: an object
//! that is not there is read, and is written on the condition that it is there with a certain
//! content. Deleting cannot be asked for: on a versioned bucket it leaves a marker.

use super::{Check, Group};
use crate::aws::s3::{BucketAddress, BucketFacts, BucketSeen, Encryption};
use crate::aws::{Aws, AwsError, Region};
use crate::share::settings::Readers;

/// An object that nobody makes.
const UNUSED: &str = "alpine-ami-doctor-asks";

/// What can be seen of the bucket, and what may be done with it. `catalog` is who is to read the
/// catalog in it.
pub async fn checks(
    aws: &Aws,
    home: &Region,
    (bucket, prefix): (&str, &str),
    catalog: Readers,
) -> Vec<Check> {
    let s3 = aws.s3(home);
    let address = BucketAddress {
        name: bucket.to_owned(),
        owner: Some(aws.account().clone()),
    };
    let mut checks = match s3.head_bucket(&address).await {
        Ok(BucketSeen::Here) => vec![Check::ok(
            Group::Bucket,
            "bucket",
            format!("{bucket}, in {home}, the account's own"),
        )],
        Ok(seen) => return vec![not_usable(bucket, home, aws, seen)],
        Err(error) => return vec![refused("bucket", &error)],
    };
    match s3.describe_bucket(&address).await {
        Ok(facts) => checks.extend(set_up(bucket, &facts, catalog)),
        Err(error) => checks.push(refused(error.action, &error)),
    }
    let key = match prefix.trim_matches('/') {
        "" => UNUSED.to_owned(),
        prefix => format!("{prefix}/{UNUSED}"),
    };
    let read = s3.get(&address, &key, 0).await;
    checks.push(judge("s3:GetObject", read));
    let write = s3.may_write(&address, &key).await;
    checks.push(judge("s3:PutObject", write));
    checks.push(Check::skipped(
        Group::Bucket,
        "s3:DeleteObject",
        "S3 has no way to ask without doing it",
    ));
    checks
}

fn not_usable(bucket: &str, home: &Region, aws: &Aws, seen: BucketSeen) -> Check {
    let (found, advice) = match seen {
        BucketSeen::Elsewhere(Some(region)) => (
            format!("{bucket} is in {region}, not in the home Region {home}"),
            format!("set `home = \"{region}\"`, or make a bucket in {home} and name it in `bucket`"),
        ),
        BucketSeen::Elsewhere(None) => (
            format!("{bucket} is not in the home Region {home}"),
            format!("set `home` to the bucket's Region, or make a bucket in {home}"),
        ),
        BucketSeen::Missing => (
            format!("there is no bucket {bucket}"),
            format!("make it: `{}`", create(bucket, home)),
        ),
        BucketSeen::Here | BucketSeen::Denied => (
            format!(
                "{bucket} is another account's, or s3:ListBucket is not allowed to {}",
                aws.identity().arn
            ),
            "name a bucket of this account, or allow s3:ListBucket; `alpine-ami doctor --iam-policy` prints the least policy".to_owned(),
        ),
    };
    Check::failed(Group::Bucket, "bucket", found, Some(advice))
}

/// The one Region that is not named in a constraint is S3's first.
fn create(bucket: &str, home: &Region) -> String {
    let command = format!("aws s3api create-bucket --bucket {bucket} --region {home}");
    match home.as_str() {
        "us-east-1" => command,
        _ => format!("{command} --create-bucket-configuration LocationConstraint={home}"),
    }
}

/// What keeps the objects safe, as far as the principal may ask.
fn set_up(bucket: &str, facts: &BucketFacts, catalog: Readers) -> Vec<Check> {
    let encryption = facts.encryption.as_ref();
    let encryption = encryption.map(|how| encrypted(how, catalog));
    let privacy = match catalog {
        Readers::Everybody => openness(bucket, facts.public_access_blocked),
        _ => privacy(bucket, facts.public_access_blocked),
    };
    let mut checks = vec![versioning(bucket, facts.versioning), privacy];
    checks.extend(encryption);
    checks
}

fn not_allowed(name: &str, action: &str) -> Check {
    let why = format!("{action} is not allowed, which publishing does not need");
    Check::skipped(Group::Bucket, name, why)
}

fn versioning(bucket: &str, on: Option<bool>) -> Check {
    let name = "versioning";
    match on {
        Some(true) => Check::ok(Group::Bucket, name, "on"),
        Some(false) => Check::warning(
            Group::Bucket,
            name,
            "off: a manifest that is overwritten or deleted is lost",
            format!(
                "`aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled`"
            ),
        ),
        None => not_allowed(name, "s3:GetBucketVersioning"),
    }
}

/// Whom the catalog is served to must be able to decrypt it.
fn encrypted(how: &Encryption, catalog: Readers) -> Check {
    let name = "encryption";
    if catalog == Readers::Nobody || how.is_under_own_keys_of_s3() {
        return Check::ok(Group::Bucket, name, format!("{how} by default"));
    }
    Check::warning(
        Group::Bucket,
        name,
        format!(
            "{how} by default: whoever is to read the catalog ([share] catalog) needs that key"
        ),
        "let S3 use its own keys (SSE-S3, AES256); or let customers use the key by its policy, if it is not AWS's",
    )
}

/// A catalog for everybody needs a bucket that may be public.
fn openness(bucket: &str, blocked: Option<bool>) -> Check {
    let name = "public access";
    match blocked {
        Some(false) => Check::ok(
            Group::Bucket,
            name,
            "possible, as `catalog = \"everybody\"` needs it",
        ),
        Some(true) => Check::warning(
            Group::Bucket,
            name,
            "is blocked, and [share] has `catalog = \"everybody\"`",
            format!(
                "`aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=false,RestrictPublicBuckets=false`, or `catalog = \"customers\"`"
            ),
        ),
        None => not_allowed(name, "s3:GetBucketPublicAccessBlock"),
    }
}

fn privacy(bucket: &str, blocked: Option<bool>) -> Check {
    let name = "public access";
    match blocked {
        Some(true) => Check::ok(Group::Bucket, name, "blocked"),
        Some(false) => Check::warning(
            Group::Bucket,
            name,
            "is not blocked in all four ways",
            format!(
                "`aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true`"
            ),
        ),
        None => not_allowed(name, "s3:GetBucketPublicAccessBlock"),
    }
}

/// What the answer to a question about an object that is not there means.
fn judge<T>(action: &'static str, answer: Result<T, AwsError>) -> Check {
    match answer {
        Ok(_) => Check::ok(
            Group::Bucket,
            action,
            "not refused (asked for an object that is not there)",
        ),
        Err(error) => refused(action, &error),
    }
}

fn refused(action: &'static str, error: &AwsError) -> Check {
    Check::failed(
        Group::Bucket,
        action,
        error.to_string(),
        Some(error.advice()),
    )
}
