//! Public keys.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;

use crate::digest;

/// What the SubjectPublicKeyInfo of a key on P-256 begins with: the algorithm ecPublicKey, the curve
/// prime256v1, and a bit string of 65 bytes, which are the point, not compressed (RFC 5480).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The point's length, in bytes.
const POINT: usize = 65;
/// Letters of a line of PEM.
const LINE: usize = 64;

/// A key that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key {path}: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It is no public key on P-256.
    #[error("{what} is no public key on the curve P-256 in PEM form")]
    NotPublic {
        /// The file, or where it came from.
        what: String,
    },
    /// It is no private key on P-256.
    #[error("{path} is no private key on the curve P-256 in PEM form, not encrypted")]
    NotPrivate {
        /// The file.
        path: PathBuf,
    },
}

impl KeyError {
    /// What to do next.
    pub fn advice(&self) -> String {
        match self {
            KeyError::Read { .. } => "correct the path; relative ones in the configuration begin at its own folder".to_owned(),
            KeyError::NotPublic { .. } => {
                "take what the publisher gives out; one's own: `openssl pkey -in KEY.pem -pubout`, or `aws kms get-public-key` (its DER in base64 between the lines of PEM)".to_owned()
            }
            KeyError::NotPrivate { .. } => {
                "make one: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY.pem`".to_owned()
            }
        }
    }
}

/// A public key on the curve P-256.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its SubjectPublicKeyInfo.
    der: Vec<u8>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo in DER; nothing if it is of another kind.
    pub fn from_der(der: &[u8]) -> Option<PublicKey> {
        let point = der.strip_prefix(&P256[..])?;
        if point.len() != POINT {
            return None;
        }
        // Sees that the point is on the curve.
        ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).ok()?;
        Some(PublicKey { der: der.to_vec() })
    }

    /// From its point, as the library has it.
    pub(super) fn from_point(point: &[u8]) -> Option<PublicKey> {
        PublicKey::from_der(&[&P256[..], point].concat())
    }

    /// From PEM, as openssl writes it. `what` is what an error calls it.
    ///
    /// # Errors
    /// It is no such key.
    pub fn from_pem(what: &str, pem: &[u8]) -> Result<PublicKey, KeyError> {
        let read = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok();
        let key = read.and_then(|der| PublicKey::from_der(&der));
        key.ok_or_else(|| KeyError::NotPublic {
            what: what.to_owned(),
        })
    }

    /// Reads a file in PEM form.
    ///
    /// # Errors
    /// It cannot be read, or is no such key.
    pub fn read(path: &Path) -> Result<PublicKey, KeyError> {
        let pem = std::fs::read(path).map_err(|error| KeyError::Read {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        PublicKey::from_pem(&path.display().to_string(), &pem)
    }

    /// Its name in signatures: the SHA-256 of its SubjectPublicKeyInfo, in hexadecimal.
    pub fn id(&self) -> String {
        digest::sha256(&self.der)
    }

    /// In PEM form.
    pub fn to_pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for line in text.as_bytes().chunks(LINE) {
            pem.extend(line.iter().map(|byte| char::from(*byte)));
            pem.push('\n');
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        pem
    }

    /// Whether a signature over a message is this key's: ECDSA with SHA-256, in DER.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let point = &self.der[P256.len()..];
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        key.verify(message, signature).is_ok()
    }
}

/// Keys whose signatures are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRing(pub Vec<PublicKey>);

impl KeyRing {
    /// Reads files in PEM form.
    ///
    /// # Errors
    /// One cannot be read, or is no such key.
    pub fn read<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Result<KeyRing, KeyError> {
        let keys = paths.into_iter().map(|path| PublicKey::read(path));
        Ok(KeyRing(keys.collect::<Result<_, _>>()?))
    }

    /// The keys' names.
    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(PublicKey::id).collect()
    }
}

/// The first letters of a key's name, which people compare.
pub fn short(id: &str) -> &str {
    id.get(..16).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{private_key, signer};
    use super::*;

    /// Made by `openssl pkey -pubout`.
    const OPENSSL: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEDZIxL/9t/MgGhW8yvQh58ubWu/Ux
8c16WHpCU1QMeokk+Kzx0taQL4bsRCGykboY6VzOZzdd65tsAQvce2FvPg==
-----END PUBLIC KEY-----
";

    #[test]
    fn a_key_is_read_and_written_as_openssl_does() {
        let key = PublicKey::from_pem("it", OPENSSL.as_bytes()).expect("a key");
        assert_eq!(key.to_pem(), OPENSSL);
        assert_eq!(key.id().len(), 64);
        assert_eq!(short(&key.id()).len(), 16);
    }

    #[test]
    fn other_keys_are_refused() {
        // A point that is not on the curve.
        let off = OPENSSL.replace("FvPg", "FvPw");
        for pem in ["", "nothing", off.as_str(), &private_key()] {
            let error = PublicKey::from_pem("it.pem", pem.as_bytes()).expect_err("no key");
            assert!(error.to_string().starts_with("it.pem is no public key"));
        }
        let gone = PublicKey::read(Path::new("/nowhere.pem")).expect_err("no file");
        assert!(
            gone.to_string()
                .contains("cannot read the key /nowhere.pem")
        );
    }

    #[tokio::test]
    async fn a_signature_is_over_its_own_message() {
        let (one, other) = (signer(), signer());
        let signature = one.sign(b"message").await.expect("a signature");
        assert!(one.public().has_signed(b"message", &signature));
        assert!(!one.public().has_signed(b"massage", &signature));
        assert!(!one.public().has_signed(b"message", &signature[1..]));
        assert!(!other.public().has_signed(b"message", &signature));
    }
}
