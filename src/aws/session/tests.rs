use super::*;
use crate::aws::testing::Cloud;

/// A source that says the next of these each time, and then the last again and again.
#[derive(Debug)]
struct Source {
    answers: Vec<Option<Credentials>>,
    asked: Arc<AtomicU64>,
}

impl ProvideCredentials for Source {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let asked = self.asked.fetch_add(1, Ordering::AcqRel) as usize;
        let answer = self.answers.get(asked).or(self.answers.last());
        let answer = answer.cloned().flatten();
        let answer = answer.ok_or_else(|| CredentialsError::provider_error("it is asleep"));
        future::ProvideCredentials::ready(answer)
    }
}

/// Held credentials whose source gives these, and how often it was asked.
fn held(answers: &[Option<Credentials>]) -> (HeldCredentials, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let source = SharedCredentialsProvider::new(Source {
        answers: answers.to_vec(),
        asked: Arc::clone(&asked),
    });
    let held = HeldCredentials {
        source: Some(source),
        state: Mutex::default(),
        fetching: tokio::sync::Mutex::default(),
        generation: AtomicU64::new(0),
    };
    (held, asked)
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn until(secret: &str, expiry: u64) -> Option<Credentials> {
    Some(Credentials::new(
        "id",
        secret,
        None,
        Some(at(expiry)),
        "a test",
    ))
}

#[test]
fn when_the_source_is_asked() {
    let forever = Credentials::new("id", "secret", None, None, "a test");
    let hour = until("secret", 3600);
    for (held, rests_until, now, expected) in [
        (None, None, 0, Step::Fetch),
        (None, Some(30), 0, Step::Fetch),
        (Some(forever), None, 1_000_000, Step::Use),
        (hour.clone(), None, 3299, Step::Use),
        (hour.clone(), None, 3300, Step::Renew),
        (hour.clone(), Some(3330), 3329, Step::Use),
        (hour.clone(), Some(3330), 3330, Step::Renew),
        (hour.clone(), None, 3599, Step::Renew),
        (hour.clone(), None, 3600, Step::Fetch),
        (hour.clone(), Some(3600), 3600, Step::Fetch),
        (hour, Some(3631), 3630, Step::Use),
    ] {
        let rests_until = rests_until.map(at);
        let state = State { held, rests_until };
        assert_eq!(step(&state, at(now)), expected, "{state:?} {now}");
    }
}

#[test]
fn how_long_the_source_rests() {
    for (expiry, now, expected) in [
        (None, 10, 40),
        (Some(3600), 3300, 3330),
        (Some(3600), 3590, 3600),
        (Some(3600), 3600, 3630),
    ] {
        assert_eq!(
            rest(expiry.map(at), at(now)),
            at(expected),
            "{expiry:?} {now}"
        );
    }
}

#[tokio::test]
async fn a_source_that_fails_is_not_missed_until_the_credentials_end() {
    let (held, asked) = held(&[until("first", 3600), None]);
    for (now, times, is_good) in [
        (0, 1, true),
        (3299, 1, true),
        (3300, 2, true),
        (3329, 2, true),
        (3330, 3, true),
        (3580, 4, true),
        (3599, 4, true),
        (3600, 5, false),
        (3601, 6, false),
    ] {
        let got = held.get(at(now)).await;
        assert_eq!(got.is_ok(), is_good, "{now}");
        assert_eq!(asked.load(Ordering::Acquire), times, "{now}");
    }
    assert_eq!(held.generation.load(Ordering::Acquire), 1);
}

#[tokio::test]
async fn a_source_that_has_no_others_is_not_asked_for_each_call() {
    let (held, asked) = held(&[until("first", 3600)]);
    for (now, times) in [
        (0, 1),
        (3300, 2),
        (3329, 2),
        (3330, 3),
        (3700, 4),
        (3729, 4),
    ] {
        let got = held.get(at(now)).await.expect("credentials");
        assert_eq!(got.secret_access_key(), "first");
        assert_eq!(asked.load(Ordering::Acquire), times, "{now}");
    }
    assert_eq!(held.generation.load(Ordering::Acquire), 1);
}

#[tokio::test]
async fn while_one_call_asks_the_others_use_what_is_held() {
    let (held, asked) = held(&[until("first", 3600), until("second", 7200)]);
    held.get(at(0)).await.expect("credentials");
    {
        let _alone = held.fetching.lock().await;
        let got = held.get(at(3400)).await.expect("credentials");
        assert_eq!(got.secret_access_key(), "first");
        assert_eq!(asked.load(Ordering::Acquire), 1);
    }
    for now in [3400, 3700, 6899] {
        let got = held.get(at(now)).await.expect("credentials");
        assert_eq!(got.secret_access_key(), "second");
    }
    assert_eq!(asked.load(Ordering::Acquire), 2);
}

#[tokio::test]
async fn a_session_that_ended_is_renewed_once_if_there_are_others() {
    let first = until("first", 3600);
    let (held, asked) = held(&[
        first.clone(),
        until("second", 3600),
        None,
        first.clone(),
        first,
    ]);
    held.get(at(0)).await.expect("credentials");
    // The second caller of a generation finds it done; a failure, and the same ones, are none.
    for (generation, times, is_renewed) in [
        (1, 2, true),
        (1, 2, true),
        (2, 3, false),
        (2, 4, true),
        (3, 5, false),
    ] {
        let renewed = held.renew(generation, at(10)).await;
        assert_eq!(renewed, is_renewed, "{generation}");
        assert_eq!(asked.load(Ordering::Acquire), times, "{generation}");
    }
}

#[tokio::test]
async fn credentials_that_end_too_soon_are_exchanged_if_there_are_others() {
    let (held, asked) = held(&[
        until("first", 3600),
        until("second", 7200),
        None,
        until("second", 7200),
        until("third", 10_000),
    ]);
    for (now, needed, times, end) in [
        // There are none yet.
        (0, 10, 1, 3600),
        (40, 3560, 1, 3600),
        (40, 3561, 2, 7200),
        // The source was asked a moment ago.
        (69, 7200, 2, 7200),
        // It fails, and is not asked again at once.
        (70, 7200, 3, 7200),
        (99, 7200, 3, 7200),
        // It has the same ones.
        (100, 7200, 4, 7200),
        (130, 7200, 5, 10_000),
        (160, 3600, 5, 10_000),
    ] {
        let found = held.end(Duration::from_secs(needed), at(now)).await;
        assert_eq!(found, Some(at(end)), "{now} {needed}");
        assert_eq!(asked.load(Ordering::Acquire), times, "{now} {needed}");
    }
    assert_eq!(held.generation.load(Ordering::Acquire), 3);
}

#[tokio::test]
async fn credentials_that_do_not_end_are_not_exchanged() {
    let forever = Credentials::new("id", "secret", None, None, "a test");
    let (held, asked) = held(&[Some(forever)]);
    for now in [0, 1000] {
        let year = Duration::from_secs(365 * 86_400);
        assert_eq!(held.end(year, at(now)).await, None);
    }
    assert_eq!(asked.load(Ordering::Acquire), 1);
}

#[tokio::test]
async fn a_session_tells_when_it_ends() {
    let cloud = Cloud::start().await;
    let hour = Duration::from_secs(3600);
    // An access key's own: none.
    assert_eq!(cloud.aws().await.credentials_until(hour).await, None);
}

#[test]
fn an_error_tells_its_causes() {
    let error = CredentialsError::provider_error("the session is over");
    assert!(
        chain(&error).ends_with(": the session is over"),
        "{}",
        chain(&error)
    );
}

/// A session goes on when AWS's clock jumps, in services that verify signatures each in its own way,
/// and knows the time that the last answer said.
#[tokio::test]
async fn time_is_what_the_last_answer_said() {
    use crate::aws::s3::{BucketAddress, Condition};
    use crate::aws::testing::{HOME, region};

    const DAY: i64 = 24 * 3600;
    let cloud = Cloud::start().await;
    let aws = cloud.aws().await;
    let (s3, ec2) = (aws.s3(&region(HOME)), aws.ec2(&region(HOME)));
    s3.create_bucket("things").await.expect("made");
    let bucket = BucketAddress {
        name: "things".to_owned(),
        owner: None,
    };
    for days in [0, 10, 20] {
        if days > 0 {
            let ten_days = serde_json::json!({"advance_seconds": 10 * DAY});
            cloud.control("PUT", "clock", ten_days).await;
        }
        // The second calls are signed with the time that the first ones' answers said.
        for _ in 0..2 {
            let put = s3.put(&bucket, "a", "text/plain", "1", &Condition::Always);
            put.await.expect("written");
            ec2.regions().await.expect("Regions");
        }
        let off = aws.clock_skew() - days * DAY;
        assert!(off.abs() < 60, "{off} s after {days} days");
        let object = s3.get(&bucket, "a", 1).await.expect("read").expect("there");
        let now = OffsetDateTime::now_utc() + time::Duration::days(days);
        assert!((now - object.modified).abs() < time::Duration::hours(1));
        let signed = s3.presigned_get(&bucket, "a", Duration::from_secs(60));
        let signed = signed.await.expect("signed");
        assert_eq!(cloud.http("GET", &signed, b"").await.0, 200, "{days}");
    }
}
