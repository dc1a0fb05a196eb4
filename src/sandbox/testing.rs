//! A sandbox without HTTP, for the tests of its rooms.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::caller::Caller;
use super::context::Context;
use super::error::ServiceError;
use super::faults::Mishaps;
use super::http::{Reply, Request};
use super::server::{SandboxConfig, open};
use super::service::Service;
use super::shared::Shared;
use std::sync::Arc;

/// A sandbox in a folder of its own. Calls are made as an account, without signatures.
pub struct Bed {
    pub shared: Arc<Shared>,
    pub folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Bed {
    /// The default accounts, and states that change at once.
    pub fn new() -> Bed {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let guard = runtime.enter();
        let shared = open(&SandboxConfig::for_tests(folder.path().to_owned())).expect("a sandbox");
        drop(guard);
        Bed {
            shared,
            folder,
            _runtime: runtime,
        }
    }

    /// Calls to a sandbox that listens. Jobs and machines run on `runtime`.
    pub fn around(shared: Arc<Shared>, runtime: tokio::runtime::Runtime) -> Bed {
        Bed {
            shared,
            folder: tempfile::tempdir().expect("a folder"),
            _runtime: runtime,
        }
    }

    /// The administrator of an account, `publisher` or `customer`; of `publisher/ci` a session of
    /// the role `ci`.
    pub fn caller(&self, account: &str) -> Caller {
        if let Some((account, role)) = account.split_once('/') {
            let id = self.caller(account).account;
            return Caller {
                arn: format!("arn:aws:sts::{id}:assumed-role/{role}/session"),
                user_id: "AROA0000000000000000A:session".to_owned(),
                role: Some(format!("arn:aws:iam::{id}:role/{role}")),
                account: id,
            };
        }
        self.shared.read(|world| {
            let id = &world
                .accounts
                .values()
                .find(|known| known.name == account)
                .expect("an account")
                .id;
            let keys: Vec<_> = world.access_keys.values().collect();
            let key = keys.iter().find(|key| key.caller.account == *id);
            key.expect("a key").caller.clone()
        })
    }

    /// Gives a role, such as `publisher/ci`, a policy of these statements.
    pub fn confine(&self, role: &str, statements: serde_json::Value) {
        let (account, name) = role.split_once('/').expect("an account and a role");
        let account = self.caller(account).account;
        let document = serde_json::json!({"Version": "2012-10-17", "Statement": statements});
        let put = self.shared.transact(|world| {
            let put = world.iam.put(&account, name, &document.to_string());
            put.map_err(ServiceError::internal)
        });
        put.expect("a policy");
    }

    /// The context of a call.
    pub fn context(
        &self,
        service: Service,
        operation: &str,
        account: &str,
        region: &str,
        request: Request,
    ) -> Context {
        Context {
            shared: Arc::clone(&self.shared),
            caller: self.caller(account),
            region: region.parse().expect("a Region"),
            service,
            operation: operation.to_owned(),
            request_id: super::id::new_uuid(),
            request,
            now: self.shared.clock.now(),
            mishaps: Mishaps::default(),
            stale: None,
        }
    }

    /// A call of the query protocol. Jobs that it starts are waited for.
    pub fn query(
        &self,
        service: Service,
        account: &str,
        region: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<Xml, ServiceError> {
        let version = match service {
            Service::Sts => "2011-06-15",
            _ => "2016-11-15",
        };
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("Action", action)
            .append_pair("Version", version);
        for (name, value) in params {
            body.append_pair(name, value);
        }
        let request = request("POST", "/", &[], body.finish().as_bytes());
        let context = self.context(service, action, account, region, request);
        let reply = service.handle(&context)?;
        self.shared.settle();
        Ok(Xml::parse(&reply))
    }

    /// A call of EC2 in `us-east-1`.
    pub fn ec2(
        &self,
        account: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<Xml, ServiceError> {
        self.query(Service::Ec2, account, "us-east-1", action, params)
    }

    /// A call of the JSON 1.1 protocol.
    pub fn json(
        &self,
        service: Service,
        account: &str,
        region: &str,
        operation: &str,
        body: serde_json::Value,
    ) -> Result<serde_json::Value, ServiceError> {
        let request = request("POST", "/", &[], body.to_string().as_bytes());
        let context = self.context(service, operation, account, region, request);
        let reply = service.handle(&context)?;
        self.shared.settle();
        Ok(if reply.body.is_empty() {
            serde_json::Value::Null
        } else {
            serde_json::from_slice(&reply.body).expect("JSON")
        })
    }
}

/// A request; `path` may have a query.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Request {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    Request {
        method: method.parse().expect("a method"),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| {
                let name: hyper::header::HeaderName = name.parse().expect("a name");
                (name, value.parse().expect("a value"))
            })
            .collect(),
        body: body.to_vec().into(),
        body_sha256: Sha256::digest(body).into(),
    }
}

/// An XML answer, as its leaves by path: `imagesSet/item[0]/imageId`. `item` always has an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xml(pub BTreeMap<String, String>);

impl Xml {
    /// Reads an answer; the document's own element is not part of the paths.
    pub fn parse(reply: &Reply) -> Xml {
        use quick_xml::events::Event;
        let mut reader = quick_xml::Reader::from_reader(&*reply.body);
        let mut leaves = BTreeMap::new();
        let mut path: Vec<(String, BTreeMap<String, usize>)> = Vec::new();
        let mut text = String::new();
        loop {
            match reader.read_event().expect("XML") {
                Event::Start(element) => {
                    let mut name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
                    if let Some((_, seen)) = path.last_mut() {
                        let count = seen.entry(name.clone()).or_default();
                        if name == "item" || name == "member" {
                            name = format!("{name}[{count}]");
                        }
                        *count += 1;
                    }
                    path.push((name, BTreeMap::new()));
                    text.clear();
                }
                Event::Text(part) => text.push_str(&part.decode().expect("text")),
                Event::GeneralRef(entity) => {
                    text.push_str(match &*entity.decode().expect("text") {
                        "lt" => "<",
                        "gt" => ">",
                        "amp" => "&",
                        "quot" => "\"",
                        "apos" => "'",
                        other => panic!("entity {other}"),
                    })
                }
                Event::End(_) => {
                    let names: Vec<&str> = path.iter().skip(1).map(|(name, _)| &**name).collect();
                    if path.last().is_some_and(|(_, seen)| seen.is_empty()) {
                        leaves.insert(names.join("/"), std::mem::take(&mut text));
                    }
                    path.pop();
                    text.clear();
                }
                Event::Eof => break,
                _ => {}
            }
        }
        Xml(leaves)
    }

    /// The text at a path; panics with the whole answer where there is none.
    pub fn text(&self, path: &str) -> &str {
        self.get(path)
            .unwrap_or_else(|| panic!("no {path} in {:#?}", self.0))
    }

    /// The text at a path.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Every text whose path ends so, in the order of the paths.
    pub fn all(&self, end: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(path, _)| path.ends_with(end))
            .map(|(_, text)| text.as_str())
            .collect()
    }
}

mod tests {
    use super::*;

    #[test]
    fn unknown_action() {
        let error = Bed::new().ec2("publisher", "MakeCoffee", &[]).unwrap_err();
        assert_eq!(error.code, "InvalidAction");
    }
}
