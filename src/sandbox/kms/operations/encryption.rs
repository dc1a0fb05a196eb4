//! Encryption and decryption, data keys, random numbers.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

use super::super::access::Request;
use super::super::grant;
use super::super::input::{Blob, blob, key_id, one_of, required, unsupported, within, wrong};
use super::super::key::{self, Key, Needs};
use super::super::material::{Ciphertext, EncryptionContext, Spec};
use super::super::reference::{self, ANY};
use super::{permitted, read, request, unless_dry_run, wrong_usage};

const ALGORITHMS: &[&str] = &[
    "SYMMETRIC_DEFAULT",
    "RSAES_OAEP_SHA_1",
    "RSAES_OAEP_SHA_256",
    "SM2PKE",
];
const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
/// The most that is encrypted at once, in bytes.
const MOST_PLAINTEXT: usize = 4096;
/// The longest ciphertext, in bytes.
const MOST_CIPHERTEXT: usize = 6144;

/// Sees that the algorithm is the one that the keys here have.
fn check_algorithm(given: Option<&str>, member: &str) -> Result<(), ServiceError> {
    let given = given.unwrap_or(SYMMETRIC);
    if one_of(given, member, ALGORITHMS)? != SYMMETRIC {
        return Err(ServiceError::new(
            "InvalidKeyUsageException",
            format!("Algorithm {given} is incompatible with key spec {SYMMETRIC}."),
        ));
    }
    Ok(())
}

fn no_recipient(recipient: Option<&Value>) -> Result<(), ServiceError> {
    match recipient {
        Some(_) => Err(unsupported(
            "The sandbox has no Nitro enclaves: no Recipient",
        )),
        None => Ok(()),
    }
}

/// A request of a cryptographic operation.
fn cryptographic<'a>(
    context: &'a Context,
    action: &'a str,
    with: &'a EncryptionContext,
    tokens: &'a [String],
) -> Request<'a> {
    let mut request = request(context, action).with("kms:encryptionalgorithm", SYMMETRIC);
    request.context = with;
    request.tokens = tokens;
    request
}

/// The key for new ciphertext, once all that is asked for it is so.
fn encryption_key<'w>(
    context: &Context,
    world: &'w World,
    request: Request<'_>,
    reference: &str,
) -> Result<&'w Key, ServiceError> {
    let (action, now) = (request.action, context.now);
    let key = permitted(world, context, request, reference, ANY)?;
    key.require(world, now, Needs::Usable)?;
    if key.spec != Spec::Symmetric {
        return Err(wrong_usage(key, action));
    }
    Ok(key)
}

