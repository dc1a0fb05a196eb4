//! Roles with policies: what they may do, and how they are refused.

use serde_json::{Value, json};

use crate::sandbox::ec2::instances::tests::Lab;
use crate::sandbox::error::ServiceError;
use crate::sandbox::service::Service;
use crate::sandbox::testing::{Bed, Xml, request};

const ROLE: &str = "publisher/ci";
const HERE: &str = "arn:aws:ec2:us-east-1";

fn allow(actions: Value, resource: Value) -> Value {
    json!({"Effect": "Allow", "Action": actions, "Resource": resource})
}

fn unauthorized(result: Result<Xml, ServiceError>, part: &str) {
    let error = result.expect_err("refused");
    assert_eq!((&*error.code, error.status), ("UnauthorizedOperation", 403));
    assert!(error.message.contains(part), "{error} has no {part}");
}

/// A completed snapshot of the publisher's with a tag.
fn snapshot(bed: &Bed) -> String {
    let volume = [("AvailabilityZone", "us-east-1a"), ("Size", "1")];
    let made = bed.ec2("publisher", "CreateVolume", &volume);
    let volume = made.expect("a volume").text("volumeId").to_owned();
    let params = [
        ("VolumeId", volume.as_str()),
        ("TagSpecification.1.ResourceType", "snapshot"),
        ("TagSpecification.1.Tag.1.Key", "Release"),
        ("TagSpecification.1.Tag.1.Value", "one"),
    ];
    let made = bed.ec2("publisher", "CreateSnapshot", &params);
    made.expect("a snapshot").text("snapshotId").to_owned()
}

fn register<'a>(name: &'a str, snapshot: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("Name", name),
        ("RootDeviceName", "/dev/xvda"),
        ("VirtualizationType", "hvm"),
        ("Architecture", "x86_64"),
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.SnapshotId", snapshot),
    ]
}

const TAGS: [(&str, &str); 3] = [
    ("TagSpecification.1.ResourceType", "image"),
    ("TagSpecification.1.Tag.1.Key", "Release"),
    ("TagSpecification.1.Tag.1.Value", "one"),
];

#[test]
fn without_a_policy_a_role_is_an_administrator() {
    let bed = Bed::new();
    bed.ec2(ROLE, "DescribeImages", &[]).expect("images");
    bed.confine(ROLE, json!([allow(json!("s3:*"), json!("*"))]));
    bed.confine("customer/ci", json!([allow(json!("ec2:*"), json!("*"))]));
    unauthorized(
        bed.ec2(ROLE, "DescribeImages", &[]),
        "User: arn:aws:sts::111111111111:assumed-role/ci/session is not authorized to perform: \
         ec2:DescribeImages because no identity-based policy allows the ec2:DescribeImages action",
    );
    bed.ec2("customer/ci", "DescribeImages", &[])
        .expect("images");
    bed.ec2("publisher", "DescribeImages", &[]).expect("images");
    let error = bed.ec2(ROLE, "MakeCoffee", &[]).expect_err("no action");
    assert_eq!(error.code, "InvalidAction");
}

#[test]
fn what_an_image_is_made_of_must_be_allowed() {
    let bed = Bed::new();
    let snapshot = snapshot(&bed);
    let tagged: Vec<_> = register("tagged", &snapshot)
        .into_iter()
        .chain(TAGS)
        .collect();
    let try_with = |statements: Value| {
        bed.confine(ROLE, statements);
        bed.ec2(ROLE, "RegisterImage", &tagged)
    };
    let image = format!("{HERE}::image/*");
    let of_snapshots = format!("{HERE}::snapshot/*");
    let register = |resources: Value| allow(json!("ec2:RegisterImage"), resources);
    unauthorized(
        try_with(json!([register(json!(image))])),
        &format!("ec2:RegisterImage on resource: {HERE}::snapshot/{snapshot} because"),
    );
    unauthorized(
        try_with(json!([register(json!(of_snapshots))])),
        &format!("ec2:RegisterImage on resource: {image} because"),
    );
    let both = register(json!([image, of_snapshots]));
    unauthorized(
        try_with(json!([both])),
        &format!("ec2:CreateTags on resource: {image} because"),
    );
    let mut tags = allow(json!("ec2:CreateTags"), json!(image));
    tags["Condition"] = json!({"StringEquals": {"ec2:CreateAction": "CopyImage"}});
    unauthorized(try_with(json!([both, tags])), "ec2:CreateTags");
    tags["Condition"] = json!({
        "StringEquals": {"ec2:CreateAction": ["CopyImage", "RegisterImage"]},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["Name"]}
    });
    unauthorized(try_with(json!([both, tags])), "ec2:CreateTags");
    tags["Condition"]["ForAllValues:StringEquals"] = json!({"aws:TagKeys": ["Name", "Release"]});
    tags["Condition"]["StringLike"] = json!({"aws:RequestTag/Release": "o*"});
    try_with(json!([both, tags])).expect("an image");
}

