//! The identity of a package, in apk's notation.

use std::fmt;
use std::str::FromStr;

use crate::text_form::text_form;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What identifies a package: the digest of its compressed control member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checksum {
    /// `Q1`: SHA-1, what apk 2 writes.
    Sha1([u8; 20]),
    /// `Q2`: SHA-256, which newer tools may write.
    Sha256([u8; 32]),
}

/// A text that is not a checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid checksum `{0}`: it must be Q1 and 28 characters of base64, or Q2 and 44")]
pub struct ChecksumError(String);

impl Checksum {
    /// The digest itself.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Checksum::Sha1(bytes) => bytes,
            Checksum::Sha256(bytes) => bytes,
        }
    }
}

/// Decodes exactly `N` bytes, without a detour over the heap: indexes have tens of thousands.
fn decode<const N: usize>(encoded: &str) -> Option<[u8; N]> {
    // Room for what the longest text of this length could hold.
    let mut buffer = [0; 48];
    let length = STANDARD.decode_slice(encoded, &mut buffer).ok()?;
    buffer[..length].try_into().ok()
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.split_at_checked(2) {
            Some(("Q1", encoded)) => decode(encoded).map(Checksum::Sha1),
            Some(("Q2", encoded)) => decode(encoded).map(Checksum::Sha256),
            _ => None,
        };
        parsed.ok_or_else(|| ChecksumError(text.to_owned()))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Checksum::Sha1(_) => "Q1",
            Checksum::Sha256(_) => "Q2",
        };
        write!(f, "{kind}{}", STANDARD.encode(self.as_bytes()))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({self})")
    }
}

text_form!(Checksum, "Checksum", {
    "description": "Q1 and the base64 of a SHA-1, or Q2 and that of a SHA-256",
    "pattern": "^Q[12][A-Za-z0-9+/]+=*$",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_come_in_two_kinds() {
        let sha256 = "Q2LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
        let checksum: Checksum = sha256.parse().expect("a SHA-256");
        assert_eq!(checksum.as_bytes().len(), 32);
        assert_eq!(checksum.to_string(), sha256);
        assert!(
            "Q3YCZ4e/kV0Uaynh14//zvTTyN7x8="
                .parse::<Checksum>()
                .is_err()
        );
        assert!(
            "Q2YCZ4e/kV0Uaynh14//zvTTyN7x8="
                .parse::<Checksum>()
                .is_err()
        );
    }
}
