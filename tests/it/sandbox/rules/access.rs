//! Another account needs a permission of the image or the snapshot, and use of the key.

use serde_json::json;

use crate::sandbox::client::{Call, Client, Expect as _, Refused};
use crate::sandbox::place::{CUSTOMER, PUBLISHER, Place};
use crate::sandbox::things::{
    block, copy_image, copy_snapshot, image, key, key_shared_with, launch, launch_permission,
    settled_image, settled_snapshot, share_snapshot, snapshot,
};

/// Lets a principal use a key as a grant does that customers need.
fn grant(owner: &Client, key: &str, principal: &str) {
    owner
        .kms(
            "CreateGrant",
            json!({
                "KeyId": key,
                "GranteePrincipal": principal,
                "Operations": [
                    "DescribeKey", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey",
                    "GenerateDataKeyWithoutPlaintext", "CreateGrant"
                ]
            }),
        )
        .done("a grant");
}

fn arn_of(client: &Client) -> String {
    client
        .sts("GetCallerIdentity", &[])
        .done("who it is")
        .text("GetCallerIdentityResult/Arn")
        .to_owned()
}

/// What the copy of a snapshot ends as.
fn copied(client: &Client, source: &str) -> String {
    let copy = copy_snapshot(client, source, &client.region, &[("Encrypted", "true")])
        .done("it is accepted");
    settled_snapshot(client, copy.text("snapshotId"))
}

#[test]
fn a_private_image_is_not_there_for_others() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let source = snapshot(&publisher, &[(0, block(1))], None);
    let image = image(&publisher, "image", &source);
    let described = || customer.ec2("DescribeImages", &[("ImageId.1", &image)]);
    let mine = || {
        let images = customer.ec2("DescribeImages", &[("ExecutableBy.1", "self")]);
        images.done("images").all("imageId").len()
    };
    described().refused("InvalidAMIID.NotFound");
    launch(&customer, &image).refused("InvalidAMIID.NotFound");
    assert_eq!(mine(), 0);

    launch_permission(&publisher, &image, "Add", CUSTOMER).done("shared");
    described().done("it is there");
    assert_eq!(mine(), 1);
    let refused = launch(&customer, &image).expect_err("there are no machines");
    assert_ne!(refused.code, "InvalidAMIID.NotFound");
    // It is the publisher's all the same.
    launch_permission(&customer, &image, "Add", "333333333333").refused("AuthFailure");
    customer
        .ec2("DeregisterImage", &[("ImageId", &image)])
        .refused("AuthFailure");

    launch_permission(&publisher, &image, "Remove", CUSTOMER).done("no longer shared");
    described().refused("InvalidAMIID.NotFound");
    assert_eq!(mine(), 0);
}

#[test]
fn an_organization_and_its_units_may_launch() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let source = snapshot(&publisher, &[(0, block(1))], None);
    let image = image(&publisher, "image", &source);
    let made = customer
        .organizations("CreateOrganization", json!({"FeatureSet": "ALL"}))
        .done("an organization");
    let organization = made["Organization"]["Arn"].as_str().expect("an ARN");
    let described = || customer.ec2("DescribeImages", &[("ImageId.1", &image)]);
    described().refused("InvalidAMIID.NotFound");
    let change = |what: &str| {
        let name = format!("LaunchPermission.{what}.1.OrganizationArn");
        publisher
            .ec2(
                "ModifyImageAttribute",
                &[("ImageId", &image), (&name, organization)],
            )
            .done("a permission");
    };
    change("Add");
    described().done("its account is in the organization");
    change("Remove");
    described().refused("InvalidAMIID.NotFound");
}

#[test]
fn a_copy_of_a_shared_image_needs_its_snapshots() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let key = key_shared_with(&publisher, PUBLISHER, CUSTOMER);
    let source = snapshot(&publisher, &[(0, block(1))], Some(&key));
    let image = image(&publisher, "image", &source);
    let copy = || {
        let more = [("Encrypted", "true")];
        copy_image(&customer, "copy", &image, &customer.region, &more)
    };
    copy().refused("InvalidAMIID.NotFound");
    launch_permission(&publisher, &image, "Add", CUSTOMER).done("shared");
    copy().refused("InvalidRequest");
    share_snapshot(&publisher, &source, CUSTOMER).done("shared");
    let copied = copy().done("both are shared");
    assert_eq!(
        settled_image(&customer, copied.text("imageId")),
        "available"
    );
}

#[test]
fn a_copy_of_a_snapshot_needs_permission_and_key() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let key = key(&publisher);
    let source = snapshot(&publisher, &[(0, block(1))], Some(&key));
    grant(&publisher, &key, &arn_of(&customer));
    // The key alone is not enough.
    let refused = copy_snapshot(&customer, &source, &customer.region, &[]);
    refused.refused("InvalidSnapshot.NotFound");
    share_snapshot(&publisher, &source, CUSTOMER).done("shared");
    assert_eq!(copied(&customer, &source), "completed");
}

