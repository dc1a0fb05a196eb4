//! What a boot showed: the result of a test, for machines as JSON and for people as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::accel::Accel;
use super::answers::Answers;
use super::firmware::Firmware;
use super::guest::Check;
use crate::arch::Arch;

/// Runlevels whose services must be up on a machine that has booted, in the order of a boot.
const BOOT_RUNLEVELS: [&str; 3] = ["sysinit", "boot", "default"];
/// Statuses of a check that `timeout` ended: killed by its signal, and GNU's own.
const KILLED: [i32; 2] = [137, 124];

/// A service and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// `started`, `stopped`, `failed`, `crashed`, `inactive`, `starting` or `stopping`.
    pub state: String,
}

/// How a check went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// The check's name.
    pub name: String,
    /// Whether it exited with 0.
    pub passed: bool,
    /// Its exit status; none where it did not run.
    pub status: Option<i32>,
    /// Whether it was killed because it took too long.
    pub timed_out: bool,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The last 4 KiB of what it printed.
    pub output: String,
}

/// What is known before the machine is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The image that was booted.
    pub image: PathBuf,
    /// The profile whose checks were made, where one is named.
    pub profile: Option<String>,
    /// The machine's processor.
    pub arch: Arch,
    /// What it started with.
    pub firmware: Firmware,
    /// How its instructions were run.
    pub accel: Accel,
}

/// What the host saw of the boot.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// From QEMU's start to the complete default runlevel, in seconds on the host's clock.
    pub boot_seconds: f64,
    /// From the end of the checks to the machine being off, in seconds; none if it stayed on.
    pub shutdown_seconds: Option<f64>,
    /// Whether a login prompt stood on the console.
    pub login_prompt: bool,
    /// Whom it tried to reach besides the host's own services.
    pub attempts: Vec<String>,
    /// Where the whole console is.
    pub console: PathBuf,
    /// The console's last lines.
    pub last_lines: Vec<String>,
}

/// The result of booting an image and checking it from inside. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was tested.
    #[serde(flatten)]
    pub subject: Subject,
    /// Whether every check passed, every service is up and the machine switched itself off.
    pub passed: bool,
    /// Why it did not pass, a sentence each.
    pub failures: Vec<String>,
    /// From QEMU's start to the complete default runlevel, in seconds on the host's clock.
    pub boot_seconds: f64,
    /// The same from the kernel's start, in seconds on the guest's clock.
    pub guest_boot_seconds: f64,
    /// From the end of the checks to the machine being off, in seconds.
    pub shutdown_seconds: Option<f64>,
    /// Whether a login prompt stood on the console.
    pub login_prompt: bool,
    /// Memory that the kernel manages.
    pub memory_total_bytes: u64,
    /// Memory in use when booted, as `free` counts it: without caches.
    pub memory_used_bytes: u64,
    /// Memory that programs could still have.
    pub memory_available_bytes: u64,
    /// Of the memory in use, what the kernel says is its own: `SUnreclaim`, `PageTables`,
    /// `SecPageTables`, `Percpu` and `VmallocUsed` of proc_meminfo(5), and free pages that it keeps
    /// at hand for each processor, `count` in /proc/zoneinfo.
    pub memory_kernel_bytes: u64,
    /// Of the memory in use, programs' own: `AnonPages` of proc_meminfo(5).
    pub memory_programs_bytes: u64,
    /// Memory in use beyond the kernel's own: programs', and what nobody says to be whose.
    pub memory_beyond_kernel_bytes: u64,
    /// Size of the root file system.
    pub root_size_bytes: u64,
    /// Used of it.
    pub root_used_bytes: u64,
    /// Free of it, for users.
    pub root_free_bytes: u64,
    /// The kernel's version.
    pub kernel: String,
    /// The system's name and version.
    pub os: String,
    /// Services by runlevel.
    pub services: BTreeMap<String, Vec<Service>>,
    /// Services of sysinit, boot and default that are not up.
    pub failed_services: Vec<String>,
    /// Programs that ran, kernel threads not counted.
    pub processes: u64,
    /// Addresses that TCP servers listened on, `address:port`.
    pub listening: Vec<String>,
    /// Whom it tried to reach over the network, besides the metadata service and Amazon's time service,
    /// which every host has.
    pub connection_attempts: Vec<String>,
    /// The checks, in their order.
    pub checks: Vec<CheckReport>,
    /// Where the whole console is.
    pub console: PathBuf,
    /// The console's last lines, where the test did not pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub console_tail: Vec<String>,
}

