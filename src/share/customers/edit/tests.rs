use time::macros::date;

use super::*;

fn acme() -> NewCustomer {
    NewCustomer {
        name: "acme".to_owned(),
        accounts: vec!["111122223333".parse().expect("an account")],
        channels: vec!["stable".to_owned()],
        ..NewCustomer::default()
    }
}

const ACME: &str = "[customers.acme]\naccounts = [\"111122223333\"]\nchannels = [\"stable\"]\n";

#[test]
fn all_that_is_said_is_written() {
    let new = NewCustomer {
        name: "acme.eu".to_owned(),
        organizations: vec![
            "arn:aws:organizations::444455556666:organization/o-a1b2c3d4e5"
                .parse()
                .expect("an organization"),
        ],
        units: vec![
            "arn:aws:organizations::444455556666:ou/o-a1b2c3d4e5/ou-ab12-cd34ef56"
                .parse()
                .expect("a unit"),
        ],
        profiles: vec!["kubezero*".to_owned(), "say\"so".to_owned()],
        regions: vec!["eu-central-1".parse().expect("a Region")],
        copy: true,
        roles: vec!["arn:aws:iam::111122223333:role/a".parse().expect("a role")],
        start: Some(date!(2026 - 01 - 31)),
        end: Some(date!(2026 - 12 - 31)),
        grace_days: Some(0),
        ..acme()
    };
    let expected = r#"[customers."acme.eu"]
accounts = ["111122223333"]
organizations = ["arn:aws:organizations::444455556666:organization/o-a1b2c3d4e5"]
units = ["arn:aws:organizations::444455556666:ou/o-a1b2c3d4e5/ou-ab12-cd34ef56"]
channels = ["stable"]
profiles = ["kubezero*", 'say"so']
regions = ["eu-central-1"]
copy = true
roles = ["arn:aws:iam::111122223333:role/a"]
start = 2026-01-31
end = 2026-12-31
grace_days = 0
"#;
    assert_eq!(add("f", "", &new).expect("added"), expected);
}

#[test]
fn long_lists_have_a_line_for_each_entry() {
    let account = |number: u64| format!("{number:012}").parse().expect("an account");
    let new = NewCustomer {
        accounts: (0..7).map(account).collect(),
        ..acme()
    };
    let text = add("f", "", &new).expect("added");
    let lines: Vec<&str> = text.lines().collect();
    let expected = ["[customers.acme]", "accounts = [", "    \"000000000000\","];
    assert_eq!(lines[..3], expected, "{text}");
    assert_eq!(lines[9..], ["]", "channels = [\"stable\"]"], "{text}");
}

/// What the file is, and what it is with acme.
#[test]
fn customers_are_put_behind_the_others() {
    let other = "[customers.b]\nchannels = []";
    for (before, between) in [
        (String::new(), ""),
        ("# who gets what\n".to_owned(), "\n"),
        (other.to_owned(), "\n\n"),
        (format!("{other} # why"), "\n\n"),
        (format!("{other}\n"), "\n"),
        (format!("{other}\n\n"), ""),
        (format!("{other}\n\n\n  \n"), ""),
        (format!("\n{other}\n# the end\n"), "\n"),
        ("[customers]\nb = { channels = [] }\n".to_owned(), "\n"),
        ("customers.b.channels = []\n".to_owned(), "\n"),
    ] {
        let after = add("f", &before, &acme()).expect("added");
        assert_eq!(after, format!("{before}{between}{ACME}"), "{before}");
        let again: toml::Table = toml::from_str(&after).expect("TOML");
        assert!(again["customers"].get("acme").is_some(), "{after}");
    }
    let windows = format!("{other}\n").replace('\n', "\r\n");
    let after = add("f", &windows, &acme()).expect("added");
    assert_eq!(after, format!("{other}\n\n{ACME}").replace('\n', "\r\n"));
}

const FILE: &str = r#"# Who gets what. Ask before changing it.

# acme: ask Bob
#   or his deputy
[customers.acme] # the first
# all of theirs
accounts = [
  "111122223333", # production

  "222233334444",
]

channels = ["stable"] # only
# copy = true

# globex pays more
[customers.globex]
accounts = ['333344445555']
channels    =    ["stable"]


  [ customers . "initech.com" ]
accounts = ["444455556666"]
channels = ["stable"]
# umbrella is new
[customers.umbrella]
accounts = ["555566667777"]
channels = ["stable"]
# end of umbrella

# end of the file
"#;

