//! What is in the file.

use alpine_ami::release::page::{PageData, render};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::catalogs;

fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = page
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start} in {page}"));
    rest.split_once(end)
        .unwrap_or_else(|| panic!("no {end} after {start}"))
        .0
}

fn embedded(page: &str) -> &str {
    between(
        page,
        "<script type=\"application/json\" id=\"data\">",
        "</script>",
    )
}

#[test]
fn the_same_catalog_gives_the_same_bytes() {
    assert_eq!(render(&catalogs::full()), render(&catalogs::full()));
    let mut turned = catalogs::full();
    turned
        .channels
        .iter_mut()
        .for_each(|channel| channel.stays.reverse());
    assert_eq!(render(&turned), render(&catalogs::full()));
}

#[test]
fn the_policy_names_the_script_and_the_style_by_their_digests() {
    for data in [catalogs::full(), catalogs::hostile()] {
        let page = render(&data);
        let policy = between(
            &page,
            "http-equiv=\"Content-Security-Policy\" content=\"",
            "\">",
        );
        let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
        let style = hash(between(&page, "<style>", "</style>"));
        let script = hash(between(&page, "<script>", "</script>"));
        // Apostrophes may be written as they are or escaped; a browser reads the same.
        let policy = policy.replace("&#x27;", "'").replace("&#39;", "'");
        assert_eq!(
            policy,
            format!(
                "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; \
                 img-src data:; base-uri 'none'; form-action 'none'"
            )
        );
        // What the policy would refuse must not be there.
        let page = page.replace(between(&page, "<script>", "</script>"), "");
        for refused in [
            " style=\"",
            " onclick=\"",
            " onerror=\"",
            " src=\"",
            "<iframe",
            "\"stylesheet\"",
        ] {
            assert!(!page.contains(refused), "{refused}");
        }
    }
}

#[test]
fn nothing_in_a_text_is_taken_for_html() {
    let page = render(&catalogs::hostile());
    let tidy = render(&catalogs::one());
    // As many elements that matter as in a page without hostile texts.
    for mark in ["<script", "</script", "<img", "<!--", "<!DOCTYPE"] {
        let count = |page: &str| page.matches(mark).count();
        assert_eq!(count(&page), count(&tidy), "{mark}");
    }
    assert!(!page.contains("javascript:"), "a link that runs");
    assert!(
        page.contains("sbom.json?&lt;/script&gt;"),
        "a harmless link is kept, escaped"
    );
    assert!(
        page.contains("{{ 7*7 }}"),
        "templates in texts are not rendered"
    );
    let data = embedded(&page);
    for mark in ['<', '>', '&', '\u{2028}'] {
        assert!(!data.contains(mark), "{mark:?} in the data");
    }
    let data: Value = serde_json::from_str(data).expect("JSON");
    let evil = data["packages"][0]["license"].as_str().expect("a licence");
    assert!(
        evil.starts_with("</script><script>") && evil.contains('\u{2028}'),
        "{evil}"
    );
}

#[test]
fn the_list_is_html_before_any_script_runs() {
    let data = catalogs::full();
    let page = render(&data);
    for (id, release) in &data.releases {
        assert!(page.contains(&format!("<article id=\"{id}\"")), "{id}");
        for place in release.regions.values() {
            let cell = format!("<td class=\"code\">{} ", place.ami);
            assert!(page.contains(&cell), "{}", place.ami);
        }
    }
    let places: Vec<_> = ["stable", "candidate", "nightly"]
        .iter()
        .map(|name| page.find(&format!("<bdi>{name}</bdi></h3>")).expect(name))
        .collect();
    assert!(places.is_sorted(), "stable comes first: {places:?}");
    assert!(page.contains("<time datetime=\"2026-11-10T04:00:00Z\">10 Nov 2026</time>"));
    assert!(page.contains("3 vulnerabilities fixed, 5 packages upgraded, 1 added, 1 removed"));
    assert!(page.contains("href=\"../releases/kubezero-1.22.8-x86_64-20261110.1.json\""));
}

#[test]
fn packages_stand_in_it_once() {
    let data = catalogs::many();
    let page = render(&data);
    let embedded: Value = serde_json::from_str(embedded(&page)).expect("JSON");
    assert_eq!(
        embedded["packages"].as_array().expect("packages").len(),
        400
    );
    let (id, release) = data.releases.first_key_value().expect("a release");
    let numbers = embedded["releases"][id.to_string()]["packages"]
        .as_array()
        .expect("numbers");
    let names: Vec<_> = numbers
        .iter()
        .map(|number| &embedded["packages"][number.as_u64().expect("a number") as usize]["name"])
        .collect();
    let expected: Vec<_> = release
        .packages
        .iter()
        .map(|package| &package.name)
        .collect();
    assert_eq!(names, expected);
    assert!(page.len() < 3 << 20, "{} bytes", page.len());
}

#[test]
fn what_is_not_there_is_said() {
    let says = |data: PageData, words: &[&str], without: &[&str]| {
        let page = render(&data);
        let page = between(&page, "<body>", "<template");
        for word in words {
            assert!(page.contains(word), "{word}");
        }
        for word in without {
            assert!(!page.contains(word), "{word}");
        }
    };
    says(
        catalogs::no_channels(),
        &["Nothing is published yet"],
        &[
            "<article",
            "<table class=\"images\"",
            "Public key</summary>",
        ],
    );
    says(
        catalogs::empty(),
        &[
            "Nothing is in <bdi>stable</bdi> now.",
            "Public key</summary>",
        ],
        &["Nothing is published yet", "<table class=\"images\""],
    );
    says(
        catalogs::one(),
        &["Not signed", "They are not known.", "1 Region<"],
        &["Kernel", "SHA-256", "Release manifest", "null", "None"],
    );
    // A channel that points to a release of which there is nothing else.
    let mut lost = catalogs::one();
    lost.releases.clear();
    says(
        lost,
        &["not in this catalog", "base-3.15-x86_64-20261118.1"],
        &["href=\"#base"],
    );
}

#[test]
fn the_data_can_be_written_and_read() {
    for data in [catalogs::full(), catalogs::one(), catalogs::hostile()] {
        let text = serde_json::to_string(&data).expect("JSON");
        let read: PageData = serde_json::from_str(&text).expect("the same");
        assert_eq!(read, data);
    }
}
