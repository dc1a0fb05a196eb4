//! A report as Markdown, for `$GITHUB_STEP_SUMMARY`.

use time::OffsetDateTime;
use time::macros::format_description;

use super::plain::{duration, first_line};
use super::{ImageReport, Outcome, Report, StepOutcome};
use crate::ui::markdown::{block, code, details, plain, table};

/// Renders a report.
pub fn render(report: &Report) -> String {
    let mut text = format!(
        "## Nightly: {}\n\nRun {}, {}, {}.\n",
        report.headline(),
        code(&report.run),
        minute(report.started),
        duration(report.seconds())
    );
    if report.images.is_empty() {
        return text;
    }
    let heading = ["Image", "Outcome", "Release", "Changes", "Time"];
    let rows: Vec<_> = report.images.iter().map(row).collect();
    text.push_str(&format!("\n{}", table(heading, &rows)));
    text.push_str(&failures(report));
    text.push_str(&amis(report));
    text.push_str(&steps(report));
    text
}

fn row(image: &ImageReport) -> [String; 5] {
    let mark = match image.outcome {
        Outcome::Published => "✅",
        Outcome::Unchanged => "➖",
        Outcome::Failed => "❌",
    };
    let release = image.release.as_ref().map(ToString::to_string);
    [
        plain(&image.title()),
        format!("{mark} {}", image.outcome),
        code(&release.unwrap_or_default()),
        plain(image.changes.as_deref().unwrap_or_default()),
        duration(image.seconds()),
    ]
}

fn failures(report: &Report) -> String {
    let mut text = String::new();
    for image in &report.images {
        for failed in image.failures() {
            let title = plain(&image.title());
            text.push_str(&format!("\n### ❌ {title}: {}\n\n", failed.step));
            text.push_str(&block(failed.error));
            if let Some(advice) = failed.advice {
                text.push_str(&format!("\n**Next:** {}\n", plain(advice)));
            }
        }
    }
    text
}

fn amis(report: &Report) -> String {
    let rows: Vec<_> = report
        .images
        .iter()
        .flat_map(|image| {
            image
                .amis
                .iter()
                .map(move |(region, ami)| (image, region, ami))
        })
        .map(|(image, region, ami)| {
            [
                plain(&image.title()),
                region.to_string(),
                code(ami.as_str()),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let body = table(["Image", "Region", "AMI"], &rows);
    format!("\n{}", details("AMI ids", &body))
}

fn steps(report: &Report) -> String {
    let rows: Vec<_> = report
        .images
        .iter()
        .flat_map(|image| image.steps.iter().map(move |step| (image, step)))
        .map(|(image, step)| {
            let told = match &step.outcome {
                StepOutcome::Done => "done".to_owned(),
                StepOutcome::Skipped { why } => format!("skipped: {}", plain(first_line(why))),
                StepOutcome::Failed { .. } => "**failed**".to_owned(),
            };
            [
                plain(&image.title()),
                step.step.to_string(),
                told,
                duration(step.seconds),
            ]
        })
        .collect();
    let body = table(["Image", "Step", "Outcome", "Time"], &rows);
    format!("\n{}", details("Steps", &body))
}

/// `2026-01-31 02:00 UTC`.
fn minute(time: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let utc = time.to_offset(time::UtcOffset::UTC);
    utc.format(form).expect("a date can be written")
}
