//! Tokens for blocks and for pages: what they stand for, until when, and a signature.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;

/// Bytes of the number and of the time that a token begins with.
const HEAD: usize = 16;

/// A token for `number` (a block, or where a page begins) of `scope`, until a moment.
pub fn write(context: &Context, scope: &str, number: u64, until: Timestamp) -> String {
    let mut token = head(number, until).to_vec();
    token.extend_from_slice(sign(context, scope, &token).as_ref());
    BASE64_STANDARD.encode(token)
}

/// The number of a token, if it is one of that scope's and has not expired.
pub fn read(context: &Context, scope: &str, token: &str) -> Option<u64> {
    let token = BASE64_STANDARD.decode(token).ok()?;
    let (head, signature) = token.split_at_checked(HEAD)?;
    let expected = sign(context, scope, head);
    aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), signature).ok()?;
    let (number, until) = head.split_at_checked(HEAD / 2)?;
    let until = i64::from_be_bytes(until.try_into().ok()?);
    (context.now.0 < until).then_some(u64::from_be_bytes(number.try_into().ok()?))
}

fn head(number: u64, until: Timestamp) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..HEAD / 2].copy_from_slice(&number.to_be_bytes());
    head[HEAD / 2..].copy_from_slice(&until.0.to_be_bytes());
    head
}

fn sign(context: &Context, scope: &str, head: &[u8]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, context.shared.blocks.token_key());
    let mut signing = hmac::Context::with_key(&key);
    signing.update(scope.as_bytes());
    signing.update(b"\0");
    signing.update(head);
    signing.sign()
}
