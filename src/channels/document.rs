//! A channel's document: read, and trusted or not.

use serde::Deserialize;

use super::{Channel, SCHEMA};
use crate::sign::{Envelope, KeyRing, OpenError, SignError, Signer};

/// What kind of document a signed channel is.
pub const CHANNEL_TYPE: &str = "application/vnd.alpine-ami.channel+json";

/// A channel, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it says.
    pub channel: Channel,
    /// What is known of its signature.
    pub seal: Seal,
}

/// What is known of a document's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seal {
    /// A trusted key signed it; its name.
    Trusted(String),
    /// It is signed, and nobody said whose signature to trust.
    Unverified,
    /// It is not signed.
    Unsigned,
}

/// Why a document is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is no document of a channel.
    #[error("{0}")]
    Unreadable(String),
    /// It is of a newer version of this program.
    #[error("it has format {0}, and this program knows {SCHEMA}")]
    Newer(u32),
    /// No trusted key signed it.
    #[error(transparent)]
    Untrusted(#[from] OpenError),
    /// It is another channel's.
    #[error("it is not that of the channel {0}")]
    Other(String),
}

/// Reads a channel's document. With trusted keys, a signature must be one of theirs; one that is not
/// signed says so.
///
/// # Errors
/// It cannot be read or trusted.
pub fn read(name: &str, bytes: &[u8], ring: Option<&KeyRing>) -> Result<Document, DocumentError> {
    let (payload, seal) = match Envelope::parse(bytes) {
        Err(_) => (bytes.to_vec(), Seal::Unsigned),
        Ok(envelope) => match ring {
            None => (envelope.unverified(CHANNEL_TYPE)?, Seal::Unverified),
            Some(ring) => {
                let opened = envelope.open(CHANNEL_TYPE, ring)?;
                (opened.payload, Seal::Trusted(opened.key))
            }
        },
    };
    let channel = parse(&payload)?;
    match channel.channel == name {
        true => Ok(Document { channel, seal }),
        false => Err(DocumentError::Other(name.to_owned())),
    }
}

/// A newer document is told from a broken one before anything else of it is read.
fn parse(payload: &[u8]) -> Result<Channel, DocumentError> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let unreadable = |why: serde_json::Error| DocumentError::Unreadable(why.to_string());
    let Schema { schema } = serde_json::from_slice(payload).map_err(unreadable)?;
    if schema > SCHEMA {
        return Err(DocumentError::Newer(schema));
    }
    serde_json::from_slice(payload).map_err(unreadable)
}

/// A channel's document as it is stored: signed, where there is a key.
///
/// # Errors
/// The key cannot sign.
pub async fn write(channel: &Channel, signer: Option<&Signer>) -> Result<Vec<u8>, SignError> {
    let mut text = serde_json::to_vec_pretty(channel).expect("a channel has a JSON form");
    text.push(b'\n');
    match signer {
        None => Ok(text),
        Some(signer) => {
            let envelope = Envelope::sign(signer, CHANNEL_TYPE, &text).await?;
            Ok(envelope.to_json())
        }
    }
}
