//! Who holds a lease: a run, and the process that it is.

use std::fmt;

use rustix::io::Errno;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

/// A run, and the process that it is. Two of them are the same if their runs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run's id.
    pub run: String,
    /// The machine's name.
    pub host: String,
    /// The kernel's id of its boot: no two machines share one, nor do two boots of one machine.
    pub boot_id: String,
    /// The namespace that the pid is of, as `/proc/self/ns/pid` says it: containers on one machine
    /// share its boot.
    pub pid_namespace: String,
    /// The process.
    pub pid: u32,
    /// When the process was started, in the kernel's ticks since boot: a pid may come again.
    pub started: u64,
    /// The user's name.
    pub user: String,
    /// The command.
    pub command: String,
}

/// A new run's id: ids sort by time, and no two runs have the same.
/// `20260131T101112Z-5f0c93ab`.
pub fn new_run_id(now: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let now = now.to_offset(time::UtcOffset::UTC);
    let time = now
        .format(format)
        .expect("the year has four digits for a while yet");
    format!("{time}-{:08x}", fastrand::u32(..))
}

impl Holder {
    /// This process, in a run.
    pub fn here(run: &str, command: &str) -> Holder {
        let pid = std::process::id();
        let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let user = named("USER").or_else(|| named("LOGNAME"));
        let uid = || format!("uid {}", rustix::process::getuid().as_raw());
        let host = rustix::system::uname();
        Holder {
            run: run.to_owned(),
            host: host.nodename().to_string_lossy().into_owned(),
            boot_id: boot_id(),
            pid_namespace: pid_namespace(),
            pid,
            started: match process(pid) {
                Process::Since(started) => started,
                _ => 0,
            },
            user: user.unwrap_or_else(uid),
            command: command.to_owned(),
        }
    }

    /// Whether this process can see that the holder's is dead: only on the same boot of the same
    /// machine, and among the same processes.
    pub fn is_dead(&self) -> bool {
        let known = !self.boot_id.is_empty() && !self.pid_namespace.is_empty();
        let same = self.boot_id == boot_id() && self.pid_namespace == pid_namespace();
        known && same && is_over(self.started, process(self.pid))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder {
            run,
            host,
            pid,
            user,
            command,
            ..
        } = self;
        write!(f, "{user} on {host} (run {run}, process {pid}: {command})")
    }
}

/// What is to be seen of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    /// There is none.
    Missing,
    /// It is dead, and waits for its parent to look.
    Dead,
    /// It lives since then.
    Since(u64),
    /// It is there, and that is all we may know (`hidepid`).
    Hidden,
}

/// Whether the process that began at `started` is over, where this is what has its pid now.
fn is_over(started: u64, now: Process) -> bool {
    match now {
        Process::Missing | Process::Dead => true,
        Process::Since(other) => other != started,
        Process::Hidden => false,
    }
}

fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.unwrap_or_default().trim().to_owned()
}

fn pid_namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().into_owned()
}

fn process(pid: u32) -> Process {
    if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        return process_in(&stat);
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    match pid.map(rustix::process::test_kill_process) {
        Some(Err(Errno::SRCH)) | None => Process::Missing,
        Some(_) => Process::Hidden,
    }
}

/// Reads fields 3 and 22 of `/proc/<pid>/stat`. The second field, the name, may hold anything, so
/// that fields are counted from its last `)`.
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn process_in(stat: &str) -> Process {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let started = fields.get(19).and_then(|ticks| ticks.parse().ok());
    match (fields.first(), started) {
        (Some(&("Z" | "X" | "x")), _) => Process::Dead,
        (_, Some(started)) => Process::Since(started),
        (_, None) => Process::Hidden,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn ids_of_runs_sort_by_time() {
        let id = new_run_id(datetime!(2026-01-31 11:11:12 +1));
        let (time, number) = id.split_once('-').expect("two parts");
        assert_eq!(time, "20260131T101112Z");
        assert_eq!(number.len(), 8);
        assert!(u32::from_str_radix(number, 16).is_ok());
        assert!(id < new_run_id(datetime!(2026-01-31 10:11:13 UTC)));
        assert_ne!(id, new_run_id(datetime!(2026-01-31 10:11:12 UTC)));
    }

    #[test]
    fn processes_are_read_from_stat() {
        let fields = "S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        for (stat, expected) in [
            (format!("7 (sh) {fields}"), Process::Since(4711)),
            (format!("7 (a ) b (c)) {fields}"), Process::Since(4711)),
            (
                format!("7 (sh) {}", fields.replacen('S', "Z", 1)),
                Process::Dead,
            ),
            ("7 (sh) S 1".to_owned(), Process::Hidden),
            (String::new(), Process::Hidden),
        ] {
            assert_eq!(process_in(&stat), expected, "{stat}");
        }
    }

    #[test]
    fn a_process_is_over_if_another_has_its_pid() {
        for (now, expected) in [
            (Process::Missing, true),
            (Process::Dead, true),
            (Process::Since(2), true),
            (Process::Since(1), false),
            (Process::Hidden, false),
        ] {
            assert_eq!(is_over(1, now), expected, "{now:?}");
        }
    }

    #[test]
    fn only_what_is_seen_to_be_dead_is_dead() {
        let us = Holder::here("r", "publish");
        assert!(us.started > 0);
        assert!(!us.is_dead());
        let other = |change: fn(&mut Holder)| {
            let mut holder = us.clone();
            change(&mut holder);
            holder
        };
        // No process has this pid: the kernel's largest is 4194304.
        let dead = other(|holder| holder.pid = 4_194_305);
        assert!(dead.is_dead());
        assert!(other(|holder| holder.started += 1).is_dead());
        for change in [
            (|holder| holder.boot_id = "another".to_owned()) as fn(&mut Holder),
            |holder| holder.boot_id.clear(),
            |holder| holder.pid_namespace = "pid:[1]".to_owned(),
        ] {
            let mut holder = dead.clone();
            change(&mut holder);
            assert!(!holder.is_dead(), "{holder:?}");
        }
    }
}
