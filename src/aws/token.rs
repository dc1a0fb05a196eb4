//! Client tokens: the same step of the same release in the same Region has the same token, so that
//! a call that is made again, in this run or in a later one, makes nothing twice.

use super::names::Region;
use crate::digest;

/// The token of a step. `attempt` counts the times that the step's result had to be thrown away:
/// AWS answers a token that it knows with what it made then, failed or not.
///
/// 64 hexadecimal digits, which is what StartSnapshot and CopyImage take at most.
pub fn client_token(release: &str, step: &str, region: &Region, attempt: u32) -> String {
    // The lengths keep ("a", "bc") and ("ab", "c") apart.
    let parts = [release, step, region.as_str(), &attempt.to_string()];
    let text: String = parts
        .iter()
        .map(|part| format!("{}:{part},", part.len()))
        .collect();
    digest::sha256(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let region = |name: &str| name.parse::<Region>().expect("a Region");
        let (here, there) = (region("eu-west-1"), region("eu-west-2"));
        let token = client_token("a", "copy", &here, 0);
        assert_eq!(token.len(), 64);
        assert_eq!(token, client_token("a", "copy", &here, 0));
        for other in [
            client_token("b", "copy", &here, 0),
            client_token("a", "start", &here, 0),
            client_token("a", "copy", &there, 0),
            client_token("a", "copy", &here, 1),
            client_token("acopy", "", &here, 0),
        ] {
            assert_ne!(token, other);
        }
    }
}
