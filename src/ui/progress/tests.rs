use super::*;

fn region(name: &str) -> Region {
    name.parse().expect("a Region")
}

fn transfer(done: u64, total: u64, since: Instant) -> Transfer {
    Transfer {
        what: "sending snap-1".to_owned(),
        total,
        done,
        throttled: 0,
        since,
    }
}

fn told(transfer: Option<Transfer>, regions: &[(&str, &str)]) -> Told {
    let regions = regions
        .iter()
        .map(|(name, at)| (region(name), (*at).to_owned()));
    Told {
        lines: Vec::new(),
        transfer,
        regions: regions.collect(),
    }
}

const MIB: u64 = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_frame_has_the_transfer_and_a_line_a_region() {
    let begun = Instant::now();
    let now = begun + 65 * SECOND;
    let mut told = told(
        Some(transfer(650 * MIB, 2000 * MIB, begun)),
        &[
            ("us-east-1", "registered ami-1"),
            ("ap-southeast-2", "copying ami-2"),
        ],
    );
    let since = [
        (region("ap-southeast-2"), begun),
        (region("us-east-1"), begun + 60 * SECOND),
    ];
    let since = BTreeMap::from(since);
    assert_eq!(
        frame(&told, &since, (81, 24), now),
        [
            "sending snap-1  [########                 ]  650/2000 MiB  10.0 MiB/s  2:15 left",
            "ap-southeast-2  copying ami-2  1:05",
            "us-east-1       registered ami-1  5 s",
        ]
    );
    told.transfer.as_mut().expect("a transfer").throttled = 3;
    let lines = frame(&told, &since, (200, 24), now);
    assert!(lines[0].ends_with("2:15 left  throttled 3"), "{}", lines[0]);
    assert_eq!(lines[0].matches('#').count(), WIDEST_BAR * 650 / 2000);
}

#[test]
fn no_line_is_wider_than_the_terminal_and_none_more_than_it_has() {
    let begun = Instant::now();
    let long = "waits for a key that is ".repeat(10) + "\x1b[2J\nnot there";
    let names: Vec<_> = (1..30).map(|n| format!("eu-west-{n}")).collect();
    let regions: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), long.as_str()))
        .collect();
    let told = told(Some(transfer(MIB, 2000 * MIB, begun)), &regions);
    let since = BTreeMap::new();
    for columns in [0, 1, 2, 11, 40, 80, 300] {
        for rows in [0, 1, 2, 10, 100] {
            let lines = frame(&told, &since, (columns, rows), begun + SECOND);
            assert!(
                lines.len() <= rows.saturating_sub(1).max(1),
                "{columns} {rows}: {lines:?}"
            );
            for line in &lines {
                assert!(
                    line.chars().count() <= columns.saturating_sub(1),
                    "{columns}: {line}"
                );
                assert!(!line.contains(char::is_control), "{line:?}");
            }
        }
    }
    let lines = frame(&told, &since, (80, 10), begun + SECOND);
    assert_eq!(lines.last().map(String::as_str), Some("… and 22 more"));
    assert_eq!(frame(&told, &since, (80, 31), begun).len(), 30, "all fit");
}

#[test]
fn a_bar_goes_from_empty_to_full() {
    let begun = Instant::now();
    let drawn = |done, total| {
        let line = bar(&transfer(done, total, begun), 70, begun + SECOND);
        line.chars().filter(|c| *c == '#').count()
    };
    assert_eq!((drawn(0, 100 * MIB), drawn(0, 0)), (0, WIDEST_BAR));
    assert_eq!(drawn(200 * MIB, 100 * MIB), drawn(100 * MIB, 100 * MIB));
    // No rate and no time to go while nothing is done.
    assert_eq!(
        figures(&transfer(0, 100 * MIB, begun), begun + SECOND),
        ["0/100 MiB"]
    );
    assert_eq!(
        figures(&transfer(MIB, 100 * MIB, begun), begun),
        ["1/100 MiB"]
    );
    let slow = figures(
        &transfer(1, u64::MAX, begun),
        begun + 4_000_000_000 * SECOND,
    );
    assert_eq!(slow.len(), 2, "{slow:?}");
}