#[test]
fn a_copy_needs_its_source_its_targets_and_the_region() {
    let bed = Bed::new();
    let snapshot = snapshot(&bed);
    let image = bed.ec2("publisher", "RegisterImage", &register("image", &snapshot));
    let image = image.expect("an image").text("imageId").to_owned();
    let copy = |dry_run| {
        let params = [
            ("Name", "image"),
            ("SourceRegion", "us-east-1"),
            ("SourceImageId", image.as_str()),
            ("DryRun", dry_run),
        ];
        bed.query(Service::Ec2, ROLE, "eu-west-1", "CopyImage", &params)
    };
    let source = format!("{HERE}::image/{image}");
    let targets = [
        "arn:aws:ec2:eu-west-1::image/*",
        "arn:aws:ec2:eu-west-1::snapshot/*",
    ];
    let statement = |resources: &[&str]| allow(json!("ec2:CopyImage"), json!(resources));
    bed.confine(ROLE, json!(statement(&targets)));
    unauthorized(copy("true"), &source);
    bed.confine(ROLE, json!(statement(&[&source, targets[0]])));
    unauthorized(copy("false"), targets[1]);
    let mut all = statement(&[&source, targets[0], targets[1]]);
    all["Condition"] = json!({"StringEquals": {"aws:RequestedRegion": "us-east-1"}});
    bed.confine(ROLE, json!(all));
    unauthorized(copy("false"), "ec2:CopyImage");
    all["Condition"] = json!({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}});
    bed.confine(ROLE, json!(all));
    assert_eq!(copy("true").expect_err("dry").code, "DryRunOperation");
    copy("false").expect("a copy");
}

#[test]
fn a_launch_asks_for_each_resource_by_its_own_conditions() {
    let lab = Lab::new();
    let bed = &lab.bed;
    let tags = [
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "Build"),
        ("TagSpecification.1.Tag.1.Value", "one"),
    ];
    let run = |more: &[(&str, &str)]| {
        let params: Vec<_> = tags.iter().chain(more).copied().collect();
        lab.run_as(ROLE, &params)
    };
    let account = format!("{HERE}:111111111111");
    let others = ["network-interface", "security-group", "subnet", "volume"];
    let mut others = others.map(|kind| format!("{account}:{kind}/*")).to_vec();
    others.push(format!("{HERE}::image/*"));
    let instances = format!("{account}:instance/*");
    let mut instance = allow(json!("ec2:RunInstances"), json!(instances));
    instance["Condition"] = json!({
        "StringEquals": {"ec2:MetadataHttpTokens": "required"},
        "StringLike": {"aws:RequestTag/Build": "?*"},
    });
    let mut tagging = allow(json!("ec2:CreateTags"), json!(instances));
    tagging["Condition"] = json!({"StringEquals": {"ec2:CreateAction": "RunInstances"}});
    let mut console = allow(json!("ec2:GetConsoleOutput"), json!(instances));
    console["Condition"] = json!({"StringEquals": {"aws:ResourceTag/Build": "one"}});
    let launch = allow(json!("ec2:RunInstances"), json!(others));
    bed.confine(ROLE, json!([launch, instance, tagging, console]));

    let refused = format!("ec2:RunInstances on resource: {instances} because");
    let tokens = |value| [("MetadataOptions.HttpTokens", value)];
    unauthorized(run(&[]), &refused);
    unauthorized(run(&tokens("optional")), &refused);
    unauthorized(lab.run_as(ROLE, &tokens("required")), &refused);
    let made = run(&tokens("required")).expect("an instance");
    let made = made.text("instancesSet/item[0]/instanceId").to_owned();
    let other = lab.launched(&[]);
    let read = |id: &str| bed.ec2(ROLE, "GetConsoleOutput", &[("InstanceId", id)]);
    read(&made).expect("its own");
    let refused = format!("ec2:GetConsoleOutput on resource: {account}:instance/{other} because");
    unauthorized(read(&other), &refused);
}

