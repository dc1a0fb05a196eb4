use quick_xml::events::Event;
use serde_json::json;
use time::macros::datetime;

use super::*;

fn step(step: Step, seconds: f64, outcome: StepOutcome) -> StepReport {
    StepReport {
        step,
        outcome,
        seconds,
    }
}

fn skipped(why: &str) -> StepOutcome {
    StepOutcome::Skipped {
        why: why.to_owned(),
    }
}

fn failed(error: &str, advice: Option<&str>) -> StepOutcome {
    StepOutcome::Failed {
        error: error.to_owned(),
        advice: advice.map(str::to_owned),
    }
}

fn image(profile: &str, arch: Arch, outcome: Outcome, steps: Vec<StepReport>) -> ImageReport {
    let release = |day: u32| format!("{profile}-1.22.8-{arch}-202601{day}.1").parse();
    ImageReport {
        profile: profile.to_owned(),
        arch,
        version: Some("1.22.8".to_owned()),
        outcome,
        release: Some(release(31).expect("an id")),
        previous: Some(release(30).expect("an id")),
        steps,
        changes: None,
        amis: BTreeMap::new(),
    }
}

/// One image of each outcome.
fn report() -> Report {
    use StepOutcome::Done;
    let mut published = image(
        "kubezero",
        Arch::X86_64,
        Outcome::Published,
        vec![
            step(Step::Lock, 1.25, Done),
            step(Step::Build, 610.0, Done),
            step(Step::Prune, 0.0, skipped("nothing to retire")),
        ],
    );
    published.changes = Some("12 upgraded, 1 added; fixes 3 CVEs".to_owned());
    for (region, ami) in [
        ("eu-central-1", "ami-0123456789abcdef0"),
        ("us-east-1", "ami-0123456789abcdef1"),
    ] {
        let id = region.parse().expect("a Region");
        published.amis.insert(id, ami.parse().expect("an id"));
    }
    let unchanged = image(
        "base",
        Arch::X86_64,
        Outcome::Unchanged,
        vec![
            step(Step::Lock, 0.5, Done),
            step(Step::Build, 0.0, skipped("unchanged")),
        ],
    );
    let mut broken = image(
        "kubezero",
        Arch::Aarch64,
        Outcome::Failed,
        vec![
            step(Step::Lock, 1.0, Done),
            step(
                Step::Test,
                61.0,
                failed(
                    "the check `containerd` failed in the guest:\n\x1b[31mexit 1\x1b[0m & <oops> ```\u{0}",
                    Some("run `alpine-ami test` on it\nand look at the console"),
                ),
            ),
            step(Step::Publish, 0.0, skipped("test failed")),
        ],
    );
    (broken.release, broken.version) = (None, None);
    Report::new(
        "20260131T020000Z-0123abcd".to_owned(),
        datetime!(2026-01-31 02:00 UTC),
        datetime!(2026-01-31 02:41:07 UTC),
        vec![published, unchanged, broken],
    )
}