/// A customer, and what goes with it: from where, and what stays behind it.
#[test]
fn customers_go_with_what_belongs_to_them() {
    for (name, from, to) in [
        ("acme", "# acme: ask Bob", "# globex pays more"),
        ("globex", "# globex pays more", "  [ customers . \"initech"),
        (
            "initech.com",
            "  [ customers . \"initech",
            "# umbrella is new",
        ),
        // An empty line stays before what is not about it.
        ("umbrella", "# umbrella is new", "\n# end of the file"),
    ] {
        for end in ["\n", "\r\n"] {
            let (text, to) = (FILE.replace('\n', end), to.replace('\n', end));
            let (start, stop) = (text.find(from).expect(from), text.find(&to).expect(name));
            let expected = format!("{}{}", &text[..start], &text[stop..]);
            let removed = remove("f", &text, name).expect("removed");
            assert_eq!(removed, expected, "{name}");
        }
    }
}

/// What the file is with acme, and without.
#[test]
fn no_empty_lines_are_left_over() {
    let (one, other) = ("[customers.a]\nx = 1\n", "[customers.b]\nx = 1\n");
    for (before, after) in [
        (ACME.to_owned(), String::new()),
        (format!("{one}\n{ACME}"), one.to_owned()),
        (format!("{one}\n\n{ACME}\n\n"), one.to_owned()),
        (format!("{ACME}\n{one}"), one.to_owned()),
        (format!("{one}\n{ACME}\n{other}"), format!("{one}\n{other}")),
        (format!("{one}{ACME}{other}"), format!("{one}{other}")),
        (format!("{one}{ACME}\n{other}"), format!("{one}\n{other}")),
        (format!("{one}\n{ACME}{other}"), format!("{one}\n{other}")),
        (ACME.trim_end().to_owned(), String::new()),
        (
            format!("{ACME}# b is new\n{other}"),
            format!("# b is new\n{other}"),
        ),
    ] {
        let removed = remove("f", &before, "acme").expect("removed");
        assert_eq!(removed, after, "{before}");
    }
}

/// TOML has other ways to write the same: all of them can be taken from.
#[test]
fn customers_can_be_written_in_other_ways() {
    for (before, after) in [
        (
            "[customers]\n# theirs\nacme = { x = 1,\n  y = 2 }\nb.x = 1\n",
            "[customers]\nb.x = 1\n",
        ),
        (
            "[customers]\nacme.x = 1\nb.x = 1\n# more\nacme.y = [\n 2,\n]\n",
            "[customers]\nb.x = 1\n",
        ),
        (
            "customers.acme.x = 1\ncustomers.acme.y = 1\ncustomers.b.x = 1\n",
            "customers.b.x = 1\n",
        ),
        ("[customers]\n\n[customers.'acme']\n", "[customers]\n"),
        ("[customers.b]\n[customers.acme]\n", "[customers.b]\n"),
    ] {
        let removed = remove("f", before, "acme").expect("removed");
        assert_eq!(removed, after, "{before}");
    }
}

#[test]
fn what_was_added_can_be_removed() {
    for before in [
        "",
        "# only a comment\n",
        FILE.trim_end_matches(char::is_control),
    ] {
        let new = NewCustomer {
            name: "new".to_owned(),
            ..acme()
        };
        let with = add("f", before, &new).expect("added");
        let without = remove("f", &with, "new").expect("removed");
        assert_eq!(without.trim_end(), before.trim_end());
    }
}

#[test]
fn mistakes_say_where() {
    let error = add("f.toml", FILE, &acme()).expect_err("it is there");
    let said = error.to_string();
    assert!(said.contains("`acme` already, in f.toml, line 5"), "{said}");
    let advice = error.advice().expect("advice");
    assert!(advice.contains("share remove acme"), "{advice}");

    let error = remove("f.toml", FILE, "globe").expect_err("it is not there");
    assert_eq!(error.to_string(), "there is no customer `globe` in f.toml");
    let advice = error.advice().expect("advice");
    assert_eq!(
        advice,
        "did you mean `globex`? there are: acme, globex, initech.com, umbrella"
    );
    let error = remove("f.toml", "", "globe").expect_err("it is not there");
    assert_eq!(error.advice().expect("advice"), "there are none");

    let inline = "\ncustomers = { acme = { x = 1 } }\n";
    for error in [add("f", inline, &acme()), remove("f", inline, "acme")] {
        let said = error.expect_err("inline").to_string();
        assert!(said.starts_with("f:2: `customers` is one inline"), "{said}");
    }
}
