use super::*;
use Verdict::{Allow, Deny, Silent};

#[test]
fn principals() {
    let role = "arn:aws:iam::222222222222:role/builder";
    let one_session = "arn:aws:sts::222222222222:assumed-role/builder/one";
    let other_session = "arn:aws:sts::222222222222:assumed-role/builder/two";
    let admin = "arn:aws:iam::111111111111:user/admin";
    let root = "arn:aws:iam::222222222222:root";
    // The principal, then who is meant: the user of 1…, the session of 2…, nobody.
    for (principal, user_says, session_says, nobody_says) in [
        (json!("*"), Allow, Allow, Allow),
        (json!({ "AWS": "*" }), Allow, Allow, Allow),
        (json!({ "AWS": "111111111111" }), Allow, Silent, Silent),
        (json!({ "AWS": root }), Silent, Allow, Silent),
        (json!({ "AWS": admin }), Allow, Silent, Silent),
        (
            json!({ "AWS": "arn:aws:iam::111111111111:user/other" }),
            Silent,
            Silent,
            Silent,
        ),
        (json!({ "AWS": role }), Silent, Allow, Silent),
        (
            json!({ "AWS": "arn:aws:iam::111111111111:role/builder" }),
            Silent,
            Silent,
            Silent,
        ),
        (json!({ "AWS": one_session }), Silent, Allow, Silent),
        (json!({ "AWS": other_session }), Silent, Silent, Silent),
        (
            json!({ "AWS": ["AIDA0000000000000001", "AROA0000000000000002"] }),
            Allow,
            Allow,
            Silent,
        ),
        (json!({ "AWS": [admin, role] }), Allow, Allow, Silent),
        (
            json!({ "Service": "ec2.amazonaws.com" }),
            Silent,
            Silent,
            Silent,
        ),
        (
            json!({ "Service": "ec2.amazonaws.com", "AWS": admin }),
            Allow,
            Silent,
            Silent,
        ),
    ] {
        let document = one(json!({ "Principal": principal }));
        assert_eq!(
            said(&document, Some(&user()), &[]),
            user_says,
            "{principal}: user"
        );
        assert_eq!(
            said(&document, Some(&session()), &[]),
            session_says,
            "{principal}: session"
        );
        assert_eq!(
            said(&document, None, &[]),
            nobody_says,
            "{principal}: nobody"
        );
    }
    // All but these are denied; who is excepted must be named with all that it is.
    for (excepted, user_says, session_says) in [
        (json!({ "AWS": [admin] }), Deny, Deny),
        (json!({ "AWS": [admin, "111111111111"] }), Silent, Deny),
        (json!({ "AWS": [root, role] }), Deny, Deny),
        (json!({ "AWS": [root, role, one_session] }), Deny, Silent),
        (json!({ "AWS": [root, role, other_session] }), Deny, Deny),
    ] {
        let document = one(json!({ "Effect": "Deny", "NotPrincipal": excepted }));
        assert_eq!(
            said(&document, Some(&user()), &[]),
            user_says,
            "{excepted}: user"
        );
        assert_eq!(
            said(&document, Some(&session()), &[]),
            session_says,
            "{excepted}: session"
        );
        assert_eq!(said(&document, None, &[]), Deny, "{excepted}: nobody");
    }
}

#[test]
fn actions_and_resources() {
    let key = "arn:aws:kms:us-east-1:111111111111:key/abc";
    for (members, says) in [
        (json!({ "Action": "kms:Decrypt" }), Allow),
        (json!({ "Action": "KMS:decrypt" }), Allow),
        (json!({ "Action": "kms:D*" }), Allow),
        (json!({ "Action": "kms:*crypt" }), Allow),
        (json!({ "Action": "kms:Decryp?" }), Allow),
        (json!({ "Action": "kms:Decrypt?" }), Silent),
        (json!({ "Action": "kms:Decryp" }), Silent),
        (json!({ "Action": "s3:*" }), Silent),
        (json!({ "Action": ["s3:*", "kms:Decrypt"] }), Allow),
        (json!({ "NotAction": "kms:Decrypt" }), Silent),
        (json!({ "NotAction": ["kms:Encrypt", "s3:*"] }), Allow),
        (json!({ "Resource": key }), Allow),
        (
            json!({ "Resource": "arn:aws:kms:*:111111111111:key/*" }),
            Allow,
        ),
        (
            json!({ "Resource": "arn:aws:kms:*:111111111111:key/a?c" }),
            Allow,
        ),
        (
            json!({ "Resource": "arn:aws:kms:us-east-1:111111111111:key/abcd" }),
            Silent,
        ),
        (
            json!({ "Resource": "arn:aws:kms:us-east-1:111111111111:key/ABC" }),
            Silent,
        ),
        (json!({ "NotResource": key }), Silent),
        (
            json!({ "NotResource": "arn:aws:kms:us-east-1:111111111111:key/d*" }),
            Allow,
        ),
    ] {
        assert_eq!(
            said(&one(members.clone()), Some(&user()), &[]),
            says,
            "{members}"
        );
    }
}

