//! The envelope of a signed document: DSSE 1.0.
//! <https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>
//!
//! What is signed is the document's bytes with their type, so that none can be taken for another;
//! the document is in the envelope, so that both change in one write.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use super::key::{KeyRing, short};
use super::signer::{SignError, Signer};

/// A signed document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What kind of document it is: a media type.
    pub payload_type: String,
    /// The document, in base64.
    pub payload: String,
    /// Who signed it.
    pub signatures: Vec<Signature>,
}

/// Somebody's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The key's name: a hint.
    #[serde(default)]
    pub keyid: String,
    /// The signature, in base64.
    pub sig: String,
}

/// Why an envelope is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is no envelope.
    #[error("it is no signed document: {0}")]
    Unreadable(String),
    /// It holds something else.
    #[error("it holds `{found}`, not `{expected}`")]
    OtherType {
        /// What it holds.
        found: String,
        /// What is looked for.
        expected: String,
    },
    /// Nobody signed it.
    #[error("it is not signed")]
    Unsigned,
    /// Others signed it.
    #[error("it is signed by the key {}…, not by {}", short(.signer), names(.trusted))]
    OtherKey {
        /// The name of a key that signed it, as it says.
        signer: String,
        /// The names of the keys that are trusted.
        trusted: Vec<String>,
    },
    /// A trusted key's signature is not over these bytes.
    #[error("its signature by the key {}… does not match: it was changed after it was signed", short(.0))]
    Mismatch(String),
}

fn names(trusted: &[String]) -> String {
    match trusted {
        [] => "any key that is trusted".to_owned(),
        ids => {
            let ids: Vec<String> = ids.iter().map(|id| format!("{}…", short(id))).collect();
            ids.join(" or ")
        }
    }
}

/// A document that was signed by a trusted key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The document.
    pub payload: Vec<u8>,
    /// The key's name.
    pub key: String,
}

impl Envelope {
    /// Signs a document.
    ///
    /// # Errors
    /// The key cannot sign.
    pub async fn sign(
        signer: &Signer,
        payload_type: &str,
        payload: &[u8],
    ) -> Result<Envelope, SignError> {
        let signature = signer.sign(&encoding(payload_type, payload)).await?;
        Ok(Envelope {
            payload_type: payload_type.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![Signature {
                keyid: signer.public().id(),
                sig: STANDARD.encode(signature),
            }],
        })
    }

    /// Whether these bytes are an envelope at all, be it a good one or not.
    pub fn is_one(bytes: &[u8]) -> bool {
        serde_json::from_slice::<Envelope>(bytes).is_ok()
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8]) -> Result<Envelope, OpenError> {
        serde_json::from_slice(bytes).map_err(|why| OpenError::Unreadable(why.to_string()))
    }

    /// The document and the key that signed it.
    ///
    /// # Errors
    /// It is of another type, or none of the trusted keys signed it.
    pub fn open(&self, payload_type: &str, trusted: &KeyRing) -> Result<Opened, OpenError> {
        let payload = self.unverified(payload_type)?;
        let message = encoding(payload_type, &payload);
        for signature in &self.signatures {
            let Some(sig) = decoded(&signature.sig) else {
                continue;
            };
            // The name is a hint, and whoever signed need not have given it.
            if let Some(key) = trusted.0.iter().find(|key| key.has_signed(&message, &sig)) {
                let key = key.id();
                return Ok(Opened { payload, key });
            }
        }
        let Some(first) = self.signatures.first() else {
            return Err(OpenError::Unsigned);
        };
        let ids = trusted.ids();
        let claims = self.signatures.iter();
        let claimed = claims.map(|signature| &signature.keyid);
        match claimed.into_iter().find(|id| ids.contains(id)) {
            Some(id) => Err(OpenError::Mismatch(id.clone())),
            None => Err(OpenError::OtherKey {
                signer: printable(&first.keyid),
                trusted: ids,
            }),
        }
    }

    /// The document, whoever signed it.
    ///
    /// # Errors
    /// It is of another type, or cannot be read.
    pub fn unverified(&self, payload_type: &str) -> Result<Vec<u8>, OpenError> {
        if self.payload_type != payload_type {
            return Err(OpenError::OtherType {
                found: printable(&self.payload_type),
                expected: payload_type.to_owned(),
            });
        }
        let payload = decoded(&self.payload);
        payload.ok_or_else(|| OpenError::Unreadable("its payload is not base64".to_owned()))
    }

    /// As it is stored.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(self).expect("an envelope has a JSON form");
        text.push(b'\n');
        text
    }
}

