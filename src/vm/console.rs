//! The serial console of a machine: kept in a file, and watched.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::fs::File;
use tokio::io::{self, AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};
use tokio::sync::watch;

/// How many lines are kept for messages; the file has them all.
const KEPT_LINES: usize = 200;
/// A line longer than this is cut: a guest may write for ever without ending one.
const LONGEST_LINE: usize = 4096;
/// A file that grows beyond this loses its beginning: a guest may write for ever.
const LONGEST_LOG: u64 = 8 << 20;
/// How much of its end such a file keeps.
const KEPT_LOG: u64 = 1 << 20;
/// What Linux prints, always in one line, when it gives up.
const PANIC: &str = "Kernel panic - not syncing";

/// What has been seen on a console so far. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub struct Console {
    screen: Arc<Mutex<Screen>>,
    signs: watch::Receiver<Signs>,
}

/// What somebody waits for on a console.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Signs {
    panic: Option<String>,
    login_prompt: bool,
}

impl Console {
    /// Starts reading: what comes goes to a new file at `log`, lines are watched.
    ///
    /// Reading ends when the machine closes its side; the returned task says how it went.
    /// Fails when the file cannot be made.
    pub async fn capture<R>(
        mut reader: R,
        log: &Path,
    ) -> io::Result<(Console, tokio::task::JoinHandle<io::Result<()>>)>
    where
        R: AsyncRead + Unpin + Send + 'static,
    {
        let mut file = Log::create(log).await?;
        let screen = Arc::new(Mutex::new(Screen::default()));
        let (report, signs) = watch::channel(Signs::default());
        let console = Console {
            screen: Arc::clone(&screen),
            signs,
        };
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            let mut written = Ok(());
            loop {
                let length = reader.read(&mut buffer).await?;
                if length == 0 {
                    return written;
                }
                let bytes = &buffer[..length];
                // A full disk must not stop the reading: a console that nobody reads
                // stops the guest.
                if written.is_ok() {
                    written = file.save(bytes).await;
                }
                let seen = {
                    let mut screen = lock(&screen);
                    screen.feed(bytes);
                    screen.signs.clone()
                };
                report.send_if_modified(|known| {
                    let new = *known != seen;
                    *known = seen;
                    new
                });
            }
        });
        Ok((console, task))
    }

    /// The last `count` lines that are not empty, oldest first, without control characters.
    pub fn tail(&self, count: usize) -> Vec<String> {
        lock(&self.screen).tail(count)
    }

    /// Whether a login prompt was seen.
    pub fn login_prompt(&self) -> bool {
        lock(&self.screen).signs.login_prompt
    }

    /// Waits until the kernel panics and returns its message; waits for ever if it never does.
    pub async fn panicked(&self) -> String {
        self.wait_for(|signs| signs.panic.is_some()).await;
        let message = self.signs.borrow().panic.clone();
        message.unwrap_or_default()
    }

    /// Waits until a login prompt is seen; waits for ever if there is none.
    pub async fn prompted(&self) {
        self.wait_for(|signs| signs.login_prompt).await;
    }

    async fn wait_for(&self, seen: impl FnMut(&Signs) -> bool) {
        if self.signs.clone().wait_for(seen).await.is_err() {
            // The console is closed: nothing comes any more.
            std::future::pending::<()>().await;
        }
    }
}

/// The file of a console.
struct Log {
    file: File,
    length: u64,
}

impl Log {
    async fn create(path: &Path) -> io::Result<Log> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Log {
            file: options.open(path).await?,
            length: 0,
        })
    }

    async fn save(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length > LONGEST_LOG {
            self.forget_beginning().await?;
        }
        self.file.write_all(bytes).await?;
        self.length += bytes.len() as u64;
        // So that a reader of the file sees what happened up to now, whatever happens next.
        self.file.flush().await
    }

    async fn forget_beginning(&mut self) -> io::Result<()> {
        let mut end = Vec::new();
        self.file
            .seek(SeekFrom::Start(self.length - KEPT_LOG))
            .await?;
        self.file.read_to_end(&mut end).await?;
        self.file.rewind().await?;
        self.file.set_len(0).await?;
        self.file.write_all(&end).await?;
        self.length = end.len() as u64;
        Ok(())
    }
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    // Lines of text are good to show whatever happened to the thread that held them.
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the reader is within a terminal's escape sequence.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Start,
    /// Within a control sequence, `ESC [ … letter`.
    Sequence,
}

