//! What a run tells, on standard error: in place on a terminal, line by line elsewhere.

pub mod downloads;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::{LogFormat, Ui};
use crate::aws::Region;
use crate::publish::progress::{Progress, Told, Transfer};

/// How often a terminal is painted.
const REPAINT: Duration = Duration::from_millis(100);
/// How often a transfer is told where lines stay.
const RETELL: Duration = Duration::from_secs(5);
/// A terminal that does not tell its size has that of a VT100.
const USUAL_SIZE: (usize, usize) = (80, 24);
/// Narrower bars tell nothing.
const NARROWEST_BAR: usize = 10;
/// Wider ones are no easier to read.
const WIDEST_BAR: usize = 40;

const MIB: f64 = 1_048_576.0;

/// The drawing of a run's progress, which goes on until it is finished.
#[derive(Debug)]
pub struct Drawing {
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In place.
    Terminal,
    /// Lines.
    Plain,
    /// Events of the log.
    Events,
}

impl Drawing {
    /// Begins to draw what `progress` tells; nothing with `-q`.
    pub fn start(ui: &Ui, progress: &Progress) -> Drawing {
        let form = match ui.log {
            _ if ui.quiet => {
                return Drawing {
                    stop: None,
                    task: None,
                };
            }
            LogFormat::Json => Form::Events,
            LogFormat::Text if is_painted() => Form::Terminal,
            LogFormat::Text => Form::Plain,
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(draw(form, progress.listen(), stopped));
        Drawing {
            stop: Some(stop),
            task: Some(task),
        }
    }

    /// Tells what has not been told yet, and takes away what is in place. Whatever the command
    /// prints after this stands below.
    pub async fn finish(mut self) {
        // Dropping it tells the task.
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            // It does not panic; if it did, there would be nothing to draw.
            let _ = task.await;
        }
    }
}

/// Whether standard error is a terminal that lines can be painted over on. CI systems give a
/// terminal to some commands, and keep every line that was ever painted.
fn is_painted() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stderr().is_terminal() && !is_dumb && !is_set("CI")
}

async fn draw(form: Form, mut told: watch::Receiver<Told>, mut stopped: oneshot::Receiver<()>) {
    let mut news = Teller::default();
    let mut screen = Screen::default();
    let mut ticks = tokio::time::interval(REPAINT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut listening = true;
    loop {
        let (last, paint) = tokio::select! {
            _ = &mut stopped => (true, true),
            changed = told.changed(), if listening => {
                listening = changed.is_ok();
                (false, false)
            }
            _ = ticks.tick() => (false, true),
        };
        let now = Instant::now();
        // Held for as long as this takes, and whoever tells waits: so only copied.
        let fresh = news.hear(&told.borrow_and_update(), now);
        match form {
            Form::Terminal => {
                let lines: Vec<_> = fresh.into_iter().filter_map(News::line).collect();
                let frame = match last {
                    true => Vec::new(),
                    false if paint => frame(&told.borrow(), &news.since, size(), now),
                    // Lines at once; the rest when it is time to paint.
                    false if lines.is_empty() => continue,
                    false => screen.frame.clone(),
                };
                write(&screen.paint(&lines, frame));
            }
            Form::Plain => fresh
                .iter()
                .for_each(|news| write(&format!("{}\n", news.text(now)))),
            Form::Events => fresh.iter().for_each(|news| news.event(now)),
        }
        if last {
            return;
        }
    }
}

/// Nobody can be told that standard error is closed.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    let asked = rustix::termios::tcgetwinsize(io::stderr()).ok();
    let asked = asked.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    let from = |name: &str| std::env::var(name).ok()?.parse().ok();
    match asked.filter(|(columns, rows)| *columns > 0 && *rows > 0) {
        Some(size) => size,
        None => (
            from("COLUMNS").unwrap_or(USUAL_SIZE.0),
            from("LINES").unwrap_or(USUAL_SIZE.1),
        ),
    }
}

/// Something that has not been told yet.
#[derive(Debug, Clone)]
enum News {
    Line(String),
    Transfer(Transfer),
    Region(Region, String),
}

impl News {
    fn line(self) -> Option<String> {
        match self {
            News::Line(line) => Some(line),
            News::Transfer(_) | News::Region(..) => None,
        }
    }

    fn text(&self, now: Instant) -> String {
        match self {
            News::Line(line) => line.clone(),
            News::Transfer(transfer) => {
                let figures = figures(transfer, now).join("  ");
                format!("{}: {figures}", transfer.what)
            }
            News::Region(region, at) => format!("{region}: {at}"),
        }
    }

    fn event(&self, now: Instant) {
        match self {
            News::Line(line) => tracing::info!("{line}"),
            News::Transfer(transfer) => {
                let Transfer {
                    what,
                    total,
                    done,
                    throttled,
                    ..
                } = transfer;
                // Whole bytes are enough for those who count.
                let bytes_per_second = rate(transfer, now) as u64;
                tracing::info!(done, total, bytes_per_second, throttled, "{what}");
            }
            News::Region(region, at) => tracing::info!(region = region.as_str(), "{at}"),
        }
    }
}

/// Tells what is told once, and knows since when each Region is at what it is at.
#[derive(Debug, Default)]
struct Teller {
    lines: usize,
    regions: BTreeMap<Region, String>,
    since: BTreeMap<Region, Instant>,
    transfer: Option<(String, Instant)>,
}

