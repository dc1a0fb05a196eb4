//! Trusted keys and signatures: who may vouch for an index or a package.
//!
//! A signature is RSA PKCS#1 v1.5 over the compressed bytes of the member that follows it; its
//! entry's name says digest and key: `.SIGN.RSA.<key>` is SHA-1 (what Alpine 3.15 to 3.19 use),
//! `.SIGN.RSA256.<key>` SHA-256, `.SIGN.RSA512.<key>` SHA-512 (apk-tools, `src/package.c`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{self, RsaParameters, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::member::Member;

/// A key or signature that cannot be used or trusted.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A folder or file of keys that cannot be read.
    #[error("cannot read the keys in {path}: {source}")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key file that does not hold an RSA key in PEM form.
    #[error("{name} is not an RSA key in PEM form: {why}")]
    NotPem {
        /// The file.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No signature at all.
    #[error("it is not signed")]
    Unsigned,
    /// Signed, but by keys that are not trusted here.
    #[error("it is signed by {signers}, which is not among the trusted keys ({trusted})")]
    Untrusted {
        /// The names of the keys that signed.
        signers: String,
        /// The names of the keys that are trusted.
        trusted: String,
    },
    /// The signature of a trusted key does not match the content.
    #[error("the signature by {signer} does not match: the content was changed after signing")]
    Mismatch {
        /// The key's name.
        signer: String,
    },
    /// The first member is not a signature.
    #[error("its signature cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
}

/// The trusted public keys, by file name.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: BTreeMap<String, KeyFile>,
}

#[derive(Debug, Clone)]
struct KeyFile {
    pem: Vec<u8>,
    der: Vec<u8>,
}

impl KeyRing {
    /// Adds one public key under its file name, which is what signatures call it.
    ///
    /// # Errors
    /// `pem` is not a public key in PEM form.
    pub fn add(&mut self, name: &str, pem: &[u8]) -> Result<(), KeyError> {
        let der = decode_pem(name, pem, &["PUBLIC KEY", "RSA PUBLIC KEY"])?.1;
        let pem = pem.to_vec();
        self.keys.insert(name.to_owned(), KeyFile { pem, der });
        Ok(())
    }

    /// Adds every `*.pub` file of a folder.
    ///
    /// # Errors
    /// The folder cannot be read, holds no key, or a file in it is not one.
    pub fn add_dir(&mut self, dir: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::Read {
            path: dir.to_owned(),
            source,
        };
        let mut found = false;
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if !name.ends_with(".pub") {
                continue;
            }
            let pem = std::fs::read(&path).map_err(|source| KeyError::Read {
                path: path.clone(),
                source,
            })?;
            self.add(name, &pem)?;
            found = true;
        }
        if !found {
            let why = "no file in it is called *.pub";
            return Err(failed(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                why,
            )));
        }
        Ok(())
    }

    /// Every key as (file name, PEM text), sorted: what goes to the image's `etc/apk/keys`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.keys
            .iter()
            .map(|(name, key)| (name.as_str(), key.pem.as_slice()))
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Checks that a trusted key signed `signed`, the compressed bytes after `signature`.
    ///
    /// # Errors
    /// Unsigned, signed by others only, or a trusted key's signature that does not match.
    pub fn verify(&self, signature: &Member, signed: &[u8]) -> Result<String, KeyError> {
        let signatures = read_signatures(&signature.content).map_err(KeyError::Unreadable)?;
        let mut signers = Vec::new();
        let mut mismatch = None;
        for Signature { name, bytes } in signatures {
            let Some((scheme, signer)) = scheme(&name) else {
                continue;
            };
            let Some(key) = self.keys.get(signer) else {
                signers.push(signer.to_owned());
                continue;
            };
            if UnparsedPublicKey::new(scheme, &key.der)
                .verify(signed, &bytes)
                .is_ok()
            {
                return Ok(signer.to_owned());
            }
            mismatch = Some(signer.to_owned());
        }
        Err(match (mismatch, signers.is_empty()) {
            (Some(signer), _) => KeyError::Mismatch { signer },
            (None, true) => KeyError::Unsigned,
            (None, false) => KeyError::Untrusted {
                signers: signers.join(", "),
                trusted: self.names(),
            },
        })
    }

    fn names(&self) -> String {
        if self.keys.is_empty() {
            return "none".to_owned();
        }
        let names: Vec<_> = self.keys.keys().map(String::as_str).collect();
        names.join(", ")
    }
}

struct Signature {
    name: String,
    bytes: Vec<u8>,
}

fn scheme(name: &str) -> Option<(&'static RsaParameters, &str)> {
    let rest = name.strip_prefix(".SIGN.")?;
    let (kind, signer) = rest.split_once('.')?;
    let scheme = match kind {
        "RSA" => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        "RSA256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "RSA512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    };
    Some((scheme, signer))
}

/// The `.SIGN.*` entries of a signature member; none where the member is something else.
fn read_signatures(content: &[u8]) -> std::io::Result<Vec<Signature>> {
    use std::io::Read as _;
    let mut found = Vec::new();
    for entry in tar::Archive::new(content).entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if name.starts_with(".SIGN.") {
            let mut bytes = Vec::new();
            entry.by_ref().take(64 * 1024).read_to_end(&mut bytes)?;
            found.push(Signature { name, bytes });
        }
    }
    Ok(found)
}

/// The PEM label and DER bytes of a key file.
pub(super) fn decode_pem(
    name: &str,
    pem: &[u8],
    labels: &[&'static str],
) -> Result<(&'static str, Vec<u8>), KeyError> {
    let error = |why| KeyError::NotPem {
        name: name.to_owned(),
        why,
    };
    let text = std::str::from_utf8(pem).map_err(|_| error("it is not text"))?;
    for label in labels {
        let (begin, end) = (
            format!("-----BEGIN {label}-----"),
            format!("-----END {label}-----"),
        );
        let Some((_, rest)) = text.split_once(&begin) else {
            continue;
        };
        let (body, _) = rest
            .split_once(&end)
            .ok_or_else(|| error("its end line is missing"))?;
        let body: String = body.split_whitespace().collect();
        let der = STANDARD
            .decode(body)
            .map_err(|_| error("its base64 is damaged"))?;
        return Ok((label, der));
    }
    Err(error("it has no begin line of such a key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_key_is_refused() {
        let mut ring = KeyRing::default();
        let error = ring.add("a.pub", b"hello").expect_err("not a key");
        assert_eq!(
            error.to_string(),
            "a.pub is not an RSA key in PEM form: it has no begin line of such a key"
        );
        let cut = b"-----BEGIN PUBLIC KEY-----\nMIIB";
        assert!(ring.add("b.pub", cut).is_err());
        assert!(ring.is_empty());
    }

    #[test]
    fn digests_come_from_the_entry_name() {
        assert_eq!(
            scheme(".SIGN.RSA.k.pub").map(|found| found.1),
            Some("k.pub")
        );
        assert_eq!(
            scheme(".SIGN.RSA256.a-b.c.rsa.pub").map(|found| found.1),
            Some("a-b.c.rsa.pub")
        );
        assert!(scheme(".SIGN.DSA.k.pub").is_none());
        assert!(scheme("SIGN.RSA.k.pub").is_none());
    }
}