#[test]
fn permission_alone_is_not_enough() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let key = key(&publisher);
    let source = snapshot(&publisher, &[(0, block(1))], Some(&key));
    share_snapshot(&publisher, &source, CUSTOMER).done("shared");
    assert_eq!(copied(&customer, &source), "error");
    // A policy that lets it use the key makes the difference.
    let shared = key_shared_with(&publisher, PUBLISHER, CUSTOMER);
    let other = snapshot(&publisher, &[(0, block(1))], Some(&shared));
    share_snapshot(&publisher, &other, CUSTOMER).done("shared");
    assert_eq!(copied(&customer, &other), "completed");
}

#[test]
fn a_copy_whose_key_is_another_accounts_fails_later() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let theirs = key(&customer);
    let source = snapshot(&publisher, &[(0, block(1))], None);
    let image = image(&publisher, "image", &source);
    let more = [("Encrypted", "true"), ("KmsKeyId", theirs.as_str())];
    let copied =
        copy_image(&publisher, "copy", &image, &publisher.region, &more).done("it is accepted");
    let copy = copied.text("imageId");
    assert_eq!(settled_image(&publisher, copy), "failed");
    let described = publisher
        .ec2("DescribeImages", &[("ImageId.1", copy)])
        .done("it can be seen");
    let why = described.text("imagesSet/item[0]/stateReason/message");
    assert!(!why.is_empty());
}

#[test]
fn reading_blocks_needs_permission_and_key() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let key = key(&publisher);
    let source = snapshot(&publisher, &[(0, block(1))], Some(&key));
    let read = || customer.get_block(&source, 0);
    let unseen = read().expect_err("it is another's");
    assert!(
        ["ResourceNotFoundException", "AccessDeniedException"].contains(&&*unseen.code),
        "{unseen}"
    );
    share_snapshot(&publisher, &source, CUSTOMER).done("shared");
    let Refused { reason, .. } = read().refused("AccessDeniedException");
    assert_eq!(reason, "DEPENDENCY_ACCESS_DENIED");
    grant(&publisher, &key, &arn_of(&customer));
    assert!(read().done("both are there") == block(1));
}

#[test]
fn writing_is_for_the_owner() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let source = snapshot(&publisher, &[(0, block(1))], None);
    share_snapshot(&publisher, &source, CUSTOMER).done("shared");
    share_snapshot(&customer, &source, CUSTOMER).refused("AuthFailure");
    customer
        .ec2("DeleteSnapshot", &[("SnapshotId", &source)])
        .refused("AuthFailure");
    let put = customer.put_block(&source, 1, &block(2));
    let put = put.expect_err("it is another's");
    assert!(put.status >= 400 && put.status < 500, "{put}");
}

#[test]
fn keys_are_their_accounts_own() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let key = key(&publisher);
    let encrypt =
        |client: &Client| client.kms("Encrypt", json!({"KeyId": key, "Plaintext": "c2VjcmV0"}));
    let sealed = encrypt(&publisher).done("its own");
    encrypt(&customer).refused("AccessDeniedException");
    let body = json!({"CiphertextBlob": sealed["CiphertextBlob"]});
    customer
        .kms("Decrypt", body.clone())
        .refused("AccessDeniedException");
    grant(&publisher, &key, &arn_of(&customer));
    let opened = customer.kms("Decrypt", body).done("by the grant");
    assert_eq!(opened["Plaintext"], "c2VjcmV0");
    // The grant has no Encrypt.
    encrypt(&customer).refused("AccessDeniedException");
}

#[test]
fn a_policy_that_denies_wins_over_a_grant() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let key = key(&publisher);
    grant(&publisher, &key, &arn_of(&customer));
    let describe = || customer.kms("DescribeKey", json!({"KeyId": key}));
    describe().done("by the grant");
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": format!("arn:aws:iam::{PUBLISHER}:root")},
                "Action": "kms:*",
                "Resource": "*"
            },
            {
                "Effect": "Deny",
                "Principal": {"AWS": format!("arn:aws:iam::{CUSTOMER}:root")},
                "Action": "kms:*",
                "Resource": "*"
            }
        ]
    });
    publisher
        .kms(
            "PutKeyPolicy",
            json!({"KeyId": key, "PolicyName": "default", "Policy": policy.to_string()}),
        )
        .done("a policy");
    describe().refused("AccessDeniedException");
}