#[test]
fn for_people() {
    let expected = "\
nightly 20260131T020000Z-0123abcd: 1 published, 1 unchanged, 1 failed in 41 m 07 s

IMAGE                   OUTCOME    RELEASE                            REGIONS  TIME       CHANGES
kubezero 1.22.8 x86_64  published  kubezero-1.22.8-x86_64-20260131.1  2        10 m 11 s  12 upgraded, 1 added; fixes 3 CVEs
base 1.22.8 x86_64      unchanged  base-1.22.8-x86_64-20260131.1      0        0.5 s
kubezero aarch64        failed     -                                  -        1 m 02 s

kubezero aarch64: test failed
  error: the check `containerd` failed in the guest:
         \u{fffd}[31mexit 1\u{fffd}[0m & <oops> ```\u{fffd}
  next: run `alpine-ami test` on it
        and look at the console
";
    assert_eq!(text::render(&report()), expected);
}

#[test]
fn for_the_step_summary() {
    let expected = "\
## Nightly: 1 published, 1 unchanged, 1 failed

Run `20260131T020000Z-0123abcd`, 2026-01-31 02:00 UTC, 41 m 07 s.

| Image | Outcome | Release | Changes | Time |
| --- | --- | --- | --- | --- |
| kubezero 1.22.8 x86\\_64 | ✅ published | `kubezero-1.22.8-x86_64-20260131.1` | 12 upgraded, 1 added; fixes 3 CVEs | 10 m 11 s |
| base 1.22.8 x86\\_64 | ➖ unchanged | `base-1.22.8-x86_64-20260131.1` |  | 0.5 s |
| kubezero aarch64 | ❌ failed |  |  | 1 m 02 s |

### ❌ kubezero aarch64: test

````text
the check `containerd` failed in the guest:
\u{fffd}[31mexit 1\u{fffd}[0m & <oops> ```\u{fffd}
````

**Next:** run \\`alpine-ami test\\` on it<br>and look at the console

<details>
<summary>AMI ids</summary>

| Image | Region | AMI |
| --- | --- | --- |
| kubezero 1.22.8 x86\\_64 | eu-central-1 | `ami-0123456789abcdef0` |
| kubezero 1.22.8 x86\\_64 | us-east-1 | `ami-0123456789abcdef1` |

</details>

<details>
<summary>Steps</summary>

| Image | Step | Outcome | Time |
| --- | --- | --- | --- |
| kubezero 1.22.8 x86\\_64 | lock | done | 1.2 s |
| kubezero 1.22.8 x86\\_64 | build | done | 10 m 10 s |
| kubezero 1.22.8 x86\\_64 | prune | skipped: nothing to retire | 0.0 s |
| base 1.22.8 x86\\_64 | lock | done | 0.5 s |
| base 1.22.8 x86\\_64 | build | skipped: unchanged | 0.0 s |
| kubezero aarch64 | lock | done | 1.0 s |
| kubezero aarch64 | test | **failed** | 1 m 01 s |
| kubezero aarch64 | publish | skipped: test failed | 0.0 s |

</details>
";
    assert_eq!(markdown::render(&report()), expected);
}

#[test]
fn for_ci() {
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="alpine-ami nightly" tests="8" failures="1" errors="0" time="2467.000">
  <testsuite name="kubezero 1.22.8 x86_64" tests="3" failures="0" errors="0" skipped="1" time="611.250" timestamp="2026-01-31T02:00:00">
    <properties>
      <property name="run" value="20260131T020000Z-0123abcd"/>
      <property name="outcome" value="published"/>
      <property name="release" value="kubezero-1.22.8-x86_64-20260131.1"/>
      <property name="previous" value="kubezero-1.22.8-x86_64-20260130.1"/>
      <property name="changes" value="12 upgraded, 1 added; fixes 3 CVEs"/>
      <property name="ami.eu-central-1" value="ami-0123456789abcdef0"/>
      <property name="ami.us-east-1" value="ami-0123456789abcdef1"/>
    </properties>
    <testcase name="lock" classname="kubezero 1_22_8 x86_64" time="1.250"/>
    <testcase name="build" classname="kubezero 1_22_8 x86_64" time="610.000"/>
    <testcase name="prune" classname="kubezero 1_22_8 x86_64" time="0.000">
      <skipped message="nothing to retire"/>
    </testcase>
  </testsuite>
  <testsuite name="base 1.22.8 x86_64" tests="2" failures="0" errors="0" skipped="1" time="0.500" timestamp="2026-01-31T02:00:00">
    <properties>
      <property name="run" value="20260131T020000Z-0123abcd"/>
      <property name="outcome" value="unchanged"/>
      <property name="release" value="base-1.22.8-x86_64-20260131.1"/>
      <property name="previous" value="base-1.22.8-x86_64-20260130.1"/>
    </properties>
    <testcase name="lock" classname="base 1_22_8 x86_64" time="0.500"/>
    <testcase name="build" classname="base 1_22_8 x86_64" time="0.000">
      <skipped message="unchanged"/>
    </testcase>
  </testsuite>
  <testsuite name="kubezero aarch64" tests="3" failures="1" errors="0" skipped="1" time="62.000" timestamp="2026-01-31T02:00:00">
    <properties>
      <property name="run" value="20260131T020000Z-0123abcd"/>
      <property name="outcome" value="failed"/>
      <property name="previous" value="kubezero-1.22.8-aarch64-20260130.1"/>
    </properties>
    <testcase name="lock" classname="kubezero aarch64" time="1.000"/>
    <testcase name="test" classname="kubezero aarch64" time="61.000">
      <failure message="the check `containerd` failed in the guest:" type="test">the check `containerd` failed in the guest:
@[31mexit 1@[0m &amp; &lt;oops&gt; ```@
next: run `alpine-ami test` on it
and look at the console</failure>
    </testcase>
    <testcase name="publish" classname="kubezero aarch64" time="0.000">
      <skipped message="test failed"/>
    </testcase>
  </testsuite>
</testsuites>
"#;
    assert_eq!(junit::render(&report()), expected.replace('@', "\u{fffd}"));
}

#[test]
fn xml_holds_whatever_an_error_says() {
    let hostile: String = (0..=0xffff_u32).filter_map(char::from_u32).collect();
    let text = format!("\"{hostile}]]></failure>\u{10ffff}");
    let mut one = report();
    one.images[2].steps[1].outcome = failed(&text, Some(&text));
    one.images[2].profile = text.clone();
    one.images[2].changes = Some(text);
    let xml = junit::render(&one);
    let may_stand =
        |c: char| matches!(c, '\t' | '\n' | ' '..='\u{7e}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(may_stand));

    let mut reader = quick_xml::Reader::from_str(&xml);
    let (mut depth, mut cases, mut failures) = (0_i32, 0, 0);
    loop {
        match reader.read_event().expect("well formed") {
            Event::Start(tag) => {
                depth += 1;
                cases += i32::from(tag.name().as_ref() == b"testcase");
                failures += i32::from(tag.name().as_ref() == b"failure");
            }
            Event::Empty(tag) => cases += i32::from(tag.name().as_ref() == b"testcase"),
            Event::End(_) => depth -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!((depth, cases, failures), (0, 8, 1));
}

#[test]
fn for_machines() {
    let value = serde_json::to_value(report()).expect("JSON");
    assert_eq!(value["schema"], 1);
    assert_eq!(value["started"], "2026-01-31T02:00:00Z");
    let image = &value["images"][2];
    assert_eq!(image["outcome"], "failed");
    assert_eq!(image["version"], json!(null));
    assert_eq!(image["arch"], "aarch64");
    assert_eq!(
        value["images"][0]["steps"],
        json!([
            {"step": "lock", "outcome": "done", "seconds": 1.25},
            {"step": "build", "outcome": "done", "seconds": 610.0},
            {"step": "prune", "outcome": "skipped", "why": "nothing to retire", "seconds": 0.0},
        ])
    );
    let step = &image["steps"][1];
    assert_eq!(
        (&step["step"], &step["outcome"]),
        (&json!("test"), &json!("failed"))
    );
    assert!(step["error"].is_string() && step["advice"].is_string());
}

#[test]
fn one_failed_image_fails_the_run() {
    let mut one = report();
    assert_eq!(one.status(true), Status::Failed);
    one.images.pop();
    assert_eq!(one.status(true), Status::Done);
    one.images.remove(0);
    assert_eq!(one.status(false), Status::Done);
    assert_eq!(one.status(true), Status::Unchanged);
}

#[test]
fn durations() {
    for (seconds, told) in [
        (-1.0, "0.0 s"),
        (7.26, "7.3 s"),
        (61.0, "1 m 01 s"),
        (3599.6, "1 h 00 m"),
        (3725.0, "1 h 02 m"),
    ] {
        assert_eq!(plain::duration(seconds), told);
    }
}
