//! The little of DER that RSA keys need.

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// `AlgorithmIdentifier` of `rsaEncryption`.
const RSA: &[u8] = &[
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// Splits off the first element, which must have this tag: its content, and what follows.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(2)?;
    if head[0] != tag {
        return None;
    }
    let (length, rest) = match head[1] {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn whole(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (content, rest) = element(bytes, tag)?;
    rest.is_empty().then_some(content)
}

fn write(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|digit| **digit == 0).count()..];
    if content.len() < 0x80 {
        out.extend(digits.last().or(Some(&0)));
    } else {
        // A length of a machine word has at most eight digits.
        out.push(0x80 | digits.len() as u8);
        out.extend(digits);
    }
    out.extend(content);
    out
}

/// Modulus and exponent of an `RSAPublicKey`, big-endian with the sign's zero if need be.
pub(super) fn read_rsa_public_key(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let content = whole(bytes, SEQUENCE)?;
    let (modulus, rest) = element(content, INTEGER)?;
    let exponent = whole(rest, INTEGER)?;
    Some((modulus.to_vec(), exponent.to_vec()))
}

/// The `RSAPublicKey` in a `SubjectPublicKeyInfo`.
pub(super) fn read_public_key_info(bytes: &[u8]) -> Option<&[u8]> {
    let content = whole(bytes, SEQUENCE)?;
    let key = content.strip_prefix(RSA)?;
    whole(key, BIT_STRING)?.strip_prefix(&[0])
}

/// The `SubjectPublicKeyInfo` of an RSA key.
pub(super) fn write_public_key_info(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let numbers = [write(INTEGER, modulus), write(INTEGER, exponent)].concat();
    let key = [vec![0], write(SEQUENCE, &numbers)].concat();
    write(SEQUENCE, &[RSA, &write(BIT_STRING, &key)].concat())
}

/// The `RSAPrivateKey` in a `PrivateKeyInfo` (PKCS #8).
pub(super) fn read_private_key_info(bytes: &[u8]) -> Option<&[u8]> {
    let content = whole(bytes, SEQUENCE)?;
    let (_version, rest) = element(content, INTEGER)?;
    let (key, _attributes) = element(rest.strip_prefix(RSA)?, OCTET_STRING)?;
    Some(key)
}
