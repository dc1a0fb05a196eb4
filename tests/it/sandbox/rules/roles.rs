//! A role with a policy may do what it allows, over HTTP and with real signatures.

use serde_json::{Value, json};

use crate::sandbox::client::{Call, Client, Expect as _, Keys, Tree};
use crate::sandbox::place::{HOME, Place, control_answer};
use crate::sandbox::things::{block, image, key, snapshot};

const ROLE: &str = "arn:aws:iam::111111111111:role/publisher";

/// What a program that makes images in one Region needs, and no more.
fn policy(key: &str) -> Value {
    let via = format!("ec2.{HOME}.amazonaws.com");
    let tags = json!({
        "StringEquals": {"aws:RequestTag/Owner": "images"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["Owner"]}
    });
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["ec2:DescribeImages", "ec2:DescribeSnapshots"],
             "Resource": "*",
             "Condition": {"StringEquals": {"aws:RequestedRegion": HOME}}},
            {"Effect": "Allow", "Action": ["ebs:StartSnapshot", "ebs:PutSnapshotBlock",
             "ebs:CompleteSnapshot"], "Resource": format!("arn:aws:ec2:{HOME}::snapshot/*")},
            {"Effect": "Allow", "Action": "ec2:RegisterImage",
             "Resource": [format!("arn:aws:ec2:{HOME}::image/*"),
                          format!("arn:aws:ec2:{HOME}::snapshot/*")]},
            {"Effect": "Allow", "Action": "ec2:CreateTags",
             "Resource": format!("arn:aws:ec2:{HOME}::snapshot/*"), "Condition": tags},
            {"Effect": "Allow", "Action": ["kms:DescribeKey", "kms:Decrypt",
             "kms:GenerateDataKeyWithoutPlaintext"], "Resource": key},
            {"Effect": "Allow", "Action": "kms:CreateGrant", "Resource": key,
             "Condition": {"Bool": {"kms:GrantIsForAWSResource": true}}},
            {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"],
             "Resource": "arn:aws:s3:::releases/ours/*"},
            {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::releases",
             "Condition": {"StringLike": {"s3:prefix": "ours/*"}}},
            {"Effect": "Deny", "Action": "kms:*", "Resource": "*",
             "Condition": {"StringEquals": {"kms:ViaService": via}}}
        ]
    })
}

/// A session by a web identity's token, asked for without a signature.
fn session(place: &Place, seconds: &str) -> Client {
    let client = place.publisher();
    // Nobody signed it: {"alg":"none"}.{"iss":"https://ci.example","sub":"job"}
    let token = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2NpLmV4YW1wbGUiLCJzdWIiOiJqb2IifQ.x";
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("Action", "AssumeRoleWithWebIdentity")
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", ROLE)
        .append_pair("RoleSessionName", "job")
        .append_pair("WebIdentityToken", token)
        .append_pair("DurationSeconds", seconds)
        .finish();
    let call = Call::new("POST", "/")
        .header(
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        )
        .body(body);
    let answer = client.send_as_is(&call).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let tree = Tree::parse(&answer.body);
    let text = |end: &str| {
        let mut found = tree.0.iter().filter(|(path, _)| path.ends_with(end));
        found.next().expect(end).1.clone()
    };
    Client {
        keys: Keys {
            id: text("AccessKeyId"),
            secret: text("SecretAccessKey"),
            session: Some(text("SessionToken")),
        },
        ..client
    }
}

fn object(client: &Client, method: &'static str, path: &str) -> u16 {
    let is_of_bucket = path.matches('/').count() == 1;
    let body = if method == "PUT" && !is_of_bucket {
        "x"
    } else {
        ""
    };
    let call = Call::new(method, path).body(body);
    match client.s3(&call) {
        Ok(answer) => answer.status,
        Err(refused) => refused.status,
    }
}

