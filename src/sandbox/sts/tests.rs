use crate::sandbox::service::Service;
use crate::sandbox::testing::{Bed, Xml, request};

const ROLE: (&str, &str) = ("RoleArn", "arn:aws:iam::222222222222:role/build/reader");
const SESSION: (&str, &str) = ("RoleSessionName", "nightly@ci");

fn call(bed: &Bed, action: &str, params: &[(&str, &str)]) -> Xml {
    bed.query(Service::Sts, "publisher", "us-east-1", action, params)
        .expect("an answer")
}

fn code(bed: &Bed, action: &str, params: &[(&str, &str)]) -> (String, u16) {
    let error = bed
        .query(Service::Sts, "publisher", "us-east-1", action, params)
        .expect_err("an error");
    (error.code.into_owned(), error.status)
}

#[test]
fn identity() {
    let bed = Bed::new();
    let answer = call(&bed, "GetCallerIdentity", &[]);
    assert_eq!(
        answer.text("GetCallerIdentityResult/Account"),
        "111111111111"
    );
    assert_eq!(
        answer.text("GetCallerIdentityResult/Arn"),
        "arn:aws:iam::111111111111:user/admin"
    );
    assert!(
        answer
            .text("GetCallerIdentityResult/UserId")
            .starts_with("AIDA")
    );
    assert!(!answer.text("ResponseMetadata/RequestId").is_empty());
}

#[test]
fn roles_are_assumed() {
    let bed = Bed::new();
    let answer = call(
        &bed,
        "AssumeRole",
        &[
            ROLE,
            SESSION,
            ("DurationSeconds", "900"),
            ("ExternalId", "a:b/c"),
        ],
    );
    let credentials = |name| answer.text(&format!("AssumeRoleResult/Credentials/{name}"));
    let id = credentials("AccessKeyId");
    assert!(id.starts_with("ASIA") && id.len() == 20, "{id}");
    let arn = "arn:aws:sts::222222222222:assumed-role/reader/nightly@ci";
    assert_eq!(answer.text("AssumeRoleResult/AssumedRoleUser/Arn"), arn);
    let key = bed
        .shared
        .read(|world| world.access_keys.get(id).cloned())
        .expect("the key is known");
    assert_eq!(key.secret, credentials("SecretAccessKey"));
    assert_eq!(
        key.session_token.as_deref(),
        Some(credentials("SessionToken"))
    );
    assert_eq!(key.caller.arn, arn);
    assert_eq!(key.caller.account.as_str(), "222222222222");
    assert_eq!(key.caller.principal_arn(), ROLE.1, "with the role's path");
    let expires = key.expires.expect("an end");
    assert_eq!(
        crate::sandbox::clock::Timestamp::parse(credentials("Expiration")),
        Some(expires)
    );
    let seconds = (expires.0 - bed.shared.clock.now().0) / 1000;
    assert!((890..=900).contains(&seconds), "{seconds}");

    let again = call(&bed, "AssumeRole", &[ROLE, SESSION]);
    let role_id = "AssumeRoleResult/AssumedRoleUser/AssumedRoleId";
    assert_eq!(again.text(role_id), answer.text(role_id), "the same role");
    let info = call(&bed, "GetAccessKeyInfo", &[("AccessKeyId", id)]);
    assert_eq!(info.text("GetAccessKeyInfoResult/Account"), "222222222222");
}

