//! A request's parameters for the record, without what is secret or long.

use serde_json::{Map, Value};

use crate::sandbox::http::Request;
use crate::sandbox::service::Service;

/// A longer text is cut.
const LONGEST_TEXT: usize = 512;
/// Parameters that are longer together are left out.
const LONGEST: usize = 8 << 10;

/// Members that are secret: data to be encrypted or signed, user data, credentials.
const SECRET: &[&str] = &[
    "Plaintext",
    "CiphertextBlob",
    "Message",
    "Signature",
    "Mac",
    "UserData",
    "SecretAccessKey",
    "SessionToken",
    "TokenCode",
    "PrivateKey",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "X-Amz-Credential",
];

/// The parameters of a request, as JSON: of the query protocol by name, of JSON services the body,
/// and of all others the path and the query.
pub fn parameters(service: Service, request: &Request) -> String {
    let value = match service {
        Service::Ec2 | Service::Sts => {
            let mut members = Map::new();
            form(&request.query, &mut members);
            form(&String::from_utf8_lossy(&request.body), &mut members);
            Value::Object(members)
        }
        Service::Kms | Service::Organizations => {
            let mut value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
            cut(&mut value);
            value
        }
        Service::Ebs | Service::S3 => {
            let mut value = of_path(&request.path, &request.query);
            let is_json = request.method == hyper::Method::POST && service == Service::Ebs;
            if let (true, Ok(mut body)) = (is_json, serde_json::from_slice(&request.body)) {
                cut(&mut body);
                value.insert("body".to_owned(), body);
            }
            Value::Object(value)
        }
    };
    let text = value.to_string();
    if text.len() > LONGEST {
        return Value::String(format!("({} bytes)", text.len())).to_string();
    }
    text
}

/// The path and the query, as parameters.
pub fn of_path(path: &str, query: &str) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("path".to_owned(), shortened(path));
    form(query, &mut members);
    members
}

fn form(text: &str, members: &mut Map<String, Value>) {
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let value = if name.split('.').any(|part| SECRET.contains(&part)) {
            hidden(value.len())
        } else {
            shortened(&value)
        };
        members.insert(name.into_owned(), value);
    }
}

fn cut(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if SECRET.contains(&name.as_str()) => {
                        *member = hidden(text.len());
                    }
                    other => cut(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(cut),
        Value::String(text) if text.len() > LONGEST_TEXT => *value = shortened(text),
        _ => {}
    }
}

fn hidden(length: usize) -> Value {
    Value::String(format!("({length} bytes)"))
}

fn shortened(text: &str) -> Value {
    if text.len() <= LONGEST_TEXT {
        return text.into();
    }
    let start: String = text.chars().take(LONGEST_TEXT / 4).collect();
    Value::String(format!("{start}… ({} bytes)", text.len()))
}
