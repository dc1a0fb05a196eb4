use time::macros::date;

use super::*;

const FILE: &str = r#"
[customers.acme]
accounts = ["111122223333", "222233334444"]
channels = ["stable"]
profiles = ["kubezero*", "base"]
regions = ["eu-central-1"]
copy = true
roles = ["arn:aws:iam::111122223333:role/autoscaler"]
start = 2026-01-01
end = 2026-12-31
grace_days = 7

[customers.globex]
organizations = ["arn:aws:organizations::444455556666:organization/o-a1b2c3d4e5"]
units = ["arn:aws:organizations::444455556666:ou/o-a1b2c3d4e5/ou-ab12-cd34ef56"]
channels = ["candidate", "stable"]
"#;

fn read(text: &str) -> Result<Vec<Customer>, Vec<Mistake>> {
    let channels = ["nightly", "candidate", "stable"].map(str::to_owned);
    let regions = ["eu-central-1", "us-east-1"];
    let regions = regions.map(|name| name.parse().expect("a Region")).into();
    let known = Known {
        channels: &channels,
        regions: &regions,
    };
    parse("customers.toml", text, &known)
}

#[test]
fn customers_are_read() {
    let customers = read(FILE).expect("customers");
    let [acme, globex] = &customers[..] else {
        panic!("{customers:#?}");
    };
    assert_eq!(
        (acme.name.as_str(), globex.name.as_str()),
        ("acme", "globex")
    );
    assert_eq!(
        (acme.accounts.len(), acme.copy, acme.grace_days),
        (2, true, 7)
    );
    let region = |name: &str| name.parse::<Region>().expect("a Region");
    assert!(acme.is_in(&region("eu-central-1")) && !acme.is_in(&region("us-east-1")));
    assert!(globex.is_in(&region("us-east-1")));
    for (profile, acmes) in [("kubezero", true), ("kubezero-gpu", true), ("bases", false)] {
        assert_eq!(acme.wants(profile), acmes, "{profile}");
        assert!(globex.wants(profile));
    }
    for (day, acmes) in [
        (date!(2025 - 12 - 31), false),
        (date!(2026 - 01 - 01), true),
        (date!(2026 - 12 - 31), true),
        (date!(2027 - 01 - 01), false),
    ] {
        assert_eq!(acme.is_served_on(day), acmes, "{day}");
        assert!(globex.is_served_on(day));
    }
    assert_eq!(globex.grace_days, GRACE_DAYS);
    assert!(read("").expect("nobody").is_empty());
}

/// A change of the file, the line that is wrong then, and words of what is said.
#[test]
fn mistakes_have_their_line() {
    for (from, to, line, words) in [
        (
            "\"222233334444\"",
            "\"22223333444\"",
            3,
            "`22223333444` is no account id",
        ),
        (
            "\"222233334444\"",
            "\"111122223333\"",
            3,
            "111122223333 is `acme`'s already, in line 3",
        ),
        (
            "organizations =",
            "accounts = [\"111122223333\"]\norganizations =",
            14,
            "`acme`'s already, in line 3",
        ),
        (
            "[\"stable\"]",
            "[\"stabel\"]",
            4,
            "there is no channel `stabel`",
        ),
        ("[\"stable\"]", "[]", 4, "`channels` is empty"),
        (
            "\"kubezero*\"",
            "\"kubezero[\"",
            5,
            "`kubezero[` is no pattern",
        ),
        (
            "[\"eu-central-1\"]",
            "[\"eu-central\"]",
            6,
            "`eu-central` is no Region",
        ),
        (
            "[\"eu-central-1\"]",
            "[\"eu-west-3\"]",
            6,
            "nothing is published to eu-west-3",
        ),
        (
            "role/autoscaler",
            "user/autoscaler",
            8,
            "is no ARN of a role",
        ),
        (
            "iam::111122223333",
            "iam::999922223333",
            8,
            "not this customer's",
        ),
        (
            "2026-12-31",
            "2025-12-31",
            10,
            "`acme` ends on 2025-12-31, before it starts",
        ),
        ("2026-12-31", "10:00:00", 10, "10:00:00 is no day"),
        (
            "o-a1b2c3d4e5\"]",
            "a1b2c3d4e5\"]",
            14,
            "is no ARN of an organization",
        ),
        ("grace_days", "grace_day", 11, "unknown key `grace_day`"),
        ("copy = true", "copy = 1", 7, "invalid type"),
    ] {
        let text = FILE.replacen(from, to, 1);
        assert_ne!(text, FILE, "{from}");
        let mistakes = read(&text).expect_err(to);
        let first = &mistakes[0];
        assert!(first.what.contains(words), "{to}: {first}");
        assert_eq!(
            (mistakes.len(), first.line),
            (1, line),
            "{to}: {mistakes:#?}"
        );
    }
}

#[test]
fn all_mistakes_are_told_in_their_order() {
    let text = r#"
[customers."b b"]
channels = ["x"]

[customers.a]
organizations = ["arn:aws:organizations::444455556666:organization/o-a1b2c3d4e5"]
channels = ["stable"]
copy = true
"#;
    let mistakes = read(text).expect_err("mistakes");
    let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    let told = told.join("\n");
    for words in [
        "`b b` is no word",
        "has neither accounts",
        "no channel `x`",
        "has no accounts",
    ] {
        assert!(told.contains(words), "no `{words}` in {told}");
    }
    assert_eq!(mistakes.len(), 4, "{told}");
    let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
    assert!(lines.is_sorted(), "{told}");
}
