use time::macros::datetime;

use super::*;

fn entry(hour: i64) -> Entry {
    Entry {
        at: datetime!(2026-01-31 00:00 UTC) + time::Duration::hours(hour),
        by: "arn:aws:iam::111122223333:user/r".to_owned(),
        reason: None,
        approved_by: None,
        in_place_of: None,
    }
}

fn id(text: &str) -> ReleaseId {
    text.parse().expect(text)
}

#[test]
fn a_release_takes_the_place_of_its_profile_and_architecture() {
    let first = id("node-1.22.8-x86_64-20260131.1");
    let (channel, before) = Channel::empty("stable")
        .with(&first, entry(0))
        .expect("it is new");
    assert_eq!(before, None);
    assert!(channel.with(&first, entry(1)).is_none());

    let arm = id("node-1.22.8-aarch64-20260131.1");
    let (channel, before) = channel.with(&arm, entry(1)).expect("it is new");
    assert_eq!(before, None);
    let next = id("node-1.22.9-x86_64-20260201.1");
    let (channel, before) = channel.with(&next, entry(2)).expect("it is new");
    assert_eq!(before.as_ref(), Some(&first));
    assert_eq!(channel.current().collect::<Vec<_>>(), [&arm, &next]);
    assert_eq!(channel.stays[0].until, Some(entry(2).at));

    // And back again: what is over stays as it was.
    let (channel, before) = channel.with(&first, entry(3)).expect("it had left");
    assert_eq!(before.as_ref(), Some(&next));
    assert_eq!(channel.current_of("node", Arch::X86_64), Some(&first));
    assert_eq!(channel.stays[0].until, Some(entry(2).at));
    assert_eq!(channel.stays.len(), 4);

    let text = serde_json::to_string(&channel).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Channel>(&text).expect("a channel"),
        channel
    );
}

#[test]
fn a_run_knows_what_it_wrote() {
    let (first, next) = (
        id("node-1.22.8-x86_64-20260131.1"),
        id("node-1.22.9-x86_64-20260201.1"),
    );
    let arm = id("node-1.22.8-aarch64-20260131.1");
    let with = |channel: Channel, release: &ReleaseId, hour: i64| {
        channel.with(release, entry(hour)).expect("it is new").0
    };
    let channel = with(Channel::empty("stable"), &first, 0);
    assert_eq!(channel.entered(&first, &entry(0)), Some(None));
    assert_eq!(channel.entered(&first, &entry(1)), None);
    assert_eq!(channel.entered(&next, &entry(0)), None);
    let somebody = Entry {
        by: "arn:aws:iam::111122223333:user/s".to_owned(),
        ..entry(0)
    };
    assert_eq!(channel.entered(&first, &somebody), None);
    assert_eq!(channel.stay(&first), Some(&channel.stays[0]));

    // Also when others came after it, or something else at the same moment.
    let channel = with(channel, &arm, 1);
    let channel = with(channel, &next, 1);
    let channel = with(channel, &first, 2);
    assert_eq!(channel.entered(&next, &entry(1)), Some(Some(first.clone())));
    assert_eq!(channel.entered(&arm, &entry(1)), Some(None));
    assert_eq!(channel.entered(&first, &entry(2)), Some(Some(next.clone())));
    assert_eq!(channel.stay(&next), None);
    assert_eq!(channel.stay(&first), channel.stays.last());
}

#[test]
fn channels_have_names() {
    use settings::{ChannelNameError, ChannelSettings, DEFAULT, known, names};
    let default = names(&[]).expect("names");
    assert_eq!(default, DEFAULT);
    assert_eq!(known(&default, "stable"), Ok(()));
    let error = known(&default, "stabel").expect_err("a slip");
    assert_eq!(
        error.to_string(),
        "there is no channel `stabel`; there are nightly, candidate, stable"
    );
    let named = |all: &[&str]| {
        let settings: Vec<_> = all
            .iter()
            .map(|name| ChannelSettings {
                name: (*name).to_owned(),
                ..ChannelSettings::default()
            })
            .collect();
        names(&settings)
    };
    assert_eq!(named(&["edge", "lts-1"]).expect("names"), ["edge", "lts-1"]);
    let no_word = |name: &str| Err(ChannelNameError::NoWord(name.to_owned()));
    assert_eq!(named(&["a/b"]), no_word("a/b"));
    assert_eq!(named(&[""]), no_word(""));
    assert_eq!(
        named(&["a", "a"]),
        Err(ChannelNameError::Twice("a".to_owned()))
    );
}
