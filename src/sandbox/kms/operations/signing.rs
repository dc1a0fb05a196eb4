//! Signatures.

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

use super::super::grant;
use super::super::input::{Blob, blob, key_id, one_of, required, unsupported, wrong};
use super::super::key::{Key, Needs};
use super::super::material::Spec;
use super::super::reference::ANY;
use super::{permitted, read, request, unless_dry_run, wrong_usage};

const ALGORITHM: &str = "ECDSA_SHA_256";
const ALGORITHMS: &[&str] = &[
    "RSASSA_PSS_SHA_256",
    "RSASSA_PSS_SHA_384",
    "RSASSA_PSS_SHA_512",
    "RSASSA_PKCS1_V1_5_SHA_256",
    "RSASSA_PKCS1_V1_5_SHA_384",
    "RSASSA_PKCS1_V1_5_SHA_512",
    "ECDSA_SHA_256",
    "ECDSA_SHA_384",
    "ECDSA_SHA_512",
    "SM2DSA",
    "ML_DSA_SHAKE_256",
    "ED25519_SHA_512",
    "ED25519_PH_SHA_512",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Sign {
    key_id: Option<String>,
    message: Option<Blob>,
    message_type: Option<String>,
    grant_tokens: Option<Vec<String>>,
    signing_algorithm: Option<String>,
    dry_run: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Verify {
    key_id: Option<String>,
    message: Option<Blob>,
    message_type: Option<String>,
    signature: Option<Blob>,
    grant_tokens: Option<Vec<String>>,
    signing_algorithm: Option<String>,
    dry_run: Option<bool>,
}

/// What is signed, or was.
struct Subject<'w> {
    key: &'w Key,
    digest: [u8; 32],
}

/// Takes what Sign and Verify have in common, and sees that the caller may do it.
fn subject<'w>(
    context: &Context,
    world: &'w World,
    action: &str,
    input: Sign,
) -> Result<Subject<'w>, ServiceError> {
    let reference = key_id(input.key_id, "keyId")?;
    let message = required(input.message, "message")?.sized("message", 4096)?;
    let algorithm = required(input.signing_algorithm, "signingAlgorithm")?;
    one_of(&algorithm, "signingAlgorithm", ALGORITHMS)?;
    let kind = input.message_type.unwrap_or_else(|| "RAW".to_owned());
    one_of(&kind, "messageType", &["RAW", "DIGEST", "EXTERNAL_MU"])?;
    let tokens = grant::of_tokens(world, &input.grant_tokens.unwrap_or_default())?;
    let mut request = request(context, action)
        .with("kms:signingalgorithm", algorithm.as_str())
        .with("kms:messagetype", kind.as_str());
    request.tokens = &tokens;
    let key = permitted(world, context, request, &reference, ANY)?;
    key.require(world, context.now, Needs::Usable)?;
    if key.spec != Spec::EccP256 {
        return Err(wrong_usage(key, action));
    }
    if algorithm != ALGORITHM {
        return Err(ServiceError::new(
            "InvalidKeyUsageException",
            format!(
                "Algorithm {algorithm} is incompatible with key spec {}.",
                key.spec.name()
            ),
        ));
    }
    let digest = match kind.as_str() {
        "RAW" => Sha256::digest(&message).into(),
        "DIGEST" => message.as_slice().try_into().map_err(|_| {
            wrong(format!(
                "Digest is invalid length for algorithm {algorithm}."
            ))
        })?,
        _ => {
            return Err(wrong(format!(
                "MessageType {kind} is not valid for algorithm {algorithm}."
            )));
        }
    };
    unless_dry_run(input.dry_run)?;
    Ok(Subject { key, digest })
}

/// Sign.
pub(super) fn sign(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let subject = subject(context, world, "Sign", read(context)?)?;
    let signature = subject.key.material(world)?.sign(&subject.digest)?;
    Ok(json!({
        "KeyId": subject.key.arn(),
        "Signature": blob(&signature),
        "SigningAlgorithm": ALGORITHM,
    }))
}

/// Verify. A signature that is not right is an error.
pub(super) fn verify(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: Verify = read(context)?;
    let signature = required(input.signature, "signature")?.sized("signature", 6144)?;
    let signed = Sign {
        key_id: input.key_id,
        message: input.message,
        message_type: input.message_type,
        grant_tokens: input.grant_tokens,
        signing_algorithm: input.signing_algorithm,
        dry_run: input.dry_run,
    };
    let subject = subject(context, world, "Verify", signed)?;
    let material = subject.key.material(world)?;
    if !material.verify(&subject.digest, &signature)? {
        return Err(ServiceError::new("KMSInvalidSignatureException", ""));
    }
    Ok(json!({
        "KeyId": subject.key.arn(),
        "SignatureValid": true,
        "SigningAlgorithm": ALGORITHM,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetPublicKey {
    key_id: Option<String>,
    grant_tokens: Option<Vec<String>>,
}

/// GetPublicKey.
pub(super) fn public_key(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: GetPublicKey = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let tokens = grant::of_tokens(world, &input.grant_tokens.unwrap_or_default())?;
    let mut request = request(context, "GetPublicKey");
    request.tokens = &tokens;
    let key = permitted(world, context, request, &reference, ANY)?;
    if key.spec == Spec::Symmetric {
        return Err(unsupported(format!(
            "{} is a symmetric key: it has no public key",
            key.arn()
        )));
    }
    key.require(world, context.now, Needs::Usable)?;
    Ok(json!({
        "KeyId": key.arn(),
        "PublicKey": blob(&key.material(world)?.public_key()?),
        "CustomerMasterKeySpec": key.spec.name(),
        "KeySpec": key.spec.name(),
        "KeyUsage": key.spec.usage(),
        "SigningAlgorithms": [ALGORITHM],
    }))
}
