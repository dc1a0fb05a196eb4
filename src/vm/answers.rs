//! What the guest's script reports, read line by line.
//!
//! Lines come over a serial port: carriage returns are dropped, and lines that do not begin
//! with our word (a kernel that prints there, a shell's echo) are passed over. A line that
//! does begin with it and makes no sense is an error, and so is a report with lines missing.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The version of the protocol that guest.sh speaks.
const VERSION: &str = "2";
/// What each line of ours begins with.
const WORD: &str = "alpine-ami ";
/// Base64 of the 4 KiB of a check's output, and room for the other fields.
const LONGEST_LINE: usize = 8192;

/// A line of the report that cannot be right.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the guest's report is garbled: {problem} in `{line}`")]
pub struct Garbled {
    problem: &'static str,
    line: String,
}

/// What a line told, where somebody waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// One more line.
    More,
    /// The default runlevel is complete, or was waited for long enough.
    Ready,
    /// The report is whole.
    End,
}

/// A service as OpenRC has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceState {
    /// The runlevel that it is in.
    pub runlevel: String,
    /// Its name.
    pub name: String,
    /// `started`, `stopped`, `failed`, `crashed`, `inactive`, `starting` or `stopping`.
    pub state: String,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckResult {
    /// Which of the checks it was, from 0.
    pub number: usize,
    /// Its exit status; 137 where it was killed.
    pub status: i32,
    /// How long it took.
    pub seconds: f64,
    /// The last 4 KiB of what it printed.
    pub output: String,
}

/// All that a guest has reported so far. Sizes are in KiB, as the guest counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// Seconds from the kernel's start to the complete default runlevel.
    pub ready_seconds: Option<f64>,
    /// Whether the default runlevel was complete before the guest's patience ended.
    pub complete: bool,
    /// Memory that the kernel manages.
    pub memory_total: u64,
    /// Memory in use, caches not counted.
    pub memory_used: u64,
    /// Memory that programs could still have.
    pub memory_available: u64,
    /// Of the memory in use, what the kernel says is its own.
    pub memory_kernel: u64,
    /// Of the memory in use, programs' own: pages that no file is behind.
    pub memory_programs: u64,
    /// Size of the root file system.
    pub root_size: u64,
    /// Used of it.
    pub root_used: u64,
    /// Free of it, for users.
    pub root_free: u64,
    /// The kernel's version.
    pub kernel: String,
    /// PRETTY_NAME of os-release.
    pub os: String,
    /// Programs that run, kernel threads not counted.
    pub processes: u64,
    /// Services of all runlevels.
    pub services: Vec<ServiceState>,
    /// Addresses that TCP servers listen on, `address:port`.
    pub listening: Vec<String>,
    /// The check that was running when the last line came.
    pub running_check: Option<usize>,
    /// Checks that ended.
    pub checks: Vec<CheckResult>,
    /// How many lines of the report have come.
    pub lines: u64,
}

impl Answers {
    /// Takes the next line, without its end.
    pub fn accept(&mut self, line: &[u8]) -> Result<Progress, Garbled> {
        let line: Vec<u8> = line.iter().copied().filter(|byte| *byte != b'\r').collect();
        let line = String::from_utf8_lossy(&line);
        // The script begins while the kernel may still be printing: what stands before our
        // word on the line is not ours.
        let Some(at) = line.find(WORD) else {
            return Ok(Progress::More);
        };
        let mut fields = Fields {
            line: &line,
            words: line[at + WORD.len()..].split(' '),
        };
        self.lines += 1;
        let progress = self.take(&mut fields)?;
        match fields.words.next() {
            None => Ok(progress),
            Some(_) => Err(fields.garbled("more fields than there should be")),
        }
    }

    fn take(&mut self, fields: &mut Fields<'_>) -> Result<Progress, Garbled> {
        match fields.word()? {
            "begin" => {
                if fields.word()? != VERSION {
                    return Err(fields.garbled("another version of the protocol"));
                }
                fields.seconds()?;
                *self = Answers {
                    lines: 1,
                    ..Answers::default()
                };
            }
            "ready" => {
                self.complete = fields.word()? == "yes";
                self.ready_seconds = Some(fields.seconds()?);
                return Ok(Progress::Ready);
            }
            "memory" => {
                self.memory_total = fields.number()?;
                self.memory_used = fields.number()?;
                self.memory_available = fields.number()?;
                self.memory_kernel = fields.number()?;
                self.memory_programs = fields.number()?;
            }
            "root" => {
                self.root_size = fields.number()?;
                self.root_used = fields.number()?;
                self.root_free = fields.number()?;
            }
            "kernel" => self.kernel = fields.text()?,
            "os" => self.os = fields.text()?,
            "processes" => self.processes = fields.number()?,
            "service" => self.services.push(ServiceState {
                runlevel: fields.text()?,
                name: fields.text()?,
                state: fields.word()?.to_owned(),
            }),
            "listening" => self.listening.push(fields.text()?),
            "checking" => self.running_check = Some(fields.number()?),
            "check" => {
                self.running_check = None;
                let number = fields.number()?;
                let status = fields.number()?;
                let (from, to) = (fields.seconds()?, fields.seconds()?);
                self.checks.push(CheckResult {
                    number,
                    status,
                    seconds: ((to - from) * 100.0).round() / 100.0,
                    output: fields.text()?,
                });
            }
            "end" => {
                // The guest counts the lines up to and with this one.
                if fields.number::<u64>()? != self.lines {
                    return Err(fields.garbled("lines are missing"));
                }
                return Ok(Progress::End);
            }
            _ => return Err(fields.garbled("an unknown key")),
        }
        Ok(Progress::More)
    }
}

