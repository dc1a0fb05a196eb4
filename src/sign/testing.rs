//! Keys for tests.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Signer;

/// A new private key in PEM form.
pub(crate) fn private_key() -> String {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
    let der = pair.private_key().as_der().expect("a key on P-256");
    let text = STANDARD.encode(der.as_ref());
    format!("-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n")
}

/// A new key that signs.
pub(crate) fn signer() -> Signer {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), private_key()).expect("it is written");
    Signer::read(file.path()).expect("a key")
}
