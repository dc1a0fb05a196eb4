//! Markdown as GitHub reads it, with whatever others wrote made harmless.

/// Text for a table's cell or a paragraph: it stands there as it is, and nobody is mentioned.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("<br>"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            // Mentions are looked for in what is shown, so that escapes do not help; a word joiner
            // behind it does, and cannot be seen.
            '@' => out.push_str("@\u{2060}"),
            c if is_odd(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Text in the type of code, on one line, for a table's cell or a paragraph.
pub fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let clean: String = text
        .chars()
        .map(|c| {
            if is_odd(c) || c == '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    let ticks = "`".repeat(longest_run(&clean, '`') + 1);
    // A table is cut at every bar that is not escaped, even inside of code.
    let cut = clean.replace('|', "\\|");
    // One space at both ends is taken away; it keeps a tick from joining those around it.
    match clean.starts_with('`') || clean.ends_with('`') {
        true => format!("{ticks} {cut} {ticks}"),
        false => format!("{ticks}{cut}{ticks}"),
    }
}

/// A block of code of several lines.
pub fn block(text: &str) -> String {
    let clean: String = text
        .trim_end()
        .chars()
        .map(|c| if is_odd(c) { '\u{fffd}' } else { c })
        .collect();
    let fence = "`".repeat(longest_run(&clean, '`').max(2) + 1);
    format!("{fence}text\n{clean}\n{fence}\n")
}

/// A table; its cells are Markdown already.
pub fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&heading);
    text.push_str(&line(&["---"; N]));
    for row in rows {
        text.push_str(&line(&row.each_ref().map(String::as_str)));
    }
    text
}

/// A part that is folded away until somebody wants it; `body` is Markdown.
pub fn details(summary: &str, body: &str) -> String {
    let summary = plain(summary);
    format!("<details>\n<summary>{summary}</summary>\n\n{body}\n</details>\n")
}

/// Characters that a terminal obeys or that turn the direction of what follows.
fn is_odd(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn longest_run(text: &str, wanted: char) -> usize {
    let runs = text.split(|c| c != wanted);
    runs.map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text() {
        for (text, told) in [
            ("plain 1.2-r0", "plain 1.2-r0"),
            ("a|b", "a\\|b"),
            ("<script>&", "&lt;script&gt;&amp;"),
            ("*x* _y_ `z` [l](u)", "\\*x\\* \\_y\\_ \\`z\\` \\[l\\](u)"),
            ("two\nlines", "two<br>lines"),
            ("@octocat", "@\u{2060}octocat"),
            ("\x1b[2J\u{202e}", "\u{fffd}\\[2J\u{fffd}"),
        ] {
            assert_eq!(plain(text), told);
        }
    }

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code(""), "");
        assert_eq!(code("ami-1"), "`ami-1`");
        assert_eq!(code("a`b|c\nd"), "``a`b\\|c\u{fffd}d``");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(block("x\n```\ny\n"), "````text\nx\n```\ny\n````\n");
    }

    #[test]
    fn tables_and_details() {
        let rows = [["1".to_owned(), "2".to_owned()]];
        assert_eq!(
            table(["a", "b"], &rows),
            "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
        );
        assert_eq!(
            details("a<b", "body\n"),
            "<details>\n<summary>a&lt;b</summary>\n\nbody\n\n</details>\n"
        );
    }
}
