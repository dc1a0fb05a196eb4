//! A report as JUnit XML: a test suite an image, a test case a step.
//!
//! In the form that Jenkins, GitLab and GitHub's actions read (`jenkins-junit.xsd`): `testsuites` with
//! `testsuite`, `properties`, `testcase`, `failure` and `skipped`; times in seconds, timestamps in UTC
//! without a zone.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use time::OffsetDateTime;
use time::macros::format_description;

use super::plain::first_line;
use super::{ImageReport, Report, StepOutcome, StepReport};

/// Renders a report.
pub fn render(report: &Report) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    document(&mut writer, report).expect("memory can be written");
    let mut text = String::from_utf8(writer.into_inner()).expect("what was written is UTF-8");
    text.push('\n');
    text
}

fn document(writer: &mut Writer<Vec<u8>>, report: &Report) -> io::Result<()> {
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let mut total = Counts::default();
    for image in &report.images {
        total.add(image);
    }
    writer
        .create_element("testsuites")
        .with_attribute(("name", "alpine-ami nightly"))
        .with_attribute(("tests", &*total.tests.to_string()))
        .with_attribute(("failures", &*total.failures.to_string()))
        .with_attribute(("errors", "0"))
        .with_attribute(("time", &*seconds(report.seconds())))
        .write_inner_content(|writer| {
            for image in &report.images {
                suite(writer, report, image)?;
            }
            Ok(())
        })?;
    Ok(())
}

/// How many test cases there are, and how they ended.
#[derive(Debug, Default)]
struct Counts {
    tests: usize,
    failures: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, image: &ImageReport) {
        let is_skipped = |step: &&StepReport| matches!(step.outcome, StepOutcome::Skipped { .. });
        self.tests += image.steps.len();
        self.failures += image.failures().count();
        self.skipped += image.steps.iter().filter(is_skipped).count();
    }
}

fn suite(writer: &mut Writer<Vec<u8>>, report: &Report, image: &ImageReport) -> io::Result<()> {
    let mut counts = Counts::default();
    counts.add(image);
    writer
        .create_element("testsuite")
        .with_attribute(("name", &*valid(&image.title())))
        .with_attribute(("tests", &*counts.tests.to_string()))
        .with_attribute(("failures", &*counts.failures.to_string()))
        .with_attribute(("errors", "0"))
        .with_attribute(("skipped", &*counts.skipped.to_string()))
        .with_attribute(("time", &*seconds(image.seconds())))
        .with_attribute(("timestamp", &*timestamp(report.started)))
        .write_inner_content(|writer| {
            properties(writer, report, image)?;
            for step in &image.steps {
                case(writer, image, step)?;
            }
            Ok(())
        })?;
    Ok(())
}

fn properties(
    writer: &mut Writer<Vec<u8>>,
    report: &Report,
    image: &ImageReport,
) -> io::Result<()> {
    let mut all = vec![
        ("run".to_owned(), report.run.clone()),
        ("outcome".to_owned(), image.outcome.to_string()),
    ];
    let release = |id: &Option<_>| id.as_ref().map(ToString::to_string);
    let named = [
        ("release", release(&image.release)),
        ("previous", release(&image.previous)),
        ("changes", image.changes.clone()),
    ];
    let known = named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    all.extend(known);
    let amis = image.amis.iter();
    all.extend(amis.map(|(region, ami)| (format!("ami.{region}"), ami.to_string())));
    writer
        .create_element("properties")
        .write_inner_content(|writer| {
            for (name, value) in &all {
                writer
                    .create_element("property")
                    .with_attribute(("name", &**name))
                    .with_attribute(("value", &*valid(first_line(value))))
                    .write_empty()?;
            }
            Ok(())
        })?;
    Ok(())
}

fn case(writer: &mut Writer<Vec<u8>>, image: &ImageReport, step: &StepReport) -> io::Result<()> {
    // Jenkins and GitLab group by the class, whose parts they split at dots: a version has some.
    let class = valid(&image.title()).replace('.', "_");
    let name = step.step.to_string();
    let element = writer
        .create_element("testcase")
        .with_attribute(("name", &*name))
        .with_attribute(("classname", &*class))
        .with_attribute(("time", &*seconds(step.seconds)));
    match &step.outcome {
        StepOutcome::Done => element.write_empty()?,
        StepOutcome::Skipped { why } => element.write_inner_content(|writer| {
            writer
                .create_element("skipped")
                .with_attribute(("message", &*valid(first_line(why))))
                .write_empty()?;
            Ok(())
        })?,
        StepOutcome::Failed { error, advice } => element.write_inner_content(|writer| {
            let told = match advice {
                Some(advice) => format!("{error}\nnext: {advice}"),
                None => error.clone(),
            };
            writer
                .create_element("failure")
                .with_attribute(("message", &*valid(first_line(error))))
                .with_attribute(("type", &*name))
                .write_text_content(BytesText::new(&valid(&told)))?;
            Ok(())
        })?,
    };
    Ok(())
}

/// A text without what XML cannot hold, not even escaped.
/// See <https://www.w3.org/TR/xml/#charsets>.
fn valid(text: &str) -> String {
    let is_valid = |c: char| matches!(c, '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..);
    let kept = |c: char| match is_valid(c) && !('\u{7f}'..='\u{9f}').contains(&c) {
        true => c,
        false => '\u{fffd}',
    };
    text.chars().map(kept).collect()
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3}")
}

fn timestamp(time: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let utc = time.to_offset(time::UtcOffset::UTC);
    utc.format(form).expect("a date can be written")
}
