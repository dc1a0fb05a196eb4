//! What a process takes: time, processor time, memory.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Run {
    /// From start to end.
    pub wall: Duration,
    /// Processor time, user and system.
    pub worked: Duration,
    /// The most memory that was resident, in MiB.
    pub memory: f64,
    /// What it said last: the snapshot.
    pub snapshot: String,
    /// What else it said.
    pub notes: String,
}

/// Runs a command to its end, which must be a good one.
pub fn run(command: &mut Command) -> Run {
    let begun = Instant::now();
    let child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let (mut memory, mut ticks) = (0.0, 0);
    loop {
        // What has ended is a zombie until it is waited for, and its times can still be read.
        let (is_over, now) = times(&child);
        ticks = now.max(ticks);
        if is_over {
            break;
        }
        memory = peak_memory(&child).unwrap_or(memory);
        std::thread::sleep(Duration::from_millis(2));
    }
    let wall = begun.elapsed();
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{command:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines().rev();
    Run {
        wall,
        worked: Duration::from_millis(ticks * 10),
        memory,
        snapshot: lines.next().unwrap_or_default().to_owned(),
        notes: lines.next().unwrap_or_default().to_owned(),
    }
}

/// Whether it is over, and the processor time so far, in ticks of 10 ms.
fn times(child: &Child) -> (bool, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    // Behind the name, which may hold spaces: state, then fields 14 and 15 of proc(5).
    let rest = stat.rsplit(") ").next().unwrap_or_default();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    let ticks = number(11).unwrap_or_default() + number(12).unwrap_or_default();
    (matches!(fields.first(), Some(&"Z") | None), ticks)
}

/// The most memory that it ever had resident, in MiB.
fn peak_memory(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// The table's head.
pub fn head() -> String {
    format!(
        "{:<10} {:<26} {:<44} {:>8} {:>8} {:>12} {:>12}  notes",
        "server", "what", "client", "time", "CPU", "CPU per GiB", "peak memory"
    )
}

/// A line of it. The GiB are those of the image.
pub fn row(server: &str, what: &str, client: &str, run: &Run) -> String {
    let (wall, worked) = (run.wall.as_secs_f64(), run.worked.as_secs_f64());
    format!(
        "{server:<10} {what:<26} {client:<44} {wall:>6.2} s {worked:>6.2} s {:>10.2} s {:>8.0} MiB  {}",
        worked / 2.0,
        run.memory,
        run.notes
    )
}