#[test]
fn a_denial_is_final() {
    let allow = json!({ "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" });
    let deny = json!({
        "Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
        "Condition": { "StringNotEquals": { "aws:PrincipalOrgID": "o-1" } },
    });
    for statements in [json!([allow, deny]), json!([deny, allow])] {
        let document = json!({ "Statement": statements }).to_string();
        let inside: &[(&str, &[&str])] = &[("aws:principalorgid", &["o-1"])];
        assert_eq!(said(&document, Some(&user()), inside), Allow);
        assert_eq!(
            said(&document, Some(&user()), &[]),
            Deny,
            "in no organization"
        );
    }
}

#[test]
fn conditions() {
    let text: &[(&str, &[&str])] = &[("kms:viaservice", &["ec2.us-east-1.amazonaws.com"])];
    let number: &[(&str, &[&str])] = &[("s3:max-keys", &["10"])];
    let time: &[(&str, &[&str])] = &[("aws:currenttime", &["2026-01-02T00:00:00.000Z"])];
    let address: &[(&str, &[&str])] = &[("aws:sourceip", &["203.0.113.7"])];
    let address6: &[(&str, &[&str])] = &[("aws:sourceip", &["2001:db8::7"])];
    let arn: &[(&str, &[&str])] = &[("aws:sourcearn", &["arn:aws:s3:::a:b"])];
    let secure: &[(&str, &[&str])] = &[("aws:securetransport", &["true"])];
    let paths: &[(&str, &[&str])] = &[("aws:principalorgpaths", &["o-1/r-1/ou-1/ou-2/"])];
    let names: &[(&str, &[&str])] = &[("kms:encryptioncontextkeys", &["a", "b"])];
    let none: &[(&str, &[&str])] = &[];
    for (operator, key, value, given, holds) in [
        (
            "StringEquals",
            "kms:ViaService",
            json!("ec2.us-east-1.amazonaws.com"),
            text,
            true,
        ),
        (
            "StringEquals",
            "KMS:VIASERVICE",
            json!("ec2.us-east-1.amazonaws.com"),
            text,
            true,
        ),
        (
            "StringEquals",
            "kms:ViaService",
            json!("EC2.us-east-1.amazonaws.com"),
            text,
            false,
        ),
        (
            "StringEquals",
            "kms:ViaService",
            json!("ec2.*"),
            text,
            false,
        ),
        (
            "StringEquals",
            "kms:ViaService",
            json!(["x", "ec2.us-east-1.amazonaws.com"]),
            text,
            true,
        ),
        ("StringEquals", "kms:ViaService", json!("x"), none, false),
        (
            "StringEqualsIfExists",
            "kms:ViaService",
            json!("x"),
            none,
            true,
        ),
        (
            "StringEqualsIfExists",
            "kms:ViaService",
            json!("x"),
            text,
            false,
        ),
        (
            "StringEqualsIgnoreCase",
            "kms:ViaService",
            json!("EC2.US-EAST-1.amazonaws.com"),
            text,
            true,
        ),
        ("StringNotEquals", "kms:ViaService", json!("x"), text, true),
        (
            "StringNotEquals",
            "kms:ViaService",
            json!(["x", "ec2.us-east-1.amazonaws.com"]),
            text,
            false,
        ),
        ("StringNotEquals", "kms:ViaService", json!("x"), none, true),
        (
            "StringNotEqualsIgnoreCase",
            "kms:ViaService",
            json!("EC2.us-east-1.amazonaws.com"),
            text,
            false,
        ),
        (
            "StringLike",
            "kms:ViaService",
            json!("ec2.*.amazonaws.com"),
            text,
            true,
        ),
        ("StringLike", "kms:ViaService", json!("ebs.*"), text, false),
        (
            "StringNotLike",
            "kms:ViaService",
            json!("ec2.*"),
            text,
            false,
        ),
        ("NumericEquals", "s3:max-keys", json!(10), number, true),
        ("NumericEquals", "s3:max-keys", json!("10.0"), number, true),
        (
            "NumericNotEquals",
            "s3:max-keys",
            json!("10"),
            number,
            false,
        ),
        ("NumericLessThan", "s3:max-keys", json!("10"), number, false),
        (
            "NumericLessThanEquals",
            "s3:max-keys",
            json!("10"),
            number,
            true,
        ),
        (
            "NumericGreaterThan",
            "s3:max-keys",
            json!("9"),
            number,
            true,
        ),
        (
            "NumericGreaterThanEquals",
            "s3:max-keys",
            json!("11"),
            number,
            false,
        ),
        ("NumericLessThan", "s3:max-keys", json!("100"), none, false),
        (
            "DateEquals",
            "aws:CurrentTime",
            json!("2026-01-02"),
            time,
            true,
        ),
        (
            "DateNotEquals",
            "aws:CurrentTime",
            json!("2026-01-02T00:00:00Z"),
            time,
            false,
        ),
        (
            "DateLessThan",
            "aws:CurrentTime",
            json!("2026-01-02T00:00:01Z"),
            time,
            true,
        ),
        (
            "DateLessThanEquals",
            "aws:CurrentTime",
            json!("2026-01-01"),
            time,
            false,
        ),
        (
            "DateGreaterThan",
            "aws:CurrentTime",
            json!("1767225600"),
            time,
            true,
        ),
        (
            "DateGreaterThanEquals",
            "aws:CurrentTime",
            json!("2027-01-01"),
            time,
            false,
        ),
        ("Bool", "aws:SecureTransport", json!(true), secure, true),
        ("Bool", "aws:SecureTransport", json!("False"), secure, false),
        ("Bool", "aws:SecureTransport", json!("true"), none, false),
        (
            "BoolIfExists",
            "aws:SecureTransport",
            json!("false"),
            none,
            true,
        ),
        (
            "IpAddress",
            "aws:SourceIp",
            json!("203.0.113.0/24"),
            address,
            true,
        ),
        (
            "IpAddress",
            "aws:SourceIp",
            json!("203.0.113.7"),
            address,
            true,
        ),
        (
            "IpAddress",
            "aws:SourceIp",
            json!("0.0.0.0/0"),
            address,
            true,
        ),
        (
            "IpAddress",
            "aws:SourceIp",
            json!("203.0.113.8/31"),
            address,
            false,
        ),
        (
            "IpAddress",
            "aws:SourceIp",
            json!("2001:db8::/32"),
            address,
            false,
        ),
        ("IpAddress", "aws:SourceIp", json!("::/0"), address6, true),
        (
            "IpAddress",
            "aws:SourceIp",
            json!("2001:db8::/126"),
            address6,
            false,
        ),
        (
            "NotIpAddress",
            "aws:SourceIp",
            json!("203.0.113.0/24"),
            address,
            false,
        ),
        (
            "NotIpAddress",
            "aws:SourceIp",
            json!("203.0.113.0/24"),
            none,
            true,
        ),
        (
            "ArnEquals",
            "aws:SourceArn",
            json!("arn:aws:s3:::a:*"),
            arn,
            true,
        ),
        (
            "ArnLike",
            "aws:SourceArn",
            json!("arn:aws:*:a:*:*"),
            arn,
            false,
        ),
        (
            "ArnLike",
            "aws:SourceArn",
            json!("arn:aws:s3:*:*:a*"),
            arn,
            true,
        ),
        (
            "ArnNotLike",
            "aws:SourceArn",
            json!("arn:aws:s3:*:*:a*"),
            arn,
            false,
        ),
        (
            "ArnNotEquals",
            "aws:SourceArn",
            json!("arn:aws:s3:::c"),
            none,
            true,
        ),
        ("Null", "aws:SourceArn", json!("true"), none, true),
        ("Null", "aws:SourceArn", json!(true), arn, false),
        ("Null", "aws:SourceArn", json!("false"), arn, true),
        (
            "ForAnyValue:StringLike",
            "aws:PrincipalOrgPaths",
            json!("o-1/r-1/ou-1/*"),
            paths,
            true,
        ),
        (
            "ForAnyValue:StringLike",
            "aws:PrincipalOrgPaths",
            json!("o-1/r-1/ou-9/*"),
            paths,
            false,
        ),
        (
            "ForAnyValue:StringLike",
            "aws:PrincipalOrgPaths",
            json!("o-1/*"),
            none,
            false,
        ),
        (
            "ForAnyValue:StringEquals",
            "kms:EncryptionContextKeys",
            json!("b"),
            names,
            true,
        ),
        (
            "ForAnyValue:StringEquals",
            "kms:EncryptionContextKeys",
            json!("c"),
            names,
            false,
        ),
        (
            "ForAnyValue:StringNotEquals",
            "kms:EncryptionContextKeys",
            json!("b"),
            names,
            true,
        ),
        (
            "ForAnyValue:StringNotEquals",
            "kms:EncryptionContextKeys",
            json!(["a", "b"]),
            names,
            false,
        ),
        (
            "ForAllValues:StringEquals",
            "kms:EncryptionContextKeys",
            json!(["a", "b", "c"]),
            names,
            true,
        ),
        (
            "ForAllValues:StringEquals",
            "kms:EncryptionContextKeys",
            json!(["a"]),
            names,
            false,
        ),
        (
            "ForAllValues:StringEquals",
            "kms:EncryptionContextKeys",
            json!(["a"]),
            none,
            true,
        ),
        (
            "ForAllValues:StringNotEquals",
            "kms:EncryptionContextKeys",
            json!("c"),
            names,
            true,
        ),
    ] {
        let document = one(json!({ "Condition": { operator: { key: value } } }));
        let expected = if holds { Allow } else { Silent };
        let says = said(&document, Some(&user()), given);
        assert_eq!(says, expected, "{operator} {key} {value} of {given:?}");
    }
}

