//! JSON bodies of the AWS JSON and REST protocols.

use serde::de::DeserializeOwned;

use crate::sandbox::error::ServiceError;

/// Reads a body; none is an empty object. Types should deny unknown fields.
///
/// # Errors
/// `SerializationException`: no JSON, or not of the operation's shape.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ServiceError> {
    let body = if body.is_empty() { b"{}" } else { body };
    let wrong = |why: String| ServiceError::new("SerializationException", why);
    // Serde would take a list for the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("The body must be a JSON object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        a: Option<u8>,
    }

    #[test]
    fn objects_only() {
        assert_eq!(read::<Input>(b"").expect("nothing"), Input { a: None });
        assert_eq!(
            read::<Input>(b" {\"a\":1}").expect("one"),
            Input { a: Some(1) }
        );
        for wrong in ["[1]", "1", "null", "{", "{\"b\":1}", "{\"a\":300}"] {
            let error = read::<Input>(wrong.as_bytes()).unwrap_err();
            assert_eq!(error.code, "SerializationException", "{wrong}");
        }
    }
}
