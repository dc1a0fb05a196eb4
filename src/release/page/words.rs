//! How times, people and reasons are told.

use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// A time, for machines and for people.
#[derive(Debug, Serialize)]
pub struct When {
    iso: String,
    day: String,
    full: String,
}

/// Whether a link leads to a file beside the page or to a web server, and nowhere else: a browser
/// would run what stands behind `javascript:`.
pub fn is_safe(href: &str) -> bool {
    let word = href.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain = !href.chars().any(|char| char.is_control() || char == '\\');
    is_plain && !href.starts_with("//") && (href.starts_with("https://") || !word.contains(':'))
}

/// An empty reason is none.
pub fn said(reason: Option<&str>) -> Option<String> {
    let told = reason.filter(|text| !text.trim().is_empty());
    told.map(str::to_owned)
}

/// `arn:aws:sts::111122223333:assumed-role/publisher/nightly` is `publisher/nightly`.
pub fn short_principal(principal: &str) -> String {
    let name = match principal.starts_with("arn:") {
        true => principal.splitn(6, ':').nth(5).unwrap_or(principal),
        false => principal,
    };
    let kinds = ["assumed-role/", "federated-user/", "user/", "role/"];
    let name = kinds
        .iter()
        .find_map(|kind| name.strip_prefix(kind))
        .unwrap_or(name);
    name.to_owned()
}

/// A time, to the second, in UTC.
pub fn when(at: OffsetDateTime) -> When {
    let at = at.to_offset(UtcOffset::UTC);
    let at = at.replace_nanosecond(0).expect("zero is a nanosecond");
    let day = at.format(format_description!(
        "[day padding:none] [month repr:short] [year]"
    ));
    let full = at.format(format_description!(
        "[day padding:none] [month repr:long] [year], [hour]:[minute] UTC"
    ));
    // A time that has no such form, before the year 0, is still told.
    let plain = || at.to_string();
    When {
        iso: at.format(&Rfc3339).unwrap_or_else(|_| plain()),
        day: day.unwrap_or_else(|_| plain()),
        full: full.unwrap_or_else(|_| plain()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_files_or_web_servers_only() {
        for good in ["../releases/a-1.json", "x/a:b", "https://x.test/a"] {
            assert!(is_safe(good), "{good}");
        }
        let bad = [
            "javascript:alert(1)",
            "java\tscript:alert(1)",
            "data:text/html,x",
            "//other.test/x",
            "\\\\other.test\\x",
            "http://x.test/a",
            "JavaScript:x/y",
        ];
        for bad in bad {
            assert!(!is_safe(bad), "{bad}");
        }
    }

    #[test]
    fn principals_are_named_shortly() {
        let cases = [
            (
                "arn:aws:sts::111122223333:assumed-role/publisher/nightly",
                "publisher/nightly",
            ),
            ("arn:aws:iam::111122223333:user/team/ann", "team/ann"),
            ("arn:aws:iam::111122223333:root", "root"),
            ("arn:aws", "arn:aws"),
            ("Ann", "Ann"),
            ("", ""),
        ];
        for (principal, short) in cases {
            assert_eq!(short_principal(principal), short);
        }
    }

    #[test]
    fn times_are_told_in_utc() {
        let at = time::macros::datetime!(2026-02-01 00:30:12.5 +1);
        let when = when(at);
        assert_eq!(
            (&*when.iso, &*when.day, &*when.full),
            (
                "2026-01-31T23:30:12Z",
                "31 Jan 2026",
                "31 January 2026, 23:30 UTC"
            )
        );
    }
}
