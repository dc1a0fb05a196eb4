use super::*;

#[test]
fn a_catalog_is_in_a_bucket_or_on_a_server() {
    for (text, expected) in [
        ("s3://images", "s3://images/"),
        ("s3://images/", "s3://images/"),
        ("s3://images/a/b/", "s3://images/a/b/"),
        ("s3://images/a/b", "s3://images/a/b/"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com/a", "https://example.com/a/"),
        ("http://127.0.0.1:8000/a", "http://127.0.0.1:8000/a/"),
        ("http://[::1]:8000", "http://[::1]:8000/"),
        ("http://localhost", "http://localhost/"),
    ] {
        let address: CatalogAddress = text.parse().expect(text);
        assert_eq!(address.text(), expected, "{text}");
    }
    for bad in [
        "",
        "images",
        "s3://",
        "s3://Images",
        "s3://a",
        "file:///etc/passwd",
        "http://example.com",
        "http://127.0.0.1@example.com/",
        "http://127.0.0.1.example.com/",
        "https://me:secret@example.com/",
        "https://example.com/?a",
        "https://example.com/#a",
    ] {
        let error = bad.parse::<CatalogAddress>().expect_err(bad);
        assert!(error.is_bad_input(), "{bad}");
    }
}

#[test]
fn only_what_is_in_a_channel_now_counts() {
    let text = r#"{"schema": 1, "channel": "stable", "stays": [
        {"release": "node-1.22.8-x86_64-20260131.1", "since": "2026-02-01T00:00:00Z",
         "until": "2026-02-02T00:00:00Z", "by": "a"},
        {"release": "node-1.22.9-x86_64-20260201.1", "since": "2026-02-02T00:00:00Z", "by": "a"}
    ]}"#;
    let mut catalog = Catalog::default();
    catalog
        .take("stable", "x", text.as_bytes(), None)
        .expect("a channel");
    let channels = |id: &str| catalog.channels_of(&id.parse().expect("a release"));
    assert!(channels("node-1.22.8-x86_64-20260131.1").is_empty());
    assert_eq!(channels("node-1.22.9-x86_64-20260201.1"), ["stable"]);
    assert!(catalog.check("stable").is_ok());
    let error = catalog.check("edge").expect_err("no channel");
    assert!(error.to_string().ends_with("there are stable"), "{error}");
}

#[test]
fn what_is_no_channel_is_told() {
    let newer = channel("stable", "x", br#"{"schema": 3, "releases": {}}"#, None);
    assert!(
        matches!(newer, Err(ListError::Newer { schema: 3, .. })),
        "{newer:?}"
    );
    for bad in [
        "",
        "<html>",
        r#"{"schema": 1}"#,
        r#"{"schema": 1, "channel": "edge", "stays": []}"#,
        r#"{"schema": 1, "channel": "stable", "stays": [{"release": "\u001b[31m", "since": "2026-02-02T00:00:00Z"}]}"#,
    ] {
        let read = channel("stable", "x", bad.as_bytes(), None);
        assert!(matches!(read, Err(ListError::Unreadable { .. })), "{bad}");
        let told = read.expect_err(bad).to_string();
        assert!(!told.contains('\u{1b}'), "{told}");
    }
}
