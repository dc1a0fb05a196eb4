//! Public and private keys in the forms that EC2 takes and gives.

use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _, Curve25519SeedBin, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::der;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::random;

/// Lengths of RSA keys that EC2 takes, in bits.
const RSA_BITS: [usize; 3] = [1024, 2048, 4096];

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    Rsa {
        /// Big-endian, with a zero before a set first bit.
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    Ed25519([u8; 32]),
}

/// A key pair that was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) public: PublicKey,
    pub(super) fingerprint: String,
    /// PEM.
    pub(super) private: String,
}

impl PublicKey {
    /// Reads a key in OpenSSH's form, in the form of RFC 4716, or in Base64 of DER. Also gives the
    /// comment of OpenSSH's form.
    pub(super) fn parse(text: &str) -> Option<(PublicKey, Option<String>)> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("---- BEGIN SSH2 PUBLIC KEY ----") {
            let rest = rest.strip_suffix("---- END SSH2 PUBLIC KEY ----")?;
            let blob = decode(&without_headers(rest))?;
            return Some((PublicKey::from_blob(&blob)?, None));
        }
        if let Some(rest) = text.strip_prefix("-----BEGIN PUBLIC KEY-----") {
            let rest = rest.strip_suffix("-----END PUBLIC KEY-----")?;
            return Some((PublicKey::from_der(&decode(rest)?)?, None));
        }
        let mut words = text.splitn(3, ' ');
        let (kind, blob) = (words.next()?, words.next());
        let Some(blob) = blob else {
            return Some((PublicKey::from_der(&decode(kind)?)?, None));
        };
        let key = PublicKey::from_blob(&decode(blob)?)?;
        let comment = words.next();
        // A second line would be a second key to whoever reads the first.
        let is_one_line = comment.is_none_or(|comment| !comment.contains(char::is_control));
        (kind == key.ssh_name() && is_one_line).then(|| (key, comment.map(str::to_owned)))
    }

    fn from_blob(blob: &[u8]) -> Option<PublicKey> {
        let (kind, rest) = take_string(blob)?;
        let (first, rest) = take_string(rest)?;
        match kind {
            b"ssh-ed25519" if rest.is_empty() => Some(PublicKey::Ed25519(first.try_into().ok()?)),
            b"ssh-rsa" => {
                let (modulus, rest) = take_string(rest)?;
                rest.is_empty().then(|| PublicKey::Rsa {
                    modulus: modulus.to_vec(),
                    exponent: first.to_vec(),
                })
            }
            _ => None,
        }
    }

    fn from_der(bytes: &[u8]) -> Option<PublicKey> {
        let key = der::read_public_key_info(bytes)?;
        let (modulus, exponent) = der::read_rsa_public_key(key)?;
        Some(PublicKey::Rsa { modulus, exponent })
    }

    /// `rsa` or `ed25519`.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            PublicKey::Rsa { .. } => "rsa",
            PublicKey::Ed25519(_) => "ed25519",
        }
    }

    fn ssh_name(&self) -> &'static str {
        match self {
            PublicKey::Rsa { .. } => "ssh-rsa",
            PublicKey::Ed25519(_) => "ssh-ed25519",
        }
    }

    /// Whether EC2 takes keys of this length.
    pub(super) fn has_fitting_length(&self) -> bool {
        match self {
            PublicKey::Rsa { modulus, .. } => {
                let digits = modulus.iter().skip_while(|digit| **digit == 0);
                let first = digits.clone().next().copied().unwrap_or(0);
                let bits = (digits.count() * 8).saturating_sub(first.leading_zeros() as usize);
                RSA_BITS.contains(&bits)
            }
            PublicKey::Ed25519(_) => true,
        }
    }

    fn blob(&self) -> Vec<u8> {
        let mut blob = string(self.ssh_name().as_bytes());
        match self {
            PublicKey::Rsa { modulus, exponent } => {
                blob.extend(string(exponent));
                blob.extend(string(modulus));
            }
            PublicKey::Ed25519(key) => blob.extend(string(key)),
        }
        blob
    }

    /// `ssh-ed25519 AAAA… comment`.
    pub(super) fn openssh(&self, comment: &str) -> String {
        let blob = BASE64_STANDARD.encode(self.blob());
        format!("{} {blob} {comment}", self.ssh_name())
    }

    /// The fingerprint of a key that was brought along.
    pub(super) fn fingerprint(&self) -> String {
        match self {
            PublicKey::Rsa { modulus, exponent } => {
                colons(&Md5::digest(der::write_public_key_info(modulus, exponent)))
            }
            PublicKey::Ed25519(_) => BASE64_STANDARD.encode(Sha256::digest(self.blob())),
        }
    }
}