#[test]
fn durations_are_short() {
    for (seconds, text) in [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1:00"),
        (3599, "59:59"),
        (3661, "1:01:01"),
    ] {
        assert_eq!(clock(Duration::from_secs(seconds)), text);
    }
}

#[test]
fn each_thing_is_told_once_and_a_transfer_now_and_then() {
    let begun = Instant::now();
    let mut teller = Teller::default();
    let mut state = told(
        Some(transfer(MIB, 10 * MIB, begun)),
        &[("eu-west-1", "copying")],
    );
    state.lines.push("snapshot snap-1".to_owned());
    let mut hear = |state: &Told, seconds: u32| {
        let now = begun + seconds * SECOND;
        let news = teller.hear(state, now);
        news.iter().map(|news| news.text(now)).collect::<Vec<_>>()
    };
    let transfer_at = "sending snap-1: 1/10 MiB  1.0 MiB/s  9 s left";
    assert_eq!(
        hear(&state, 1),
        ["snapshot snap-1", "eu-west-1: copying", transfer_at]
    );
    assert_eq!(hear(&state, 2), [""; 0]);
    state.lines.push("AMI ami-1".to_owned());
    state
        .regions
        .insert(region("eu-west-1"), "registered".to_owned());
    assert_eq!(hear(&state, 3), ["AMI ami-1", "eu-west-1: registered"]);
    assert_eq!(hear(&state, 6).len(), 1, "five seconds after the last");
    state.transfer.as_mut().expect("a transfer").what = "reading back snap-1".to_owned();
    assert_eq!(
        hear(&state, 7),
        ["reading back snap-1: 1/10 MiB  0.1 MiB/s  1:03 left"]
    );
    state.transfer = None;
    assert_eq!(hear(&state, 20), [""; 0]);
}

#[test]
fn a_regions_time_begins_when_it_comes_to_something_else() {
    let begun = Instant::now();
    let mut teller = Teller::default();
    teller.hear(&told(None, &[("eu-west-1", "copying")]), begun);
    teller.hear(&told(None, &[("eu-west-1", "copying")]), begun + SECOND);
    assert_eq!(teller.since[&region("eu-west-1")], begun);
    teller.hear(&told(None, &[("eu-west-1", "tagging")]), begun + 2 * SECOND);
    assert_eq!(teller.since[&region("eu-west-1")], begun + 2 * SECOND);
}

#[test]
fn painting_goes_over_what_is_in_place_only() {
    let mut screen = Screen::default();
    let text = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        screen.paint(&text(&["id"]), text(&["a", "b"])),
        "id\na\nb\n"
    );
    assert_eq!(screen.paint(&[], text(&["a", "b"])), "");
    assert_eq!(screen.paint(&[], text(&["a", "c"])), "\x1b[2F\x1b[Ja\nc\n");
    assert_eq!(
        screen.paint(&text(&["id"]), text(&["a", "c"])),
        "\x1b[2F\x1b[Jid\na\nc\n"
    );
    assert_eq!(
        screen.paint(&text(&["end"]), Vec::new()),
        "\x1b[2F\x1b[Jend\n"
    );
    assert_eq!(screen.paint(&text(&["after"]), Vec::new()), "after\n");
}

#[tokio::test]
async fn drawing_ends_when_it_is_finished() {
    for quiet in [true, false] {
        let progress = Progress::default();
        let ui = Ui {
            output: super::super::OutputFormat::Text,
            log: LogFormat::Json,
            quiet,
        };
        let drawing = Drawing::start(&ui, &progress);
        assert_eq!(drawing.task.is_none(), quiet);
        progress.say("snapshot snap-1");
        // Whoever tells may be gone before.
        drop(progress);
        drawing.finish().await;
    }
}
