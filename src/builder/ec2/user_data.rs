//! The user data of a build instance: a script that fetches the worker and its job, runs it, and
//! switches the machine off.
//!
//! It carries presigned URLs, and whoever has one may use it: the script prints none, and neither
//! does the `Debug` of what is here.

use std::fmt;
use std::time::Duration;

use crate::arch::Arch;

/// What runs on the instance, with words between two `@` where values go.
const TEMPLATE: &str = include_str!("user-data.sh");

/// Bytes that EC2 takes, before they are encoded in base64.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html>
pub const LIMIT: usize = 16 * 1024;

/// A file that the instance fetches.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetch {
    /// A presigned URL, which is a secret.
    pub url: String,
    /// What the file must be, in lower-case hexadecimal.
    pub sha256: String,
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch")
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

/// What a build instance is told.
#[derive(Clone, PartialEq, Eq)]
pub struct UserData {
    /// This program, linked statically.
    pub worker: Fetch,
    /// What it is to do.
    pub job: Fetch,
    /// A presigned URL to which the end of the log of a failed build is sent, by PUT.
    pub log_url: String,
    /// The machine is switched off that long after it started on the script, in whole seconds,
    /// whatever it is doing.
    pub life: Duration,
    /// What the worker was built for.
    pub arch: Arch,
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserData")
            .field("worker", &self.worker)
            .field("job", &self.job)
            .field("life", &self.life)
            .field("arch", &self.arch)
            .finish_non_exhaustive()
    }
}

/// User data that EC2 would refuse.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the build instance's user data takes {bytes} bytes, and EC2 allows {LIMIT}")]
pub struct TooLong {
    /// What it would take.
    pub bytes: usize,
}

impl UserData {
    /// The script, as it is before base64.
    ///
    /// # Errors
    /// It is longer than [`LIMIT`], which only the URLs can bring about.
    pub fn script(&self) -> Result<String, TooLong> {
        let script = self.fill(&without_comments(TEMPLATE));
        match script.len() {
            bytes if bytes > LIMIT => Err(TooLong { bytes }),
            _ => Ok(script),
        }
    }

    /// `template` with the values in their places; what looks like a place in a value stays as it is.
    fn fill(&self, template: &str) -> String {
        let values = [
            ("@ARCH@", self.arch.as_str()),
            ("@LIFE_SECONDS@", &self.life.as_secs().max(1).to_string()),
            ("@WORKER_URL@", &self.worker.url),
            ("@WORKER_SHA256@", &self.worker.sha256),
            ("@JOB_URL@", &self.job.url),
            ("@JOB_SHA256@", &self.job.sha256),
            ("@LOG_URL@", &self.log_url),
        ];
        let mut text = String::with_capacity(LIMIT);
        let mut rest = template;
        while let Some(at) = rest.find('@') {
            text.push_str(&rest[..at]);
            rest = &rest[at..];
            let place = values.iter().find(|(name, _)| rest.starts_with(name));
            let taken = match place {
                Some((name, value)) => {
                    text.push_str(&quoted(value));
                    name.len()
                }
                None => {
                    text.push('@');
                    1
                }
            };
            rest = &rest[taken..];
        }
        text + rest
    }
}

/// One word for `sh`, whatever is in it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Comments are for those who read the source, and the URLs need the room.
fn without_comments(script: &str) -> String {
    let mut text = String::with_capacity(script.len());
    for line in script.lines() {
        let start = line.trim_start();
        let comment = start.starts_with('#') && !start.starts_with("#!");
        if !comment && !start.is_empty() {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests;
