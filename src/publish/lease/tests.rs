use std::convert::Infallible;

use serde_json::json;

use super::*;
use crate::aws::testing::Cloud;
use crate::aws::wait::{self, Seen};
use crate::publish::bucket::tests::{cloud, line};

/// Nothing expires while a test runs.
const LONG: Duration = Duration::from_secs(600);
/// Renewed three times a second.
const SHORT: Duration = Duration::from_secs(1);

/// A run of this process.
fn run(name: &str) -> Holder {
    Holder::here(name, "publish")
}

/// A run on another machine, which may be alive or not.
fn elsewhere(name: &str) -> Holder {
    Holder {
        host: "builder-7".to_owned(),
        boot_id: "another".to_owned(),
        user: "ci".to_owned(),
        pid: 77,
        ..run(name)
    }
}

fn of() -> Of {
    Of::line(&line())
}

async fn acquire(bucket: &Bucket, holder: Holder, ttl: Duration) -> Result<Lease, LeaseError> {
    Lease::acquire(bucket, of(), holder, ttl).await
}

/// The run whose lease it is.
async fn held_by(bucket: &Bucket) -> Option<String> {
    let found = bucket.lease(&of()).await.expect("read");
    found.map(|(terms, _)| terms.holder.run)
}

/// Waits until so many calls were made.
async fn until_calls(cloud: &Cloud, operation: &str, count: usize) {
    let look = async || {
        let calls = cloud.calls(operation).await.len();
        Ok::<_, Infallible>(match calls >= count {
            true => Seen::Reached(()),
            false => Seen::NotYet(format!("{calls} calls")),
        })
    };
    let Ok(reached) = wait::until(Duration::from_secs(60), |_| {}, look).await;
    reached.expect("they are made");
}

#[tokio::test]
async fn of_two_runs_one_gets_the_lease_and_the_other_hears_who() {
    let (_cloud, bucket) = cloud().await;
    let both = tokio::join!(
        acquire(&bucket, elsewhere("a"), LONG),
        acquire(&bucket, elsewhere("b"), LONG)
    );
    let (lease, error) = match both {
        (Ok(lease), Err(error)) | (Err(error), Ok(lease)) => (lease, error),
        both => panic!("{both:?}"),
    };
    let winner = lease.holder().run.clone();
    let text = error.to_string();
    let start = format!(
        "node-1.22-x86_64 is being published by ci on builder-7 (run {winner}, process 77: \
         publish) since 2"
    );
    assert!(text.starts_with(&start), "{text}");
    let url = "its lease s3://images/a/b/leases/node-1.22-x86_64.json in us-east-1 holds until 2";
    assert!(text.contains(url), "{text}");
    let advice = error.advice().expect("advice");
    assert!(
        advice.starts_with("wait until that run is done"),
        "{advice}"
    );

    // Another line is free, and this one is when it was given back.
    let other = Line {
        version: "1.23".to_owned(),
        ..line()
    };
    let free = Lease::acquire(&bucket, Of::line(&other), run("c"), LONG).await;
    free.expect("free").release().await.expect("released");
    lease.release().await.expect("released");
    assert_eq!(held_by(&bucket).await, None);
    let lease = acquire(&bucket, run("d"), LONG).await.expect("free");
    assert_eq!(held_by(&bucket).await.as_deref(), Some("d"));
    lease.release().await.expect("released");
}

/// Two runs want the lease at once: it is one's, or still that of whoever has it.
async fn race(bucket: &Bucket) -> Seen<Lease> {
    let both = tokio::join!(
        acquire(bucket, elsewhere("b"), LONG),
        acquire(bucket, elsewhere("c"), LONG)
    );
    match both {
        (Ok(lease), Err(LeaseError::Held { .. })) | (Err(LeaseError::Held { .. }), Ok(lease)) => {
            Seen::Reached(lease)
        }
        (Err(LeaseError::Held { .. }), Err(error @ LeaseError::Held { .. })) => {
            Seen::NotYet(error.to_string())
        }
        both => panic!("{both:?}"),
    }
}

