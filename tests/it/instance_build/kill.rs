//! Killed at each step, and run again.

use std::process::Stdio;

use serde_json::json;

use super::yard::{GOOD, Worker, Yard};

/// Kills a build that waits for the answer to the `nth` call of an operation, before AWS has done
/// what it asks for, or after it, when its answer was just lost. False if it makes fewer of them.
fn killed_at(yard: &Yard, operation: &str, nth: usize, after: bool) -> bool {
    let action = if after { "close-after" } else { "stall" };
    let last = yard
        .house
        .place
        .fault(json!({ "operation": operation, "nth": nth, "action": action }));
    let run = yard
        .command(&["base", "--arch", "x86_64", "-q"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let was_hit = yard.house.kill_at(run, last).is_none();
    yard.house.place.control("DELETE", "faults", json!(null));
    was_hit
}

/// Kills builds at these calls, each in a sandbox of its own, and has another run finish it.
fn killed_and_run_again(operation: &str, numbers: &[usize]) {
    let worker = Worker::new(GOOD);
    for nth in numbers {
        for after in [false, true] {
            let yard = Yard::new(&worker.path);
            assert!(
                killed_at(&yard, operation, *nth, after),
                "there is no call {nth} of {operation}"
            );
            let told = yard.build();
            yard.check_built(&told);
            let instances = yard.instances().len();
            assert_eq!(instances, 1, "{operation} {nth}, after: {after}");
        }
    }
}

#[test]
fn killed_while_it_launches() {
    killed_and_run_again("RunInstances", &[1]);
}

#[test]
fn killed_while_it_follows() {
    killed_and_run_again("DescribeInstances", &[1, 3, 5]);
}

#[test]
fn killed_while_it_makes_the_snapshot() {
    killed_and_run_again("CreateSnapshot", &[1]);
    killed_and_run_again("DescribeSnapshots", &[1, 2]);
}

#[test]
fn killed_while_it_ends_the_instance() {
    killed_and_run_again("TerminateInstances", &[1]);
    killed_and_run_again("DescribeVolumes", &[1, 2]);
}

/// Reads lag behind: the next run does not see at once what the one before it launched, whether that
/// one heard of its id or not.
#[test]
fn killed_while_it_launches_and_reads_lag() {
    let worker = Worker::new(GOOD);
    for heard in [false, true] {
        let yard = Yard::new(&worker.path);
        let lagging = json!({ "stale-reads": { "ms": 6000 } });
        yard.house
            .place
            .fault(json!({ "operation": "RunInstances", "action": lagging }));
        let was_hit = match heard {
            false => killed_at(&yard, "RunInstances", 1, true),
            true => killed_at(&yard, "DescribeInstances", 2, false),
        };
        assert!(was_hit);
        let told = yard.build();
        yard.check_built(&told);
        assert_eq!(yard.instances().len(), 1, "heard: {heard}");
    }
}

#[test]
fn told_to_stop_while_reads_lag_it_leaves_no_instance() {
    let worker = Worker::new(&format!("report('waiting')\ntime.sleep(60)\n{GOOD}"));
    let yard = Yard::new(&worker.path);
    let lagging = json!({ "stale-reads": { "ms": 6000 } });
    yard.house
        .place
        .fault(json!({ "operation": "RunInstances", "action": lagging }));
    told_to_stop(&yard);
    yard.check_left(0);
}

/// Of what it writes, the lease and what is told of the launch are few among the packages, which
/// come in any order.
#[test]
fn killed_while_it_writes() {
    killed_and_run_again("PutObject", &[1, 2, 40]);
    killed_and_run_again("DeleteObject", &[1, 2, 4]);
}

#[test]
fn told_to_stop_it_removes_what_there_is() {
    let worker = Worker::new(&format!("report('waiting')\ntime.sleep(60)\n{GOOD}"));
    let yard = Yard::new(&worker.path);
    told_to_stop(&yard);
    yard.check_left(0);
}

/// Starts a build, and tells it to stop when it has launched its instance.
fn told_to_stop(yard: &Yard) {
    let child = yard
        .command(&["base", "--arch", "x86_64"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    yard.house.wait_for_calls("RunInstances", 1);
    let pid = i32::try_from(child.id()).expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("told");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("what there was of the build is removed"),
        "{said}"
    );
}
