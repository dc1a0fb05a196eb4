//! A request on its way: which service, who, what is to go wrong, and the service's answer.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};
use time::macros::format_description;
use tokio::task::{JoinSet, spawn_blocking};

use super::Body;
use super::body::Bodies;
use super::connections::Peer;
use super::environment::Environment;
use crate::sandbox::calls::{self, Recording};
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::control;
use crate::sandbox::error::ServiceError;
use crate::sandbox::faults::{Mishaps, Plan, Refusal, Subject};
use crate::sandbox::http::{Reply, Request};
use crate::sandbox::id::new_uuid;
use crate::sandbox::limits::Charged;
use crate::sandbox::service::Service;
use crate::sandbox::shared::Shared;
use crate::sandbox::sigv4;
use crate::sandbox::sts;

/// A call that stalls is let go after this time, if its client does not give up before.
const LONGEST_STALL: Duration = Duration::from_secs(600);

/// The endpoint.
#[derive(Debug)]
pub(in crate::sandbox) struct Endpoint {
    pub shared: Arc<Shared>,
    /// Such as `http://127.0.0.1:4566`.
    pub url: String,
    pub bodies: Bodies,
}

/// The connection is to be closed without an answer, by a fault that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("closed by a fault that the sandbox was told to have")]
pub(super) struct Closed;

/// What is left of a call once it is let in.
enum Step {
    Done(Result<Reply, ServiceError>),
    /// Something befalls it that takes time or ends the connection.
    Wait(Box<Context>, Plan),
}

impl Endpoint {
    pub fn new(shared: Arc<Shared>, url: String) -> Endpoint {
        Endpoint {
            shared,
            url,
            bodies: Bodies::new(),
        }
    }

    /// Answers a request, or closes the connection.
    pub(super) async fn answer(
        self: Arc<Self>,
        peer: Peer,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Body>, Closed> {
        if control::is_for(request.uri().path(), request.headers()) {
            return Ok(control::answer(&self, peer, request).await);
        }
        let request_id = new_uuid();
        let uri = request.uri();
        let query = uri.query().unwrap_or_default();
        let scope = sigv4::scope(request.headers(), query);
        let guess = Service::guess(request.method(), uri.path(), query, request.headers());
        let service = match &scope {
            None => guess,
            Some(scope) => match Service::named(&scope.service) {
                Some(service) => service,
                None => {
                    let error = sigv4::Refusal::Mismatch(format!(
                        "The request is signed for a service that the sandbox does not have: '{}'",
                        scope.service
                    ))
                    .answer(guess);
                    return Ok(respond(
                        guess.render_error(&error, &request_id),
                        &request_id,
                    ));
                }
            },
        };
        let shared = Arc::clone(&self.shared);
        let answered = match service {
            Service::S3 => super::objects::answer(self, scope, request, request_id).await,
            _ => self.call(service, request, request_id).await,
        };
        answered.map(|response| dated(response, shared.clock.now()))
    }

    /// Answers a call of any service but S3.
    async fn call(
        self: Arc<Self>,
        mut service: Service,
        request: hyper::Request<Incoming>,
        request_id: String,
    ) -> Result<hyper::Response<Body>, Closed> {
        let recording = Recording::new(&self.shared, service, &request_id);
        let (head, body) = request.into_parts();
        let result = match self.bodies.read(body).await {
            Err(unread) => Err(unread.answer(service)),
            Ok(held) => {
                let body = held.bytes.clone();
                service = told_apart(service, &head, &body);
                let shared = Arc::clone(&self.shared);
                let id = request_id.clone();
                let noted = Arc::clone(&recording);
                let step = spawn_blocking(move || {
                    let request = whole(head, body);
                    begin(shared, service, request, id, &noted)
                });
                match step.await {
                    Err(panic) => Err(ServiceError::internal(panic)),
                    Ok(Err(error)) => Err(error),
                    Ok(Ok(Step::Done(result))) => result,
                    Ok(Ok(Step::Wait(context, plan))) => {
                        // While it waits, others are to have its place.
                        drop(held);
                        misbehave(*context, plan).await?
                    }
                }
            }
        };
        let error = result.as_ref().err().map(|error| error.code.to_string());
        let reply = result.unwrap_or_else(|error| service.render_error(&error, &request_id));
        recording.note(|call| {
            call.status = Some(reply.status);
            call.error = error;
        });
        if service == Service::Organizations {
            self.renew_environment();
        }
        Ok(respond(reply, &request_id))
    }
}

impl Endpoint {
    /// Writes the environment anew if there are other accounts than before.
    fn renew_environment(&self) {
        let environment = Environment::of(&self.shared, &self.url);
        let folder = &self.shared.folder;
        if Environment::read(folder).is_ok_and(|known| known == environment) {
            return;
        }
        if let Err(error) = environment.write(folder) {
            tracing::warn!(%error, "sandbox: cannot write the environment for clients");
        }
    }
}

/// Of two services with the same protocol, the one that an unsigned request is for.
fn told_apart(service: Service, head: &hyper::http::request::Parts, body: &[u8]) -> Service {
    let is_unsigned = !head.headers.contains_key("authorization");
    let is_of_sts = || {
        form_urlencoded::parse(body).any(|(name, value)| name == "Version" && value == "2011-06-15")
    };
    if service == Service::Ec2 && is_unsigned && is_of_sts() {
        Service::Sts
    } else {
        service
    }
}

fn whole(head: hyper::http::request::Parts, body: hyper::body::Bytes) -> Request {
    Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body_sha256: Sha256::digest(&body).into(),
        body,
    }
}

