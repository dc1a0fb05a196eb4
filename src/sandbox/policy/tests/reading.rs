use super::*;

#[test]
fn documents_that_are_none() {
    let statement = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
    let twice = r#"{"Statement":{"Effect":"Deny","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#;
    for (document, part) in [
        ("", "JSON"),
        ("[]", "object"),
        ("{}", "Statement"),
        (r#"{"Statement":[]}"#, "Statement"),
        (r#"{"Statement":["x"]}"#, "object"),
        (twice, "given twice"),
        (
            &format!(r#"{{"Version":"2020-01-01","Statement":{statement}}}"#),
            "version",
        ),
        (
            &format!(r#"{{"Version":1,"Statement":{statement}}}"#),
            "Version",
        ),
        (&format!(r#"{{"Id":1,"Statement":{statement}}}"#), "Id"),
        (
            &format!(r#"{{"Coffee":1,"Statement":{statement}}}"#),
            "Coffee",
        ),
        (&format!(r#"{{"Statement":{statement}}} x"#), "JSON"),
    ] {
        let error = Policy::parse(document).expect_err(document);
        assert!(error.to_string().contains(part), "{document}: {error}");
    }
    let plain = format!(r#"{{"Version":"2008-10-17","Id":"x","Statement":{statement}}}"#);
    assert_eq!(said(&plain, None, &[]), Verdict::Allow);
}

#[test]
fn statements_that_are_none() {
    let user = "arn:aws:iam::111111111111:user/a";
    for (members, part) in [
        (json!({ "Effect": "allow" }), "effect"),
        (json!({ "Effect": ["Allow"] }), "effect"),
        (json!({ "Sid": 1 }), "SID"),
        (json!({ "Coffee": 1 }), "Coffee"),
        (json!({ "Principal": "x" }), "principal"),
        (json!({ "Principal": {} }), "principal"),
        (json!({ "Principal": { "AWS": [] } }), "principal"),
        (json!({ "Principal": { "AWS": 1 } }), "principal"),
        (
            json!({ "Principal": { "AWS": "12345678901" } }),
            "principals",
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:iam::1:root" } }),
            "principals",
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:iam::111111111111:rooted" } }),
            "principals",
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:iam::111111111111:user/*" } }),
            "principals",
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:iam::*:root" } }),
            "principals",
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:iam::111111111111:user/" } }),
            "principals",
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:iam::111111111111:group/a" } }),
            "principals",
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:sts::111111111111:assumed-role/a" } }),
            "principals",
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:s3:::bucket" } }),
            "principals",
        ),
        (json!({ "Principal": { "Service": "ec2" } }), "principals"),
        (
            json!({ "Principal": { "Service": "*.amazonaws.com" } }),
            "principals",
        ),
        (json!({ "Principal": { "Federated": "x" } }), "Federated"),
        (json!({ "NotPrincipal": { "AWS": user } }), "NotPrincipal"),
        (json!({ "Action": "Decrypt" }), "action"),
        (json!({ "Action": "kms:" }), "action"),
        (json!({ "Action": "kms:De crypt" }), "action"),
        (json!({ "Action": [] }), "Action"),
        (json!({ "Action": 1 }), "Action"),
        (json!({ "Resource": "key" }), "resource"),
        (json!({ "Resource": "arn:aws:kms" }), "resource"),
        (json!({ "Resource": [] }), "Resource"),
        (
            json!({ "Resource": "arn:aws:s3:::bucket/${aws:username}" }),
            "variables",
        ),
        (json!({ "Condition": [] }), "Condition"),
        (
            json!({ "Condition": { "StringEquals": "x" } }),
            "StringEquals",
        ),
        (
            json!({ "Condition": { "StringIs": { "aws:PrincipalArn": "x" } } }),
            "StringIs",
        ),
        (
            json!({ "Condition": { "NullIfExists": { "aws:PrincipalArn": "true" } } }),
            "Null",
        ),
        (
            json!({ "Condition": { "ForAnyValue:Null": { "aws:TagKeys": "true" } } }),
            "Null",
        ),
        (
            json!({ "Condition": { "StringNotLike": { "aws:PrincipalOrgPaths": "o-1/*" } } }),
            "use ForAnyValue:StringNotLike or ForAllValues:StringNotLike",
        ),
        (
            json!({ "Condition": { "StringEqualsIfExists": { "aws:TagKeys": "a" } } }),
            "use ForAnyValue:",
        ),
        (
            json!({ "Condition": { "StringEquals": { "s3:ExistingObjectTag/": "a" } } }),
            "s3:ExistingObjectTag/",
        ),
        (
            json!({ "Condition": { "Null": { "aws:PrincipalArn": ["true", "false"] } } }),
            "Null",
        ),
        (
            json!({ "Condition": { "ForSomeValue:StringEquals": { "aws:TagKeys": "x" } } }),
            "ForSome",
        ),
        (
            json!({ "Condition": { "StringEquals": { "aws:Coffee": "x" } } }),
            "aws:Coffee",
        ),
        (
            json!({ "Condition": { "StringEquals": { "kms:EncryptionContext:": "x" } } }),
            "kms:Enc",
        ),
        (
            json!({ "Condition": { "StringEquals": { "aws:PrincipalArn": [] } } }),
            "values",
        ),
        (
            json!({ "Condition": { "StringEquals": { "aws:PrincipalArn": {} } } }),
            "values",
        ),
        (
            json!({ "Condition": { "StringEquals": { "aws:PrincipalArn": "${aws:x}" } } }),
            "variables",
        ),
        (
            json!({ "Condition": { "Bool": { "aws:SecureTransport": "yes" } } }),
            "yes",
        ),
        (
            json!({ "Condition": { "NumericEquals": { "s3:max-keys": "many" } } }),
            "many",
        ),
        (
            json!({ "Condition": { "DateLessThan": { "aws:CurrentTime": "soon" } } }),
            "soon",
        ),
        (
            json!({ "Condition": { "IpAddress": { "aws:SourceIp": "10.0.0.0/33" } } }),
            "10.0.0.0/33",
        ),
        (
            json!({ "Condition": { "ArnLike": { "aws:SourceArn": "x" } } }),
            "x",
        ),
    ] {
        let error = Policy::parse(&one(members.clone())).expect_err(&members.to_string());
        assert!(error.to_string().contains(part), "{members}: {error}");
    }
}

#[test]
fn what_a_statement_must_have() {
    for name in ["Effect", "Principal", "Action", "Resource"] {
        let mut document: Value = serde_json::from_str(&one(json!({}))).expect("JSON");
        let statement = document["Statement"][0].as_object_mut().expect("an object");
        statement.remove(name);
        let error = Policy::parse(&document.to_string()).expect_err(name);
        assert!(error.to_string().contains(name), "{error}");
    }
    for name in ["Action", "Resource"] {
        let mut document: Value = serde_json::from_str(&one(json!({}))).expect("JSON");
        let statement = &mut document["Statement"][0];
        statement[format!("Not{name}")] = statement[name].clone();
        Policy::parse(&document.to_string()).expect_err(name);
    }
    let statement = json!({
        "Sid": "a", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*",
    });
    let same = json!({ "Statement": [statement, statement] }).to_string();
    assert!(
        Policy::parse(&same)
            .expect_err("the same SID")
            .to_string()
            .contains("unique")
    );
}

#[test]
fn what_a_policy_tells_of_itself() {
    let policy = parsed(&one(json!({
        "Action": ["s3:Get*", "s3:List*"],
        "Resource": "arn:aws:s3:::bucket/*",
        "Condition": { "StringEquals": { "s3:Prefix": "x" } },
    })));
    assert!(policy.actions().into_iter().eq(["s3:Get*", "s3:List*"]));
    assert!(policy.resources().into_iter().eq(["arn:aws:s3:::bucket/*"]));
    assert!(policy.condition_keys().into_iter().eq(["s3:prefix"]));
    assert!(!policy.is_public());
    assert!(parsed(&one(json!({}))).is_public());
    assert!(!parsed(&one(json!({ "Principal": { "AWS": "111111111111" } }))).is_public());
}
