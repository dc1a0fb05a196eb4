//! Pages of Describe and List calls.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::query::Params;
use crate::sandbox::error::ServiceError;

/// Which part of a result is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    size: Option<usize>,
    /// The key that the page before ended with.
    after: Option<String>,
}

impl Page {
    /// Takes `MaxResults` and `NextToken`. The number must lie in `sizes`.
    ///
    /// # Errors
    /// The number lies outside, or the token is none of this operation's.
    pub fn take(
        params: &mut Params,
        operation: &str,
        sizes: std::ops::RangeInclusive<usize>,
    ) -> Result<Page, ServiceError> {
        let size = params.number::<usize>("MaxResults")?;
        if let Some(size) = size.filter(|size| !sizes.contains(size)) {
            return Err(ServiceError::invalid_value(
                "maxResults",
                &size.to_string(),
                format!(
                    "Expecting a value from {} to {}.",
                    sizes.start(),
                    sizes.end()
                ),
            ));
        }
        let after = match params.text("NextToken") {
            Some(token) if !token.is_empty() => {
                Some(read_token(operation, &token).ok_or_else(|| {
                    ServiceError::new("InvalidNextToken", "The specified NextToken is not valid")
                })?)
            }
            _ => None,
        };
        Ok(Page { size, after })
    }

    /// A page of a size, after a key.
    pub fn new(size: Option<usize>, after: Option<String>) -> Page {
        Page { size, after }
    }

    /// Whether a number of results was asked for.
    pub fn is_limited(&self) -> bool {
        self.size.is_some()
    }

    /// The part asked for of items that are in the order of their keys, and the token for the rest.
    pub fn cut<T>(
        &self,
        operation: &str,
        items: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let mut rest: Vec<T> = match &self.after {
            Some(after) => items
                .into_iter()
                .filter(|item| key(item) > *after)
                .collect(),
            None => items,
        };
        match self.size {
            Some(size) if rest.len() > size => {
                rest.truncate(size);
                let token = rest.last().map(|last| write_token(operation, &key(last)));
                (rest, token)
            }
            _ => (rest, None),
        }
    }
}

/// A token for what comes after `key`.
pub fn write_token(operation: &str, key: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{operation}\n{key}"))
}

/// The key of a token, if it is one of that operation's.
pub fn read_token(operation: &str, token: &str) -> Option<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (of, key) = text.split_once('\n')?;
    (of == operation).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let items: Vec<String> = ('a'..='e').map(String::from).collect();
        let mut token = None;
        let mut pages = Vec::new();
        loop {
            let after = token.as_deref().and_then(|token| read_token("X", token));
            let (page, next) = Page::new(Some(2), after).cut("X", items.clone(), String::clone);
            pages.push(page.concat());
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(pages, ["ab", "cd", "e"]);
        assert_eq!(read_token("Y", &write_token("X", "a")), None);
        assert_eq!(read_token("X", "a"), None);
    }
}