/// The fields of a line that are still to be read.
struct Fields<'a> {
    line: &'a str,
    words: std::str::Split<'a, char>,
}

impl<'a> Fields<'a> {
    fn garbled(&self, problem: &'static str) -> Garbled {
        let line = self.line.chars().take(120).collect();
        Garbled { problem, line }
    }

    fn word(&mut self) -> Result<&'a str, Garbled> {
        let word = self.words.next().filter(|word| !word.is_empty());
        word.ok_or_else(|| self.garbled("a field is missing"))
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, Garbled> {
        let word = self.word()?;
        word.parse()
            .map_err(|_| self.garbled("a field is no number"))
    }

    fn seconds(&mut self) -> Result<f64, Garbled> {
        let seconds: f64 = self.number()?;
        if seconds.is_finite() {
            Ok(seconds)
        } else {
            Err(self.garbled("a field is no number"))
        }
    }

    fn text(&mut self) -> Result<String, Garbled> {
        let word = self.word()?;
        if word == "-" {
            return Ok(String::new());
        }
        let bytes = BASE64_STANDARD
            .decode(word)
            .map_err(|_| self.garbled("a field is no base64"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Cuts the bytes of the serial port into lines.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Adds bytes and returns the lines that they complete, without their ends.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                lines.push(std::mem::take(&mut self.pending));
            } else if self.pending.len() < LONGEST_LINE {
                self.pending.push(byte);
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(report: &str) -> Result<(Answers, Vec<Progress>), Garbled> {
        let mut answers = Answers::default();
        let mut progress = Vec::new();
        for line in Lines::default().feed(report.as_bytes()) {
            progress.push(answers.accept(&line)?);
        }
        Ok((answers, progress))
    }

    #[test]
    fn a_whole_report() {
        let (answers, progress) = read(concat!(
            "noise before\n",
            "[   5.1] alpine-ami begin 2 5.20\r\n",
            "alpine-ami ready yes 6.02\n",
            "alpine-ami memory 500000 12000 480000 7000 3000\n",
            "alpine-ami root 2000000 100000 1900000\n",
            "alpine-ami kernel Ni4xLjA=\n",
            "alpine-ami os -\n",
            "alpine-ami processes 9\n",
            "alpine-ami service ZGVmYXVsdA== c3NoZA== started\n",
            "alpine-ami listening MC4wLjAuMDoyMg==\n",
            "alpine-ami checking 0\n",
            "alpine-ami check 0 1 7.00 9.50 bm8K\n",
            "alpine-ami end 12\n",
        ))
        .expect("a report");
        assert_eq!(progress[2], Progress::Ready);
        assert_eq!(progress.last(), Some(&Progress::End));
        assert_eq!(answers.ready_seconds, Some(6.02));
        assert!(answers.complete);
        assert_eq!(answers.memory_used, 12000);
        assert_eq!(
            (answers.memory_kernel, answers.memory_programs),
            (7000, 3000)
        );
        assert_eq!(answers.root_free, 1_900_000);
        assert_eq!(
            (answers.kernel.as_str(), answers.os.as_str()),
            ("6.1.0", "")
        );
        assert_eq!(answers.services[0].name, "sshd");
        assert_eq!(answers.listening, ["0.0.0.0:22"]);
        assert_eq!(
            answers.checks,
            [CheckResult {
                number: 0,
                status: 1,
                seconds: 2.5,
                output: "no\n".to_owned()
            }]
        );
        assert_eq!(answers.running_check, None);
    }

    #[test]
    fn garbled_lines() {
        for (line, problem) in [
            (
                "alpine-ami begin 1 1.0\n",
                "another version of the protocol",
            ),
            ("alpine-ami memory 1 2 3\n", "a field is missing"),
            ("alpine-ami memory 1 2 x\n", "a field is no number"),
            ("alpine-ami ready yes NaN\n", "a field is no number"),
            ("alpine-ami kernel %%\n", "a field is no base64"),
            (
                "alpine-ami kernel - -\n",
                "more fields than there should be",
            ),
            ("alpine-ami whatever\n", "an unknown key"),
            ("alpine-ami end 3\n", "lines are missing"),
        ] {
            let error = read(line).expect_err(line);
            assert_eq!(error.problem, problem, "{line}");
        }
    }

    #[test]
    fn the_check_that_runs_is_known() {
        let (answers, _) = read("alpine-ami checking 3\n").expect("a line");
        assert_eq!(answers.running_check, Some(3));
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut lines = Lines::default();
        assert!(lines.feed(&vec![b'x'; 3 * LONGEST_LINE]).is_empty());
        assert_eq!(lines.feed(b"\n")[0].len(), LONGEST_LINE);
    }
}