/// Makes an RSA key pair of 2048 bits.
pub(super) fn make_rsa() -> Result<Made, ServiceError> {
    let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048)
        .map_err(|_| ServiceError::internal("no RSA key can be made"))?;
    let pkcs8: Pkcs8V1Der<'_> = pair
        .as_der()
        .map_err(|_| ServiceError::internal("an RSA key cannot be written"))?;
    let pkcs8 = pkcs8.as_ref();
    let numbers = der::read_rsa_public_key(pair.public_key().as_ref());
    let private = der::read_private_key_info(pkcs8);
    let (Some((modulus, exponent)), Some(private)) = (numbers, private) else {
        return Err(ServiceError::internal("an RSA key has an unknown form"));
    };
    let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, pkcs8);
    Ok(Made {
        public: PublicKey::Rsa { modulus, exponent },
        fingerprint: colons(sha1.as_ref()),
        private: pem("RSA PRIVATE KEY", private, 64),
    })
}

/// Makes an ED25519 key pair; the private half in OpenSSH's form.
pub(super) fn make_ed25519(comment: &str) -> Result<Made, ServiceError> {
    let failed = |_| ServiceError::internal("no ED25519 key can be made");
    let pair = Ed25519KeyPair::generate().map_err(failed)?;
    let seed: Curve25519SeedBin<'_> = pair
        .seed()
        .and_then(|seed| seed.as_be_bytes())
        .map_err(failed)?;
    let public: [u8; 32] = pair
        .public_key()
        .as_ref()
        .try_into()
        .map_err(|_| ServiceError::internal("an ED25519 key has an unknown form"))?;
    let key = PublicKey::Ed25519(public);
    let check = random::<4>();
    let mut secret = [check, check].concat();
    secret.extend(string(b"ssh-ed25519"));
    secret.extend(string(&public));
    secret.extend(string(&[seed.as_ref(), &public].concat()));
    secret.extend(string(comment.as_bytes()));
    // Padding counts from one up to a multiple of eight bytes.
    let padding = secret.len().next_multiple_of(8) - secret.len();
    secret.extend((1u8..).take(padding));
    let mut file = b"openssh-key-v1\0".to_vec();
    file.extend(string(b"none"));
    file.extend(string(b"none"));
    file.extend(string(b""));
    file.extend(1u32.to_be_bytes());
    file.extend(string(&key.blob()));
    file.extend(string(&secret));
    Ok(Made {
        fingerprint: key.fingerprint(),
        public: key,
        private: pem("OPENSSH PRIVATE KEY", &file, 70),
    })
}

/// A string of SSH: its length in four bytes, then itself.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("keys are short");
    [&length.to_be_bytes(), bytes].concat()
}

fn take_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_whitespace().collect();
    BASE64_STANDARD.decode(text).ok()
}

/// The lines of RFC 4716 that are no headers; a header goes on after a line that ends with `\`.
fn without_headers(text: &str) -> String {
    let mut in_header = false;
    text.lines()
        .filter(|line| {
            let header = in_header || line.contains(':');
            in_header = header && line.ends_with('\\');
            !header
        })
        .collect()
}

/// `ab:cd:…`.
fn colons(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

fn pem(label: &str, bytes: &[u8], width: usize) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let digits = BASE64_STANDARD.encode(bytes);
    let mut rest = digits.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(width.min(rest.len()));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----"));
    text
}
