//! Key material: what a key and its replicas share, and the cryptography that is done with it.
//!
//! It stands in the clear in the sandbox's state. The sandbox's keys protect nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::digest::hex;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region, random};

use super::key::DAY;

/// What kind of key it is; each has one usage here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spec {
    /// `SYMMETRIC_DEFAULT`: AES-256-GCM, `ENCRYPT_DECRYPT`.
    Symmetric,
    /// `ECC_NIST_P256`, `SIGN_VERIFY`.
    EccP256,
}

impl Spec {
    /// KMS's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Spec::Symmetric => "SYMMETRIC_DEFAULT",
            Spec::EccP256 => "ECC_NIST_P256",
        }
    }

    /// What a key of it is for.
    pub fn usage(self) -> &'static str {
        match self {
            Spec::Symmetric => "ENCRYPT_DECRYPT",
            Spec::EccP256 => "SIGN_VERIFY",
        }
    }
}

/// An encryption context.
pub type EncryptionContext = BTreeMap<String, String>;

/// What a key and its replicas have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    /// What kind of key it is.
    pub spec: Spec,
    /// Base64: 32 bytes that all versions are derived from, or a PKCS #8 document.
    secret: String,
    /// The Region of the primary key.
    pub primary: Region,
    /// Rotation that is under way.
    pub rotation: Option<Rotation>,
    /// How often it was rotated before that.
    rotated: u32,
}

/// Rotation of a symmetric key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Days between one version and the next.
    pub days: u32,
    /// Since when.
    pub since: Timestamp,
}

impl Rotation {
    fn period_ms(&self) -> i64 {
        i64::from(self.days) * i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX)
    }

    /// How many periods are over.
    fn rounds(&self, now: Timestamp) -> u32 {
        let rounds = now.0.saturating_sub(self.since.0) / self.period_ms().max(1);
        u32::try_from(rounds).unwrap_or_default()
    }

    /// When the next version is made.
    pub fn next(&self, now: Timestamp) -> Timestamp {
        let days = u64::from(self.days) * (u64::from(self.rounds(now)) + 1);
        self.since
            .plus(Duration::from_secs(days.saturating_mul(DAY.as_secs())))
    }
}

/// A ciphertext that is taken apart.
#[derive(Debug)]
pub struct Ciphertext<'a> {
    /// Whose key it is under.
    pub account: AccountId,
    /// The key's id.
    pub key_id: String,
    /// The version of the key's material.
    pub version: u32,
    header: &'a [u8],
    nonce: [u8; 12],
    sealed: &'a [u8],
}

const MAGIC: &[u8; 4] = b"\x01aak";

impl<'a> Ciphertext<'a> {
    /// Takes a blob apart; nothing if it is none of ours.
    pub fn parse(blob: &'a [u8]) -> Option<Ciphertext<'a>> {
        let rest = blob.strip_prefix(MAGIC)?;
        let (account, rest) = rest.split_at_checked(12)?;
        let (length, rest) = rest.split_first()?;
        let (key_id, rest) = rest.split_at_checked(usize::from(*length))?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (nonce, sealed) = rest.split_first_chunk::<12>()?;
        Some(Ciphertext {
            account: std::str::from_utf8(account).ok()?.parse().ok()?,
            key_id: std::str::from_utf8(key_id).ok()?.to_owned(),
            version: u32::from_be_bytes(*version),
            header: &blob[..blob.len() - 12 - sealed.len()],
            nonce: *nonce,
            sealed,
        })
    }
}

fn header(account: &AccountId, key_id: &str, version: u32) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(account.as_str().as_bytes());
    header.push(u8::try_from(key_id.len()).expect("ids of keys are short"));
    header.extend(key_id.as_bytes());
    header.extend(version.to_be_bytes());
    header
}