/// A deletion on condition of what is there needs the right to read it.
fn conditional_deletes(place: &Place, role: &Client) {
    let only = |actions: &[&str]| {
        let policy = json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": actions, "Resource": "arn:aws:s3:::releases/*"
        }});
        let path = "policies/publisher?account=publisher";
        place.control("PUT", path, policy);
    };
    let delete = |condition: &str| {
        let call = Call::new("DELETE", "/releases/ours/file").header("if-match", condition);
        match role.s3(&call) {
            Ok(answer) => answer.status,
            Err(refused) => refused.status,
        }
    };
    only(&["s3:DeleteObject"]);
    assert_eq!(delete("\"other\""), 403);
    only(&["s3:DeleteObject", "s3:GetObject"]);
    assert_eq!(delete("\"other\""), 412);
    only(&["s3:DeleteObject"]);
    assert_eq!(delete("*"), 204);
}

#[test]
fn a_session_of_a_role_is_confined() {
    let mut place = Place::new();
    let admin = place.publisher();
    let (key, other) = (key(&admin), key(&admin));
    assert_eq!(object(&admin, "PUT", "/releases"), 200);
    assert_eq!(object(&admin, "PUT", "/releases/theirs/file"), 200);
    let path = "policies/publisher?account=publisher";
    place.control("PUT", path, policy(&key));
    // The policy is part of the state.
    place.restart();
    let admin = place.publisher();
    let role = session(&place, "900");

    let made = snapshot(&role, &[(0, block(1))], Some(&key));
    let ours = image(&role, "image", &made);
    role.start_snapshot(&json!({"VolumeSize": 1, "Encrypted": true, "KmsKeyArn": other}))
        .refused("AccessDeniedException");
    role.start_snapshot(&json!({"VolumeSize": 1, "Tags": [{"Key": "Owner", "Value": "others"}]}))
        .refused("AccessDeniedException");
    role.start_snapshot(&json!({"VolumeSize": 1, "Tags": [{"Key": "Owner", "Value": "images"}]}))
        .done("a snapshot with our tag");
    let refused = role
        .ec2("DeregisterImage", &[("ImageId", &ours)])
        .refused("UnauthorizedOperation");
    assert_eq!(refused.status, 403);
    let expected = format!(
        "User: arn:aws:sts::111111111111:assumed-role/publisher/job is not authorized to perform: \
         ec2:DeregisterImage on resource: arn:aws:ec2:{HOME}::image/{ours} because no \
         identity-based policy allows the ec2:DeregisterImage action"
    );
    assert!(refused.message.contains(&expected), "{refused}");
    role.ec2("DeregisterImage", &[("ImageId", &ours), ("DryRun", "true")])
        .refused("UnauthorizedOperation");
    role.in_region("eu-west-1")
        .ec2("DescribeImages", &[])
        .refused("UnauthorizedOperation");

    for (method, path, status) in [
        ("PUT", "/releases/ours/file", 200),
        ("GET", "/releases/ours/file", 200),
        // Whether there is such an object is for those who may list.
        ("GET", "/releases/ours/nothing", 403),
        ("PUT", "/releases/theirs/file", 403),
        ("GET", "/releases/theirs/file", 403),
        ("DELETE", "/releases/ours/file", 403),
        ("GET", "/releases?list-type=2&prefix=ours%2F", 200),
        ("GET", "/releases?list-type=2", 403),
        ("HEAD", "/releases", 403),
        ("GET", "/", 403),
        ("PUT", "/more-releases", 403),
    ] {
        assert_eq!(object(&role, method, path), status, "{method} {path}");
    }

    conditional_deletes(&place, &role);

    place.control("DELETE", path, Value::Null);
    role.ec2("DeregisterImage", &[("ImageId", &ours)])
        .done("without a policy it is an administrator");
    let answer = control_answer(&admin, "GET", path, Value::Null);
    assert_eq!(answer.status, 404);
    place.advance(901);
    role.ec2("DescribeImages", &[]).refused("RequestExpired");
}
