//! The endpoint over real connections: what it starts with, what it survives, what goes wrong when
//! it is asked to.

use std::path::PathBuf;
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::*;
use crate::sandbox::calls::{Call, CallFilter};
use crate::sandbox::faults::{Action, Rule};
use crate::sandbox::id::AccountId;
use crate::sandbox::limits::Limit;
use crate::sandbox::service::Service;
use crate::sandbox::sigv4::signer::{Unsigned, signed};

/// A sandbox that listens, and its folder.
struct Live {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Live {
    async fn start() -> Live {
        let folder = tempfile::tempdir().expect("a folder");
        let sandbox = Sandbox::start(config(&folder)).await.expect("a sandbox");
        Live { sandbox, folder }
    }

    fn host(&self) -> String {
        self.sandbox.address().to_string()
    }

    /// A signed call, as it goes over the wire.
    fn call(&self, service: Service, body: &str) -> Vec<u8> {
        let host = self.host();
        let target = format!("TrentService.{body}");
        let mut unsigned = Unsigned {
            method: "POST",
            uri: format!("http://{host}/"),
            headers: vec![("host", &host)],
            body: body.as_bytes(),
            service: service.name(),
            region: "us-east-1",
            time: SystemTime::now(),
            presigned: None,
            unsigned_payload: false,
        };
        if service == Service::Kms {
            unsigned.body = b"{}";
            unsigned.headers.push(("x-amz-target", &target));
        }
        let key = self.sandbox.credentials("publisher").expect("a key");
        let (_, headers) = signed(&unsigned, &key);
        let mut request = format!(
            "POST / HTTP/1.1\r\ncontent-length: {}\r\n",
            unsigned.body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut request = format!("{request}\r\n").into_bytes();
        request.extend_from_slice(unsigned.body);
        request
    }

    async fn tcp(&self) -> TcpStream {
        let address = self.sandbox.address();
        TcpStream::connect(address).await.expect("a connection")
    }

    /// Sends something on a connection of its own. None if that is closed without an answer.
    async fn send(&self, request: &[u8]) -> Option<(u16, String)> {
        exchange(self.tcp().await, request).await
    }

    async fn ec2(&self, body: &str) -> Option<(u16, String)> {
        let body = format!("{body}&Version=2016-11-15");
        self.send(&self.call(Service::Ec2, &body)).await
    }

    async fn is_alive(&self) -> bool {
        let request = self.call(Service::Sts, "Action=GetCallerIdentity&Version=2011-06-15");
        matches!(self.send(&request).await, Some((200, _)))
    }

    fn add_fault(&self, rule: Rule) {
        self.sandbox.shared().faults.add(rule).expect("a rule");
    }

    fn volumes(&self) -> usize {
        self.sandbox.shared().read(|world| world.ec2.volumes.len())
    }

    fn calls(&self) -> Vec<Arc<Call>> {
        self.sandbox.shared().calls.list(&CallFilter::default())
    }
}

fn config(folder: &tempfile::TempDir) -> SandboxConfig {
    SandboxConfig::for_tests(folder.path().join("state"))
}

/// Sends a request, and reads up to the end of the answer.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
) -> Option<(u16, String)> {
    // A server that has heard enough may not read all of it.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        if text.contains("\r\n\r\n") && length.is_none_or(|length: usize| body.len() >= length) {
            let status = head.split(' ').nth(1)?.parse().ok()?;
            return Some((status, body.to_owned()));
        }
        match stream.read_buf(&mut answer).await {
            Ok(1..) => {}
            _ => return None,
        }
    }
}

const CREATE: &str = "Action=CreateVolume&AvailabilityZone=us-east-1a&Size=1";
const DESCRIBE: &str = "Action=DescribeVolumes";

