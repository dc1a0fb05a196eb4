use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{call, here, refused};
use crate::sandbox::ec2::network::key_pair;
use crate::sandbox::ec2::network::ssh_key::PublicKey;
use crate::sandbox::testing::Bed;

/// Keys that ssh-keygen made, with the fingerprints that ssh-keygen (padded) and openssl give them.
const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILn1fKZ1z4dZqEAJQ543NhVbEkorXJhgqPJVERBwaRhS somebody@somewhere";
const ED25519_FINGERPRINT: &str = "XymE/E+CO6x+pGLy+3usqr1vgZQCL+ujvalfbdTM7kw=";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDICJYMDjAqmVr5mE9WWFS0TjTcvv/1Ia25I73YM7qDR+ZZOIHl1dG3iHhwFA7LzYKgfjDCTQ9cTP88ifCMYhUBCLjwwnnmZkA8pNZLajGf4G26B4Ge8tOUEpgQShKMRPkPs09oKAS9Aa4FG+PH00jTKMgMBdBOLx9o2ebTJL6WCl2NitCPWFH90Ni4Y5XD0J+2NsCD5mSBkKObBnctBHTwj1V2y8IU3J8KzIcBmhv6od/joGJMgOfkqcoghcMudObsdDJr8NR61rwtx8QcjnOEsfMov8g8MFa6i/kZBkXdWAsiiMnp6B9ik9cfnkIcqynpagnR6eQ7y80QTD8JVGXP";
const RSA_MD5: &str = "31:5a:25:0b:54:b2:3e:d7:84:c0:0d:cb:39:c2:d5:d6";
const RSA_1536: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAwQCyyJcTHyxDoGdc6h76C3UeQCM5cWZ/h7tqtJGL+1DJUjvqNoJgxMqRpfKNCuWhV9L9tQFhF9uLnyq+VecUdFIH0TLY7TDdTK81MaNEWseBPtbXsdj+q+12I4weS9MXa0o4xogm+xR2sfk8KTzgaSFvcOML4HwnuqLwanPPrqByupg0scPb5mPv85w0lsMKqWmsB5hkmiXxlI9du6MosX3TAvRWZXT0bWHQPrv68CTKVWeaqpWu9dZ5Nl1jLH2CqD0=";

fn import(bed: &Bed, name: &str, text: &str) -> crate::sandbox::testing::Xml {
    let material = BASE64_STANDARD.encode(text);
    call(
        bed,
        "ImportKeyPair",
        &[("KeyName", name), ("PublicKeyMaterial", &material)],
    )
}

#[test]
fn keys_are_imported() {
    let bed = Bed::new();
    let answer = import(&bed, "mine", ED25519);
    assert_eq!(answer.text("keyFingerprint"), ED25519_FINGERPRINT);
    assert_eq!(import(&bed, "rsa", RSA).text("keyFingerprint"), RSA_MD5);
    let account = bed.caller("publisher").account;
    let kept = bed
        .shared
        .read(|world| key_pair(world, &account, &here(), "mine"));
    assert_eq!(kept.expect("the key").public_key_openssh, ED25519);
}

