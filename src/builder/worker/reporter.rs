//! What a worker says while it works: kept, printed, and sent as reports.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::transfer::Transfer;
use crate::builder::job::{Report, milliseconds};

/// How often words are sent, where there are new ones; without any, so that whoever waits sees
/// that the worker lives, each so many times as long.
const EVERY: Duration = Duration::from_secs(2);
const SILENT_ROUNDS: u32 = 10;
/// So many lines are kept: a report stays small.
const MOST_LINES: usize = 400;
/// And so many characters of each.
const LONGEST_LINE: usize = 2_000;

/// Takes words, and sends them.
pub(super) struct Reporter {
    said: Arc<Mutex<Said>>,
    stop: oneshot::Sender<()>,
    sender: JoinHandle<()>,
}

/// What was said so far.
#[derive(Debug, Clone)]
pub(super) struct Said {
    begun: Instant,
    /// The last lines.
    pub lines: Vec<String>,
    lines_before: u64,
    /// What was done, and how long it took.
    pub steps: Vec<(String, u64)>,
    step: Option<(String, Instant)>,
}

impl Said {
    fn say(&mut self, text: &str) {
        for line in text.lines() {
            let line: String = line.chars().take(LONGEST_LINE).collect();
            // Nobody may be listening: that is no reason to stop.
            let _ = writeln!(io::stderr(), "alpine-ami: {line}");
            self.lines.push(line);
        }
        let surplus = self.lines.len().saturating_sub(MOST_LINES);
        self.lines.drain(..surplus);
        self.lines_before += surplus as u64;
    }

    fn end_step(&mut self) {
        if let Some((name, begun)) = self.step.take() {
            self.steps.push((name, milliseconds(begun.elapsed())));
        }
    }
}

impl Reporter {
    /// Sends reports of the job with that digest to `url` from now on.
    pub(super) fn start(transfer: &Transfer, url: &str, job_sha256: &str) -> Reporter {
        let said = Arc::new(Mutex::new(Said {
            begun: Instant::now(),
            lines: Vec::new(),
            lines_before: 0,
            steps: Vec::new(),
            step: None,
        }));
        let (stop, stopped) = oneshot::channel();
        let (url, job_sha256) = (url.to_owned(), job_sha256.to_owned());
        let sender = send(
            transfer.clone(),
            url,
            job_sha256,
            Arc::clone(&said),
            stopped,
        );
        Reporter {
            said,
            stop,
            sender: tokio::spawn(sender),
        }
    }

    /// Says a line.
    pub(super) fn say(&self, text: &str) {
        lock(&self.said).say(text);
    }

    /// Says what begins now; what came before has ended.
    pub(super) fn step(&self, name: &str) {
        let mut said = lock(&self.said);
        said.end_step();
        said.say(name);
        said.step = Some((name.to_owned(), Instant::now()));
    }

    /// Ends the reports; the result takes their place.
    pub(super) async fn finish(self) -> Said {
        // It is gone only if it panicked.
        let _ = self.stop.send(());
        let _ = self.sender.await;
        let mut said = lock(&self.said);
        said.end_step();
        said.clone()
    }
}

fn lock(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send(
    transfer: Transfer,
    url: String,
    job_sha256: String,
    said: Arc<Mutex<Said>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let (mut sequence, mut sent, mut silent) = (0, None, 0);
    loop {
        let report = {
            let said = lock(&said);
            Report {
                job_sha256: job_sha256.clone(),
                sequence: sequence + 1,
                elapsed_ms: milliseconds(said.begun.elapsed()),
                lines: said.lines.clone(),
                lines_before: said.lines_before,
            }
        };
        let count = report.lines_before + report.lines.len() as u64;
        silent += 1;
        if sent != Some(count) || silent >= SILENT_ROUNDS {
            // A report that is lost is made up for by the next one.
            let taken = tokio::select! {
                _ = &mut stopped => return,
                taken = transfer.try_put(&url, &report) => taken,
            };
            match taken {
                Ok(()) => (sequence, sent, silent) = (report.sequence, Some(count), 0),
                Err(why) => tracing::debug!("a report was not taken: {why}"),
            }
        }
        tokio::select! {
            _ = &mut stopped => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