#[tokio::test(flavor = "multi_thread")]
async fn one_sandbox_a_folder_and_what_it_leaves_there() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let state = config(&folder).state;
    assert!(matches!(
        Environment::read(&state),
        Err(EnvironmentError::NotStarted { .. })
    ));
    let sandbox = Sandbox::start(config(&folder)).await.expect("a sandbox");
    assert!(sandbox.warnings().is_empty(), "{:?}", sandbox.warnings());
    let environment = Environment::read(&state).expect("an environment");
    assert_eq!(environment.endpoint, sandbox.endpoint());
    let account = environment.account("customer").expect("an account");
    assert_eq!(account.id.as_str(), "222222222222");
    let key = sandbox.credentials("customer").expect("a key");
    assert_eq!(
        (&account.access_key_id, &account.secret_access_key),
        (&key.id, &key.secret)
    );
    assert!(environment.account("nobody").is_err());
    let file = state.join("environment.json");
    let mode = std::fs::metadata(&file)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    match Sandbox::start(config(&folder)).await {
        Err(SandboxError::InUse { process, .. }) => assert_eq!(process, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    advance_clock(sandbox.shared(), Duration::from_secs(3600)).expect("kept");
    sandbox.stop().await;
    assert!(!file.exists() && !state.join(SOCKET).exists());

    let again = Sandbox::start(config(&folder)).await.expect("a sandbox");
    assert_eq!(
        again.credentials("customer"),
        Some(key),
        "the same as before"
    );
    assert_eq!(
        again.shared().clock.ahead_ms(),
        3_600_000,
        "not back in time"
    );
    // Dropped is as if killed: the folder can be taken over at once.
    drop(again);
    assert!(file.exists());
    let _third = Sandbox::start(config(&folder)).await.expect("a sandbox");
    std::fs::write(&file, "{}").expect("written");
    assert!(matches!(
        Environment::read(&state),
        Err(EnvironmentError::Form { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_that_are_refused_or_warned_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let id = |id: &str| id.parse::<AccountId>().expect("an id");
    let account = |name: &str, number: &str| (name.to_owned(), id(number));
    drop(Sandbox::start(config(&folder)).await.expect("a sandbox"));
    for (accounts, part) in [
        (
            vec![account("publisher", "333333333333")],
            "`publisher` has the id 111111111111",
        ),
        (
            vec![account("other", "111111111111")],
            "111111111111 is called `publisher`",
        ),
        (
            vec![account("a", "333333333333"), account("a", "444444444444")],
            "`a` has the id 333333333333",
        ),
        (vec![account("", "333333333333")], "no account's name"),
    ] {
        let config = SandboxConfig {
            accounts,
            ..config(&folder)
        };
        let error = Sandbox::start(config).await.expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
    type Change = fn(&mut SandboxConfig);
    let refused: &[(&str, Change)] = &[
        ("limit", |config| {
            config.limits.push(("nothing".to_owned(), Limit::Number(1)))
        }),
        ("scale", |config| config.clock_scale = -1.0),
        ("scale", |config| config.clock_scale = f64::NAN),
        ("listen", |config| {
            config.listen = "192.0.2.1:1".parse().expect("an address")
        }),
        ("folder", |config| {
            config.state = PathBuf::from("/dev/null/state")
        }),
    ];
    for (part, change) in refused {
        let mut config = config(&folder);
        change(&mut config);
        let error = Sandbox::start(config).await.expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
    let warned: &[(&str, Change)] = &[
        ("whoever reaches", |config| {
            config.listen = "0.0.0.0:0".parse().expect("an address")
        }),
        ("107 bytes", |config| config.state.push("long/".repeat(30))),
    ];
    for (part, change) in warned {
        let mut config = config(&folder);
        change(&mut config);
        let sandbox = Sandbox::start(config).await.expect("a sandbox");
        let warnings = sandbox.warnings();
        assert!(
            warnings.len() == 1 && warnings[0].contains(part),
            "{warnings:?}"
        );
        assert!(sandbox.endpoint().starts_with("http://127.0.0.1:"));
    }
    let limited = SandboxConfig {
        limits: vec![("images".to_owned(), Limit::Number(3))],
        ..config(&folder)
    };
    let sandbox = Sandbox::start(limited).await.expect("a sandbox");
    assert_eq!(sandbox.shared().limits.quota("images"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_and_the_server_lives() {
    let live = Live::start().await;
    let post = |head: &str, body: &str| {
        let length = body.len();
        format!("POST / HTTP/1.1\r\nhost: a\r\n{head}content-length: {length}\r\n\r\n{body}")
    };
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let unknown = "authorization: AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/iam/\
                   aws4_request, SignedHeaders=host, Signature=0\r\n";
    let head = "POST / HTTP/1.1\r\nhost: a\r\n";
    for (request, status, part) in [
        ("NONSENSE\r\n\r\n".to_owned(), 400, ""),
        (
            format!(
                "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
                "x".repeat(300_000)
            ),
            431,
            "",
        ),
        (format!("{head}content-length: x\r\n\r\n"), 400, ""),
        (
            format!("{head}{form}transfer-encoding: chunked\r\n\r\nzz\r\n"),
            400,
            "IncompleteBody",
        ),
        (
            post(form, "Action=DescribeImages"),
            403,
            "MissingAuthenticationToken",
        ),
        (post(form, "Version=2011-06-15"), 403, "sts.amazonaws.com"),
        (
            post("x-amz-target: TrentService.Encrypt\r\n", "{}"),
            400,
            "MissingAuthenticationTokenException",
        ),
        (
            post(unknown, ""),
            403,
            "a service that the sandbox does not have",
        ),
        (
            format!(
                "{head}{form}content-length: 1048577\r\n\r\n{}",
                "x".repeat(1_048_577)
            ),
            413,
            "RequestEntityTooLarge",
        ),
    ] {
        let start = &request[..request.len().min(80)];
        let (found, body) = live
            .send(request.as_bytes())
            .await
            .unwrap_or_else(|| panic!("{start}"));
        assert_eq!(found, status, "{start}: {body}");
        assert!(body.contains(part), "{start}: {body}");
        assert!(live.is_alive().await, "after {start}");
    }
    // A client that breaks off in the middle is nobody's problem.
    let mut stream = live.tcp().await;
    let broken = format!("{head}{form}content-length: 100\r\n\r\nAct");
    stream.write_all(broken.as_bytes()).await.expect("written");
    drop(stream);
    assert!(live.is_alive().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_is_told_to_continue() {
    let live = Live::start().await;
    let request = live.call(Service::Sts, "Action=GetCallerIdentity&Version=2011-06-15");
    let text = String::from_utf8(request).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut stream = live.tcp().await;
    let head = format!("{head}\r\nexpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.expect("an answer");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    let (status, _) = exchange(stream, body.as_bytes()).await.expect("an answer");
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_serves_all_but_control() {
    let live = Live::start().await;
    let socket = live.folder.path().join("state").join(SOCKET);
    let request = live.call(Service::Sts, "Action=GetCallerIdentity&Version=2011-06-15");
    let health = b"GET /_sandbox/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for (request, status) in [(request.as_slice(), 200), (health, 403)] {
        let stream = UnixStream::connect(&socket).await.expect("a connection");
        let (found, body) = exchange(stream, request).await.expect("an answer");
        assert_eq!(found, status, "{body}");
    }
    let (status, _) = live.send(health).await.expect("an answer");
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_recorded() {
    let live = Live::start().await;
    live.ec2(CREATE).await.expect("an answer");
    live.ec2("Action=MakeCoffee").await.expect("an answer");
    let unsigned = "POST / HTTP/1.1\r\nhost: a\r\nx-amz-target: TrentService.Encrypt\r\n\
                    content-length: 0\r\n\r\n";
    live.send(unsigned.as_bytes()).await.expect("an answer");
    live.send(b"GET /bucket/key HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("an answer");
    let calls = live.calls();
    let found: Vec<_> = calls
        .iter()
        .map(|call| {
            let account = call.account.as_ref().map(AccountId::as_str);
            (
                call.service,
                call.operation.as_str(),
                account,
                call.status,
                call.error.as_deref(),
            )
        })
        .collect();
    let publisher = Some("111111111111");
    let missing = Some("MissingAuthenticationTokenException");
    assert_eq!(
        found,
        [
            (Service::Ec2, "CreateVolume", publisher, Some(200), None),
            (
                Service::Ec2,
                "MakeCoffee",
                publisher,
                Some(400),
                Some("InvalidAction")
            ),
            (Service::Kms, "Encrypt", None, Some(400), missing),
            (
                Service::S3,
                "GetObject",
                None,
                Some(404),
                Some("NoSuchBucket")
            ),
        ]
    );
    assert!(calls[0].parameters.contains("us-east-1a"));
    assert!(
        calls[0]
            .principal
            .as_deref()
            .is_some_and(|arn| arn.ends_with("user/admin"))
    );
    assert!(
        calls
            .iter()
            .all(|call| call.request_id.len() == 36 && call.faults.is_empty())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_before_and_after_the_work() {
    let live = Live::start().await;
    let on = |action| Rule::on(Service::Ec2, "CreateVolume", action).times(1);
    let error = Action::Error {
        status: 500,
        code: "InternalError".to_owned(),
        message: "told to".to_owned(),
    };
    let delay = Action::Delay { ms: 30 };
    // Status, code, and whether the volume is made.
    for (action, status, code, made) in [
        (
            Action::Throttle,
            Some(503),
            Some("RequestLimitExceeded"),
            false,
        ),
        (error, Some(500), Some("InternalError"), false),
        (
            Action::Deny,
            Some(403),
            Some("UnauthorizedOperation"),
            false,
        ),
        (
            Action::ExpireCredentials,
            Some(400),
            Some("RequestExpired"),
            false,
        ),
        (Action::CloseBefore, None, None, false),
        (Action::CloseAfter, None, None, true),
        (delay.clone(), Some(200), None, true),
    ] {
        live.add_fault(on(action.clone()));
        let before = live.volumes();
        let answer = live.ec2(CREATE).await;
        assert_eq!(
            answer.as_ref().map(|(status, _)| *status),
            status,
            "{action:?}"
        );
        if let (Some(code), Some((_, body))) = (code, &answer) {
            assert!(body.contains(&format!("<Code>{code}</Code>")), "{body}");
        }
        assert_eq!(live.volumes() - before, usize::from(made), "{action:?}");
        let call = live.calls().last().cloned().expect("a call");
        assert_eq!(
            (call.status, call.error.as_deref()),
            (status, code),
            "{action:?}"
        );
        assert_eq!(call.faults.len(), 1, "{action:?}");
        if action == delay {
            assert!(call.duration_ms >= 30.0, "{}", call.duration_ms);
        }
    }
    // All were for one call.
    let (status, _) = live.ec2(CREATE).await.expect("an answer");
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_call_ends_with_its_client() {
    let live = Live::start().await;
    live.add_fault(Rule::on(Service::Ec2, "CreateVolume", Action::Stall));
    let mut stream = live.tcp().await;
    let request = live.call(Service::Ec2, &format!("{CREATE}&Version=2016-11-15"));
    stream.write_all(&request).await.expect("written");
    let silent = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
    assert!(silent.is_err(), "{silent:?}");
    assert!(live.is_alive().await, "others are answered");
    drop(stream);
    let noted = async {
        while live
            .calls()
            .iter()
            .all(|call| call.operation != "CreateVolume")
        {
            tokio::task::yield_now().await;
        }
    };
    let patience = Duration::from_secs(10);
    tokio::time::timeout(patience, noted)
        .await
        .expect("the end of the call");
    assert_eq!(live.volumes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_objects() {
    let live = Live::start().await;
    let delay = Action::Delay { ms: 1 };
    for (action, status, code) in [
        (Action::Throttle, Some(503), Some("SlowDown")),
        (Action::Deny, Some(403), Some("AccessDenied")),
        (Action::ExpireCredentials, Some(400), Some("ExpiredToken")),
        (Action::CloseBefore, None, None),
        (Action::CloseAfter, None, None),
        (delay, Some(404), Some("NoSuchBucket")),
    ] {
        live.add_fault(Rule::on(Service::S3, "GetObject", action.clone()).times(1));
        let request = b"GET /bucket/key HTTP/1.1\r\nhost: a\r\n\r\n";
        let answer = live.send(request).await;
        assert_eq!(answer.map(|(status, _)| status), status, "{action:?}");
        let call = live.calls().last().cloned().expect("a call");
        assert_eq!(
            (call.status, call.error.as_deref()),
            (status, code),
            "{action:?}"
        );
        assert_eq!(call.faults.len(), 1, "{action:?}");
    }
    let presigned = Unsigned {
        method: "GET",
        uri: format!("http://{}/bucket/key", live.host()),
        headers: vec![],
        body: b"",
        service: "s3",
        region: "us-east-1",
        time: SystemTime::now(),
        presigned: Some(Duration::from_secs(60)),
        unsigned_payload: true,
    };
    let key = live.sandbox.credentials("customer").expect("a key");
    let account = key.caller.account.clone();
    live.add_fault(Rule::new(Action::Throttle).by_account(account.clone()));
    let (uri, _) = signed(&presigned, &key);
    let request = format!("GET {uri} HTTP/1.1\r\nhost: {}\r\n\r\n", live.host());
    let (status, body) = live.send(request.as_bytes()).await.expect("an answer");
    assert_eq!(status, 503, "{body}");
    assert_eq!(
        live.calls().last().cloned().expect("a call").account,
        Some(account)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_blocks_do_not_hold_up_others() {
    let live = Live::start().await;
    live.add_fault(Rule::on(Service::Ec2, "CreateTags", Action::Stall));
    let filler = "x".repeat(100_000);
    let body = format!("Action=CreateTags&Version=2016-11-15&Filler={filler}");
    let mut stalled = Vec::new();
    for _ in 0..40 {
        let mut stream = live.tcp().await;
        let request = live.call(Service::Ec2, &body);
        stream.write_all(&request).await.expect("written");
        stalled.push(stream);
    }
    let body = format!("{DESCRIBE}&Filler={filler}");
    let other = tokio::time::timeout(Duration::from_secs(20), live.ec2(&body));
    let (status, answer) = other.await.expect("in time").expect("an answer");
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("UnknownParameter"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_reads_see_the_world_before() {
    let live = Live::start().await;
    let ms = 60_000;
    live.add_fault(Rule::on(Service::Ec2, "CreateVolume", Action::StaleReads { ms }).nth(2));
    let count = async || {
        let (_, body) = live.ec2(DESCRIBE).await.expect("an answer");
        body.matches("<volumeId>").count()
    };
    live.ec2(CREATE).await.expect("an answer");
    assert_eq!(count().await, 1);
    live.ec2(CREATE).await.expect("an answer");
    assert_eq!((count().await, live.volumes()), (1, 2));
    live.sandbox.shared().faults.clear();
    assert_eq!(count().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_are_kept_and_can_be_lifted() {
    let live = Live::start().await;
    let limits = &live.sandbox.shared().limits;
    limits
        .apply("ec2-mutating", "0/1".parse().expect("a rate"))
        .expect("set");
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let (status, _) = live.ec2(CREATE).await.expect("an answer");
        statuses.push(status);
    }
    assert_eq!(statuses, [200, 503]);
    assert_eq!(
        live.calls()[1].error.as_deref(),
        Some("RequestLimitExceeded")
    );
    limits.apply("rates", Limit::UNLIMITED).expect("lifted");
    let (status, _) = live.ec2(CREATE).await.expect("an answer");
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_calls_in_progress() {
    let live = Live::start().await;
    live.add_fault(Rule::on(
        Service::Ec2,
        "CreateVolume",
        Action::Delay { ms: 100 },
    ));
    let request = live.call(Service::Ec2, &format!("{CREATE}&Version=2016-11-15"));
    let address = live.sandbox.address();
    let stream = live.tcp().await;
    let shared = Arc::clone(live.sandbox.shared());
    let call = tokio::spawn(async move { exchange(stream, &request).await });
    // It is under way once the fault has seen it.
    while shared.faults.list()[0].seen == 0 {
        tokio::task::yield_now().await;
    }
    live.sandbox.stop().await;
    let (status, _) = call.await.expect("a task").expect("an answer");
    assert_eq!(status, 200);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_panic_is_an_error_of_the_sandbox() {
    let result = endpoint::guarded(async { panic!("a bug, for the test") }).await;
    let error: crate::sandbox::error::ServiceError = match result {
        Err(error) => error,
        Ok(()) => panic!("it did not panic"),
    };
    assert_eq!((&*error.code, error.status), ("InternalError", 500));
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_in_the_query() {
    let live = Live::start().await;
    let host = live.host();
    let unsigned = Unsigned {
        method: "GET",
        uri: format!("http://{host}/?Action=DescribeVolumes&Version=2016-11-15&MaxResults=x"),
        headers: vec![("host", &host)],
        body: b"",
        service: "ec2",
        region: "us-east-1",
        time: SystemTime::now(),
        presigned: Some(Duration::from_secs(60)),
        unsigned_payload: false,
    };
    let key = live.sandbox.credentials("publisher").expect("a key");
    for (uri, code) in [
        (unsigned.uri.replace("&MaxResults=x", ""), None),
        (unsigned.uri.clone(), Some("InvalidParameterValue")),
        (
            unsigned.uri.replace("MaxResults", "X-Amz-Other"),
            Some("UnknownParameter"),
        ),
    ] {
        let (uri, _) = signed(
            &Unsigned {
                uri,
                ..unsigned.clone()
            },
            &key,
        );
        let request = format!("GET {uri} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let (status, body) = live.send(request.as_bytes()).await.expect("an answer");
        let error = live.calls().last().cloned().expect("a call").error.clone();
        assert_eq!(error.as_deref(), code, "{status} {body}");
    }
}