/// Either alphabet is allowed.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let standard = STANDARD.decode(text);
    standard.or_else(|_| URL_SAFE.decode(text)).ok()
}

/// What an envelope says may be anybody's words.
fn printable(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_graphic)
        .take(80)
        .collect()
}

/// The bytes that are signed: the pre-authentication encoding.
fn encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::super::testing::signer;
    use super::*;

    const TYPE: &str = "application/vnd.test+json";

    #[tokio::test]
    async fn only_what_was_signed_is_opened() {
        let signer = signer();
        let ring = KeyRing(vec![signer.public().clone()]);
        let sealed = Envelope::sign(&signer, TYPE, b"{\"a\": 1}").await;
        let sealed = sealed.expect("a signature");
        let read = Envelope::parse(&sealed.to_json()).expect("an envelope");
        assert_eq!(read, sealed);
        let opened = read.open(TYPE, &ring).expect("it is signed");
        assert_eq!(opened.payload, b"{\"a\": 1}");
        assert_eq!(opened.key, signer.public().id());

        let changed = Envelope {
            payload: STANDARD.encode(b"{\"a\": 2}"),
            ..sealed.clone()
        };
        let id = signer.public().id();
        assert_eq!(changed.open(TYPE, &ring), Err(OpenError::Mismatch(id)));
        let other = "application/vnd.other+json";
        let expected = Err(OpenError::OtherType {
            found: TYPE.to_owned(),
            expected: other.to_owned(),
        });
        assert_eq!(sealed.open(other, &ring), expected);
        // A type that is changed with the bytes does not help.
        let other_type = Envelope {
            payload_type: other.to_owned(),
            ..sealed.clone()
        };
        assert!(matches!(
            other_type.open(other, &ring),
            Err(OpenError::Mismatch(_))
        ));
        let unsigned = Envelope {
            signatures: Vec::new(),
            ..sealed
        };
        assert_eq!(unsigned.open(TYPE, &ring), Err(OpenError::Unsigned));
    }

    #[tokio::test]
    async fn another_key_is_told_from_a_change() {
        let (ours, theirs) = (signer(), signer());
        let sealed = Envelope::sign(&theirs, TYPE, b"x").await.expect("signed");
        let ring = KeyRing(vec![ours.public().clone()]);
        let error = sealed.open(TYPE, &ring).expect_err("not ours");
        let (theirs_id, ours_id) = (theirs.public().id(), ours.public().id());
        let said = format!(
            "it is signed by the key {}…, not by {}…",
            &theirs_id[..16],
            &ours_id[..16]
        );
        assert_eq!(error.to_string(), said);
        // Who trusts both opens it, whatever the name says.
        let both = KeyRing(vec![ours.public().clone(), theirs.public().clone()]);
        let mut nameless = sealed.clone();
        nameless.signatures[0].keyid = String::new();
        assert_eq!(nameless.open(TYPE, &both).expect("theirs").key, theirs_id);
    }

    #[test]
    fn the_bytes_that_are_signed_are_those_of_the_standard() {
        // The example of the protocol's own page.
        let encoded = encoding("http://example.com/HelloWorld", b"hello world");
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(encoded, expected);
    }

    #[test]
    fn what_is_no_envelope() {
        for text in ["", "{}", "[]", "{\"payloadType\": \"x\"}"] {
            let error = Envelope::parse(text.as_bytes()).expect_err(text);
            assert!(matches!(error, OpenError::Unreadable(_)), "{error}");
            assert!(!Envelope::is_one(text.as_bytes()));
        }
    }
}
