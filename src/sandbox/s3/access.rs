//! Who may do what: the bucket's policy, and the block of public access.
//!
//! Whoever acts for an account may do everything in it that no policy of a bucket denies, unless it
//! is a session of a role with an identity policy: that, or the bucket's naming it, must allow it.
//! Another account, or nobody at all, needs a policy that allows.

use std::collections::BTreeMap;

use super::call::{Call, access_denied, fault};
use super::gate::parameter;
use super::model::Bucket;
use super::public::is_public;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::iam;
use crate::sandbox::organizations::membership;
use crate::sandbox::policy::{Policy, Question, Verdict, caller_conditions};
use crate::sandbox::world::World;

/// What a call asks for.
#[derive(Debug, Clone, Default)]
pub struct Ask<'a> {
    /// Such as `s3:GetObject`.
    pub action: &'a str,
    /// The object's key; none for the bucket itself.
    pub key: Option<&'a str>,
    /// Further condition keys, in lower case, and their values.
    pub conditions: Vec<(String, Vec<String>)>,
}

impl<'a> Ask<'a> {
    /// Asks for a bucket.
    pub fn bucket(action: &'a str) -> Ask<'a> {
        Ask {
            action,
            ..Ask::default()
        }
    }

    /// Asks for an object.
    pub fn object(action: &'a str, key: &'a str) -> Ask<'a> {
        Ask {
            action,
            key: Some(key),
            conditions: Vec::new(),
        }
    }

    /// The same with a condition key.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Ask<'a> {
        self.conditions.push((key.into(), vec![value.into()]));
        self
    }

    /// The same with the tags that the object has.
    pub fn existing_tags(mut self, tags: &BTreeMap<String, String>) -> Ask<'a> {
        self.conditions.extend(tags.iter().map(|(name, value)| {
            let key = format!("s3:existingobjecttag/{}", name.to_lowercase());
            (key, vec![value.clone()])
        }));
        self
    }

    /// The same with the tags that the object is to have.
    pub fn request_tags(mut self, tags: &BTreeMap<String, String>) -> Ask<'a> {
        self.conditions.extend(tags.iter().map(|(name, value)| {
            let key = format!("s3:requestobjecttag/{}", name.to_lowercase());
            (key, vec![value.clone()])
        }));
        if !tags.is_empty() {
            let keys = tags.keys().cloned().collect();
            self.conditions
                .push(("s3:requestobjecttagkeys".to_owned(), keys));
        }
        self
    }
}

