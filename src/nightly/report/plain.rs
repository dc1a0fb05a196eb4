//! Small forms of text that the reports share.

/// `7.3 s`, `2 m 05 s`, `1 h 02 m`: as exact as it is worth.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let whole = seconds.round() as u64;
    match whole / 3600 {
        0 => format!("{} m {:02} s", whole / 60, whole % 60),
        hours => format!("{hours} h {:02} m", whole % 3600 / 60),
    }
}

/// The first line of an error, for where there is one line.
pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end()
}
