//! What goes wrong in AWS and on the instance: told, and nothing is left.

use std::fs;
use std::io::Read as _;

use serde_json::json;

use super::yard::{GOOD, Worker, Yard};
use crate::publish::house::BUCKET;
use crate::sandbox::client::{Call, Expect as _};
use crate::sandbox::place::{HOME, PUBLISHER};

/// One that reports, and then does something.
fn that(does: &str) -> Worker {
    Worker::new(&format!("report('stand-in worker: here')\n{does}"))
}

#[test]
fn another_type_and_zone_are_tried_where_there_is_no_capacity() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    // The first type is offered in several zones, each of which is tried.
    yard.house.place.fault(json!({
        "operation": "RunInstances", "times": 2, "action": "no-capacity"
    }));
    let told = yard.build();
    yard.check_built(&told);
    assert_eq!(yard.house.calls("operation=RunInstances").len(), 3);

    let worker = Worker::new(&format!("{GOOD}\n# another one"));
    yard.configure(&worker.path, "");
    yard.house
        .place
        .fault(json!({ "operation": "RunInstances", "action": "no-capacity" }));
    let said = yard.run(&[]).failed(1);
    for word in [
        "no capacity",
        "t3.small in us-east-1a",
        "t3.micro in us-east-1b",
    ] {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    yard.check_left(1);
}

/// The first attempt launches, and nobody hears of it; the second one is refused; and reads lag.
#[test]
fn a_launch_that_was_refused_only_when_asked_again_leaves_no_instance() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    let lagging = json!({ "stale-reads": { "ms": 5000 } });
    for (nth, action) in [(1, lagging), (1, json!("close-after")), (2, json!("deny"))] {
        yard.house
            .place
            .fault(json!({ "operation": "RunInstances", "nth": nth, "action": action }));
    }
    let said = yard.run(&[]).failed(1);
    assert!(said.contains("ec2:RunInstances"), "{said}");
    assert_eq!(yard.instances().len(), 1);
    yard.check_left(0);
}

#[test]
fn an_instance_that_never_reports_is_ended() {
    let worker = Worker::new("time.sleep(300)");
    let yard = Yard::new(&worker.path);
    let config = yard.config(&worker.path, "");
    yard.house
        .configure(&config.replace("report_seconds = 60", "report_seconds = 5"));
    let said = yard.run(&[]).failed(1);
    assert!(said.contains("has not reported within"), "{said}");
    yard.check_left(0);
}

#[test]
fn what_a_failed_worker_says_is_shown_and_kept() {
    let worker =
        that("outcome(state='failed', error='the disk \\x1b[2Jis full', advice='take another')");
    let yard = Yard::new(&worker.path);
    let said = yard.run(&[]).failed(1);
    for word in [
        "stand-in worker: here",
        "the disk [2Jis full",
        "next: take another",
        "instance.log",
    ] {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    let kept = fs::read_to_string(yard.out().join("instance.log")).expect("a log");
    assert!(kept.contains("a line"), "{kept}");
    yard.check_left(0);

    // One that dies says nothing, but the script that ran it does.
    let worker = that("print('it is dying', flush=True)\nsys.exit(3)");
    yard.configure(&worker.path, "");
    let said = yard.run(&[]).failed(1);
    for word in [
        "left no result",
        "the worker failed (exit status 3)",
        "it is dying",
    ] {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    yard.check_left(0);
}

#[test]
fn a_failed_instance_is_kept_where_that_is_asked_for() {
    let worker = that("outcome(state='failed', error='broken', advice=None)");
    let yard = Yard::new(&worker.path);
    let said = yard.run(&["--keep-on-failure"]).failed(1);
    assert!(
        said.contains("is kept: it is off from 20") && said.contains("get-console-output"),
        "{said}"
    );
    let is_off = |state: &str| matches!(state, "stopping" | "stopped" | "running");
    assert!(is_off(yard.instances()[0].text("instanceState/name")));
    // The next run ends it and starts over.
    let said = yard.run(&[]).failed(1);
    assert!(said.contains("which an earlier run left"), "{said}");
    assert_eq!(yard.instances().len(), 2);
    yard.check_left(0);
}

/// AWS remembers tokens for a day and more: a build that fails again and again is begun again.
#[test]
fn a_build_that_fails_can_be_begun_again() {
    let worker = that("outcome(state='failed', error='broken', advice=None)");
    let yard = Yard::new(&worker.path);
    for run in 1..=6 {
        let said = yard.run(&["-q"]).failed(1);
        assert!(said.contains("broken"), "run {run}: {said}");
    }
    assert_eq!(yard.instances().len(), 6);
    yard.check_left(0);
}

#[test]
fn a_result_of_something_else_is_not_believed() {
    for (change, word) in [
        ("manifest['packages_digest'] = '0' * 64", "packages"),
        ("manifest['plan_digest'] = '0' * 64", "plan"),
        ("manifest['arch'] = 'aarch64'", "architecture"),
        ("manifest['version'] = '\\x1b[2J'", "version"),
        ("manifest['firmware'] = []", "firmware"),
        ("manifest['image']['file'] = '/etc/passwd'", "file"),
        ("sha256 = '0' * 64", "job"),
    ] {
        let worker = Worker::new(&format!("report('here')\n{change}\n{GOOD}"));
        let yard = Yard::new(&worker.path);
        let said = yard.run(&[]).failed(1);
        assert!(!said.contains('\x1b'), "{said}");
        let words = format!("has the {word} ");
        assert!(said.contains(&words), "no `{words}` in {said}");
        yard.check_left(0);
    }
}

#[test]
fn what_somebody_changed_in_the_bucket_is_put_there_again() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    let told = yard.build();
    let home = yard.house.client(HOME);
    let list = home.s3(&Call::new(
        "GET",
        &format!("/{BUCKET}?list-type=2&prefix=store/"),
    ));
    let list = list.done("a list").text();
    let keys = list.split("<Key>").skip(1);
    let keys: Vec<_> = keys
        .filter_map(|rest| rest.split("</Key>").next())
        .collect();
    let objects = keys.len();
    for key in keys {
        let bad = Call::new("PUT", &format!("/{BUCKET}/{key}")).body("changed".to_owned());
        home.s3(&bad).done("changed");
    }
    let built = told["snapshot"]["id"].as_str().expect("an id");
    home.ec2("DeleteSnapshot", &[("SnapshotId", built)])
        .done("deleted");
    let said = yard.run(&[]);
    let words = format!("{objects} of {objects} files were not in the bucket");
    assert!(said.stderr.contains(&words), "{}", said.stderr);
    let told = serde_json::from_str::<serde_json::Value>(&said.done()).expect("JSON");
    yard.check_built(&told["images"][0]);
}

#[test]
fn a_job_that_is_changed_on_the_way_is_not_done() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    // The instance asks for the worker first, and for the job while this test changes it.
    yard.house.place.fault(json!({
        "service": "s3", "operation": "GetObject", "each": true, "times": 1,
        "action": { "delay": { "ms": 4000 } }
    }));
    let child = yard
        .command(&["base", "--arch", "x86_64"])
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    yard.house.wait_for_calls("RunInstances", 1);
    let home = yard.house.client(HOME);
    let objects = yard.objects();
    let job = objects.iter().find(|key| key.ends_with("/job.json"));
    let job = job.expect("a job");
    let bad = Call::new("PUT", &format!("/{BUCKET}/{job}")).body("{}".to_owned());
    home.s3(&bad).done("changed");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("cannot fetch the job: its SHA-256 is"),
        "{said}"
    );
    yard.check_left(0);
}