impl Call {
    /// Whether the call may do what it asks for.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub fn authorize(
        &self,
        world: &World,
        bucket: &Bucket,
        ask: &Ask<'_>,
    ) -> Result<(), ServiceError> {
        let is_owner = self
            .caller
            .as_ref()
            .is_some_and(|caller| caller.account == bucket.account);
        let identity = self.ask_identity(world, bucket, ask)?;
        if identity == Some(Verdict::Deny) {
            return Err(self.denied(bucket, ask, &iam::why(Verdict::Deny, ask.action)));
        }
        let of_bucket = self.ask_policy(world, bucket, ask)?;
        match (of_bucket, is_owner) {
            (Verdict::Deny, _) if !self.is_owners_way_out(bucket, ask.action) => Err(self.denied(
                bucket,
                ask,
                "with an explicit deny in a resource-based policy",
            )),
            // Within an account either policy is enough, between accounts it takes both.
            _ if identity == Some(Verdict::Silent)
                && !(is_owner && self.is_named(world, bucket, ask)?) =>
            {
                Err(self.denied(bucket, ask, &iam::why(Verdict::Silent, ask.action)))
            }
            (Verdict::Allow, _) | (_, true) => Ok(()),
            (Verdict::Silent | Verdict::Deny, false) => Err(self.denied(
                bucket,
                ask,
                &format!(
                    "because no resource-based policy allows the {} action",
                    ask.action
                ),
            )),
        }
    }

    /// Like [`Self::authorize`], for what only the bucket's own account may do, whatever its
    /// policy allows to others.
    ///
    /// # Errors
    /// `AccessDenied`, or `MethodNotAllowed` for others whom the policy would allow it.
    pub fn authorize_owner(
        &self,
        world: &World,
        bucket: &Bucket,
        action: &str,
    ) -> Result<(), ServiceError> {
        self.authorize(world, bucket, &Ask::bucket(action))?;
        match &self.caller {
            Some(caller) if caller.account == bucket.account => Ok(()),
            _ => Err(fault(
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            )),
        }
    }

    /// What the caller's identity policy says; nothing where it is not confined to one.
    fn ask_identity(
        &self,
        world: &World,
        bucket: &Bucket,
        ask: &Ask<'_>,
    ) -> Result<Option<Verdict>, ServiceError> {
        let Some(caller) = &self.caller else {
            return Ok(None);
        };
        let mut conditions = self.conditions(world, bucket);
        conditions.extend(ask.conditions.iter().cloned());
        iam::verdict(
            world,
            caller,
            ask.action,
            &arn(&bucket.name, ask.key),
            &conditions,
        )
    }

    /// Whether the bucket's policy allows it to the caller, and not just to its account.
    fn is_named(
        &self,
        world: &World,
        bucket: &Bucket,
        ask: &Ask<'_>,
    ) -> Result<bool, ServiceError> {
        let Some(document) = &bucket.policy else {
            return Ok(false);
        };
        let policy = Policy::parse(document).map_err(ServiceError::internal)?;
        let mut conditions = self.conditions(world, bucket);
        conditions.extend(ask.conditions.iter().cloned());
        Ok(policy.allows_directly(&Question {
            caller: self.caller.as_ref(),
            action: ask.action,
            resource: &arn(&bucket.name, ask.key),
            conditions,
        }))
    }

    /// Whether the caller's identity policy, if it has one, allows what is for no bucket that is
    /// there.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub fn authorize_identity(
        &self,
        world: &World,
        action: &str,
        resource: &str,
    ) -> Result<(), ServiceError> {
        let Some(caller) = &self.caller else {
            return Ok(());
        };
        let mut conditions = caller_conditions(world, caller);
        conditions.insert("aws:securetransport".to_owned(), vec!["false".to_owned()]);
        conditions.insert("aws:currenttime".to_owned(), vec![self.now.iso()]);
        if let Some(region) = &self.region {
            conditions.insert("aws:requestedregion".to_owned(), vec![region.to_string()]);
        }
        match iam::verdict(world, caller, action, resource, &conditions)? {
            None | Some(Verdict::Allow) => Ok(()),
            Some(verdict) => {
                let mut error = access_denied();
                error.message = format!(
                    "User: {} is not authorized to perform: {action} on resource: \"{resource}\" {}",
                    caller.arn,
                    iam::why(verdict, action)
                );
                Err(error)
            }
        }
    }

    fn ask_policy(
        &self,
        world: &World,
        bucket: &Bucket,
        ask: &Ask<'_>,
    ) -> Result<Verdict, ServiceError> {
        let Some(document) = &bucket.policy else {
            return Ok(Verdict::Silent);
        };
        let policy = Policy::parse(document).map_err(ServiceError::internal)?;
        let resource = arn(&bucket.name, ask.key);
        let mut conditions = self.conditions(world, bucket);
        conditions.extend(ask.conditions.iter().cloned());
        let verdict = policy.ask(&Question {
            caller: self.caller.as_ref(),
            action: ask.action,
            resource: &resource,
            conditions,
        });
        // A public policy of a restricted bucket lets nobody in from outside.
        let is_restricted = bucket
            .block
            .is_some_and(|block| block.restrict_public_buckets)
            && is_public(document);
        Ok(match verdict {
            Verdict::Allow if is_restricted => Verdict::Silent,
            verdict => verdict,
        })
    }

    /// The root of the owning account can always get at the policy, so that nobody is locked out
    /// for good.
    fn is_owners_way_out(&self, bucket: &Bucket, action: &str) -> bool {
        let is_root = self.caller.as_ref().is_some_and(|caller| {
            caller.account == bucket.account && caller.arn == caller.root_arn()
        });
        is_root
            && matches!(
                action,
                "s3:GetBucketPolicy" | "s3:PutBucketPolicy" | "s3:DeleteBucketPolicy"
            )
    }

    fn denied(&self, bucket: &Bucket, ask: &Ask<'_>, why: &str) -> ServiceError {
        let mut error = access_denied();
        if let Some(caller) = &self.caller {
            error.message = format!(
                "User: {} is not authorized to perform: {} on resource: \"{}\" {why}",
                caller.arn,
                ask.action,
                arn(&bucket.name, ask.key)
            );
        }
        error
    }

    /// Milliseconds since the request was signed.
    fn signature_age(&self) -> Option<i64> {
        let date = self
            .headers
            .get("x-amz-date")
            .and_then(|date| date.to_str().ok().map(str::to_owned))
            .or_else(|| parameter(&self.query, "X-Amz-Date"))?;
        let format =
            time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
        let signed = time::PrimitiveDateTime::parse(&date, format).ok()?;
        let age = Timestamp::real().date_time() - signed.assume_utc();
        i64::try_from(age.whole_milliseconds()).ok()
    }

    /// Condition keys of the request. Those of the caller itself are added by the evaluation.
    fn conditions(&self, world: &World, bucket: &Bucket) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut add = |key: &str, value: String| {
            all.insert(key.to_owned(), vec![value]);
        };
        add("aws:securetransport", "false".to_owned());
        add("aws:requestedregion", bucket.region.to_string());
        add("aws:currenttime", self.now.iso());
        add("aws:epochtime", (self.now.0 / 1000).to_string());
        add("aws:resourceaccount", bucket.account.to_string());
        add("s3:resourceaccount", bucket.account.to_string());
        add("aws:principalisawsservice", "false".to_owned());
        add("aws:viaawsservice", "false".to_owned());
        if let Some(peer) = self.peer {
            add("aws:sourceip", peer.to_string());
        }
        for (key, header) in [("aws:useragent", "user-agent"), ("aws:referer", "referer")] {
            if let Some(value) = self.headers.get(header).and_then(|text| text.to_str().ok()) {
                add(key, value.to_owned());
            }
        }
        if self.caller.is_some() {
            let auth = if self.is_presigned() {
                "REST-QUERY-STRING"
            } else {
                "REST-HEADER"
            };
            add("s3:authtype", auth.to_owned());
            let version = if self.is_version_2 {
                "AWS"
            } else {
                "AWS4-HMAC-SHA256"
            };
            add("s3:signatureversion", version.to_owned());
            if let Some(age) = self.signature_age() {
                add("s3:signatureage", age.to_string());
            }
        }
        if let Some(found) = membership(world, &bucket.account) {
            add("aws:resourceorgid", found.organization_id);
            add("aws:resourceorgpaths", found.path);
        }
        for name in HEADER_KEYS {
            if let Some(value) = self.headers.get(*name).and_then(|text| text.to_str().ok()) {
                add(&format!("s3:{name}"), value.to_owned());
            }
        }
        if let Some(caller) = &self.caller {
            all.extend(caller_conditions(world, caller));
        }
        all
    }
}

/// Headers that are condition keys, as `s3:<header>`.
const HEADER_KEYS: &[&str] = &[
    "x-amz-acl",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
    "if-match",
    "if-none-match",
];

/// Whether requests ever carry a condition key, given in lower case. Of AWS's own keys some are
/// never there, since no request comes from a network or a service of AWS; a condition on them is
/// as good as on AWS from where we are.
pub fn is_known_key(key: &str) -> bool {
    let Some(name) = key.strip_prefix("s3:") else {
        return key.starts_with("aws:");
    };
    HEADER_KEYS.contains(&name)
        || matches!(
            name,
            "authtype"
                | "signatureversion"
                | "signatureage"
                | "tlsversion"
                | "resourceaccount"
                | "prefix"
                | "delimiter"
                | "max-keys"
                | "versionid"
                | "requestobjecttagkeys"
        )
        || name.starts_with("existingobjecttag/")
        || name.starts_with("requestobjecttag/")
}

/// The ARN of a bucket or an object.
pub fn arn(bucket: &str, key: Option<&str>) -> String {
    match key {
        Some(key) => format!("arn:aws:s3:::{bucket}/{key}"),
        None => format!("arn:aws:s3:::{bucket}"),
    }
}