#[test]
fn denials_and_exceptions() {
    let bed = Bed::new();
    let snapshot = snapshot(&bed);
    let delete = || bed.ec2(ROLE, "DeleteSnapshot", &[("SnapshotId", &snapshot)]);
    let all = allow(json!("*"), json!("*"));
    let of_tag = |value: &str| json!({"StringEquals": {"aws:ResourceTag/Release": value}});
    let mut deny = json!({"Effect": "Deny", "Action": "ec2:Delete*", "Resource": "*"});
    deny["Condition"] = of_tag("one");
    bed.confine(ROLE, json!([all, deny]));
    unauthorized(
        delete(),
        "with an explicit deny in an identity-based policy",
    );
    let not = json!({"Effect": "Allow", "NotAction": ["ec2:Delete*", "iam:*"], "Resource": "*"});
    bed.confine(ROLE, json!(not));
    unauthorized(delete(), "no identity-based policy allows");
    let not = json!({"Effect": "Allow", "Action": "ec2:*",
        "NotResource": format!("{HERE}::snapshot/{snapshot}")});
    bed.confine(ROLE, json!(not));
    unauthorized(delete(), "no identity-based policy allows");
    let mut own = allow(
        json!("ec2:DeleteSnapshot"),
        json!(format!("{HERE}::snapshot/snap-*")),
    );
    own["Condition"] = of_tag("two");
    bed.confine(ROLE, json!([own]));
    unauthorized(delete(), &format!("{HERE}::snapshot/{snapshot}"));
    own["Condition"] = of_tag("one");
    bed.confine(ROLE, json!([own]));
    delete().expect("deleted");
}

#[test]
fn attributes_are_read_and_changed_of_what_may_be() {
    let bed = Bed::new();
    let one = snapshot(&bed);
    let images: Vec<String> = [true, false]
        .iter()
        .map(|is_tagged| {
            let name = format!("tagged-{is_tagged}");
            let mut params = register(&name, &one);
            params.extend(TAGS.iter().filter(|_| *is_tagged));
            let made = bed.ec2("publisher", "RegisterImage", &params);
            made.expect("an image").text("imageId").to_owned()
        })
        .collect();
    let describe = |id: &str| {
        let launch = [("ImageId", id), ("Attribute", "launchPermission")];
        bed.ec2(ROLE, "DescribeImageAttribute", &launch)
    };
    let share = |id: &str| {
        let add = ("LaunchPermission.Add.1.UserId", "222222222222");
        bed.ec2(ROLE, "ModifyImageAttribute", &[("ImageId", id), add])
    };
    let actions = json!(["ec2:DescribeImageAttribute", "ec2:ModifyImageAttribute"]);
    let mut own = allow(actions.clone(), json!("arn:aws:ec2:*::image/*"));
    own["Condition"] = json!({"StringLike": {"aws:ResourceTag/Release": "?*"}});
    bed.confine(ROLE, json!([own]));
    describe(&images[0]).expect("its attribute");
    share(&images[0]).expect("shared");
    let on =
        |action: &str, id: &str| format!("perform: ec2:{action} on resource: {HERE}::image/{id}");
    let other = &images[1];
    unauthorized(describe(other), &on("DescribeImageAttribute", other));
    unauthorized(share(other), &on("ModifyImageAttribute", other));

    let whose = [
        ("SnapshotId", one.as_str()),
        ("Attribute", "createVolumePermission"),
    ];
    let whose = || bed.ec2(ROLE, "DescribeSnapshotAttribute", &whose);
    unauthorized(whose(), &format!("resource: {HERE}::snapshot/{one}"));
    let snapshots = json!("arn:aws:ec2:us-east-1::snapshot/*");
    let read = allow(json!("ec2:DescribeSnapshotAttribute"), snapshots);
    bed.confine(ROLE, json!([read]));
    whose().expect("its attribute");
}

#[test]
fn snapshots_that_may_not_be_deleted_outlive_their_image() {
    let bed = Bed::new();
    let snapshot = snapshot(&bed);
    let image = bed.ec2("publisher", "RegisterImage", &register("image", &snapshot));
    let image = image.expect("an image").text("imageId").to_owned();
    bed.confine(ROLE, json!(allow(json!("ec2:DeregisterImage"), json!("*"))));
    let params = [
        ("ImageId", image.as_str()),
        ("DeleteAssociatedSnapshots", "true"),
    ];
    let answer = bed
        .ec2(ROLE, "DeregisterImage", &params)
        .expect("an answer");
    let code = answer.text("deleteSnapshotResultSet/item[0]/returnCode");
    assert_eq!(code, "missing-permissions");
}

