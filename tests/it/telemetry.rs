//! Traces, as a collector gets them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use prost::Message as _;

use crate::nightly::town::Town;
use crate::publish::house::{House, REGIONS};
use crate::support::{self, Ended};

/// A request as it was sent: path, headers and body.
struct Sent {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// A collector. It ends with the test's process.
struct Collector {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Collector {
    /// One that answers so; without a status it never answers.
    fn start(status: Option<&'static str>) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sent);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for client in listener.incoming().flatten() {
                let mut reader = BufReader::new(client);
                let request = read(&mut reader);
                kept.lock().expect("no panic").push(request);
                let mut client = reader.into_inner();
                match status {
                    None => silent.push(client),
                    Some(status) => {
                        let head = "content-length: 0\r\nconnection: close\r\n\r\n";
                        // A client that goes away is its own business.
                        let _ = write!(client, "HTTP/1.1 {status}\r\n{head}");
                    }
                }
            }
        });
        Collector { address, sent }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was sent, and the resource of the first.
    fn spans(&self) -> (Vec<Span>, BTreeMap<String, String>) {
        let sent = self.sent.lock().expect("no panic");
        let mut spans = Vec::new();
        let mut resource = BTreeMap::new();
        for request in sent.iter() {
            assert_eq!(request.path, "/v1/traces");
            assert_eq!(request.headers["content-type"], "application/x-protobuf");
            let told = ExportTraceServiceRequest::decode(&*request.body).expect("protobuf");
            for of_resource in told.resource_spans {
                resource = attributes(&of_resource.resource.expect("a resource").attributes);
                spans.extend(
                    of_resource
                        .scope_spans
                        .into_iter()
                        .flat_map(|scope| scope.spans),
                );
            }
        }
        (spans, resource)
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Sent {
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let headers: BTreeMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).expect("a body");
    Sent {
        path: first.split(' ').nth(1).unwrap_or_default().to_owned(),
        headers,
        body,
    }
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &KeyValue| match value.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    all.iter()
        .map(|value| (value.key.clone(), text(value)))
        .collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no span {name} among {spans:#?}"))
}

/// The spans right below another one.
fn below<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a Span> {
    let below = spans.iter();
    below
        .filter(|span| span.parent_span_id == parent.span_id)
        .collect()
}

fn status(span: &Span) -> StatusCode {
    span.status
        .as_ref()
        .map_or(StatusCode::Unset, |status| status.code())
}

/// The program, with nothing of telemetry in its environment but this.
fn with(mut command: Command, variables: &[(&str, &str)]) -> Command {
    let inherited: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
    for name in inherited {
        let text = name.to_string_lossy();
        if text.starts_with("OTEL_") || text.starts_with("TRACE") {
            command.env_remove(&name);
        }
    }
    command.env("NO_PROXY", "127.0.0.1");
    command.envs(variables.iter().copied());
    command
}

fn run(variables: &[(&str, &str)], args: &[&str]) -> Ended {
    let mut command = with(support::program(), variables);
    Ended::from(command.args(args).output().expect("it starts"))
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_command_is_a_span_of_the_cis_trace() {
    let collector = Collector::start(Some("200 OK"));
    let variables = [
        (ENDPOINT, &*collector.url()),
        ("TRACEPARENT", PARENT),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x"),
        ("OTEL_RESOURCE_ATTRIBUTES", "ci=yes"),
    ];
    let said = run(&variables, &["profile", "list"]);
    assert_eq!(said.stderr, "");
    assert!(said.done().contains("kubezero"));
    let (spans, resource) = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:#?}");
    let span = named(&spans, "alpine-ami profile list");
    assert_eq!(hex(&span.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&span.parent_span_id), "b7ad6b7169203331");
    assert_eq!(status(span), StatusCode::Ok);
    let told = attributes(&span.attributes);
    assert_eq!(told["command"], "profile list");
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["exit_status"], "0");
    assert_eq!(resource["service.name"], "alpine-ami");
    assert_eq!(resource["ci"], "yes");
    let sent = collector.sent.lock().expect("no panic");
    assert_eq!(sent[0].headers["authorization"], "Bearer x");
}

#[test]
fn a_failure_is_told_without_its_words() {
    let collector = Collector::start(Some("200 OK"));
    let variables = [
        (ENDPOINT, &*collector.url()),
        ("OTEL_SERVICE_NAME", "nightly"),
    ];
    run(&variables, &["diff", "secret-name-one", "secret-name-two"]).failed(2);
    let (spans, resource) = collector.spans();
    let span = named(&spans, "alpine-ami diff");
    assert_eq!(status(span), StatusCode::Error);
    assert_eq!(attributes(&span.attributes)["exit_status"], "2");
    assert_eq!(span.parent_span_id.len(), 0);
    assert_eq!(resource["service.name"], "nightly");
    let sent = collector.sent.lock().expect("no panic");
    let body = String::from_utf8_lossy(&sent[0].body);
    assert!(!body.contains("secret-name"), "{body}");
}

#[test]
fn stages_and_regions_are_below_the_command() {
    let house = House::new();
    let collector = Collector::start(Some("200 OK"));
    let image = house.image("one", &[(0, 1)]);
    let mut command = with(house.program(), &[(ENDPOINT, &*collector.url())]);
    let args = ["publish", image.to_str().expect("a path")];
    let said = Ended::from(command.args(args).output().expect("it starts"));
    assert!(!said.stderr.contains("warning"), "{}", said.stderr);
    said.done();
    let (spans, _) = collector.spans();
    let command = named(&spans, "alpine-ami publish");
    let publish = named(&spans, "publish");
    assert_eq!(publish.parent_span_id, command.span_id);
    let mut regions = Vec::new();
    for span in spans
        .iter()
        .filter(|span| span.name == "publish in a Region")
    {
        assert_eq!(span.parent_span_id, publish.span_id);
        assert_eq!(span.trace_id, command.trace_id);
        let told = attributes(&span.attributes);
        assert!(told["release"].starts_with("base-3.15-"), "{told:?}");
        regions.push(told["region"].clone());
    }
    regions.sort_unstable();
    let mut expected = REGIONS[..2].to_vec();
    expected.sort_unstable();
    assert_eq!(regions, expected);
    assert_eq!(spans.len(), 4, "{spans:#?}");
    let sent = collector.sent.lock().expect("no panic");
    let client = house.place.publisher();
    for request in sent.iter() {
        let body = String::from_utf8_lossy(&request.body);
        assert!(!body.contains(&client.keys.id) && !body.contains(&client.keys.secret));
    }
}

/// `nightly lock done`, and the stages below each.
fn steps(spans: &[Span], of: &Span) -> BTreeMap<String, Vec<String>> {
    let steps = below(spans, of).into_iter();
    let steps = steps.filter(|span| attributes(&span.attributes).contains_key("step"));
    let told = steps.map(|step| {
        let outcome = &attributes(&step.attributes)["outcome"];
        assert_eq!(status(step) == StatusCode::Error, outcome == "failed");
        let stages = below(spans, step).into_iter();
        let stages = stages.map(|stage| stage.name.clone()).collect();
        (format!("{} {outcome}", step.name), stages)
    });
    told.collect()
}

#[test]
fn a_nightly_is_one_trace_of_its_images_and_their_steps() {
    let town = Town::new();
    town.profile("broken", "packages = [\"no-such-package\"]");
    let collector = Collector::start(Some("200 OK"));
    let variables = [(ENDPOINT, &*collector.url()), ("TRACEPARENT", PARENT)];
    let mut command = with(town.command(&["base", "broken"]), &variables);
    let ended = Ended::from(command.output().expect("it starts"));
    assert_eq!(ended.status, 1, "{}", ended.stderr);
    let (spans, _) = collector.spans();
    for span in &spans {
        assert_eq!(hex(&span.trace_id), "0af7651916cd43dd8448eb211c80319c");
    }
    let run = named(&spans, "nightly");
    let command = named(&spans, "alpine-ami nightly");
    assert_eq!(run.parent_span_id, command.span_id);
    assert_eq!(status(run), StatusCode::Error);
    let expected = |steps: &[(&str, &[&str])]| -> BTreeMap<String, Vec<String>> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let steps = steps.iter();
        steps
            .map(|(step, stages)| ((*step).to_owned(), owned(stages)))
            .collect()
    };
    let once = [
        ("nightly share skipped", &[][..]),
        ("nightly prune skipped", &["prune"]),
    ];
    assert_eq!(steps(&spans, run), expected(&once));
    let images = below(&spans, run).into_iter();
    let images = images.filter(|span| span.name == "nightly image");
    let images: BTreeMap<String, &Span> = images
        .map(|image| (attributes(&image.attributes)["profile"].clone(), image))
        .collect();
    assert_eq!(images.len(), 2, "{spans:#?}");
    let base = attributes(&images["base"].attributes);
    assert_eq!(
        (&*base["arch"], &*base["outcome"]),
        ("x86_64", "published"),
        "{base:?}"
    );
    assert_eq!(base["release"], town.releases()[0]);
    let all = [
        ("nightly lock done", &[][..]),
        ("nightly build done", &["build"]),
        ("nightly test skipped", &[]),
        ("nightly publish done", &["publish"]),
        ("nightly promote done", &["promote"]),
    ];
    assert_eq!(steps(&spans, images["base"]), expected(&all));
    assert_eq!(status(images["broken"]), StatusCode::Error);
    let failed = [("nightly lock failed", &[][..])];
    assert_eq!(steps(&spans, images["broken"]), expected(&failed));
}

#[test]
fn what_is_pruned_is_told_by_release_and_region() {
    let house = House::new();
    let prune = "[prune]\nunpromoted_days = 0\nversion_days = 0\n";
    house.configure(&format!("{}\n{prune}", house.config()));
    let first = house.publish(&house.image("one", &[(0, 1)]), &[]);
    // Of the same day: releases of one second would be equally new.
    house.place.advance(60);
    house.publish(&house.image("two", &[(0, 2)]), &[]);
    let collector = Collector::start(Some("200 OK"));
    let mut command = with(house.program(), &[(ENDPOINT, &*collector.url())]);
    let ended = command.args(["prune", "--yes"]).output();
    Ended::from(ended.expect("it starts")).done();
    let (spans, _) = collector.spans();
    let prune = named(&spans, "prune");
    let command = named(&spans, "alpine-ami prune");
    assert_eq!(prune.parent_span_id, command.span_id);
    let releases = below(&spans, prune);
    let [release] = releases[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(release.name, "prune a release");
    assert_eq!(attributes(&release.attributes)["release"], first["release"]);
    let regions = below(&spans, release).into_iter().map(|span| {
        assert_eq!(span.name, "prune in a Region");
        attributes(&span.attributes)["region"].clone()
    });
    let mut regions: Vec<String> = regions.collect();
    regions.sort_unstable();
    let mut expected = REGIONS[..2].to_vec();
    expected.sort_unstable();
    assert_eq!(regions, expected);
}

#[test]
fn a_collector_that_is_down_costs_one_warning() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr();
    let gone = format!("http://{}", gone.expect("an address"));
    let (silent, angry) = (Collector::start(None), Collector::start(Some("500 No")));
    for (url, why) in [
        (gone, "Connection refused"),
        (silent.url(), ""),
        (angry.url(), "the collector answered HTTP 500"),
        ("no address".to_owned(), ""),
    ] {
        let begun = Instant::now();
        let said = run(&[(ENDPOINT, &*url)], &["profile", "list"]);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(20), "{url}: {took:?}");
        let warning = "warning: traces could not be sent to OTEL_EXPORTER_OTLP_ENDPOINT: ";
        assert!(
            said.stderr.starts_with(warning) && said.stderr.contains(why),
            "{url}: {}",
            said.stderr
        );
        assert_eq!(said.stderr.lines().count(), 1, "{url}: {}", said.stderr);
        assert!(said.done().contains("kubezero"));
    }
}

#[test]
fn nothing_is_sent_where_nobody_asks_for_it() {
    let collector = Collector::start(Some("200 OK"));
    let url = collector.url();
    for variables in [
        &[(ENDPOINT, &*url), ("OTEL_SDK_DISABLED", "true")][..],
        &[(ENDPOINT, &*url), ("OTEL_TRACES_EXPORTER", "none")],
        &[(ENDPOINT, "")],
        // The CI's trace is not to be sampled.
        &[
            (ENDPOINT, &*url),
            ("TRACEPARENT", &*PARENT.replace("-01", "-00")),
        ],
    ] {
        let said = run(variables, &["profile", "list"]);
        assert_eq!(said.stderr, "", "{variables:?}");
        said.done();
    }
    assert!(collector.sent.lock().expect("no panic").is_empty());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
