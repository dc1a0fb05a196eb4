//! Who signs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use super::key::{KeyError, KeyRing, PublicKey};
use super::settings::SigningSettings;
use crate::aws::kms::Kms;
use crate::aws::{Aws, AwsError, Region};

/// The kind of keys of KMS that sign.
const SPEC: &str = "ECC_NIST_P256";
/// What they must be for.
const USAGE: &str = "SIGN_VERIFY";

/// Why nothing can be signed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SignError {
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A key on disk cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Two keys are named.
    #[error("[signing] names the key {key} of KMS and the file {}: one of them signs", .file.display())]
    Two {
        /// The key of KMS.
        key: String,
        /// The file.
        file: PathBuf,
    },
    /// A key of KMS is of another kind.
    #[error("the key {key} in {region} is {spec} for {usage}: what signs is {SPEC} for {USAGE}")]
    Kind {
        /// The key.
        key: String,
        /// Where.
        region: Region,
        /// Its kind.
        spec: String,
        /// What it is for.
        usage: String,
    },
    /// A key of KMS cannot be used now.
    #[error("the key {key} in {region} cannot be used: it is {state}")]
    State {
        /// The key.
        key: String,
        /// Where.
        region: Region,
        /// What it is.
        state: String,
    },
    /// No key signs, and one is needed.
    #[error("nothing can be signed: [signing] in the configuration names no key")]
    NoKey,
}

impl SignError {
    /// What to do next.
    pub fn advice(&self) -> String {
        match self {
            SignError::Aws(error) => error.advice(),
            SignError::Key(error) => error.advice(),
            SignError::Two { .. } => "take one of `key` and `file` away".to_owned(),
            SignError::Kind { region, .. } => format!(
                "make one: `aws kms create-key --region {region} --key-spec {SPEC} --key-usage {USAGE}`, and name it in [signing]"
            ),
            SignError::State { .. } => "enable it, or name another one in [signing]; keys that signed before go into `trusted`".to_owned(),
            SignError::NoKey => "name a key of KMS ([signing] key = \"alias/…\") or a file (file = \"…\")".to_owned(),
        }
    }

    /// Whether it is what the user wrote that is wrong.
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, SignError::Aws(_))
    }
}

/// A key that signs.
#[derive(Debug, Clone)]
pub struct Signer {
    public: PublicKey,
    private: Private,
}

#[derive(Debug, Clone)]
enum Private {
    /// KMS has it; by this ARN.
    Kms(Box<Kms>, String),
    File(Arc<EcdsaKeyPair>),
}

impl Signer {
    /// The key that the configuration names, if it names one. A key of KMS is asked for its public
    /// half: `kms:GetPublicKey`.
    ///
    /// # Errors
    /// It cannot be used.
    pub async fn open(
        settings: &SigningSettings,
        aws: &Aws,
        home: &Region,
    ) -> Result<Option<Signer>, SignError> {
        match (&settings.key, &settings.file) {
            (None, None) => Ok(None),
            (Some(key), Some(file)) => Err(SignError::Two {
                key: key.clone(),
                file: file.clone(),
            }),
            (None, Some(file)) => Ok(Some(Signer::read(file)?)),
            (Some(key), None) => {
                let region = settings.region.as_ref().unwrap_or(home);
                Ok(Some(Signer::of_kms(aws.kms(region), key, region).await?))
            }
        }
    }

    async fn of_kms(kms: Kms, name: &str, region: &Region) -> Result<Signer, SignError> {
        let key = kms.describe(name).await?;
        if (key.spec.as_str(), key.usage.as_str()) != (SPEC, USAGE) {
            return Err(SignError::Kind {
                key: name.to_owned(),
                region: region.clone(),
                spec: key.spec,
                usage: key.usage,
            });
        }
        if !key.state.is_usable() {
            return Err(SignError::State {
                key: name.to_owned(),
                region: region.clone(),
                state: key.state.to_string(),
            });
        }
        let der = kms.public_key(&key.arn).await?;
        let public = PublicKey::from_der(&der);
        let public = public.ok_or_else(|| KeyError::NotPublic {
            what: key.arn.to_string(),
        })?;
        let private = Private::Kms(Box::new(kms), key.arn.to_string());
        Ok(Signer { public, private })
    }

