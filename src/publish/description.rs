//! AMIs' descriptions: what customers read. They see no tags, and without the key's id they could
//! not say in a policy of theirs which key they mean.

use crate::aws::KeyArn;

/// EC2 takes so many characters.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RegisterImage.html>
const LONGEST: usize = 255;
const BEFORE: &str = " [KMS key ";

/// A release's description, as its AMI in one Region has it: with that Region's key.
pub fn with_key(text: &str, key: &KeyArn) -> String {
    let end = format!("{BEFORE}{}]", key.key_id());
    let room = LONGEST.saturating_sub(end.len());
    let begin: String = text.chars().take(room).collect();
    format!("{begin}{end}")
}

/// The id of the key that a description ends with.
pub fn key_id(description: &str) -> Option<&str> {
    let (_, rest) = description.rsplit_once(BEFORE)?;
    let id = rest.strip_suffix(']')?;
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (!id.is_empty() && id.bytes().all(is_good)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stands_at_the_end() {
        let arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let key: KeyArn = arn.parse().expect("an ARN");
        let text = with_key("base 3.15 on Alpine Linux 3.15.11, x86_64", &key);
        assert_eq!(key_id(&text), Some("1234abcd-12ab-34cd-56ef-1234567890ab"));
        assert!(text.starts_with("base 3.15 on"), "{text}");
        let long = with_key(&"x".repeat(300), &key);
        assert_eq!((long.len(), key_id(&long)), (255, Some(key.key_id())));
        for other in [
            "",
            "base",
            "a [KMS key ]",
            "a [KMS key b] c",
            "[KMS key a b]",
        ] {
            assert_eq!(key_id(other), None, "{other}");
        }
    }
}