/// What is authenticated beside the plaintext: the blob's head and the encryption context, each
/// part with its length, so that no two contexts look alike.
fn authenticated(header: &[u8], context: &EncryptionContext) -> Vec<u8> {
    let mut bytes = header.to_vec();
    for text in context.iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

impl Material {
    /// New material.
    pub fn new(spec: Spec, primary: Region) -> Result<Material, ServiceError> {
        let secret = match spec {
            Spec::Symmetric => BASE64_STANDARD.encode(random::<32>()),
            Spec::EccP256 => {
                let document = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
                    .and_then(|pair| pair.to_pkcs8v1())
                    .map_err(ServiceError::internal)?;
                BASE64_STANDARD.encode(document.as_ref())
            }
        };
        Ok(Material {
            spec,
            secret,
            primary,
            rotation: None,
            rotated: 0,
        })
    }

    /// The version that new data is encrypted under.
    pub fn version(&self, now: Timestamp) -> u32 {
        let rounds = self
            .rotation
            .as_ref()
            .map_or(0, |rotation| rotation.rounds(now));
        self.rotated.saturating_add(rounds)
    }

    /// Sets or ends rotation; the versions so far stay.
    pub fn set_rotation(&mut self, now: Timestamp, days: Option<u32>) {
        self.rotated = self.version(now);
        self.rotation = days.map(|days| Rotation { days, since: now });
    }

    /// The id of a version, 64 hexadecimal digits.
    pub fn version_id(&self, version: u32) -> Result<String, ServiceError> {
        Ok(hex(self.derive(b"id", version)?.as_ref()))
    }

    /// Encrypts.
    pub fn encrypt(
        &self,
        account: &AccountId,
        key_id: &str,
        now: Timestamp,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, ServiceError> {
        let version = self.version(now);
        let mut blob = header(account, key_id, version);
        let aad = authenticated(&blob, context);
        let nonce = random::<12>();
        let mut sealed = plaintext.to_vec();
        self.cipher(version)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut sealed,
            )
            .map_err(ServiceError::internal)?;
        blob.extend(nonce);
        blob.extend(sealed);
        Ok(blob)
    }

    /// Decrypts; nothing if the ciphertext or the context is not what was encrypted.
    pub fn decrypt(
        &self,
        ciphertext: &Ciphertext<'_>,
        context: &EncryptionContext,
    ) -> Result<Option<Vec<u8>>, ServiceError> {
        let aad = authenticated(ciphertext.header, context);
        let mut opened = ciphertext.sealed.to_vec();
        let plaintext = self.cipher(ciphertext.version)?.open_in_place(
            Nonce::assume_unique_for_key(ciphertext.nonce),
            Aad::from(aad),
            &mut opened,
        );
        Ok(plaintext.ok().map(|plaintext| plaintext.to_vec()))
    }

    fn cipher(&self, version: u32) -> Result<LessSafeKey, ServiceError> {
        let key = self.derive(b"aes", version)?;
        UnboundKey::new(&AES_256_GCM, key.as_ref())
            .map(LessSafeKey::new)
            .map_err(ServiceError::internal)
    }

    fn derive(&self, purpose: &[u8], version: u32) -> Result<hmac::Tag, ServiceError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret()?);
        Ok(hmac::sign(
            &key,
            &[purpose, &version.to_be_bytes()].concat(),
        ))
    }

    /// Signs a SHA-256 digest; the signature is a DER document.
    pub fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, ServiceError> {
        let signature = self
            .pair()?
            .sign_digest(&imported(digest)?)
            .map_err(ServiceError::internal)?;
        Ok(signature.as_ref().to_vec())
    }

    /// Whether a signature is this key's for a SHA-256 digest.
    pub fn verify(&self, digest: &[u8; 32], signature: &[u8]) -> Result<bool, ServiceError> {
        let pair = self.pair()?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref());
        Ok(key.verify_digest(&imported(digest)?, signature).is_ok())
    }

    /// The public key, a DER `SubjectPublicKeyInfo`.
    pub fn public_key(&self) -> Result<Vec<u8>, ServiceError> {
        let pair = self.pair()?;
        let der: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(ServiceError::internal)?;
        Ok(der.as_ref().to_vec())
    }

    fn pair(&self) -> Result<EcdsaKeyPair, ServiceError> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.secret()?)
            .map_err(ServiceError::internal)
    }

    fn secret(&self) -> Result<Vec<u8>, ServiceError> {
        BASE64_STANDARD
            .decode(&self.secret)
            .map_err(ServiceError::internal)
    }
}

fn imported(digest: &[u8; 32]) -> Result<aws_lc_rs::digest::Digest, ServiceError> {
    aws_lc_rs::digest::Digest::import_less_safe(digest, &aws_lc_rs::digest::SHA256)
        .map_err(ServiceError::internal)
}