impl Report {
    /// Puts together what was asked, what the host saw and what the guest answered.
    pub fn new(subject: Subject, asked: &[Check], seen: Observed, answers: Answers) -> Report {
        let checks = check_reports(asked, &answers);
        let failed_services = failed_services(&answers);
        let failures = failures(&checks, &failed_services, &seen, &answers);
        let mut services: BTreeMap<String, Vec<Service>> = BTreeMap::new();
        for service in answers.services {
            services.entry(service.runlevel).or_default().push(Service {
                name: service.name,
                state: service.state,
            });
        }
        Report {
            subject,
            passed: failures.is_empty(),
            boot_seconds: hundredths(seen.boot_seconds),
            guest_boot_seconds: answers.ready_seconds.unwrap_or_default(),
            shutdown_seconds: seen.shutdown_seconds.map(hundredths),
            login_prompt: seen.login_prompt,
            memory_total_bytes: answers.memory_total * 1024,
            memory_used_bytes: answers.memory_used * 1024,
            memory_available_bytes: answers.memory_available * 1024,
            memory_kernel_bytes: answers.memory_kernel * 1024,
            memory_programs_bytes: answers.memory_programs * 1024,
            memory_beyond_kernel_bytes: answers.memory_used.saturating_sub(answers.memory_kernel)
                * 1024,
            root_size_bytes: answers.root_size * 1024,
            root_used_bytes: answers.root_used * 1024,
            root_free_bytes: answers.root_free * 1024,
            kernel: answers.kernel,
            os: answers.os,
            services,
            failed_services,
            processes: answers.processes,
            listening: answers.listening,
            connection_attempts: seen.attempts,
            checks,
            console: seen.console,
            console_tail: if failures.is_empty() {
                Vec::new()
            } else {
                seen.last_lines
            },
            failures,
        }
    }

