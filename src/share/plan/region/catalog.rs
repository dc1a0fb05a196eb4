//! Who may read the catalog: planned in the Region of its bucket.

use std::collections::BTreeSet;

use super::super::{Access, Change};
use super::Planner;
use crate::share::policy::catalog::{MOST_BYTES, Reader};
use crate::share::present::PresentCatalog;

impl Planner<'_> {
    pub(super) fn catalog(&mut self, removals: &mut Vec<Change>) {
        let Some(seen) = &self.present.catalog else {
            return;
        };
        let policy = &seen.policy;
        let url = policy.place().url();
        let wanted = &self.desired.readers;
        let added: BTreeSet<Reader> = wanted.difference(policy.readers()).cloned().collect();
        let extra = policy.readers().difference(wanted);
        let removed: BTreeSet<Reader> = extra
            .filter(|reader| self.is_reader_to_go(reader, &url))
            .cloned()
            .collect();
        for foreign in policy.foreign(self.terms.account) {
            let access = Access::Catalog {
                catalog: url.clone(),
                statement: Some(foreign.statement),
            };
            self.is_taken(None, foreign.who, access, false);
        }
        let rewrites = !added.is_empty() || (removed.is_empty() && !policy.is_as_written());
        if rewrites {
            self.check_catalog(seen, &added);
            self.plan.add.push(Change::Catalog {
                url: url.clone(),
                readers: added,
            });
        }
        if !removed.is_empty() {
            removals.push(Change::Catalog {
                url,
                readers: removed,
            });
        }
    }

    /// Whether somebody is to read the catalog no more. That everybody might was our own doing.
    fn is_reader_to_go(&mut self, reader: &Reader, url: &str) -> bool {
        let owner = self.terms.owners.of_reader(reader);
        let access = Access::Catalog {
            catalog: url.to_owned(),
            statement: None,
        };
        *reader == Reader::Everybody || self.is_taken(owner, reader.to_string(), access, true)
    }

    /// What S3 would refuse, or what would be of no use, is not written.
    fn check_catalog(&mut self, seen: &PresentCatalog, added: &BTreeSet<Reader>) {
        let policy = &seen.policy;
        let bucket = &policy.place().bucket;
        let otherwise = "or say `catalog = \"nobody\"` in [share]";
        if seen.is_under_aws_key {
            let why = format!(
                "what is in the bucket {bucket} is encrypted under AWS's own key (aws/s3), which no other account may use"
            );
            let advice = format!(
                "have S3 encrypt it under its own keys: `aws s3api put-bucket-encryption --bucket {bucket} --server-side-encryption-configuration '{{\"Rules\":[{{\"ApplyServerSideEncryptionByDefault\":{{\"SSEAlgorithm\":\"AES256\"}}}}]}}'`, and copy what is there onto itself; {otherwise}"
            );
            self.refuse(why, advice);
        }
        if seen.is_blocked && self.desired.readers.contains(&Reader::Everybody) {
            let why = format!(
                "everybody is to read the catalog, and Block Public Access of the bucket {bucket} forbids it"
            );
            let advice = format!(
                "if the catalog is to be public, let public policies be: `aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=false,RestrictPublicBuckets=false`; or say `catalog = \"customers\"` in [share]"
            );
            self.refuse(why, advice);
        }
        let bytes = policy.with(added).bytes();
        if bytes > MOST_BYTES {
            let room = policy.room();
            let why = format!(
                "the policy of the bucket {bucket} would have {bytes} bytes, and S3 takes {MOST_BYTES}: {} are to be added, and there is room for {room} more accounts",
                added.len()
            );
            let advice = format!(
                "name the organization or a unit in place of its accounts (one entry for all of them), serve it to everybody (`catalog = \"everybody\"`), {otherwise}"
            );
            self.refuse(why, advice);
        }
    }
}