#[test]
fn an_organizations_accounts_may_use_a_key() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let made = customer
        .organizations("CreateOrganization", json!({"FeatureSet": "ALL"}))
        .done("an organization");
    let organization = made["Organization"]["Id"].as_str().expect("an id");
    let key_for = |organization: &str| {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": format!("arn:aws:iam::{PUBLISHER}:root")},
                    "Action": "kms:*",
                    "Resource": "*"
                },
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": [
                        "kms:DescribeKey", "kms:Decrypt", "kms:ReEncrypt*",
                        "kms:GenerateDataKey*", "kms:CreateGrant"
                    ],
                    "Resource": "*",
                    "Condition": {"StringEquals": {"aws:PrincipalOrgID": organization}}
                }
            ]
        });
        let made = publisher.kms("CreateKey", json!({"Policy": policy.to_string()}));
        let made = made.done("a key");
        let arn = made["KeyMetadata"]["Arn"].as_str().expect("an ARN");
        arn.to_owned()
    };
    for (organization, expected) in [(organization, "completed"), ("o-0000000000", "error")] {
        let key = key_for(organization);
        let source = snapshot(&publisher, &[(0, block(1))], Some(&key));
        share_snapshot(&publisher, &source, CUSTOMER).done("shared");
        assert_eq!(copied(&customer, &source), expected, "{organization}");
    }
}

#[test]
fn a_unit_may_launch() {
    let place = Place::new();
    place.control(
        "POST",
        "accounts",
        json!({"name": "third", "id": "333333333333"}),
    );
    let (publisher, customer) = (place.publisher(), place.customer());
    let third = place.client("third");
    let source = snapshot(&publisher, &[(0, block(1))], None);
    let image = image(&publisher, "image", &source);

    let organize = |operation: &str, body: serde_json::Value| {
        third.organizations(operation, body).done(operation)
    };
    organize("CreateOrganization", json!({"FeatureSet": "ALL"}));
    let roots = organize("ListRoots", json!({}));
    let root = roots["Roots"][0]["Id"].as_str().expect("a root");
    let invited = organize(
        "InviteAccountToOrganization",
        json!({"Target": {"Id": CUSTOMER, "Type": "ACCOUNT"}}),
    );
    customer
        .organizations(
            "AcceptHandshake",
            json!({"HandshakeId": invited["Handshake"]["Id"]}),
        )
        .done("a member");
    let made = organize(
        "CreateOrganizationalUnit",
        json!({"ParentId": root, "Name": "customers"}),
    );
    let unit = &made["OrganizationalUnit"];
    publisher
        .ec2(
            "ModifyImageAttribute",
            &[
                ("ImageId", &image),
                (
                    "LaunchPermission.Add.1.OrganizationalUnitArn",
                    unit["Arn"].as_str().expect("an ARN"),
                ),
            ],
        )
        .done("a permission");
    let described = || customer.ec2("DescribeImages", &[("ImageId.1", &image)]);
    described().refused("InvalidAMIID.NotFound");
    organize(
        "MoveAccount",
        json!({
            "AccountId": CUSTOMER,
            "SourceParentId": root,
            "DestinationParentId": unit["Id"]
        }),
    );
    described().done("its account is in the unit");
    let mine = customer.ec2("DescribeImages", &[("ExecutableBy.1", "self")]);
    assert_eq!(mine.done("images").all("imageId"), [&image]);
    // The management account is in the organization, but not in the unit.
    third
        .ec2("DescribeImages", &[("ImageId.1", &image)])
        .refused("InvalidAMIID.NotFound");
}

#[test]
fn a_buckets_policy_opens_it_to_an_organization() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let made = customer
        .organizations("CreateOrganization", json!({"FeatureSet": "ALL"}))
        .done("an organization");
    let organization = made["Organization"]["Id"].as_str().expect("an id");
    let put = |path: &str, body: &str| {
        publisher
            .s3(&Call::new("PUT", path).body(body))
            .done("it is put")
    };
    put("/shared-bucket", "");
    put("/shared-bucket/object", "shared");
    let read = || customer.s3(&Call::new("GET", "/shared-bucket/object"));
    read().refused("AccessDenied");
    for (id, is_allowed) in [("o-0000000000", false), (organization, true)] {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::shared-bucket/*",
                "Condition": {"StringEquals": {"aws:PrincipalOrgID": id}}
            }]
        });
        put("/shared-bucket?policy", &policy.to_string());
        match is_allowed {
            true => assert_eq!(read().done("its organization may").body, b"shared"),
            false => drop(read().refused("AccessDenied")),
        }
    }
    let other = customer.s3(&Call::new("PUT", "/shared-bucket/object").body("theirs"));
    other.refused("AccessDenied");
    let list = customer.s3(&Call::new("GET", "/shared-bucket?list-type=2"));
    list.refused("AccessDenied");
    let nobody = Call::new("GET", "/shared-bucket/object");
    let nobody = customer.send_as_is(&nobody).done("an answer");
    assert_eq!(nobody.status, 403, "it is in no organization");
}