/// Lets a call in, and does its work if nothing befalls it.
fn begin(
    shared: Arc<Shared>,
    service: Service,
    request: Request,
    request_id: String,
    recording: &Recording,
) -> Result<Step, ServiceError> {
    let operation = service.operation(&request).unwrap_or_default();
    let parameters = calls::parameters(service, &request);
    recording.note(|call| {
        call.service = service;
        call.operation.clone_from(&operation);
        call.parameters.clone_from(&parameters);
    });
    let (region, caller) = match sts::unsigned(service, &operation, &request) {
        Some(who) => who,
        None => sigv4::authenticate(&shared, service, &request)?,
    };
    recording.note(|call| {
        call.account = Some(caller.account.clone());
        call.principal = Some(caller.arn.clone());
        call.region = Some(region.clone());
    });
    let mut context = Context {
        now: shared.clock.now(),
        shared,
        caller,
        region,
        service,
        operation,
        request_id,
        request: service.with_all_parameters(request)?,
        mishaps: Mishaps::default(),
        stale: None,
    };
    let plan = context.shared.faults.plan(&subject(&context), &parameters);
    recording.note(|call| call.faults.clone_from(&plan.faults));
    if plan.refusal.is_none() {
        admit(&context)?;
    }
    context.mishaps = plan.mishaps.clone();
    context.stale = context.shared.faults.old_world(&subject(&context));
    if plan.refusal.is_some() || plan.close_after || !plan.delay.is_zero() {
        return Ok(Step::Wait(Box::new(context), plan));
    }
    Ok(Step::Done(work(&context, &plan)))
}

fn subject(context: &Context) -> Subject<'_> {
    Subject {
        service: context.service,
        operation: &context.operation,
        caller: Some(&context.caller),
        region: Some(&context.region),
    }
}

/// Counts a call against the rates.
fn admit(context: &Context) -> Result<(), ServiceError> {
    let request = &context.request;
    let is_filtered = context.service != Service::Ec2
        || form_urlencoded::parse(&request.body)
            .any(|(name, _)| !matches!(&*name, "Action" | "Version" | "DryRun"));
    // `/snapshots/<id>/blocks/<index>`
    let resource = request.path.split('/').nth(2).unwrap_or_default();
    context.shared.limits.admit(&Charged {
        service: context.service,
        operation: &context.operation,
        account: &context.caller.account,
        region: &context.region,
        resource,
        is_filtered,
    })
}

/// Does a call's work.
fn work(context: &Context, plan: &Plan) -> Result<Reply, ServiceError> {
    let before = plan.stale_reads.map(|_| context.shared.snapshot());
    let reply = context.service.handle(context)?;
    if let (Some(before), Some(lasting)) = (before, plan.stale_reads) {
        let faults = &context.shared.faults;
        faults.show_old_world(&subject(context), before, lasting);
    }
    Ok(reply)
}

/// Does to a call what was asked for.
async fn misbehave(context: Context, plan: Plan) -> Result<Result<Reply, ServiceError>, Closed> {
    let context = plan.refusal.is_none().then_some(context);
    if let Some(error) = refuse(&plan).await? {
        return Ok(Err(error));
    }
    let Some(context) = context else {
        return Err(Closed);
    };
    let close_after = plan.close_after;
    let result = spawn_blocking(move || work(&context, &plan))
        .await
        .unwrap_or_else(|panic| Err(ServiceError::internal(panic)));
    if close_after { Err(Closed) } else { Ok(result) }
}

/// Waits as long as the plan says, and gives the error that it refuses the call with.
pub(super) async fn refuse(plan: &Plan) -> Result<Option<ServiceError>, Closed> {
    tokio::time::sleep(plan.delay).await;
    match &plan.refusal {
        None => Ok(None),
        Some(Refusal::Error(error)) => Ok(Some(error.clone())),
        Some(Refusal::Close) => Err(Closed),
        Some(Refusal::Stall) => {
            tokio::time::sleep(LONGEST_STALL).await;
            Err(Closed)
        }
    }
}

/// Waits for a future of another room, whose panic is not ours. It ends with us.
pub(super) async fn guarded<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, ServiceError> {
    let mut task = JoinSet::new();
    task.spawn(future);
    match task.join_next().await {
        Some(Ok(value)) => Ok(value),
        Some(Err(panic)) => Err(ServiceError::internal(panic)),
        None => Err(ServiceError::internal("a call was lost")),
    }
}

/// AWS's answers tell its time, which is how clients learn that their clock is wrong.
fn dated(mut response: hyper::Response<Body>, now: Timestamp) -> hyper::Response<Body> {
    // RFC 9110, section 5.6.7.
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = now.date_time().format(format).ok();
    if let Some(date) = date.and_then(|date| date.parse().ok()) {
        response.headers_mut().insert(hyper::header::DATE, date);
    }
    response
}

/// An answer on its way out.
pub(super) fn respond(reply: Reply, request_id: &str) -> hyper::Response<Body> {
    let mut response = hyper::Response::builder()
        .status(reply.status)
        .header("x-amzn-requestid", request_id);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let body = Full::new(reply.body)
        .map_err(|never| match never {})
        .boxed();
    response.body(body).unwrap_or_else(|error| {
        tracing::error!(%error, "sandbox: an answer with a header that HTTP cannot have");
        let mut response = hyper::Response::new(super::empty_body());
        *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