fn sealed(
    context: &Context,
    world: &World,
    key: &Key,
    with: &EncryptionContext,
    plaintext: &[u8],
) -> Result<Vec<u8>, ServiceError> {
    key.material(world)?
        .encrypt(&key.account, &key.id, context.now, with, plaintext)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Encrypt {
    key_id: Option<String>,
    plaintext: Option<Blob>,
    encryption_context: Option<EncryptionContext>,
    grant_tokens: Option<Vec<String>>,
    encryption_algorithm: Option<String>,
    dry_run: Option<bool>,
}

/// Encrypt.
pub(super) fn encrypt(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: Encrypt = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let plaintext = required(input.plaintext, "plaintext")?.sized("plaintext", MOST_PLAINTEXT)?;
    check_algorithm(input.encryption_algorithm.as_deref(), "encryptionAlgorithm")?;
    let with = input.encryption_context.unwrap_or_default();
    let tokens = grant::of_tokens(world, &input.grant_tokens.unwrap_or_default())?;
    let request = cryptographic(context, "Encrypt", &with, &tokens);
    let key = encryption_key(context, world, request, &reference)?;
    unless_dry_run(input.dry_run)?;
    Ok(json!({
        "CiphertextBlob": blob(&sealed(context, world, key, &with, &plaintext)?),
        "KeyId": key.arn(),
        "EncryptionAlgorithm": SYMMETRIC,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Decrypt {
    ciphertext_blob: Option<Blob>,
    encryption_context: Option<EncryptionContext>,
    grant_tokens: Option<Vec<String>>,
    key_id: Option<String>,
    encryption_algorithm: Option<String>,
    recipient: Option<Value>,
    dry_run: Option<bool>,
    dry_run_modifiers: Option<Vec<String>>,
}

fn no_modifiers(modifiers: Option<&Vec<String>>) -> Result<(), ServiceError> {
    match modifiers {
        Some(modifiers) if !modifiers.is_empty() => {
            Err(unsupported("The sandbox has no DryRunModifiers"))
        }
        _ => Ok(()),
    }
}

/// What was in a ciphertext, and under which key it was.
struct Opened<'w> {
    key: &'w Key,
    plaintext: Vec<u8>,
    version_id: String,
}

/// Finds the key of a ciphertext, sees that the caller may use it, and decrypts.
fn open<'w>(
    context: &Context,
    world: &'w World,
    request: Request<'_>,
    ciphertext: &[u8],
    named: Option<&str>,
) -> Result<Opened<'w>, ServiceError> {
    let invalid = || ServiceError::new("InvalidCiphertextException", "");
    let named = match named {
        Some(reference) => {
            let found = reference::find(world, &request, &context.region, reference, ANY)?;
            let request = match found.alias {
                Some(alias) => request.clone().with("kms:requestalias", alias),
                None => request.clone(),
            };
            request.check(world, found.key)?;
            Some(found.key)
        }
        None => None,
    };
    if let Some(key) = named {
        key.require(world, context.now, Needs::Usable)?;
        if key.spec != Spec::Symmetric {
            return Err(wrong_usage(key, request.action));
        }
    }
    let parsed = Ciphertext::parse(ciphertext).ok_or_else(invalid)?;
    let arn = key::arn(&parsed.account, &context.region, &parsed.key_id);
    let key = match named {
        Some(key) if key.arn() != arn => {
            return Err(ServiceError::new(
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation.",
            ));
        }
        Some(key) => key,
        None => {
            let key = key::find(world, context.now, &arn);
            let key = key.ok_or_else(|| request.hidden_ciphertext())?;
            request
                .check(world, key)
                .map_err(|_| request.hidden_ciphertext())?;
            key.require(world, context.now, Needs::Usable)?;
            key
        }
    };
    let material = key.material(world)?;
    if parsed.version > material.version(context.now) {
        return Err(invalid());
    }
    let plaintext = material.decrypt(&parsed, request.context)?;
    Ok(Opened {
        key,
        plaintext: plaintext.ok_or_else(invalid)?,
        version_id: material.version_id(parsed.version)?,
    })
}

/// Decrypt.
pub(super) fn decrypt(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: Decrypt = read(context)?;
    no_recipient(input.recipient.as_ref())?;
    no_modifiers(input.dry_run_modifiers.as_ref())?;
    let ciphertext = required(input.ciphertext_blob, "ciphertextBlob")?
        .sized("ciphertextBlob", MOST_CIPHERTEXT)?;
    check_algorithm(input.encryption_algorithm.as_deref(), "encryptionAlgorithm")?;
    let with = input.encryption_context.unwrap_or_default();
    let tokens = grant::of_tokens(world, &input.grant_tokens.unwrap_or_default())?;
    let request = cryptographic(context, "Decrypt", &with, &tokens);
    let opened = open(
        context,
        world,
        request,
        &ciphertext,
        input.key_id.as_deref(),
    )?;
    unless_dry_run(input.dry_run)?;
    Ok(json!({
        "KeyId": opened.key.arn(),
        "Plaintext": blob(&opened.plaintext),
        "EncryptionAlgorithm": SYMMETRIC,
        "KeyMaterialId": opened.version_id,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ReEncrypt {
    ciphertext_blob: Option<Blob>,
    source_encryption_context: Option<EncryptionContext>,
    source_key_id: Option<String>,
    destination_key_id: Option<String>,
    destination_encryption_context: Option<EncryptionContext>,
    source_encryption_algorithm: Option<String>,
    destination_encryption_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
    dry_run_modifiers: Option<Vec<String>>,
}

/// ReEncrypt: `ReEncryptFrom` on the one key and `ReEncryptTo` on the other.
pub(super) fn re_encrypt(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: ReEncrypt = read(context)?;
    no_modifiers(input.dry_run_modifiers.as_ref())?;
    let ciphertext = required(input.ciphertext_blob, "ciphertextBlob")?
        .sized("ciphertextBlob", MOST_CIPHERTEXT)?;
    let reference = key_id(input.destination_key_id, "destinationKeyId")?;
    for (algorithm, member) in [
        (
            &input.source_encryption_algorithm,
            "sourceEncryptionAlgorithm",
        ),
        (
            &input.destination_encryption_algorithm,
            "destinationEncryptionAlgorithm",
        ),
    ] {
        check_algorithm(algorithm.as_deref(), member)?;
    }
    let from = input.source_encryption_context.unwrap_or_default();
    let to = input.destination_encryption_context.unwrap_or_default();
    let tokens = grant::of_tokens(world, &input.grant_tokens.unwrap_or_default())?;
    let is_same = is_same_key(context, world, &ciphertext, &reference).to_string();
    let source = cryptographic(context, "ReEncryptFrom", &from, &tokens)
        .with("kms:reencryptonsamekey", is_same.as_str());
    let opened = open(
        context,
        world,
        source,
        &ciphertext,
        input.source_key_id.as_deref(),
    )?;
    let destination = cryptographic(context, "ReEncryptTo", &to, &tokens)
        .with("kms:reencryptonsamekey", is_same.as_str());
    let key = encryption_key(context, world, destination, &reference)?;
    unless_dry_run(input.dry_run)?;
    let material = key.material(world)?;
    Ok(json!({
        "CiphertextBlob": blob(&sealed(context, world, key, &to, &opened.plaintext)?),
        "SourceKeyId": opened.key.arn(),
        "KeyId": key.arn(),
        "SourceEncryptionAlgorithm": SYMMETRIC,
        "DestinationEncryptionAlgorithm": SYMMETRIC,
        "SourceKeyMaterialId": opened.version_id,
        "DestinationKeyMaterialId": material.version_id(material.version(context.now))?,
    }))
}

/// Whether a ciphertext is under the key that it is to be encrypted under.
fn is_same_key(context: &Context, world: &World, ciphertext: &[u8], reference: &str) -> bool {
    let of_ciphertext = Ciphertext::parse(ciphertext)
        .map(|parsed| key::arn(&parsed.account, &context.region, &parsed.key_id));
    let wanted = super::super::resolve(world, &context.caller.account, &context.region, reference);
    wanted.is_some() && wanted == of_ciphertext
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DataKey {
    key_id: Option<String>,
    encryption_context: Option<EncryptionContext>,
    number_of_bytes: Option<i64>,
    key_spec: Option<String>,
    grant_tokens: Option<Vec<String>>,
    recipient: Option<Value>,
    dry_run: Option<bool>,
}

impl DataKey {
    fn length(&self) -> Result<usize, ServiceError> {
        match (&self.key_spec, self.number_of_bytes) {
            (Some(spec), None) => Ok(match one_of(spec, "keySpec", &["AES_256", "AES_128"])? {
                "AES_128" => 16,
                _ => 32,
            }),
            (None, Some(number)) => Ok(within(number, "numberOfBytes", 1..=1024)? as usize),
            (Some(_), Some(_)) => Err(wrong(
                "Please specify either number of bytes or key spec, not both.",
            )),
            (None, None) => Err(wrong("Please specify either number of bytes or key spec.")),
        }
    }
}

/// GenerateDataKey.
pub(super) fn data_key(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: DataKey = read(context)?;
    no_recipient(input.recipient.as_ref())?;
    let (mut answer, plaintext) = make_data_key(context, world, "GenerateDataKey", input)?;
    answer["Plaintext"] = json!(blob(&plaintext));
    Ok(answer)
}

/// GenerateDataKeyWithoutPlaintext.
pub(super) fn data_key_without_plaintext(
    context: &Context,
    world: &World,
) -> Result<Value, ServiceError> {
    let input: DataKey = read(context)?;
    if input.recipient.is_some() {
        return Err(ServiceError::new(
            "SerializationException",
            "unknown field `Recipient`",
        ));
    }
    let action = "GenerateDataKeyWithoutPlaintext";
    Ok(make_data_key(context, world, action, input)?.0)
}

fn make_data_key(
    context: &Context,
    world: &World,
    action: &str,
    input: DataKey,
) -> Result<(Value, Vec<u8>), ServiceError> {
    let length = input.length()?;
    let reference = key_id(input.key_id, "keyId")?;
    let with = input.encryption_context.unwrap_or_default();
    let tokens = grant::of_tokens(world, &input.grant_tokens.unwrap_or_default())?;
    let request = cryptographic(context, action, &with, &tokens);
    let key = encryption_key(context, world, request, &reference)?;
    unless_dry_run(input.dry_run)?;
    let plaintext = random_of(length)?;
    let material = key.material(world)?;
    let answer = json!({
        "CiphertextBlob": blob(&sealed(context, world, key, &with, &plaintext)?),
        "KeyId": key.arn(),
        "KeyMaterialId": material.version_id(material.version(context.now))?,
    });
    Ok((answer, plaintext))
}

fn random_of(length: usize) -> Result<Vec<u8>, ServiceError> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).map_err(ServiceError::internal)?;
    Ok(bytes)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GenerateRandom {
    number_of_bytes: Option<i64>,
    custom_key_store_id: Option<String>,
    recipient: Option<Value>,
}

/// GenerateRandom.
pub(super) fn random_bytes(context: &Context, _: &World) -> Result<Value, ServiceError> {
    let input: GenerateRandom = read(context)?;
    no_recipient(input.recipient.as_ref())?;
    if input.custom_key_store_id.is_some() {
        return Err(unsupported("The sandbox has no custom key stores"));
    }
    let number = required(input.number_of_bytes, "numberOfBytes")?;
    let length = within(number, "numberOfBytes", 1..=1024)?;
    Ok(json!({ "Plaintext": blob(&random_of(length as usize)?) }))
}
