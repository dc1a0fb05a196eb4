//! A report for people: a table, then what failed and what to do about it.

use super::plain::duration;
use super::{ImageReport, Outcome, Report};
use crate::ui::text::table;

/// Shows a report.
pub fn render(report: &Report) -> String {
    let mut text = format!(
        "nightly {}: {} in {}\n",
        report.run,
        report.headline(),
        duration(report.seconds())
    );
    if !report.images.is_empty() {
        let heading = ["IMAGE", "OUTCOME", "RELEASE", "REGIONS", "TIME", "CHANGES"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(report.images.iter().map(row));
        text.push('\n');
        text.push_str(&table(&rows));
    }
    for image in &report.images {
        for failed in image.failures() {
            text.push_str(&format!("\n{}: {} failed\n", image.title(), failed.step));
            text.push_str(&indented("error: ", failed.error));
            if let Some(advice) = failed.advice {
                text.push_str(&indented("next: ", advice));
            }
        }
    }
    // Errors quote what others wrote; a terminal obeys control characters.
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

fn row(image: &ImageReport) -> Vec<String> {
    let release = image.release.as_ref().map(ToString::to_string);
    let regions = match (image.outcome, image.amis.len()) {
        (Outcome::Failed, 0) => "-".to_owned(),
        (_, count) => count.to_string(),
    };
    vec![
        image.title(),
        image.outcome.to_string(),
        release.unwrap_or_else(|| "-".to_owned()),
        regions,
        duration(image.seconds()),
        image.changes.clone().unwrap_or_default().replace('\n', " "),
    ]
}

/// A text behind its name; further lines stand below the first.
fn indented(name: &str, text: &str) -> String {
    let below = format!("\n{}", " ".repeat(2 + name.len()));
    format!("  {name}{}\n", text.trim_end().replace('\n', &below))
}
