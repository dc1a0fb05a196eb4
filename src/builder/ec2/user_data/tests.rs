//! The script is run by every shell there is here, with programs of our own in place of those that
//! would reach the network or switch off the machine. Those of the second kind are named by their
//! full path, so that no shell can come to have the real ones.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::digest::sha256;
use crate::vm::process::find_program;

const WORKER_URL: &str = "https://bucket.test/worker?X-Amz-Signature=it's%20$HOME&a=@JOB_URL@";
const JOB_URL: &str = "https://bucket.test/job?X-Amz-Signature=abc%2F&b=`id`";
const LOG_URL: &str = "https://bucket.test/log?X-Amz-Signature=def&c=\"";
const JOB: &str = "{\"profile\": \"base\"}\n";
const LIFE: u64 = 7200;

/// What the script and our own programs need of any Linux; nothing else is in their PATH.
const REAL: [&str; 14] = [
    "cat",
    "chmod",
    "cp",
    "df",
    "grep",
    "head",
    "mkdir",
    "mktemp",
    "rm",
    "sha256sum",
    "sh",
    "tail",
    "tee",
    "tr",
];

/// Fetches from and sends to a folder; every call is written down.
const CURL: &str = r#"
url= out= send=
while [ $# -gt 0 ]; do
    case $1 in
        -o) out=$2; shift ;;
        -T) send=$2; shift ;;
        --*|-w) shift ;;
        -*) ;;
        *) url=$1 ;;
    esac
    shift
