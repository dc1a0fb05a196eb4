//! Traces of a run for an OpenTelemetry collector, where the environment names one.
//!
//! `OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) says where they are sent, by
//! OTLP over HTTP in protobuf; without it nothing of this is set up. `OTEL_EXPORTER_OTLP_HEADERS`,
//! `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_EXPORTER=none` and
//! `OTEL_SDK_DISABLED` mean what they mean everywhere. `TRACEPARENT` is the span that the run belongs to:
//! a CI's step. See <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
//!
//! The command is the outermost span; stages such as `build` and `publish` are below it, and Regions below
//! those. Of a nightly, the images and their steps are between the command and the stages. They carry names, and neither errors nor arguments: these may hold what is not for a collector.
//! A collector that is down costs a run no more than [`LAST_WORDS`] and one warning.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use crate::causes::deepest;

/// The target of spans that are sent: logs do not show them.
pub(crate) const TARGET: &str = "telemetry";
/// How long the end of a run waits for a collector.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(3);

/// What is set up where traces are wanted.
pub struct Telemetry {
    provider: SdkTracerProvider,
    failure: Arc<OnceLock<String>>,
    parent: Context,
}

/// Reads a variable; an empty one counts as none.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the environment asks for traces.
fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name, word: &str| variable(name).is_some_and(|it| it.eq_ignore_ascii_case(word));
    let endpoints = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ];
    endpoints.iter().any(|name| variable(name).is_some())
        && !is("OTEL_SDK_DISABLED", "true")
        && !is("OTEL_TRACES_EXPORTER", "none")
}

impl Telemetry {
    /// Sets up what the environment asks for; nothing where it asks for nothing.
    ///
    /// # Errors
    /// Why it cannot be done; the run can do without.
    pub fn from_environment() -> Result<Option<Telemetry>, String> {
        match is_wanted(variable) {
            true => Telemetry::start().map(Some),
            false => Ok(None),
        }
    }

    fn start() -> Result<Telemetry, String> {
        let failure = Arc::new(OnceLock::new());
        let client = Client::start(Arc::clone(&failure))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .build()
            .map_err(|error| error.to_string())?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(exporter)
            .build();
        Ok(Telemetry {
            provider,
            failure,
            parent: parent(),
        })
    }

    /// What takes spans from `tracing` and gives them to the collector.
    pub fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        let tracer = self.provider.tracer("alpine-ami");
        let wanted = filter_fn(|it| it.is_span() && it.target() == TARGET);
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(wanted)
            .boxed()
    }

    /// The span of a command, such as `share apply`; everything else is below it.
    pub fn command(&self, name: &str) -> Span {
        let span = tracing::info_span!(
            target: TARGET,
            "command",
            otel.name = format!("alpine-ami {name}"),
            command = name,
            version = env!("CARGO_PKG_VERSION"),
            exit_status = Empty,
            otel.status_code = Empty,
        );
        // It fails only where there is no such layer, and then there is no span either.
        let _ = span.set_parent(self.parent.clone());
        span
    }

    /// Sends what is left, for at most [`LAST_WORDS`]; why not everything was sent, if so.
    pub fn finish(self) -> Option<String> {
        let ended = self.provider.shutdown_with_timeout(LAST_WORDS);
        let failure = self.failure.get().cloned();
        let late = |_| format!("no answer within {} s", LAST_WORDS.as_secs());
        failure.or_else(|| ended.err().map(late))
    }
}

/// A span that is sent: `span!("publish", release = %id)`.
macro_rules! span {
    ($name:literal $(, $($fields:tt)*)?) => {
        tracing::info_span!(
            target: $crate::telemetry::TARGET,
            $name,
            otel.status_code = tracing::field::Empty,
            $($($fields)*)?
        )
    };
}

pub(crate) use span;

/// Does a stage's work in its span, and says on it whether the work failed.
pub(crate) async fn stage<T, E>(
    span: Span,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let result = work.instrument(span.clone()).await;
    if result.is_err() {
        failed(&span);
    }
    result
}

/// Says on a stage's span that its work failed, where that is no error of the stage.
pub(crate) fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// Says on a command's span how it ended.
pub fn ended(span: &Span, status: u8, failed: bool) {
    span.record("exit_status", status);
    span.record("otel.status_code", if failed { "ERROR" } else { "OK" });
}

/// What the run is, as far as the environment does not say it.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version);
    let attributes = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let mut names = attributes
        .split(',')
        .filter_map(|pair| pair.split_once('='));
    let is_named = variable("OTEL_SERVICE_NAME").is_some()
        || names.any(|(name, _)| name.trim() == "service.name");
    match is_named {
        true => resource.build(),
        false => resource.with_service_name("alpine-ami").build(),
    }
}

/// The span that the environment says the run belongs to.
fn parent() -> Context {
    let carried = [("traceparent", "TRACEPARENT"), ("tracestate", "TRACESTATE")];
    let carrier: HashMap<String, String> = carried
        .into_iter()
        .filter_map(|(header, name)| Some((header.to_owned(), variable(name)?)))
        .collect();
    TraceContextPropagator::new().extract(&carrier)
}

/// Sends over HTTP, with a runtime of its own: spans are sent by a thread that has none.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: tokio::runtime::Handle,
    /// The first thing that went wrong.
    failure: Arc<OnceLock<String>>,
}

impl Client {
    fn start(failure: Arc<OnceLock<String>>) -> Result<Client, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("telemetry")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let http = reqwest::Client::builder()
            .timeout(REQUEST)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("alpine-ami/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| deepest(&error))?;
        let handle = runtime.handle().clone();
        // It lives as long as the program: to end it would be to wait for a name server that does
        // not answer.
        std::mem::forget(runtime);
        Ok(Client {
            http,
            runtime: handle,
            failure,
        })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.runtime.spawn(send(http, request));
        let answer = sent.await.unwrap_or_else(|error| Err(error.to_string()));
        let answer = answer.and_then(|answer| match answer.status() {
            status if status.is_success() => Ok(answer),
            status => Err(format!("the collector answered HTTP {status}")),
        });
        answer.map_err(|why| {
            let _ = self.failure.set(why.clone());
            why.into()
        })
    }
}

async fn send(http: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
    /// A collector has little to say.
    const MOST_BYTES: usize = 1 << 20;
    let told = |error: reqwest::Error| deepest(&error);
    let request = reqwest::Request::try_from(request).map_err(told)?;
    let mut answer = http.execute(request).await.map_err(told)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(told)? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            return Err(format!("the answer does not end after {MOST_BYTES} bytes"));
        }
    }
    let mut whole = Response::new(Bytes::from(body));
    *whole.status_mut() = status;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_sent_only_where_they_are_wanted() {
        const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        for (set, wanted) in [
            (&[][..], false),
            (&[ENDPOINT], true),
            (
                &[(
                    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                    "http://localhost:4318/v1/traces",
                )],
                true,
            ),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")], false),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "false")], true),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], false),
            (
                &[(
                    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
                    "http://localhost:4318",
                )],
                false,
            ),
        ] {
            let environment: HashMap<_, _> = set.iter().copied().collect();
            let variable = |name: &str| environment.get(name).map(|value| (*value).to_owned());
            assert_eq!(is_wanted(variable), wanted, "{set:?}");
        }
    }
}