#[tokio::test]
async fn an_expired_lease_is_taken_over_by_one() {
    let (_cloud, bucket) = cloud().await;
    drop(
        acquire(&bucket, elsewhere("dead"), SHORT)
            .await
            .expect("free"),
    );
    assert!(matches!(race(&bucket).await, Seen::NotYet(_)));
    let look = async || Ok::<_, Infallible>(race(&bucket).await);
    let Ok(lease) = wait::until(Duration::from_secs(60), |_| {}, look).await;
    let winner = lease.expect("it expires").holder().run.clone();
    assert_eq!(held_by(&bucket).await, Some(winner));
}

#[tokio::test]
async fn a_lease_expires_by_the_clock_of_aws() {
    let (cloud, bucket) = cloud().await;
    drop(
        acquire(&bucket, elsewhere("dead"), LONG)
            .await
            .expect("free"),
    );
    assert!(matches!(race(&bucket).await, Seen::NotYet(_)));
    cloud
        .control("PUT", "clock", json!({"advance_seconds": 700}))
        .await;
    assert!(matches!(race(&bucket).await, Seen::Reached(_)));
}

#[tokio::test]
async fn a_clock_that_is_ahead_makes_nothing_expire() {
    let (cloud, bucket) = cloud().await;
    cloud
        .control("PUT", "clock", json!({"advance_seconds": 700}))
        .await;
    drop(acquire(&bucket, elsewhere("a"), LONG).await.expect("free"));
    let error = acquire(&bucket, run("b"), LONG).await;
    assert!(matches!(error, Err(LeaseError::Held { .. })), "{error:?}");
}

#[tokio::test]
async fn the_lease_of_a_dead_process_is_taken_over_at_once() {
    let (_cloud, bucket) = cloud().await;
    let mut program = std::process::Command::new("true");
    let mut child = program.spawn().expect("started");
    let dead = Holder {
        pid: child.id(),
        started: 1,
        ..run("dead")
    };
    child.wait().expect("it ends");
    drop(acquire(&bucket, dead, LONG).await.expect("free"));
    let lease = acquire(&bucket, run("b"), LONG).await.expect("taken over");
    assert_eq!(held_by(&bucket).await.as_deref(), Some("b"));
    // A run that lives keeps it.
    let error = acquire(&bucket, run("c"), LONG).await;
    assert!(matches!(error, Err(LeaseError::Held { .. })), "{error:?}");
    drop(lease);
}

/// Somebody writes over the lease, whatever it is.
async fn usurp(bucket: &Bucket, name: &str) {
    let terms = Terms {
        holder: elsewhere(name),
        acquired: OffsetDateTime::now_utc(),
        renewed: OffsetDateTime::now_utc(),
        expires_seconds: 600,
    };
    let of = of();
    let put = bucket.put_lease(&of, &terms, &Condition::Always, LONG);
    put.await.expect("written");
}

#[tokio::test]
async fn a_lost_lease_is_noticed_and_left_alone() {
    let (_cloud, bucket) = cloud().await;
    let lease = acquire(&bucket, run("a"), SHORT).await.expect("free");
    usurp(&bucket, "thief").await;
    let lost = lease.lost().await.to_string();
    let text = "the lease s3://images/a/b/leases/node-1.22-x86_64.json in us-east-1 is lost: ci on \
                builder-7 (run thief, process 77: publish) has taken it over";
    assert_eq!(lost, text);
    lease.release().await.expect("nothing to do");
    assert_eq!(held_by(&bucket).await.as_deref(), Some("thief"));
}

#[tokio::test]
async fn a_lease_that_is_not_ours_any_more_is_not_given_back() {
    let (_cloud, bucket) = cloud().await;
    let lease = acquire(&bucket, run("a"), LONG).await.expect("free");
    usurp(&bucket, "thief").await;
    lease.release().await.expect("nothing to do");
    assert_eq!(held_by(&bucket).await.as_deref(), Some("thief"));
}

