//! What commands do with keys.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Scope, Statement, Wanted, allow, deny, share};
use crate::aws::kms::sharing::launch_operations;
use crate::aws::{AccountId, Region};

/// What says how a key is.
const ASKS: [&str; 2] = ["kms:DescribeKey", "kms:GetKeyPolicy"];

impl Scope<'_> {
    /// What commands do with keys. All those of a release are `publish`'s, and the home Region's is
    /// among them: with it, `build`, `share` and `doctor` need no list of keys of their own.
    pub(super) fn using_keys(&self, wanted: Wanted) -> Vec<Statement> {
        let Wanted {
            build,
            publish,
            doctor,
            share,
            ..
        } = wanted;
        let mut using = Vec::new();
        if publish {
            let all = self.use_keys(self.key_arns(self.regions));
            let all = all.and(share.then_some(share::KEYS));
            using.push(all.and(doctor.then_some(ASKS)));
        } else if build {
            using.push(self.use_keys(self.key_arns(self.home_region())));
        }
        if share && !publish {
            using.push(self.share_keys().and(doctor.then_some(ASKS)));
        }
        using.extend(grants(build || publish, share));
        if doctor && !publish && !share {
            using.push(self.ask_about_keys());
        }
        using
    }

    /// Reading a block of an encrypted snapshot takes its key, which EBS looks up first.
    pub(super) fn decrypt_blocks(&self) -> Statement {
        let actions = ["kms:Decrypt", "kms:DescribeKey"];
        allow("DecryptBlocks", &actions, self.key_arns(self.regions))
    }

    /// What signing takes, where a key of KMS signs, and what it takes to know that key. One that is
    /// named by an alias is known by that.
    pub(super) fn signing(&self, wanted: Wanted) -> Option<Statement> {
        let name = self.signing.key.as_deref()?;
        let signs = wanted.publish || wanted.promote;
        let mut actions = vec!["kms:DescribeKey", "kms:GetPublicKey"];
        match (signs, wanted.verify || wanted.prune) {
            (false, false) => return None,
            // `prune` writes the catalog's page again, with the key that verifies what it shows.
            (false, true) => {}
            (true, _) => actions.push("kms:Sign"),
        }
        if name.starts_with("arn:") && !name.contains(":alias/") {
            return Some(allow("Sign", &actions, vec![name.to_owned()]));
        }
        let region = self.signing.region.as_ref().or(self.settings.home.as_ref());
        let region = region.map_or("*", Region::as_str);
        let account = self.account.map_or("*", AccountId::as_str);
        let key = |id: &str| format!("arn:{}:kms:{region}:{account}:key/{id}", self.partition());
        Some(match name.find("alias/") {
            None => allow("Sign", &actions, vec![key(name)]),
            Some(at) => {
                let has_alias = json!({ "kms:ResourceAliases": &name[at..] });
                let sign = allow("Sign", &actions, vec![key("*")]);
                sign.when(json!({ "ForAnyValue:StringEquals": has_alias }))
            }
        })
    }

    /// The keys' ARNs. No two keys have the same id, but for a multi-Region key and its replicas:
    /// leaving Region and account out allows nothing more, and makes a list of many Regions short
    /// enough.
    pub(super) fn key_arns<'a>(
        &self,
        regions: impl IntoIterator<Item = &'a Region>,
    ) -> Vec<String> {
        let partition = self.partition();
        let account = self.account.map_or("*", AccountId::as_str);
        let arn = |region: &Region| match self.keys.get(region) {
            Some(key) => format!("arn:{partition}:kms:*:*:key/{}", key.key_id()),
            None => format!("arn:{partition}:kms:{region}:{account}:key/*"),
        };
        let arns: BTreeSet<String> = regions.into_iter().map(arn).collect();
        arns.into_iter().collect()
    }

    /// What EBS does with a key, it does with the caller's permissions. What grants it may give,
    /// [`grants`] says.
    /// <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html>
    fn use_keys(&self, keys: Vec<String>) -> Statement {
        let actions = [
            "kms:CreateGrant",
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncrypt*",
        ];
        allow("UseKeys", &actions, keys)
    }

    fn ask_about_keys(&self) -> Statement {
        allow("AskAboutKeys", &ASKS, self.key_arns(self.regions))
    }
}

/// What grants are refused. This is what a condition on an allowance of CreateGrant would say, but
/// that would need the keys' list, which is what makes a policy long, a second time.
///
/// For all commands but `share`, only AWS's services, on the caller's behalf, may give grants; a call
/// that does not say whom the grant is for is refused too. `share` gives customers' roles grants of
/// what a launch takes, and of nothing else. Where there are both, a grant is refused that is neither:
/// two denials would each refuse what the other commands need.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-grant-is-for-aws-resource>
/// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-grant-operations>
fn grants(for_aws: bool, for_launches: bool) -> Option<Statement> {
    let mut condition = json!({});
    if for_aws {
        condition["BoolIfExists"] = json!({ "kms:GrantIsForAWSResource": "false" });
    }
    if for_launches {
        let launch = json!({ "kms:GrantOperations": launch_operations() });
        condition["ForAnyValue:StringNotEquals"] = launch;
    }
    let sid = match (for_aws, for_launches) {
        (false, false) => return None,
        (true, false) => "GrantKeysOnlyToAws",
        (_, true) => "GrantKeysOnlyForLaunches",
    };
    Some(deny(sid, "kms:CreateGrant", condition))
}