#[test]
fn mishaps_of_aws_are_survived() {
    let worker = Worker::new(GOOD);
    for action in [
        json!("throttle"),
        json!({ "error": { "status": 500, "code": "InternalError" } }),
        json!("close-before"),
        json!("close-after"),
        json!({ "stale-reads": { "ms": 1500 } }),
    ] {
        let yard = Yard::new(&worker.path);
        let is_stale = action.get("stale-reads").is_some();
        for service in ["sts", "kms", "ec2", "s3"] {
            if is_stale && service != "ec2" {
                continue;
            }
            yard.house.place.fault(json!({
                "service": service, "each": true, "times": 1, "action": action
            }));
        }
        let told = yard.build();
        yard.house.place.control("DELETE", "faults", json!(null));
        yard.check_built(&told);
        assert_eq!(yard.instances().len(), 1, "{action}");
    }
}

#[test]
fn credentials_that_end_are_renewed_or_told() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    let role = format!("arn:aws:iam::{PUBLISHER}:role/builder");
    let config = yard.config(&worker.path, "");
    let assumed = config.replace("[aws]\n", &format!("[aws]\nassume_role = \"{role}\"\n"));
    yard.house.configure(&assumed);
    // Before anything is signed with them, and while the volume's snapshot is made.
    for operation in ["DescribeSubnets", "CreateSnapshot", "TerminateInstances"] {
        yard.house.place.fault(json!({
            "operation": operation, "nth": 1, "action": "expire-credentials"
        }));
    }
    let told = yard.build();
    yard.check_built(&told);

    // While the instance works, its addresses end with them: it cannot leave its result.
    let worker = Worker::new(&format!("report('waiting')\ntime.sleep(4)\n{GOOD}"));
    let config = yard
        .config(&worker.path, "")
        .replace("minutes = 5", "minutes = 70");
    yard.house
        .configure(&config.replace("[aws]\n", &format!("[aws]\nassume_role = \"{role}\"\n")));
    let mut child = yard
        .command(&["base", "--arch", "x86_64"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let said = until_it_says(&mut child, "base-x86_64: waiting");
    yard.house
        .place
        .fault(json!({ "operation": "PutObject", "action": "expire-credentials" }));
    let output = child.wait_with_output().expect("it ends");
    let said = said + &String::from_utf8_lossy(&output.stderr);
    yard.house.place.control("DELETE", "faults", json!(null));
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in ["these credentials end in", "left no result", "cannot send"] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    assert!(!said.contains("EXPIRATION"), "{said}");
    yard.check_left(1);
}

/// What a run says until it has said this.
fn until_it_says(child: &mut std::process::Child, line: &str) -> String {
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("a pipe");
    let mut byte = [0];
    while !said.contains(line) {
        let read = stderr.read(&mut byte).expect("it says something");
        assert_eq!(read, 1, "it ended: {said}");
        said.push(char::from(byte[0]));
    }
    child.stderr = Some(stderr);
    said
}