/// The same key in the other forms that EC2 takes.
#[test]
fn forms_of_public_keys() {
    let blob = RSA.split(' ').nth(1).expect("a blob");
    let (expected, comment) = PublicKey::parse(RSA).expect("a key");
    assert_eq!(comment, None);
    let rfc4716 = format!(
        "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"of two \\\nlines\"\n{}\n{}\n---- END SSH2 PUBLIC KEY ----\n",
        &blob[..70],
        &blob[70..]
    );
    let der = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyAiWDA4wKpla+ZhPVlhUtE403L7/9SGtuSO92DO6g0fmWTiB5dXRt4h4cBQOy82CoH4wwk0PXEz/PInwjGIVAQi48MJ55mZAPKTWS2oxn+BtugeBnvLTlBKYEEoSjET5D7NPaCgEvQGuBRvjx9NI0yjIDAXQTi8faNnm0yS+lgpdjYrQj1hR/dDYuGOVw9CftjbAg+ZkgZCjmwZ3LQR08I9VdsvCFNyfCsyHAZob+qHf46BiTIDn5KnKIIXDLnTm7HQya/DUeta8LcfEHI5zhLHzKL/IPDBWuov5GQZF3VgLIojJ6egfYpPXH55CHKsp6WoJ0enkO8vNEEw/CVRlzwIDAQAB";
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
    for text in [&rfc4716, der, &pem] {
        let parsed = PublicKey::parse(text).map(|(key, _)| key);
        assert_eq!(parsed.as_ref(), Some(&expected), "{text}");
    }
    for text in [
        "",
        "ssh-rsa",
        "ssh-rsa AAAA",
        "ssh-dss AAAA",
        "ssh-rsa AAAAB3NzaC1yc2E=",
        &ED25519.replace("ssh-ed25519", "ssh-rsa"),
        &format!("{ED25519}\n{ED25519}"),
        "-----BEGIN PUBLIC KEY-----",
        "---- BEGIN SSH2 PUBLIC KEY ----",
        "MIIB",
        "MA==",
        "MIP/////",
    ] {
        assert_eq!(PublicKey::parse(text), None, "{text}");
    }
}

#[test]
fn keys_are_made() {
    let bed = Bed::new();
    for (kind, begin, prefix) in [
        ("rsa", "-----BEGIN RSA PRIVATE KEY-----\n", "ssh-rsa AAAA"),
        (
            "ed25519",
            "-----BEGIN OPENSSH PRIVATE KEY-----\n",
            "ssh-ed25519 AAAA",
        ),
    ] {
        let answer = call(
            &bed,
            "CreateKeyPair",
            &[("KeyName", kind), ("KeyType", kind)],
        );
        assert!(answer.text("keyMaterial").starts_with(begin));
        let params = [("KeyName.1", kind), ("IncludePublicKey", "true")];
        let found = call(&bed, "DescribeKeyPairs", &params);
        let at = |name: &str| found.text(&format!("keySet/item[0]/{name}")).to_owned();
        assert_eq!(at("keyType"), kind);
        assert_eq!(at("keyFingerprint"), answer.text("keyFingerprint"));
        let public = at("publicKey");
        assert!(
            public.starts_with(prefix) && public.ends_with(&format!(" {kind}")),
            "{public}"
        );
        assert!(
            PublicKey::parse(&public)
                .expect("a key")
                .0
                .has_fitting_length()
        );
    }
    let rsa = call(&bed, "DescribeKeyPairs", &[("KeyName.1", "rsa")]);
    assert_eq!(rsa.text("keySet/item[0]/keyFingerprint").len(), 59, "SHA-1");
    assert_eq!(rsa.get("keySet/item[0]/publicKey"), None);
}

/// What the private half says of the public one.
#[test]
fn an_ed25519_key_holds_together() {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    let bed = Bed::new();
    let answer = call(
        &bed,
        "CreateKeyPair",
        &[("KeyName", "a"), ("KeyType", "ed25519")],
    );
    let text: String = answer
        .text("keyMaterial")
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let file = BASE64_STANDARD.decode(text).expect("Base64");
    let found = call(&bed, "DescribeKeyPairs", &[("IncludePublicKey", "true")]);
    let public = found.text("keySet/item[0]/publicKey");
    let blob = BASE64_STANDARD
        .decode(public.split(' ').nth(1).expect("a blob"))
        .expect("Base64");
    let key = &blob[19..];
    let at = file
        .windows(32)
        .rposition(|window| window == key)
        .expect("the public key after the seed");
    let pair = Ed25519KeyPair::from_seed_unchecked(&file[at - 32..at]).expect("a seed");
    assert_eq!(pair.public_key().as_ref(), key);
}

