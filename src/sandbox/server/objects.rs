//! Requests for S3, whose bodies stream and whose signatures its own library verifies.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::Body;
use super::endpoint::{Closed, Endpoint, guarded, refuse, respond};
use crate::sandbox::caller::Caller;
use crate::sandbox::calls::{self, Recording};
use crate::sandbox::error::ServiceError;
use crate::sandbox::faults::Subject;
use crate::sandbox::id::Region;
use crate::sandbox::limits::Charged;
use crate::sandbox::s3;
use crate::sandbox::service::Service;
use crate::sandbox::sigv4::Scope;

/// Who asks for what, as far as the request says: unverified, and only for faults, rates and the
/// record.
struct Claim {
    operation: String,
    bucket: String,
    caller: Option<Caller>,
    region: Option<Region>,
}

impl Claim {
    fn subject(&self) -> Subject<'_> {
        Subject {
            service: Service::S3,
            operation: &self.operation,
            caller: self.caller.as_ref(),
            region: self.region.as_ref(),
        }
    }
}

/// Answers a request for S3, or closes the connection.
pub(super) async fn answer(
    endpoint: Arc<Endpoint>,
    scope: Option<Scope>,
    request: hyper::Request<Incoming>,
    request_id: String,
) -> Result<hyper::Response<Body>, Closed> {
    let shared = &endpoint.shared;
    let recording = Recording::new(shared, Service::S3, &request_id);
    let claim = read_claim(&endpoint, scope, &request);
    let query = request.uri().query().unwrap_or_default();
    let parameters = calls::of_path(request.uri().path(), query);
    let parameters = serde_json::Value::Object(parameters).to_string();
    let plan = shared.faults.plan(&claim.subject(), &parameters);
    recording.note(|call| {
        call.operation.clone_from(&claim.operation);
        call.account = claim.caller.as_ref().map(|caller| caller.account.clone());
        call.principal = claim.caller.as_ref().map(|caller| caller.arn.clone());
        call.region.clone_from(&claim.region);
        call.parameters = parameters;
        call.faults.clone_from(&plan.faults);
    });
    let refused = match refuse(&plan).await? {
        Some(error) => Some(error),
        None => admit(&endpoint, &claim).err(),
    };
    let response = match refused {
        Some(error) => Err(error),
        None => {
            let served = s3::serve(Arc::clone(shared), request, request_id.clone());
            guarded(served).await
        }
    };
    if plan.close_after {
        return Err(Closed);
    }
    let response = response.unwrap_or_else(|error| {
        let reply = Service::S3.render_error(&error, &request_id);
        respond(reply, &request_id)
    });
    Ok(noted(response, &recording).await)
}

fn read_claim(
    endpoint: &Endpoint,
    scope: Option<Scope>,
    request: &hyper::Request<Incoming>,
) -> Claim {
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    let caller = scope.as_ref().and_then(|scope| {
        endpoint.shared.read(|world| {
            let key = world.access_keys.get(&scope.access_key)?;
            Some(key.caller.clone())
        })
    });
    Claim {
        operation: s3::operation(request.method(), path, query, request.headers()).to_owned(),
        bucket: path.split('/').nth(1).unwrap_or_default().to_owned(),
        caller,
        region: scope.and_then(|scope| scope.region.parse().ok()),
    }
}

fn admit(endpoint: &Endpoint, claim: &Claim) -> Result<(), ServiceError> {
    match (&claim.caller, &claim.region) {
        (Some(caller), Some(region)) => endpoint.shared.limits.admit(&Charged {
            service: Service::S3,
            operation: &claim.operation,
            account: &caller.account,
            region,
            resource: &claim.bucket,
            is_filtered: true,
        }),
        _ => Ok(()),
    }
}

/// Writes the outcome down; an error's code stands in its body.
async fn noted(response: hyper::Response<Body>, recording: &Recording) -> hyper::Response<Body> {
    let status = response.status();
    recording.note(|call| call.status = Some(status.as_u16()));
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (head, body) = response.into_parts();
    let Ok(body) = body.collect().await else {
        return hyper::Response::from_parts(head, super::empty_body());
    };
    let bytes = body.to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map(|(code, _)| code.to_owned());
    recording.note(|call| call.error = code);
    let body = Full::new(bytes).map_err(|never| match never {}).boxed();
    hyper::Response::from_parts(head, body)
}