#[test]
fn all_conditions_must_hold() {
    let document = one(json!({ "Condition": {
        "StringEquals": { "kms:CallerAccount": "1", "kms:ViaService": "x" },
        "Bool": { "kms:GrantIsForAWSResource": "true" },
    } }));
    let all: [(&str, &[&str]); 3] = [
        ("kms:calleraccount", &["1"]),
        ("kms:viaservice", &["x"]),
        ("kms:grantisforawsresource", &["true"]),
    ];
    assert_eq!(said(&document, None, &all), Allow);
    for left_out in 0..all.len() {
        let mut some = all.to_vec();
        some.remove(left_out);
        assert_eq!(said(&document, None, &some), Silent, "without {left_out}");
    }
}

#[test]
fn who_the_caller_is() {
    for (key, value, user_says, session_says) in [
        (
            "aws:PrincipalArn",
            "arn:aws:iam::111111111111:user/admin",
            Allow,
            Silent,
        ),
        (
            "aws:PrincipalArn",
            "arn:aws:iam::222222222222:role/builder",
            Silent,
            Allow,
        ),
        ("aws:PrincipalAccount", "222222222222", Silent, Allow),
        ("aws:PrincipalType", "User", Allow, Silent),
        ("aws:PrincipalType", "AssumedRole", Silent, Allow),
        ("aws:userid", "AROA0000000000000002:one", Silent, Allow),
        ("aws:username", "admin", Allow, Silent),
    ] {
        let document = one(json!({ "Condition": { "StringEquals": { key: value } } }));
        assert_eq!(
            said(&document, Some(&user()), &[]),
            user_says,
            "{key} {value}"
        );
        assert_eq!(
            said(&document, Some(&session()), &[]),
            session_says,
            "{key} {value}"
        );
        assert_eq!(said(&document, None, &[]), Silent, "{key} {value}: nobody");
    }
}

#[test]
fn sessions_of_roles_with_a_path() {
    let role = "arn:aws:iam::222222222222:role/teams/images/builder";
    let with_path = Caller {
        role: Some(role.to_owned()),
        ..session()
    };
    let without = "arn:aws:iam::222222222222:role/builder";
    for (named, meant) in [(role, true), (without, false)] {
        for members in [
            json!({ "Effect": "Deny", "Principal": { "AWS": named } }),
            json!({
                "Effect": "Deny",
                "Condition": { "ArnEquals": { "aws:PrincipalArn": named } },
            }),
        ] {
            let verdict = said(&one(members.clone()), Some(&with_path), &[]);
            assert_eq!(verdict == Deny, meant, "{members}");
        }
    }
}