#[test]
fn rules_of_key_pairs() {
    let bed = Bed::new();
    let id = import(&bed, "mine", ED25519).text("keyPairId").to_owned();
    let material = BASE64_STANDARD.encode(ED25519);
    let short = BASE64_STANDARD.encode(RSA_1536);
    let long = "k".repeat(256);
    let invalid = "InvalidParameterValue";
    let key = ("PublicKeyMaterial", &*material);
    for (action, params, expected) in [
        ("ImportKeyPair", vec![("KeyName", "a")], "MissingParameter"),
        ("ImportKeyPair", vec![key], "MissingParameter"),
        (
            "ImportKeyPair",
            vec![("KeyName", "mine"), key],
            "InvalidKeyPair.Duplicate",
        ),
        (
            "ImportKeyPair",
            vec![("KeyName", "a"), ("PublicKeyMaterial", ED25519)],
            "InvalidKey.Format",
        ),
        (
            "ImportKeyPair",
            vec![("KeyName", "a"), ("PublicKeyMaterial", &short)],
            "InvalidKey.Format",
        ),
        ("ImportKeyPair", vec![("KeyName", &long), key], invalid),
        ("ImportKeyPair", vec![("KeyName", "ä"), key], invalid),
        ("ImportKeyPair", vec![("KeyName", " a"), key], invalid),
        (
            "CreateKeyPair",
            vec![("KeyName", "mine")],
            "InvalidKeyPair.Duplicate",
        ),
        (
            "CreateKeyPair",
            vec![("KeyName", "a"), ("KeyType", "dsa")],
            invalid,
        ),
        (
            "CreateKeyPair",
            vec![("KeyName", "a"), ("KeyFormat", "ppk")],
            invalid,
        ),
        (
            "CreateKeyPair",
            vec![("KeyName", "a"), ("KeyFormat", "der")],
            invalid,
        ),
        (
            "DescribeKeyPairs",
            vec![("KeyName.1", "a")],
            "InvalidKeyPair.NotFound",
        ),
        (
            "DescribeKeyPairs",
            vec![("KeyPairId.1", "key-00000000")],
            "InvalidKeyPair.NotFound",
        ),
        (
            "DescribeKeyPairs",
            vec![("MaxResults", "5")],
            "UnknownParameter",
        ),
        ("DeleteKeyPair", vec![], "MissingParameter"),
        (
            "DeleteKeyPair",
            vec![("KeyPairId", "key-00000000")],
            "InvalidKeyPair.NotFound",
        ),
        (
            "DeleteKeyPair",
            vec![("KeyPairId", &id), ("KeyName", "mine")],
            "InvalidParameterCombination",
        ),
    ] {
        refused(&bed, action, &params, expected);
    }
    let by_id = [("KeyPairId", &*id)];
    let error = bed.ec2("customer", "DeleteKeyPair", &by_id);
    assert_eq!(
        error.expect_err("another's").code,
        "InvalidKeyPair.NotFound"
    );
    let deleted = call(&bed, "DeleteKeyPair", &[("KeyName", "never-there")]);
    assert_eq!(deleted.text("return"), "true");
    call(&bed, "DeleteKeyPair", &by_id);
    assert!(
        call(&bed, "DescribeKeyPairs", &[])
            .all("/keyName")
            .is_empty()
    );
}

#[test]
fn filters_of_key_pairs() {
    let bed = Bed::new();
    let id = import(&bed, "mine", ED25519).text("keyPairId").to_owned();
    import(&bed, "other", RSA);
    call(
        &bed,
        "CreateTags",
        &[
            ("ResourceId.1", &id),
            ("Tag.1.Key", "use"),
            ("Tag.1.Value", "build"),
        ],
    );
    for (name, value, expected) in [
        ("key-name", "m*", "mine"),
        ("key-pair-id", &*id, "mine"),
        ("fingerprint", RSA_MD5, "other"),
        ("tag:use", "build", "mine"),
        ("tag-key", "none", ""),
    ] {
        let params = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let found = call(&bed, "DescribeKeyPairs", &params);
        assert_eq!(found.all("/keyName").concat(), expected, "{name}={value}");
    }
}