    /// A private key on disk, in PEM form (PKCS #8 or SEC 1).
    ///
    /// # Errors
    /// It cannot be read, or is no such key.
    pub fn read(path: &Path) -> Result<Signer, KeyError> {
        let pem = std::fs::read(path).map_err(|error| KeyError::Read {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        let signer = PrivateKeyDer::from_pem_slice(&pem).ok();
        let signer = signer.and_then(|der| {
            let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
            let pair = EcdsaKeyPair::from_private_key_der(algorithm, der.secret_der()).ok()?;
            let public = PublicKey::from_point(pair.public_key().as_ref())?;
            let private = Private::File(Arc::new(pair));
            Some(Signer { public, private })
        });
        signer.ok_or_else(|| KeyError::NotPrivate {
            path: path.to_owned(),
        })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// This key, and those that the configuration trusts besides.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn ring(&self, settings: &SigningSettings) -> Result<KeyRing, KeyError> {
        let mut ring = KeyRing::read(&settings.trusted)?;
        ring.0.insert(0, self.public.clone());
        Ok(ring)
    }

    /// Signs a message: ECDSA with SHA-256, in DER. KMS is given the digest alone, since it takes no
    /// message of more than 4 KiB.
    ///
    /// # Errors
    /// KMS's.
    pub async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.private {
            Private::Kms(kms, key) => Ok(kms.sign_digest(key, &Sha256::digest(message)).await?),
            Private::File(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                let signature = signature.expect("a key on P-256 signs whatever it is given");
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::types::{KeySpec, KeyUsageType};

    use super::super::testing::private_key;
    use super::*;
    use crate::aws::testing::{Cloud, HOME, region};

    async fn kms_key(aws: &Aws, spec: KeySpec, usage: KeyUsageType) -> String {
        let kms = aws.kms(&region(HOME));
        let make = kms.sdk().create_key().key_spec(spec).key_usage(usage);
        let made = make.send().await.expect("a key");
        made.key_metadata.expect("its metadata").key_id
    }

    #[tokio::test]
    async fn a_key_of_kms_signs_and_is_verified_without_kms() {
        let cloud = Cloud::start().await;
        let aws = cloud.aws().await;
        let key = kms_key(&aws, KeySpec::EccNistP256, KeyUsageType::SignVerify).await;
        let settings = SigningSettings {
            key: Some(key),
            ..SigningSettings::default()
        };
        let signer = Signer::open(&settings, &aws, &region(HOME)).await;
        let signer = signer.expect("KMS answers").expect("a key is named");
        let message = vec![7; 100_000];
        let signature = signer.sign(&message).await.expect("a signature");
        let pem = signer.public().to_pem();
        let public = PublicKey::from_pem("it", pem.as_bytes()).expect("a key");
        assert!(public.has_signed(&message, &signature));
        let ring = signer.ring(&settings).expect("no other keys");
        assert_eq!(ring.ids(), [public.id()]);
    }

    #[tokio::test]
    async fn keys_that_cannot_sign() {
        let cloud = Cloud::start().await;
        let aws = cloud.aws().await;
        let open = async |settings: SigningSettings| {
            let signer = Signer::open(&settings, &aws, &region(HOME)).await;
            signer.map(|signer| signer.is_some())
        };
        let none = SigningSettings::default();
        assert!(!open(none.clone()).await.expect("no key is no error"));
        let other = kms_key(
            &aws,
            KeySpec::SymmetricDefault,
            KeyUsageType::EncryptDecrypt,
        )
        .await;
        let of_kms = |key: &str| SigningSettings {
            key: Some(key.to_owned()),
            ..SigningSettings::default()
        };
        let error = open(of_kms(&other)).await.expect_err("another kind");
        assert!(
            error
                .to_string()
                .contains("SYMMETRIC_DEFAULT for ENCRYPT_DECRYPT"),
            "{error}"
        );
        assert!(error.is_bad_input() && error.advice().contains("ECC_NIST_P256"));
        let error = open(of_kms("alias/nothing")).await.expect_err("no key");
        assert!(matches!(error, SignError::Aws(_)), "{error}");
        let both = SigningSettings {
            file: Some("k.pem".into()),
            ..of_kms("alias/x")
        };
        let error = open(both).await.expect_err("two keys");
        assert!(error.to_string().contains("alias/x"), "{error}");
    }

    #[test]
    fn files_that_are_no_private_key() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let public = super::super::testing::signer().public().to_pem();
        for text in ["", &public, &private_key()[..60]] {
            std::fs::write(file.path(), text).expect("it is written");
            let error = Signer::read(file.path()).expect_err("no key");
            assert!(matches!(error, KeyError::NotPrivate { .. }), "{error}");
        }
    }
}