impl Teller {
    /// What is new.
    fn hear(&mut self, told: &Told, now: Instant) -> Vec<News> {
        let mut news: Vec<_> = told
            .lines
            .iter()
            .skip(self.lines)
            .cloned()
            .map(News::Line)
            .collect();
        self.lines = told.lines.len();
        for (region, at) in &told.regions {
            if self.regions.get(region) != Some(at) {
                self.regions.insert(region.clone(), at.clone());
                self.since.insert(region.clone(), now);
                news.push(News::Region(region.clone(), at.clone()));
            }
        }
        match &told.transfer {
            None => self.transfer = None,
            Some(transfer) => {
                let due = match &self.transfer {
                    Some((what, last)) => {
                        *what != transfer.what || now.saturating_duration_since(*last) >= RETELL
                    }
                    None => true,
                };
                if due {
                    self.transfer = Some((transfer.what.clone(), now));
                    news.push(News::Transfer(transfer.clone()));
                }
            }
        }
        news
    }
}

/// The lines that are in place, for a terminal of so many columns and rows: the transfer, and
/// what each Region is at and since when.
fn frame(
    told: &Told,
    since: &BTreeMap<Region, Instant>,
    (columns, rows): (usize, usize),
    now: Instant,
) -> Vec<String> {
    // The last column makes some terminals go to the next line.
    let width = columns.saturating_sub(1);
    let mut lines: Vec<_> = told.transfer.iter().map(|t| bar(t, width, now)).collect();
    let names = told
        .regions
        .keys()
        .map(|region| region.as_str().len())
        .max()
        .unwrap_or(0);
    for (region, at) in &told.regions {
        let line = match since.get(region) {
            Some(since) => {
                let waited = clock(now.saturating_duration_since(*since));
                format!("{region:names$}  {at}  {waited}")
            }
            None => format!("{region:names$}  {at}"),
        };
        lines.push(cut(&line, width));
    }
    // What has scrolled off cannot be painted over; the cursor takes a row too.
    let most = rows.saturating_sub(1).max(1);
    if lines.len() > most {
        let hidden = lines.len() - (most - 1);
        lines.truncate(most - 1);
        lines.push(cut(&format!("… and {hidden} more"), width));
    }
    lines
}

/// A transfer in one line.
fn bar(transfer: &Transfer, width: usize, now: Instant) -> String {
    let figures = figures(transfer, now).join("  ");
    let taken = transfer.what.chars().count() + figures.chars().count() + "  []  ".len();
    let room = width.saturating_sub(taken).min(WIDEST_BAR);
    if room < NARROWEST_BAR {
        return cut(&format!("{}  {figures}", transfer.what), width);
    }
    let full = (room as f64 * share(transfer)) as usize;
    let bar = "#".repeat(full) + &" ".repeat(room - full);
    format!("{}  [{bar}]  {figures}", transfer.what)
}

/// How much is done, how fast, how long it will take, and how often AWS said no.
fn figures(transfer: &Transfer, now: Instant) -> Vec<String> {
    let mib = |bytes: u64| bytes >> 20;
    let mut figures = vec![format!(
        "{}/{} MiB",
        mib(transfer.done),
        mib(transfer.total)
    )];
    let rate = rate(transfer, now);
    if rate > 0.0 {
        figures.push(format!("{:.1} MiB/s", rate / MIB));
        let left = transfer.total.saturating_sub(transfer.done);
        // A rate of nearly nothing would make a time that no duration holds.
        let left = Duration::try_from_secs_f64(left as f64 / rate);
        figures.extend(left.ok().map(|left| format!("{} left", clock(left))));
    }
    if transfer.throttled > 0 {
        figures.push(format!("throttled {}", transfer.throttled));
    }
    figures
}

/// Bytes a second since it began; none in the first second, when it would tell nothing.
fn rate(transfer: &Transfer, now: Instant) -> f64 {
    let seconds = now.saturating_duration_since(transfer.since).as_secs_f64();
    if seconds < 1.0 {
        return 0.0;
    }
    transfer.done as f64 / seconds
}

/// What part is done, 1 at most; all of nothing.
fn share(transfer: &Transfer) -> f64 {
    match transfer.total {
        0 => 1.0,
        total => (transfer.done as f64 / total as f64).min(1.0),
    }
}

/// `5 s`, `1:05`, `1:00:00`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes}:{rest:02}"),
        _ => format!("{hours}:{minutes:02}:{rest:02}"),
    }
}

/// The text, or what fits of it and `…`. What it says of AWS may hold anything: a control
/// character would take the cursor elsewhere.
fn cut(text: &str, width: usize) -> String {
    let plain: Vec<char> = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match width {
        0 => String::new(),
        _ if plain.len() <= width => plain.into_iter().collect(),
        _ => plain[..width - 1].iter().chain(&['…']).collect(),
    }
}

/// What is in place on a terminal, below which the cursor is.
#[derive(Debug, Default)]
struct Screen {
    frame: Vec<String>,
}

impl Screen {
    /// What takes the lines in place away, adds `lines` that stay, and puts `frame` in place;
    /// nothing where nothing changes.
    fn paint(&mut self, lines: &[String], frame: Vec<String>) -> String {
        if lines.is_empty() && frame == self.frame {
            return String::new();
        }
        let mut text = String::new();
        if !self.frame.is_empty() {
            // ECMA-48: CPL, to the start of a line above; ED, erase down to the end.
            text.push_str(&format!("\x1b[{}F\x1b[J", self.frame.len()));
        }
        for line in lines.iter().chain(&frame) {
            text.push_str(line);
            text.push('\n');
        }
        self.frame = frame;
        text
    }
}

#[cfg(test)]
mod tests;