done
path=${url#https://bucket.test/}
name=${path%%\?*}
printf 'curl %s %s\n' "${send:+PUT}" "$url" | tr -s ' ' >>"$LOG"
if [ -n "$send" ]; then cp "$send" "$SERVED/$name"; printf 200
elif [ -e "$SERVED/$name" ]; then cp "$SERVED/$name" "$out"; printf 200
else printf 403; exit 22; fi
"#;

/// The options of busybox's wget, and no others.
const WGET: &str = r#"
[ "$1 $2 $3 $4" = "-q -T 60 -O" ] || exit 1
path=${6#https://bucket.test/}
printf 'wget %s\n' "$6" >>"$LOG"
cp "$SERVED/${path%%\?*}" "$5"
"#;

/// The worker says what it was given and where it is.
const WORKER: &str = r#"#!/bin/sh
echo "worker $1 $2 $4 $5" >>"$LOG"
[ "$3" = "$TMPDIR/job" ] && cat "$3" >>"$LOG"
echo "assembling"
echo "a warning" >&2
exit "${WORKER_STATUS:-0}"
"#;

struct Bench {
    folder: tempfile::TempDir,
    shell: PathBuf,
    data: UserData,
}

impl Bench {
    fn new(shell: &Path) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["bin", "served", "disk", "lib"] {
            fs::create_dir(folder.path().join(name)).expect(name);
        }
        let bench = Bench {
            folder,
            shell: shell.to_owned(),
            data: user_data(),
        };
        for name in REAL {
            let program = find_program(name).unwrap_or_else(|| panic!("{name} is here"));
            symlink(program, bench.path(&format!("bin/{name}"))).expect("a link");
        }
        bench.stub("curl", CURL);
        bench.stub("uname", "echo x86_64");
        bench.stub("sleep", r#"echo "sleep $1" >>"$LOG""#);
        bench.stub("poweroff", r#"echo "poweroff $*" >>"$LOG""#);
        // The script's name for it, and how long until then.
        bench.stub("setsid", r#"echo "setsid $4 $5" >>"$LOG""#);
        fs::write(bench.path("served/worker"), WORKER).expect("a worker");
        fs::write(bench.path("served/job"), JOB).expect("a job");
        fs::write(bench.path("boot_id"), "boot-1\n").expect("a boot");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn stub(&self, name: &str, script: &str) {
        let path = self.path(&format!("bin/{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a stub");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(&format!("bin/{name}"))).expect("it was there");
    }

    /// The script, with everything that is this machine's in the bench's folder.
    fn script(&self) -> String {
        let mut script = self.data.script().expect("it is short enough");
        for (name, place) in [
            ("PATH", "bin"),
            ("console", "console"),
            ("sysrq", "sysrq"),
            ("boot_id", "boot_id"),
            ("once", "lib/once"),
            ("folders", "disk"),
        ] {
            let start = format!("\n{name}=");
            let at = script.find(&start).expect(name) + start.len();
            let end = at + script[at..].find('\n').expect("a line's end");
            script.replace_range(at..end, &quoted(&self.path(place).display().to_string()));
        }
        let poweroff = self.path("bin/poweroff").display().to_string();
        let guarded = script.replace("poweroff", &poweroff);
        assert_eq!(guarded.matches("poweroff").count(), 2);
        assert_eq!(guarded.matches(&poweroff).count(), 2);
        assert!(!guarded.contains("/proc/"), "nothing of this machine's");
        guarded
    }

    /// Runs it; its exit status.
    fn run(&self, worker_status: &str) -> Option<i32> {
        let script = self.path("script");
        fs::write(&script, self.script()).expect("a script");
        let output = shell_command(&self.shell)
            .arg(&script)
            .env("LOG", self.path("calls"))
            .env("SERVED", self.path("served"))
            .env("WORKER_STATUS", worker_status)
            .output()
            .expect("a shell");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        for text in [said.into_owned(), self.read("console"), self.log_sent()] {
            assert!(!text.contains("X-Amz"), "a secret was printed: {text}");
        }
        output.status.code()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(str::to_owned).collect()
    }

    /// What this run and those before it told, each of which began on a line of its own.
    fn console(&self) -> String {
        let console = self.read("console");
        assert!(console.starts_with('\n'), "{console}");
        console[1..].to_owned()
    }

    fn log_sent(&self) -> String {
        self.read("served/log")
    }
}

fn user_data() -> UserData {
    UserData {
        worker: Fetch {
            url: WORKER_URL.to_owned(),
            sha256: sha256(WORKER.as_bytes()),
        },
        job: Fetch {
            url: JOB_URL.to_owned(),
            sha256: sha256(JOB.as_bytes()),
        },
        log_url: LOG_URL.to_owned(),
        life: Duration::from_secs(LIFE),
        arch: Arch::X86_64,
    }
}

/// Every shell that is here of those it has to run under.
fn shells() -> Vec<PathBuf> {
    let shells: Vec<_> = ["sh", "dash", "bash", "busybox"]
        .into_iter()
        .filter_map(find_program)
        .filter(|shell| takes_our_programs(shell))
        .collect();
    assert!(!shells.is_empty(), "there is a shell");
    shells
}

/// Debian's busybox has its own programs before those in PATH, and would run the real ones.
fn takes_our_programs(shell: &Path) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = folder.path().join("uname");
    fs::write(&stub, "#!/bin/sh\necho ours\n").expect("a stub");
    fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).expect("a mode");
    let output = shell_command(shell)
        .args(["-c", "uname"])
        .env("PATH", folder.path())
        .output()
        .expect("a shell");
    let ours = output.stdout == b"ours\n";
    if !ours {
        eprintln!("skipped: {} takes programs of its own", shell.display());
    }
    ours
}

fn shell_command(shell: &Path) -> Command {
    let mut command = Command::new(shell);
    if shell.ends_with("busybox") {
        command.arg("ash");
    }
    command
}

const ARMED: &str = "setsid alpine-ami-power-off 7200";
const OFF: &str = "setsid alpine-ami-power-off 0";

#[test]
fn fetches_checks_runs_and_switches_off() {
    for shell in shells() {
        let bench = Bench::new(&shell);
        assert_eq!(bench.run("0"), Some(0), "{}", shell.display());
        let expected = [
            ARMED.to_owned(),
            format!("curl {WORKER_URL}"),
            format!("curl {JOB_URL}"),
            format!(
                "worker worker --job --job-sha256 {}",
                sha256(JOB.as_bytes())
            ),
            JOB.trim().to_owned(),
            OFF.to_owned(),
        ];
        assert_eq!(bench.calls(), expected, "{}", shell.display());
        assert_eq!(
            bench.console(),
            "assembling\na warning\nalpine-ami: done: switching off\n"
        );
        assert_eq!(bench.log_sent(), "");
    }
}

#[test]
fn what_is_not_what_it_should_be_does_not_run() {
    for shell in shells() {
        let mut bench = Bench::new(&shell);
        bench.data.worker.sha256 = "0".repeat(64);
        assert_eq!(bench.run("0"), Some(1));
        let wrong = format!(
            "alpine-ami: cannot fetch the worker: its SHA-256 is {}, not {}\n",
            sha256(WORKER.as_bytes()),
            "0".repeat(64)
        );
        assert_eq!(bench.console(), wrong);
        assert_eq!(bench.log_sent(), wrong);
        let calls = bench.calls();
        let tries = calls.iter().filter(|call| call.starts_with("curl https"));
        assert_eq!(tries.count(), 5);
        let waits: Vec<_> = calls.iter().filter(|c| c.starts_with("sleep")).collect();
        assert_eq!(waits, ["sleep 4", "sleep 6", "sleep 8", "sleep 10"]);
        assert!(!calls.iter().any(|call| call.starts_with("worker")));
        assert_eq!(calls.last().map(String::as_str), Some(OFF));
    }
}

#[test]
fn an_expired_url_is_an_answer_not_a_secret() {
    for shell in shells() {
        let bench = Bench::new(&shell);
        fs::remove_file(bench.path("served/job")).expect("it was there");
        assert_eq!(bench.run("0"), Some(1));
        assert_eq!(
            bench.console(),
            "alpine-ami: cannot fetch the job: curl ended with status 22, HTTP status 403\n"
        );
    }
}

#[test]
fn wget_does_where_there_is_no_curl() {
    for shell in shells() {
        let bench = Bench::new(&shell);
        bench.remove("curl");
        bench.stub("wget", WGET);
        assert_eq!(bench.run("3"), Some(1));
        let calls = bench.calls();
        assert_eq!(calls[1], format!("wget {WORKER_URL}"));
        assert_eq!(calls[2], format!("wget {JOB_URL}"));
        assert_eq!(
            bench.console(),
            "assembling\na warning\nalpine-ami: the worker failed (exit status 3)\nalpine-ami: there \
             is no curl here to send the log with: this console is all there is\n"
        );
        assert_eq!(calls.last().map(String::as_str), Some(OFF));
    }
}

#[test]
fn without_a_client_it_says_so() {
    for shell in shells() {
        let bench = Bench::new(&shell);
        bench.remove("curl");
        assert_eq!(bench.run("0"), Some(1));
        assert!(
            bench
                .console()
                .starts_with("alpine-ami: there is neither curl nor wget here\n")
        );
        assert_eq!(bench.calls(), [ARMED, OFF]);
    }
}

#[test]
fn the_log_of_a_worker_that_fails_is_sent() {
    for shell in shells() {
        let bench = Bench::new(&shell);
        assert_eq!(bench.run("4"), Some(1));
        let told = "assembling\na warning\nalpine-ami: the worker failed (exit status 4)\n";
        assert_eq!(bench.console(), told);
        assert_eq!(bench.log_sent(), told);
        let calls = bench.calls();
        assert_eq!(
            calls[calls.len() - 2..],
            [format!("curl PUT {LOG_URL}"), OFF.to_owned()]
        );
    }
}

#[test]
fn only_the_end_of_a_long_log_is_sent() {
    for shell in shells() {
        let mut bench = Bench::new(&shell);
        let worker = "#!/bin/sh\nhead -c 600000 /dev/zero | tr '\\0' x\nexit 1\n";
        fs::write(bench.path("served/worker"), worker).expect("a worker");
        bench.data.worker.sha256 = sha256(worker.as_bytes());
        assert_eq!(bench.run("0"), Some(1));
        let sent = bench.log_sent();
        assert_eq!(sent.len(), 512 * 1024);
        assert!(sent.ends_with("xalpine-ami: the worker failed (exit status 1)\n"));
    }
}

#[test]
fn another_architecture_is_refused() {
    for shell in shells() {
        let bench = Bench::new(&shell);
        bench.stub("uname", "echo aarch64");
        assert_eq!(bench.run("0"), Some(1));
        let told = "alpine-ami: this machine is aarch64, the worker is for x86_64\n";
        assert_eq!(bench.console(), told);
        let put = format!("curl PUT {LOG_URL}");
        assert_eq!(bench.calls(), [ARMED, &put, OFF]);
    }
}

#[test]
fn a_worker_is_started_once() {
    for shell in shells() {
        let bench = Bench::new(&shell);
        assert_eq!(bench.run("0"), Some(0));
        let first = bench.calls().len();
        assert_eq!(bench.run("0"), Some(0));
        assert_eq!(bench.calls()[first..], [ARMED], "the first may still run");
        assert!(bench.console().ends_with("leaving it alone\n"));

        fs::write(bench.path("boot_id"), "boot-2\n").expect("a boot");
        assert_eq!(bench.run("0"), Some(1));
        assert_eq!(bench.calls()[first + 1..], [ARMED, OFF]);
        assert!(bench.console().ends_with("before this boot: not again\n"));
    }
}

#[test]
fn the_power_goes_whoever_hangs() {
    for shell in shells() {
        let bench = Bench::new(&shell);
        rustix::fs::mkfifoat(rustix::fs::CWD, bench.path("sysrq"), 0o600.into()).expect("a pipe");
        // Only what counts down to the end of life: the script itself ends at once.
        bench.stub("setsid", r#"[ "$5" = 0 ] || exec "$@""#);
        bench.stub("uname", "echo aarch64");
        assert_eq!(bench.run("0"), Some(1));
        let mut keys = String::new();
        while keys != "s\nu\no\n" {
            // Each key is written by an opening of its own, and may come by itself.
            keys.push_str(&fs::read_to_string(bench.path("sysrq")).expect("keys"));
        }
        let calls = bench.calls();
        let last: Vec<_> = calls.iter().filter(|c| !c.starts_with("curl")).collect();
        assert_eq!(
            last,
            [
                "sleep 7200",
                "poweroff ",
                "sleep 60",
                "poweroff -f",
                "sleep 10"
            ]
        );
        assert!(
            bench
                .read("console")
                .contains("alpine-ami: end of life after 7200 s: switching off\n")
        );
    }
}

#[test]
fn values_are_words_and_nothing_else() {
    let script = user_data().script().expect("it is short enough");
    assert!(script.starts_with("#!/bin/sh\nset -eu\n"));
    assert!(script.contains(
        r"worker_url='https://bucket.test/worker?X-Amz-Signature=it'\''s%20$HOME&a=@JOB_URL@'"
    ));
    assert!(script.contains("\nlife='7200'\n"));
    let nothing_left = TEMPLATE.matches("_URL@").count();
    assert_eq!((nothing_left, script.matches("_URL@").count()), (3, 1));
    assert!(!format!("{:?}", user_data()).contains("bucket.test"));
}

#[test]
fn long_urls_fit_and_too_long_ones_are_refused() {
    let mut data = user_data();
    // With a session's token a presigned URL takes less than 2 KiB.
    for url in [&mut data.worker.url, &mut data.job.url, &mut data.log_url] {
        *url = format!("https://{}", "x".repeat(3000));
    }
    let length = data.script().expect("it is short enough").len();
    assert!(length < LIMIT, "{length}");
    data.log_url.push_str(&"x".repeat(LIMIT - length));
    assert_eq!(data.script().expect("it just fits").len(), LIMIT);
    data.log_url.push('x');
    let error = data.script().expect_err("one too many");
    assert_eq!(error, TooLong { bytes: LIMIT + 1 });
}

/// Where shellcheck is not installed there is nothing to see; `scripts/setup` does.
#[test]
fn shellcheck_has_nothing_to_say() {
    let Some(shellcheck) = find_program("shellcheck") else {
        eprintln!("skipped: no shellcheck here");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("user-data.sh");
    let mut data = user_data();
    // Dollars and backquotes between single quotes are meant here; shellcheck takes them for slips.
    data.worker.url = "https://bucket.test/worker".to_owned();
    data.job.url = "https://bucket.test/job".to_owned();
    fs::write(&script, data.fill(TEMPLATE)).expect("a script");
    let output = Command::new(shellcheck)
        .args(["--shell=sh", "--severity=style"])
        .arg(&script)
        .output()
        .expect("shellcheck");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