#[tokio::test]
async fn a_removed_lease_is_lost() {
    let (_cloud, bucket) = cloud().await;
    let lease = acquire(&bucket, run("a"), SHORT).await.expect("free");
    let mut removed = false;
    while !removed {
        // It may be renewed in between.
        let (_, object) = bucket.lease(&of()).await.expect("read").expect("there");
        let etag = &object.etag;
        removed = bucket.remove_lease(&of(), etag).await.expect("an answer");
    }
    let lost = lease.lost().await.to_string();
    assert!(lost.ends_with("is lost: somebody removed it"), "{lost}");
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_is_lost_in_time() {
    for action in [json!("deny"), json!("close-before"), json!("stall")] {
        let (cloud, bucket) = cloud().await;
        let lease = acquire(&bucket, run("a"), SHORT).await.expect("free");
        cloud
            .fault(json!({"operation": "PutObject", "action": action}))
            .await;
        let lost = lease.lost().await.to_string();
        let text = "is lost: it could not be renewed for 1 s: ";
        assert!(lost.contains(text), "{action}: {lost}");
    }
}

#[tokio::test]
async fn lost_answers_lose_no_lease() {
    let (cloud, bucket) = cloud().await;
    // The first write and each renewal are done, and not answered.
    for nth in [1, 3, 5] {
        cloud
            .fault(json!({"operation": "PutObject", "nth": nth, "action": "close-after"}))
            .await;
    }
    let ttl = Duration::from_secs(3);
    let lease = acquire(&bucket, run("a"), ttl).await.expect("free");
    until_calls(&cloud, "PutObject", 7).await;
    assert!(lease.lost.borrow().is_none());
    lease.release().await.expect("released");
    assert_eq!(held_by(&bucket).await, None);
}

/// A write that is done and whose call fails all the same: its answer is lost, and the next
/// attempt fails for good.
async fn done_but_failed(cloud: &Cloud) {
    let refusal = json!({"error": {"status": 400, "code": "InvalidRequest"}});
    for (nth, action) in [(1, json!("close-after")), (2, refusal)] {
        cloud
            .fault(json!({"operation": "PutObject", "nth": nth, "action": action}))
            .await;
    }
}

#[tokio::test]
async fn a_renewal_that_failed_and_was_done_all_the_same_is_ours() {
    let (cloud, bucket) = cloud().await;
    let ttl = Duration::from_secs(3);
    let lease = acquire(&bucket, run("a"), ttl).await.expect("free");
    done_but_failed(&cloud).await;
    // Acquired; renewed and failed; refused, then renewed.
    until_calls(&cloud, "PutObject", 1 + 2 + 2).await;
    for error in ["InvalidRequest", "PreconditionFailed"] {
        let calls = cloud.calls(&format!("PutObject&error={error}")).await;
        assert_eq!(calls.len(), 1, "{error}");
    }
    assert!(lease.lost.borrow().is_none());
    lease.release().await.expect("released");
    assert_eq!(held_by(&bucket).await, None);

    // The same at the end: it is given back as it is now.
    let lease = acquire(&bucket, run("b"), ttl).await.expect("free");
    let before = cloud.calls("PutObject").await.len();
    cloud.no_faults().await;
    done_but_failed(&cloud).await;
    until_calls(&cloud, "PutObject", before + 2).await;
    lease.release().await.expect("released");
    assert_eq!(held_by(&bucket).await, None);
}

#[tokio::test]
async fn a_run_that_has_it_without_knowing_gets_it() {
    let (cloud, bucket) = cloud().await;
    done_but_failed(&cloud).await;
    let error = acquire(&bucket, elsewhere("a"), LONG).await;
    assert!(matches!(error, Err(LeaseError::Bucket(_))), "{error:?}");
    assert_eq!(held_by(&bucket).await.as_deref(), Some("a"));
    let lease = acquire(&bucket, elsewhere("a"), LONG).await.expect("ours");
    lease.release().await.expect("released");
    assert_eq!(held_by(&bucket).await, None);
}

#[tokio::test]
async fn what_is_no_lease_is_named() {
    let (cloud, bucket) = cloud().await;
    let key = "a/b/leases/node-1.22-x86_64.json";
    let s3 = cloud.aws().await.s3(bucket.region());
    let put = s3.put(bucket.address(), key, "text/plain", "?", &Condition::Always);
    put.await.expect("written");
    let error = acquire(&bucket, run("a"), LONG).await.expect_err("no JSON");
    let start = format!("s3://images/{key} in us-east-1 cannot be read: ");
    assert!(error.to_string().starts_with(&start), "{error}");
}
