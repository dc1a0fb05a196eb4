//! The role of an instance, and the credentials that its metadata service gives out.
//!
//! The sandbox has no instance profiles of their own: the one of a name is that with the role of this
//! name in it, and every role is there ([`crate::sandbox::sts`]). What the role may do is what its policy
//! says ([`crate::sandbox::iam`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Instance;
use crate::sandbox::caller::AccessKey;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::AccountId;
use crate::sandbox::shared::Shared;
use crate::sandbox::sts;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// Credentials of instances end so long after they are given out.
const LIFE: Duration = Duration::from_secs(6 * 3600);
/// New ones are there so long before the old ones end.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>
const AHEAD: Duration = Duration::from_secs(300);

/// Takes `IamInstanceProfile`: the name of the profile, and of its role.
pub(super) fn take(
    account: &AccountId,
    params: &mut Params,
) -> Result<Option<String>, ServiceError> {
    let invalid = |what: &str| {
        ServiceError::new(
            "InvalidParameterValue",
            format!("Value ({what}) for parameter iamInstanceProfile is invalid."),
        )
    };
    let name = params.structure("IamInstanceProfile", |profile| {
        let (name, arn) = (profile.text("Name"), profile.text("Arn"));
        match (name, arn) {
            (Some(name), None) => Ok(name),
            (None, Some(arn)) => {
                let own = format!("arn:aws:iam::{account}:instance-profile/");
                let name = arn.strip_prefix(&own).map(str::to_owned);
                name.ok_or_else(|| invalid(&arn))
            }
            _ => Err(ServiceError::invalid_combination(
                "An instance profile is given by its name or by its ARN",
            )),
        }
    })?;
    match name {
        Some(name) if sts::Role::of(account, &name).is_none() => Err(invalid(&name)),
        name => Ok(name),
    }
}

/// The ARN of the role of an instance profile.
pub fn arn(account: &AccountId, name: &str) -> String {
    format!("arn:aws:iam::{account}:role/{name}")
}

fn profile_arn(instance: &Instance, name: &str) -> String {
    format!("arn:aws:iam::{}:instance-profile/{name}", instance.owner)
}

/// The profile's unique id: that of its role, under the letters of profiles.
fn profile_id(instance: &Instance, name: &str) -> String {
    let role = sts::Role::of(&instance.owner, name);
    role.map_or_else(String::new, |role| {
        role.unique_id().replacen("AROA", "AIPA", 1)
    })
}

/// Writes the profile of an instance that has one.
pub(super) fn write(xml: &mut Xml, instance: &Instance) {
    let Some(name) = &instance.role else {
        return;
    };
    xml.node("iamInstanceProfile", |xml| {
        xml.text("arn", profile_arn(instance, name))
            .text("id", profile_id(instance, name));
    });
}

/// Sees to it that an instance with a role has credentials that do not end soon.
pub fn renew(shared: &Arc<Shared>, id: &str) {
    let now = shared.clock.now();
    let lasts = |key: &AccessKey| key.expires.is_some_and(|end| end > now.plus(AHEAD));
    let caller = shared.read(|world| {
        let instance = world.ec2.instances.get(id)?;
        let name = instance.role.as_ref()?;
        let key = credentials(world, instance);
        let role = sts::Role::of(&instance.owner, name)?;
        (!key.is_some_and(lasts)).then(|| role.session(id))
    });
    let Some(caller) = caller else {
        return;
    };
    let key = sts::temporary_key(now, caller, LIFE.as_secs(), None);
    let kept = shared.transact(|world| {
        if let Some(instance) = world.ec2.instances.get_mut(id) {
            instance.credentials = Some((key.id.clone(), now));
            world.access_keys.insert(key.id.clone(), key.clone());
        }
        Ok(())
    });
    if let Err(error) = kept {
        tracing::error!(%error, instance = id, "sandbox: an instance gets no credentials");
    }
}

fn credentials<'w>(world: &'w World, instance: &Instance) -> Option<&'w AccessKey> {
    let (key, _) = instance.credentials.as_ref()?;
    world.access_keys.get(key)
}

/// What the metadata service tells under `meta-data/` of an instance's role.
pub fn leaves(world: &World, instance: &Instance) -> BTreeMap<String, String> {
    let (Some(name), Some((_, since))) = (&instance.role, &instance.credentials) else {
        return BTreeMap::new();
    };
    let Some(key) = credentials(world, instance) else {
        return BTreeMap::new();
    };
    let whole = |time: &Timestamp| format!("{}Z", &time.iso()[..19]);
    let credentials = json!({
        "Code": "Success",
        "LastUpdated": whole(since),
        "Type": "AWS-HMAC",
        "AccessKeyId": key.id,
        "SecretAccessKey": key.secret,
        "Token": key.session_token,
        "Expiration": key.expires.as_ref().map(whole),
    });
    let info = json!({
        "Code": "Success",
        "LastUpdated": whole(since),
        "InstanceProfileArn": profile_arn(instance, name),
        "InstanceProfileId": profile_id(instance, name),
    });
    BTreeMap::from([
        ("iam/info".to_owned(), format!("{info:#}")),
        (
            format!("iam/security-credentials/{name}"),
            format!("{credentials:#}"),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::ec2::instances::tests::Lab;

    fn told(lab: &Lab, id: &str) -> BTreeMap<String, String> {
        renew(&lab.bed.shared, id);
        lab.bed.shared.read(|world| {
            let instance = world.ec2.instances.get(id).expect("the instance");
            leaves(world, instance)
        })
    }

    #[test]
    fn an_instance_has_the_credentials_of_its_role() {
        let lab = Lab::new();
        let none = lab.launched(&[]);
        assert!(told(&lab, &none).is_empty());
        let id = lab.launched(&[("IamInstanceProfile.Name", "controller")]);
        let leaves = told(&lab, &id);
        let told_of = |leaves: &BTreeMap<String, String>| -> serde_json::Value {
            let text = &leaves["iam/security-credentials/controller"];
            serde_json::from_str(text).expect("JSON")
        };
        let credentials = told_of(&leaves);
        assert_eq!(credentials["Code"], "Success");
        let key = credentials["AccessKeyId"].as_str().expect("an id");
        let caller = lab.bed.shared.read(|world| {
            let key = world.access_keys.get(key).expect("it is known");
            key.caller.clone()
        });
        let role = format!("arn:aws:iam::{}:role/controller", caller.account);
        assert_eq!(caller.principal_arn(), role);
        assert!(
            caller.arn.ends_with(&format!("/controller/{id}")),
            "{}",
            caller.arn
        );
        // The same ones again, until they are about to end.
        assert_eq!(told_of(&told(&lab, &id)), credentials);
        lab.bed.shared.clock.advance(LIFE - AHEAD);
        assert_ne!(
            told_of(&told(&lab, &id))["AccessKeyId"],
            credentials["AccessKeyId"]
        );
    }
}