#[test]
fn what_assume_role_refuses() {
    let bed = Bed::new();
    let long = "x".repeat(65);
    let unknown = ("RoleArn", "arn:aws:iam::999999999999:role/reader");
    let invalid = ("ValidationError", 400);
    let denied = ("AccessDenied", 403);
    for (params, expected) in [
        (vec![SESSION], invalid),
        (vec![ROLE], invalid),
        (vec![unknown, SESSION], denied),
        (
            vec![("RoleArn", "arn:aws:iam::222222222222:user/a"), SESSION],
            invalid,
        ),
        (
            vec![("RoleArn", "arn:aws:iam::222222222222:role/"), SESSION],
            invalid,
        ),
        (
            vec![("RoleArn", "arn:aws:iam::222222222222:role/a b/c"), SESSION],
            invalid,
        ),
        (vec![("RoleArn", "role"), SESSION], invalid),
        (vec![ROLE, ("RoleSessionName", "a")], invalid),
        (vec![ROLE, ("RoleSessionName", "a b")], invalid),
        (vec![ROLE, ("RoleSessionName", &long)], invalid),
        (vec![ROLE, SESSION, ("DurationSeconds", "899")], invalid),
        (vec![ROLE, SESSION, ("DurationSeconds", "43201")], invalid),
        (vec![ROLE, SESSION, ("DurationSeconds", "-1")], invalid),
        (
            vec![ROLE, SESSION, ("DurationSeconds", "x")],
            ("MalformedInput", 400),
        ),
        (vec![ROLE, SESSION, ("ExternalId", "x")], invalid),
        (vec![ROLE, SESSION, ("Policy", "{}")], invalid),
        (
            vec![ROLE, SESSION, ("PolicyArns.member.1.arn", "x")],
            invalid,
        ),
        (vec![ROLE, SESSION, ("Tags.member.1.Key", "x")], invalid),
        (
            vec![ROLE, SESSION, ("TransitiveTagKeys.member.1", "x")],
            invalid,
        ),
        (vec![ROLE, SESSION, ("SourceIdentity", "me")], invalid),
        (vec![ROLE, SESSION, ("TokenCode", "123456")], invalid),
        (
            vec![
                ROLE,
                SESSION,
                ("TokenCode", "123456"),
                ("SerialNumber", "GAHT12345678"),
            ],
            denied,
        ),
        (vec![ROLE, SESSION, ("Tea", "x")], ("UnknownParameter", 400)),
    ] {
        let (code, status) = code(&bed, "AssumeRole", &params);
        assert_eq!((code.as_str(), status), expected, "{params:?}");
    }
}

#[test]
fn sessions_are_told_apart() {
    let bed = Bed::new();
    let in_role = |action: &str, params: &[(&str, &str)]| {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("Action", action)
            .append_pair("Version", "2011-06-15")
            .extend_pairs(params);
        let request = request("POST", "/", &[], body.finish().as_bytes());
        let mut context = bed.context(Service::Sts, action, "customer", "us-east-1", request);
        context.caller.arn = "arn:aws:sts::222222222222:assumed-role/a/b".to_owned();
        Service::Sts.handle(&context)
    };
    assert!(in_role("AssumeRole", &[ROLE, SESSION]).is_ok());
    assert!(in_role("AssumeRole", &[ROLE, SESSION, ("DurationSeconds", "3600")]).is_ok());
    let error = in_role("AssumeRole", &[ROLE, SESSION, ("DurationSeconds", "3601")]);
    assert_eq!(
        error.expect_err("too long for a chain").code,
        "ValidationError"
    );
    let error = in_role("GetSessionToken", &[]).expect_err("in a session");
    assert_eq!((&*error.code, error.status), ("AccessDenied", 403));
}

#[test]
fn session_tokens() {
    let bed = Bed::new();
    let answer = call(
        &bed,
        "GetSessionToken",
        &[
            ("DurationSeconds", "129600"),
            ("MinimumSessionTokenSize", "4000"),
        ],
    );
    let id = answer.text("GetSessionTokenResult/Credentials/AccessKeyId");
    let key = bed.shared.read(|world| world.access_keys.get(id).cloned());
    let key = key.expect("the key is known");
    assert_eq!(key.caller, bed.caller("publisher"));
    assert!(key.session_token.expect("a token").len() >= 4000);
    let (code, _) = code(&bed, "GetSessionToken", &[("DurationSeconds", "129601")]);
    assert_eq!(code, "ValidationError");
}