    /// The report for people, several lines.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_text(&mut text);
        text
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        let subject = &self.subject;
        let name = subject.profile.as_deref().unwrap_or("image");
        let verdict = if self.passed { "passed" } else { "FAILED" };
        writeln!(
            out,
            "{name} on {} ({}, {}): {verdict}",
            subject.arch, subject.firmware, subject.accel
        )?;
        for failure in &self.failures {
            writeln!(out, "  - {failure}")?;
        }
        writeln!(out)?;
        for (label, value) in self.figures() {
            writeln!(out, "  {label:<10} {value}")?;
        }
        if !self.services.is_empty() {
            writeln!(out, "\nServices by runlevel")?;
            for (runlevel, services) in self.runlevels_in_order() {
                writeln!(out, "  {runlevel:<10} {}", service_list(runlevel, services))?;
            }
        }
        if !self.checks.is_empty() {
            writeln!(out, "\nChecks")?;
            self.write_checks(out)?;
        }
        if !self.console_tail.is_empty() {
            writeln!(out, "\nLast lines of the console")?;
            for line in &self.console_tail {
                writeln!(out, "  | {line}")?;
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, String)> {
        let shutdown = match self.shutdown_seconds {
            Some(seconds) => format!("{seconds:.1} s"),
            None => "did not switch itself off".to_owned(),
        };
        let prompt = if self.login_prompt {
            "seen"
        } else {
            "not seen"
        };
        let mut figures = vec![
            ("image", self.subject.image.display().to_string()),
            ("system", format!("{}, Linux {}", self.os, self.kernel)),
            (
                "boot",
                format!(
                    "{:.1} s from power-on, {:.1} s from the kernel's start",
                    self.boot_seconds, self.guest_boot_seconds
                ),
            ),
            ("login", format!("prompt {prompt}")),
            ("shutdown", shutdown),
            (
                "memory",
                format!(
                    "{} used of {}, {} beyond the kernel's own",
                    mebibytes(self.memory_used_bytes),
                    mebibytes(self.memory_total_bytes),
                    mebibytes(self.memory_beyond_kernel_bytes)
                ),
            ),
            (
                "root",
                format!(
                    "{} used of {}",
                    mebibytes(self.root_used_bytes),
                    mebibytes(self.root_size_bytes)
                ),
            ),
            ("processes", self.processes.to_string()),
        ];
        if !self.listening.is_empty() {
            figures.push(("listening", self.listening.join(" ")));
        }
        let attempts = match self.connection_attempts.as_slice() {
            [] => "nobody was asked for but the host's own services".to_owned(),
            attempts => format!("tried to reach {}", attempts.join(", ")),
        };
        figures.push(("network", attempts));
        figures.push(("console", self.console.display().to_string()));
        figures
    }

    fn runlevels_in_order(&self) -> Vec<(&str, &[Service])> {
        let mut runlevels: Vec<(&str, &[Service])> = self
            .services
            .iter()
            .map(|(runlevel, services)| (runlevel.as_str(), services.as_slice()))
            .collect();
        let position = |name: &str| BOOT_RUNLEVELS.iter().position(|known| *known == name);
        runlevels.sort_by_key(|(name, _)| position(name).unwrap_or(BOOT_RUNLEVELS.len()));
        runlevels
    }

    fn write_checks(&self, out: &mut String) -> std::fmt::Result {
        let width = self
            .checks
            .iter()
            .map(|check| check.name.chars().count())
            .max();
        let width = width.unwrap_or_default();
        for check in &self.checks {
            let mark = if check.passed { "pass" } else { "FAIL" };
            writeln!(
                out,
                "  {mark}  {:<width$}  {:>6.2} s",
                check.name, check.seconds
            )?;
            if !check.passed {
                for line in check.output.lines() {
                    writeln!(out, "        | {}", line.trim_end())?;
                }
            }
        }
        Ok(())
    }
}

/// A report for each check that was asked for, whether the guest answered or not.
fn check_reports(asked: &[Check], answers: &Answers) -> Vec<CheckReport> {
    let report = |(number, check): (usize, &Check)| {
        let result = answers.checks.iter().find(|result| result.number == number);
        let status = result.map(|result| result.status);
        let seconds = result.map_or(0.0, |result| result.seconds);
        // The guest's clock has hundredths of a second.
        let out_of_time = seconds + 0.1 >= check.timeout_seconds as f64;
        CheckReport {
            name: check.name.clone(),
            passed: status == Some(0),
            status,
            timed_out: out_of_time && status.is_some_and(|status| KILLED.contains(&status)),
            seconds,
            output: result.map_or(String::new(), |result| result.output.clone()),
        }
    };
    asked.iter().enumerate().map(report).collect()
}

/// A service may be `inactive` (it waits for something by design); else it must be started.
fn failed_services(answers: &Answers) -> Vec<String> {
    let mut failed: Vec<String> = answers
        .services
        .iter()
        .filter(|service| BOOT_RUNLEVELS.contains(&service.runlevel.as_str()))
        .filter(|service| !matches!(service.state.as_str(), "started" | "inactive"))
        .map(|service| service.name.clone())
        .collect();
    failed.sort();
    failed.dedup();
    failed
}

fn failures(
    checks: &[CheckReport],
    failed_services: &[String],
    seen: &Observed,
    answers: &Answers,
) -> Vec<String> {
    let mut failures = Vec::new();
    if !answers.complete {
        failures.push(format!(
            "the default runlevel was not complete after {:.0} s",
            answers.ready_seconds.unwrap_or_default()
        ));
    }
    for name in failed_services {
        let state = answers
            .services
            .iter()
            .find(|service| service.name == *name)
            .map_or("unknown", |service| service.state.as_str());
        failures.push(format!("the service `{name}` is {state}"));
    }
    for check in checks.iter().filter(|check| !check.passed) {
        let how = match check.status {
            Some(_) if check.timed_out => format!("did not end within {:.0} s", check.seconds),
            Some(status) => format!("exited with {status}"),
            None => "did not run".to_owned(),
        };
        failures.push(format!("the check `{}` {how}", check.name));
    }
    if seen.shutdown_seconds.is_none() {
        failures.push("the machine did not switch itself off".to_owned());
    }
    failures
}

fn service_list(runlevel: &str, services: &[Service]) -> String {
    // In the others, such as shutdown, services are not started yet: their state says nothing.
    let told = BOOT_RUNLEVELS.contains(&runlevel);
    let names: Vec<String> = services
        .iter()
        .map(|service| match service.state.as_str() {
            "started" => service.name.clone(),
            _ if !told => service.name.clone(),
            state => format!("{} ({state})", service.name),
        })
        .collect();
    names.join(" ")
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

fn hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::answers::{CheckResult, ServiceState};

    fn service(runlevel: &str, name: &str, state: &str) -> ServiceState {
        ServiceState {
            runlevel: runlevel.to_owned(),
            name: name.to_owned(),
            state: state.to_owned(),
        }
    }

    fn check(number: usize, status: i32, seconds: f64, output: &str) -> CheckResult {
        CheckResult {
            number,
            status,
            seconds,
            output: output.to_owned(),
        }
    }

    fn answers() -> Answers {
        Answers {
            ready_seconds: Some(9.5),
            complete: true,
            memory_total: 470 * 1024,
            memory_used: 22 * 1024,
            memory_kernel: 15 * 1024,
            memory_programs: 3 * 1024,
            root_size: 2000 * 1024,
            root_used: 109 * 1024,
            kernel: "6.1.0".to_owned(),
            os: "Alpine Linux v3.19".to_owned(),
            processes: 6,
            services: vec![
                service("boot", "syslog", "started"),
                service("default", "dhcpcd", "inactive"),
                service("default", "sshd", "started"),
                service("shutdown", "killprocs", "stopped"),
                service("sysinit", "devfs", "started"),
            ],
            listening: vec!["0.0.0.0:22".to_owned()],
            checks: vec![check(0, 0, 0.25, "fine\n")],
            ..Answers::default()
        }
    }

    fn report(answers: Answers, shutdown_seconds: Option<f64>) -> Report {
        let checks = answers.checks.len();
        let asked = ["ssh", "time is kept", "crond"].map(|name| Check {
            name: name.to_owned(),
            run: "true".to_owned(),
            timeout_seconds: 5,
        });
        // With one check the guest answers all; with two it leaves one out.
        let asked = &asked[..2 * checks - 1];
        let subject = Subject {
            image: "out/image.raw".into(),
            profile: Some("base".to_owned()),
            arch: Arch::X86_64,
            firmware: Firmware::Bios,
            accel: Accel::Tcg,
        };
        let seen = Observed {
            boot_seconds: 12.345,
            shutdown_seconds,
            login_prompt: true,
            attempts: Vec::new(),
            console: "out/console.log".into(),
            last_lines: vec!["alpine login:".to_owned()],
        };
        Report::new(subject, asked, seen, answers)
    }

    #[test]
    fn what_passed() {
        let report = report(answers(), Some(2.0));
        let expected = "\
base on x86_64 (bios, tcg): passed

  image      out/image.raw
  system     Alpine Linux v3.19, Linux 6.1.0
  boot       12.3 s from power-on, 9.5 s from the kernel's start
  login      prompt seen
  shutdown   2.0 s
  memory     22.0 MiB used of 470.0 MiB, 7.0 MiB beyond the kernel's own
  root       109.0 MiB used of 2000.0 MiB
  processes  6
  listening  0.0.0.0:22
  network    nobody was asked for but the host's own services
  console    out/console.log

Services by runlevel
  sysinit    devfs
  boot       syslog
  default    dhcpcd (inactive) sshd
  shutdown   killprocs

Checks
  pass  ssh    0.25 s
";
        assert_eq!(report.to_text(), expected);
    }

    #[test]
    fn what_failed_and_why() {
        let mut answers = answers();
        answers.complete = false;
        answers
            .services
            .push(service("default", "chronyd", "crashed"));
        answers
            .services
            .push(service("default", "crond", "stopped"));
        answers.checks.push(check(1, 137, 5.0, "waiting\nKilled\n"));
        answers.checks[0].status = 2;
        let report = report(answers, None);
        assert!(!report.passed);
        assert_eq!(report.failed_services, ["chronyd", "crond"]);
        assert_eq!(
            report.failures,
            [
                "the default runlevel was not complete after 10 s",
                "the service `chronyd` is crashed",
                "the service `crond` is stopped",
                "the check `ssh` exited with 2",
                "the check `time is kept` did not end within 5 s",
                "the check `crond` did not run",
                "the machine did not switch itself off",
            ]
        );
        let text = report.to_text();
        let end = "\
Checks
  FAIL  ssh             0.25 s
        | fine
  FAIL  time is kept    5.00 s
        | waiting
        | Killed
  FAIL  crond           0.00 s

Last lines of the console
  | alpine login:
";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn json_has_the_names_that_are_documented() {
        let json = serde_json::to_value(report(answers(), Some(2.0))).expect("JSON");
        let names: Vec<&str> = json
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            names,
            [
                "image",
                "profile",
                "arch",
                "firmware",
                "accel",
                "passed",
                "failures",
                "boot_seconds",
                "guest_boot_seconds",
                "shutdown_seconds",
                "login_prompt",
                "memory_total_bytes",
                "memory_used_bytes",
                "memory_available_bytes",
                "memory_kernel_bytes",
                "memory_programs_bytes",
                "memory_beyond_kernel_bytes",
                "root_size_bytes",
                "root_used_bytes",
                "root_free_bytes",
                "kernel",
                "os",
                "services",
                "failed_services",
                "processes",
                "listening",
                "connection_attempts",
                "checks",
                "console",
            ]
        );
        assert_eq!(json["services"]["default"][1]["name"], "sshd");
        assert_eq!(json["checks"][0]["passed"], true);
        assert_eq!(json["root_used_bytes"], 109 * 1024 * 1024);
        assert_eq!(json["memory_programs_bytes"], 3 * 1024 * 1024);
        assert_eq!(json["memory_beyond_kernel_bytes"], 7 * 1024 * 1024);
        assert_eq!(json["accel"], "tcg");
    }
}
