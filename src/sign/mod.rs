//! Signatures: by whom a document is, whoever keeps it.
//!
//! Documents are signed with ECDSA on the curve P-256, in DSSE envelopes, by a key of KMS or one on
//! disk; they are verified without AWS, with the public key alone.
//!
//! | part | subject |
//! |---|---|
//! | [`key`] | public keys: read, named, and what they say of a signature |
//! | [`signer`] | who signs: a key of KMS, or one on disk |
//! | [`envelope`] | the envelope that a signed document lies in |
//! | [`settings`] | `[signing]` |

pub mod envelope;
pub mod key;
pub mod settings;
pub mod signer;
#[cfg(test)]
pub(crate) mod testing;

pub use envelope::{Envelope, OpenError, Opened};
pub use key::{KeyRing, PublicKey};
pub use signer::{SignError, Signer};