#[test]
fn other_calls() {
    let bed = Bed::new();
    for (action, params, expected) in [
        ("MakeCoffee", vec![], "InvalidAction"),
        ("GetCallerIdentity", vec![("Tea", "x")], "UnknownParameter"),
        ("GetAccessKeyInfo", vec![], "ValidationError"),
        (
            "GetAccessKeyInfo",
            vec![("AccessKeyId", "AKIA")],
            "ValidationError",
        ),
        (
            "GetAccessKeyInfo",
            vec![("AccessKeyId", "AKIAAAAAAAAAAAAAAAAA")],
            "ValidationError",
        ),
    ] {
        assert_eq!(code(&bed, action, &params).0, expected, "{action}");
    }
    let presigned = request(
        "GET",
        "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Date=x",
        &[],
        b"",
    );
    let context = bed.context(Service::Sts, "", "customer", "us-east-1", presigned);
    assert!(Service::Sts.handle(&context).is_ok());
    let old = request(
        "POST",
        "/",
        &[],
        b"Action=GetCallerIdentity&Version=2010-01-01",
    );
    let context = bed.context(Service::Sts, "", "customer", "us-east-1", old);
    let error = Service::Sts.handle(&context).expect_err("another version");
    assert_eq!(error.code, "InvalidAction");
}

/// A token with these claims; nobody signed it.
fn token(claims: &str) -> String {
    use base64::Engine as _;
    let encode = |text: &str| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.c2lnbmVk",
        encode("{\"alg\":\"RS256\"}"),
        encode(claims)
    )
}

#[test]
fn roles_are_assumed_by_web_identity() {
    let bed = Bed::new();
    let claims = r#"{"iss": "https://ci.example", "sub": "repo:x", "aud": "sts.amazonaws.com"}"#;
    let token = token(claims);
    let params = [
        ROLE,
        SESSION,
        ("WebIdentityToken", &token),
        ("DurationSeconds", "900"),
    ];
    let answer = call(&bed, "AssumeRoleWithWebIdentity", &params);
    let result = |name: &str| answer.text(&format!("AssumeRoleWithWebIdentityResult/{name}"));
    assert_eq!(result("SubjectFromWebIdentityToken"), "repo:x");
    assert_eq!(result("Provider"), "https://ci.example");
    assert_eq!(result("Audience"), "sts.amazonaws.com");
    let arn = "arn:aws:sts::222222222222:assumed-role/reader/nightly@ci";
    assert_eq!(result("AssumedRoleUser/Arn"), arn);
    let id = result("Credentials/AccessKeyId");
    let known = bed.shared.read(|world| world.access_keys.get(id).cloned());
    assert_eq!(known.expect("a key").caller.arn, arn);
}

#[test]
fn web_identities_that_are_refused() {
    let bed = Bed::new();
    let good = token(r#"{"iss": "a", "sub": "b"}"#);
    let expired = token(r#"{"iss": "a", "sub": "b", "exp": 1}"#);
    let nobody = token(r#"{"iss": "a"}"#);
    let unknown = ("RoleArn", "arn:aws:iam::999999999999:role/reader");
    for (role, token, expected) in [
        (ROLE, "", "ValidationError"),
        (ROLE, "no-token", "InvalidIdentityToken"),
        (ROLE, "a.b.c", "InvalidIdentityToken"),
        (ROLE, &nobody, "InvalidIdentityToken"),
        (ROLE, &expired, "ExpiredTokenException"),
        (unknown, &good, "AccessDenied"),
        (("RoleArn", "role-without-a-form"), &good, "ValidationError"),
    ] {
        let params = [role, SESSION, ("WebIdentityToken", token)];
        let (code, _) = code(&bed, "AssumeRoleWithWebIdentity", &params);
        assert_eq!(code, expected, "{token}");
    }
}