fn ebs(bed: &Bed, method: &str, path: &str, body: &Value) -> Result<Value, ServiceError> {
    let request = request(method, path, &[], body.to_string().as_bytes());
    let context = bed.context(Service::Ebs, "", ROLE, "us-east-1", request);
    let reply = Service::Ebs.handle(&context)?;
    Ok(serde_json::from_slice(&reply.body).expect("JSON"))
}

#[test]
fn snapshots_written_directly() {
    let bed = Bed::new();
    let all = format!("{HERE}::snapshot/*");
    let start = |tags: Value| {
        let body = json!({"VolumeSize": 1, "Tags": tags});
        ebs(&bed, "POST", "/snapshots", &body)
    };
    let denied = |result: Result<Value, ServiceError>, part: &str| {
        let error = result.expect_err("refused");
        assert_eq!((&*error.code, error.status), ("AccessDeniedException", 403));
        assert!(error.message.contains(part), "{error}");
    };
    bed.confine(
        ROLE,
        json!(allow(json!("ebs:PutSnapshotBlock"), json!(all))),
    );
    denied(
        start(json!([])),
        &format!("ebs:StartSnapshot on resource: {all} because"),
    );
    bed.confine(ROLE, json!(allow(json!("ebs:StartSnapshot"), json!(all))));
    let open = start(json!([])).expect("a snapshot");
    denied(
        start(json!([{"Key": "Release", "Value": "one"}])),
        &format!("ec2:CreateTags on resource: {all} because"),
    );
    let id = open["SnapshotId"].as_str().expect("an id");
    denied(
        ebs(
            &bed,
            "POST",
            &format!("/snapshots/completion/{id}"),
            &json!({}),
        ),
        &format!("ebs:CompleteSnapshot on resource: {HERE}::snapshot/{id} because"),
    );
    let tags = json!([allow(
        json!(["ebs:StartSnapshot", "ec2:CreateTags"]),
        json!(all)
    )]);
    bed.confine(ROLE, tags);
    start(json!([{"Key": "Release", "Value": "one"}])).expect("a tagged snapshot");
}

fn key(bed: &Bed, principals: Value) -> String {
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
         "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": principals}, "Action": "kms:GenerateDataKey",
         "Resource": "*"},
    ]});
    let body = json!({"Policy": policy.to_string()});
    let made = bed.json(Service::Kms, "publisher", "us-east-1", "CreateKey", body);
    let made = made.expect("a key");
    made["KeyMetadata"]["Arn"]
        .as_str()
        .expect("an ARN")
        .to_owned()
}

#[test]
fn a_key_policy_leaves_it_to_the_identity_policy() {
    let bed = Bed::new();
    let of_account = key(&bed, json!("arn:aws:iam::111111111111:root"));
    let of_role = key(&bed, json!("arn:aws:iam::111111111111:role/ci"));
    let kms = |who: &str, operation: &str, body: Value| {
        let answer = bed.json(Service::Kms, who, "us-east-1", operation, body);
        answer.map_err(|error| format!("{error}"))
    };
    let data_key = |key: &str| {
        kms(
            ROLE,
            "GenerateDataKey",
            json!({"KeyId": key, "KeySpec": "AES_256"}),
        )
    };
    data_key(&of_account).expect("no policy confines it");
    bed.confine(ROLE, json!(allow(json!("ec2:*"), json!("*"))));
    let error = data_key(&of_account).expect_err("refused");
    assert!(
        error.contains("AccessDeniedException")
            && error.contains(&format!(
                "kms:GenerateDataKey on resource: {of_account} because no \
             identity-based policy allows the kms:GenerateDataKey action"
            )),
        "{error}"
    );
    data_key(&of_role).expect("the key's policy names the role");
    kms(ROLE, "ListAliases", json!({})).expect_err("not allowed");
    kms(ROLE, "CreateKey", json!({})).expect_err("not allowed");

    let mut only = allow(json!("kms:*"), json!(of_account));
    bed.confine(ROLE, json!([only]));
    data_key(&of_account).expect("allowed");
    only["Condition"] = json!({"StringLike": {"kms:ViaService": "ec2.*.amazonaws.com"}});
    bed.confine(ROLE, json!([only]));
    data_key(&of_account).expect_err("not through EC2");
    let deny = json!({"Effect": "Deny", "Action": "kms:*", "Resource": "*"});
    bed.confine(ROLE, json!([deny]));
    let error = data_key(&of_role).expect_err("denied");
    assert!(
        error.contains("explicit deny in an identity-based policy"),
        "{error}"
    );
    bed.confine("customer/ci", json!(allow(json!("kms:*"), json!("*"))));
    let theirs = json!({"KeyId": of_account, "KeySpec": "AES_256"});
    kms("customer/ci", "GenerateDataKey", theirs).expect_err("another account's");
}

