//! Which channels there are, for those who may read them and not list the bucket: `catalog/index.json`.
//!
//! It is not signed, for it says nothing that could be believed: each channel's own document is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::is_word;

/// The object.
pub const KEY: &str = "catalog/index.json";
/// The version of its format.
pub const SCHEMA: u32 = 1;

/// Which channels there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Index {
    /// Version of this format.
    pub schema: u32,
    /// The channels that hold a release, or held one: `channels/<channel>.json`.
    pub channels: Vec<String>,
}

impl Index {
    /// An index of these.
    pub fn new(channels: Vec<String>) -> Index {
        Index {
            schema: SCHEMA,
            channels,
        }
    }

    /// The channels of an index that anybody may have written: what can be no channel's name is left
    /// out.
    ///
    /// # Errors
    /// It is none, or of a newer version of this program.
    pub fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let version: Version = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        if version.schema > SCHEMA {
            let schema = version.schema;
            return Err(format!(
                "it has schema {schema}, which a newer alpine-ami wrote"
            ));
        }
        let index: Index = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        let mut channels = index.channels;
        channels.retain(|name| is_word(name));
        Ok(channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_with_care() {
        let index = Index::new(vec!["stable".to_owned(), "../stable".to_owned()]);
        let bytes = serde_json::to_vec(&index).expect("JSON");
        assert_eq!(Index::read(&bytes), Ok(vec!["stable".to_owned()]));
        // A later version may have more members.
        let more = br#"{"schema": 1, "channels": ["edge"], "more": true}"#;
        assert_eq!(Index::read(more), Ok(vec!["edge".to_owned()]));
        let newer = Index::read(br#"{"schema": 2, "names": []}"#);
        assert!(newer.is_err_and(|why| why.contains("newer alpine-ami")));
        for bad in ["", "<html>", "{}", r#"{"schema": 1, "channels": "stable"}"#] {
            assert!(Index::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