/// The lines of a console, made from its bytes.
#[derive(Debug, Default)]
struct Screen {
    /// Lines, each with how often it came in a row.
    lines: VecDeque<(String, usize)>,
    line: Vec<u8>,
    escape: Escape,
    signs: Signs,
}

impl Screen {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.escape = match (self.escape, byte) {
                (_, 0x1b) => Escape::Start,
                (Escape::Start, b'[') => Escape::Sequence,
                (Escape::Start, _) => Escape::None,
                (Escape::Sequence, 0x40..=0x7e) => Escape::None,
                (Escape::Sequence, _) => Escape::Sequence,
                (Escape::None, b'\n') => {
                    self.end_line();
                    Escape::None
                }
                (Escape::None, _) => {
                    let printable = byte >= 0x20 && byte != 0x7f || byte == b'\t';
                    if printable && self.line.len() < LONGEST_LINE {
                        self.line.push(byte);
                    }
                    Escape::None
                }
            };
        }
        // getty leaves its prompt without an end of line.
        let line = String::from_utf8_lossy(&self.line);
        if line.trim_end().ends_with(" login:") {
            self.signs.login_prompt = true;
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        self.line.clear();
        if self.signs.panic.is_none()
            && let Some(at) = line.find(PANIC)
        {
            self.signs.panic = Some(line[at..].to_owned());
        }
        if line.is_empty() {
            return;
        }
        // A program that init starts again and again must not push out why it fails.
        if let Some((last, times)) = self.lines.back_mut()
            && *last == line
        {
            *times += 1;
            return;
        }
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back((line, 1));
    }

    fn tail(&self, count: usize) -> Vec<String> {
        let unfinished = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        let mut tail: Vec<String> = self
            .lines
            .iter()
            .map(|(line, times)| match times {
                1 => line.clone(),
                _ => format!("{line} ({times} times)"),
            })
            .collect();
        if !unfinished.is_empty() {
            tail.push(unfinished);
        }
        tail.split_off(tail.len().saturating_sub(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_control_characters_and_empty_lines() {
        let mut screen = Screen::default();
        screen.feed(b"\x1b[2J\x1b[01;01Hone\r\n\r\n");
        screen.feed(b"\x1b[1");
        screen.feed(b";32mtw\x07o\x1b[0m\nthr");
        assert_eq!(screen.tail(10), ["one", "two", "thr"]);
        assert_eq!(screen.tail(2), ["two", "thr"]);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut screen = Screen::default();
        for number in 0..KEPT_LINES + 5 {
            screen.feed(format!("{number}\n").as_bytes());
        }
        let tail = screen.tail(usize::MAX);
        assert_eq!(tail.len(), KEPT_LINES);
        assert_eq!(tail[0], "5");
    }

    #[test]
    fn a_line_that_repeats_is_counted() {
        let mut screen = Screen::default();
        screen.feed(b"why\nagain\nagain\nagain\nwhy\n");
        assert_eq!(screen.tail(10), ["why", "again (3 times)", "why"]);
    }

    #[test]
    fn a_login_prompt_needs_no_end_of_line() {
        let mut screen = Screen::default();
        screen.feed(b"Welcome to Alpine Linux 3.15\r\n");
        screen.feed(b"ip-10-0-0-7 log");
        assert!(!screen.signs.login_prompt);
        screen.feed(b"in: ");
        assert!(screen.signs.login_prompt);
    }

    #[tokio::test]
    async fn a_log_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut log = Log::create(&path).await.expect("a log");
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            log.save(&chunk).await.expect("saved");
        }
        log.save(b"the end").await.expect("saved");
        let kept = std::fs::read(&path).expect("kept");
        assert!(kept.ends_with(b"xthe end"));
        assert!(
            kept.len() as u64 <= LONGEST_LOG + (1 << 20),
            "{}",
            kept.len()
        );
        assert!(kept.len() as u64 >= KEPT_LOG);
    }

    #[tokio::test]
    async fn a_panic_is_reported_at_once_and_all_is_logged() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("console.log");
        let (mut guest, host) = tokio::io::duplex(64);
        let (console, task) = Console::capture(host, &log).await.expect("a console");
        let text = "[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\r\nmore\r\n";
        guest.write_all(text.as_bytes()).await.expect("written");
        assert_eq!(
            console.panicked().await,
            "Kernel panic - not syncing: VFS: Unable to mount root fs"
        );
        drop(guest);
        task.await.expect("no panic").expect("read to the end");
        assert_eq!(std::fs::read_to_string(&log).expect("a log"), text);
        assert_eq!(console.tail(1), ["more"]);
    }
}