#[test]
fn encrypted_copies_need_what_ebs_needs() {
    let bed = Bed::new();
    let snapshot = snapshot(&bed);
    let key = key(&bed, json!("arn:aws:iam::111111111111:root"));
    let copy = || {
        let params = [
            ("SourceSnapshotId", snapshot.as_str()),
            ("SourceRegion", "us-east-1"),
            ("Encrypted", "true"),
            ("KmsKeyId", &key),
        ];
        let id = bed.ec2(ROLE, "CopySnapshot", &params).expect("a copy");
        let id = id.text("snapshotId").to_owned();
        let told = bed.ec2(ROLE, "DescribeSnapshots", &[("SnapshotId.1", &id)]);
        told.expect("a snapshot")
            .text("snapshotSet/item[0]/status")
            .to_owned()
    };
    let mut statements = vec![allow(json!("ec2:*"), json!("*"))];
    bed.confine(ROLE, json!(statements));
    assert_eq!(copy(), "error");
    let mut using = allow(
        json!([
            "kms:DescribeKey",
            "kms:Decrypt",
            "kms:GenerateDataKeyWithoutPlaintext"
        ]),
        json!(key),
    );
    using["Condition"] = json!({"StringEquals": {"kms:ViaService": "ec2.us-east-1.amazonaws.com"}});
    statements.push(using);
    bed.confine(ROLE, json!(statements));
    assert_eq!(copy(), "error");
    let mut grants = allow(json!("kms:CreateGrant"), json!(key));
    grants["Condition"] = json!({"Bool": {"kms:GrantIsForAWSResource": "true"}});
    statements.push(grants);
    bed.confine(ROLE, json!(statements));
    assert_eq!(copy(), "completed");
}

#[test]
fn sessions_and_organizations() {
    let bed = Bed::new();
    bed.confine(
        ROLE,
        json!(allow(
            json!("sts:AssumeRole"),
            json!("arn:aws:iam::*:role/next")
        )),
    );
    let sts = |action: &str, params: &[(&str, &str)]| {
        bed.query(Service::Sts, ROLE, "us-east-1", action, params)
            .map_err(|error| error.code.into_owned())
    };
    sts("GetCallerIdentity", &[]).expect("always");
    let assume = |role| {
        sts(
            "AssumeRole",
            &[("RoleArn", role), ("RoleSessionName", "it")],
        )
    };
    assume("arn:aws:iam::111111111111:role/next").expect("allowed");
    let other = assume("arn:aws:iam::111111111111:role/other");
    assert_eq!(other.expect_err("refused"), "AccessDenied");
    let told = bed.json(
        Service::Organizations,
        ROLE,
        "us-east-1",
        "ListRoots",
        json!({}),
    );
    assert_eq!(told.expect_err("refused").code, "AccessDeniedException");
}

#[test]
fn what_is_no_identity_policy() {
    let bed = Bed::new();
    let account = bed.caller("publisher").account;
    let statement =
        |members: &str| format!(r#"{{"Version": "2012-10-17", "Statement": {{{members}}}}}"#);
    let many = "x".repeat(10_300);
    for (role, document) in [
        ("ci", "{}".to_owned()),
        ("ci", statement(r#""Effect": "Allow", "Action": "*""#)),
        (
            "ci",
            statement(r#""Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*""#),
        ),
        (
            "ci",
            statement(r#""Effect": "Allow", "Action": "*", "Resource": "bucket""#),
        ),
        (
            "ci",
            statement(
                r#""Effect": "Allow", "Action": "*", "Resource": "*",
                "Condition": {"StringEquals": {"ec2:Unknown": "x"}}"#,
            ),
        ),
        (
            "ci",
            statement(&format!(
                r#""Sid": "{many}", "Effect": "Allow", "Action": "*", "Resource": "*""#
            )),
        ),
        (
            "a/b",
            statement(r#""Effect": "Allow", "Action": "*", "Resource": "*""#),
        ),
    ] {
        let put = bed.shared.transact(|world| {
            let put = world.iam.put(&account, role, &document);
            put.map_err(|error| ServiceError::new("Malformed", error.0))
        });
        assert_eq!(put.expect_err(&document).code, "Malformed");
    }
}
