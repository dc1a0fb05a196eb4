//! The services, and which one a request is for.

use hyper::HeaderMap;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::error::ServiceError;
use super::http::{Reply, Request};
use super::{ebs, ec2, kms, organizations, sts};

/// A service of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// EC2, query protocol.
    Ec2,
    /// EBS direct APIs, REST with JSON.
    Ebs,
    /// KMS, JSON 1.1.
    Kms,
    /// S3, REST with XML.
    S3,
    /// STS, query protocol.
    Sts,
    /// Organizations, JSON 1.1.
    Organizations,
}

impl Service {
    /// Every service.
    pub const ALL: [Service; 6] = [
        Service::Ec2,
        Service::Ebs,
        Service::Kms,
        Service::S3,
        Service::Sts,
        Service::Organizations,
    ];

    /// The name in a signature's scope.
    pub fn name(self) -> &'static str {
        match self {
            Service::Ec2 => "ec2",
            Service::Ebs => "ebs",
            Service::Kms => "kms",
            Service::S3 => "s3",
            Service::Sts => "sts",
            Service::Organizations => "organizations",
        }
    }

    /// The service with a name.
    pub fn named(name: &str) -> Option<Service> {
        Service::ALL
            .into_iter()
            .find(|service| service.name() == name)
    }

    /// The service that an unsigned request seems to be for, by its form: what has nothing of the
    /// others may be for S3, which serves some buckets to everybody.
    pub fn guess(method: &hyper::Method, path: &str, query: &str, headers: &HeaderMap) -> Service {
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default()
        };
        let target = header("x-amz-target");
        let is_form = header("content-type").starts_with("application/x-www-form-urlencoded");
        let has_action = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "Action");
        if target.starts_with("TrentService.") {
            Service::Kms
        } else if target.starts_with("AWSOrganizations") {
            Service::Organizations
        } else if path == "/" && query.contains("Version=2011-06-15") {
            Service::Sts
        } else if path == "/" && (has_action || is_form && method == hyper::Method::POST) {
            Service::Ec2
        } else {
            Service::S3
        }
    }

    /// The operation that a request asks for, as far as its form tells.
    pub fn operation(self, request: &Request) -> Option<String> {
        match self {
            Service::Ec2 | Service::Sts => form_urlencoded::parse(&request.body)
                .chain(form_urlencoded::parse(request.query.as_bytes()))
                .find(|(name, _)| name == "Action")
                .map(|(_, action)| action.into_owned()),
            Service::Kms | Service::Organizations => request
                .header("x-amz-target")
                .and_then(|target| target.split_once('.'))
                .map(|(_, operation)| operation.to_owned()),
            Service::Ebs => ebs::operation(request).map(str::to_owned),
            Service::S3 => None,
        }
    }

    /// The request as the service reads it: of the query protocol, parameters may stand in the
    /// query too, as in a presigned request.
    ///
    /// # Errors
    /// The method or the path is none of the protocol's.
    pub fn with_all_parameters(self, mut request: Request) -> Result<Request, ServiceError> {
        let is_post = request.method == hyper::Method::POST;
        match self {
            Service::Ec2 | Service::Sts => {
                if !is_post && request.method != hyper::Method::GET {
                    return Err(ServiceError::new(
                        "UnsupportedHttpVerb",
                        format!(
                            "The requested HTTP verb is not supported: {}",
                            request.method
                        ),
                    ));
                }
                request.body = merged(&request.query, &request.body).into();
            }
            Service::Kms | Service::Organizations if !is_post || request.path != "/" => {
                return Err(ServiceError::new(
                    "UnknownOperationException",
                    format!("{} {} is no operation", request.method, request.path),
                )
                .status(404));
            }
            _ => {}
        }
        Ok(request)
    }

    /// Answers a call.
    ///
    /// # Errors
    /// The service's own.
    pub fn handle(self, context: &Context) -> Result<Reply, ServiceError> {
        match self {
            Service::Ec2 => ec2::handle(context),
            Service::Ebs => ebs::handle(context),
            Service::Kms => kms::handle(context),
            Service::Sts => sts::handle(context),
            Service::Organizations => organizations::handle(context),
            Service::S3 => Err(ServiceError::internal("S3 has a way of its own")),
        }
    }

    /// An error in the service's form.
    pub fn render_error(self, error: &ServiceError, request_id: &str) -> Reply {
        let mut xml = super::wire::xml::Xml::new();
        let document = match self {
            Service::Ec2 => {
                xml.node("Response", |xml| {
                    xml.node("Errors", |xml| {
                        xml.node("Error", |xml| {
                            xml.text("Code", &error.code)
                                .text("Message", &error.message);
                        });
                    });
                    xml.text("RequestID", request_id);
                });
                Reply::xml(format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}",
                    xml.as_str()
                ))
            }
            Service::Sts => {
                xml.node("Error", |xml| {
                    let side = if error.status < 500 {
                        "Sender"
                    } else {
                        "Receiver"
                    };
                    xml.text("Type", side)
                        .text("Code", &error.code)
                        .text("Message", &error.message);
                })
                .text("RequestId", request_id);
                Reply::xml(format!(
                    "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">{}</ErrorResponse>",
                    xml.as_str()
                ))
            }
            Service::S3 => {
                xml.node("Error", |xml| {
                    xml.text("Code", &error.code)
                        .text("Message", &error.message)
                        .text("RequestId", request_id);
                });
                Reply::xml(format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}",
                    xml.as_str()
                ))
            }
            Service::Kms | Service::Organizations | Service::Ebs => json_error(self, error),
        };
        Reply {
            status: error.status,
            ..document
        }
    }
}

/// A form of the parameters in a query, without those of a signature, and in a body.
fn merged(query: &str, body: &[u8]) -> Vec<u8> {
    let of_signature = |pair: &&str| {
        [
            "Algorithm",
            "Credential",
            "Date",
            "Expires",
            "SignedHeaders",
            "Signature",
            "Security-Token",
        ]
        .iter()
        .any(|name| {
            pair.strip_prefix("X-Amz-")
                .and_then(|rest| rest.strip_prefix(name))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    };
    let mut form = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !of_signature(pair))
        .collect::<Vec<_>>()
        .join("&")
        .into_bytes();
    if !form.is_empty() && !body.is_empty() {
        form.push(b'&');
    }
    form.extend_from_slice(body);
    form
}

fn json_error(service: Service, error: &ServiceError) -> Reply {
    let message = match service {
        Service::Ebs => "Message",
        _ => "message",
    };
    let mut body = serde_json::Map::new();
    if service != Service::Ebs {
        body.insert("__type".to_owned(), error.code.as_ref().into());
    }
    body.insert(message.to_owned(), error.message.as_str().into());
    for (name, value) in &error.members {
        body.insert((*name).to_owned(), value.as_str().into());
    }
    let content_type = match service {
        Service::Ebs => "application/json",
        _ => "application/x-amz-json-1.1",
    };
    Reply {
        status: error.status,
        headers: vec![
            ("content-type", content_type.to_owned()),
            ("x-amzn-errortype", error.code.clone().into_owned()),
        ],
        body: serde_json::Value::Object(body).to_string().into(),
    }
}
