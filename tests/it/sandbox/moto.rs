//! The same calls to the sandbox and to moto: what they answer is the same, but for what
//! `moto/*.jsonl` names.
//!
//! A row is one call: its name (`row`), who calls (`as`: `customer` is an account that the
//! publisher gets into with AssumeRole), the call itself (`ec2 DescribeVolumes`, `s3 PUT /bucket`)
//! and what goes with it (`with`, `headers`, `body`). `save` names parts of the answer for later
//! rows, which write them `${name}`. `differs` names each part in which the two answers differ and
//! says who is wrong, or why both are right: a path, which stands for everything below it too, and
//! in which `[*]` is any index. `everywhere` says so for each call of an operation, or of a service
//! (`ec2 *`).

mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use self::parts::{Parts, RANDOM, expand, kind, parts};
use super::client::{Call, Client, Keys};
use super::place::{CUSTOMER, PUBLISHER, Place, python_tool};

/// moto's account, where nobody says otherwise.
const MOTO_ACCOUNT: &str = "123456789012";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    row: String,
    #[serde(default)]
    r#as: Who,
    #[serde(default)]
    region: Option<String>,
    call: String,
    #[serde(default)]
    with: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    save: BTreeMap<String, String>,
    #[serde(default)]
    differs: BTreeMap<String, String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Who {
    #[default]
    Publisher,
    Customer,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Everywhere {
    everywhere: String,
    differs: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Row(Box<Row>),
    Everywhere(Everywhere),
}

#[test]
fn answers_are_the_same() {
    let place = Place::new();
    let moto = Moto::start();
    let mut ours = Side::new(place.publisher());
    let mut theirs = Side::new(moto.client(&place.publisher()));
    let mut wrong = Vec::new();
    let mut rows = 0;
    for (file, lines) in tables() {
        let mut everywhere = Vec::new();
        let mut seen = BTreeSet::new();
        for line in lines {
            match line {
                Line::Everywhere(said) => everywhere.push(said),
                Line::Row(row) => {
                    rows += 1;
                    let found = (ours.answer(&row), theirs.answer(&row));
                    for problem in compare(&row, &found.0, &found.1, &everywhere, &mut seen) {
                        wrong.push(format!("{file}: {}: {problem}", row.row));
                    }
                }
            }
        }
        for said in &everywhere {
            for path in said.differs.keys() {
                if !seen.contains(&(said.everywhere.clone(), path.clone())) {
                    let operation = &said.everywhere;
                    wrong.push(format!(
                        "{file}: everywhere: {operation}: {path} is the same on both sides"
                    ));
                }
            }
        }
    }
    assert!(rows >= 60, "{rows} rows");
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Every table, in the order of their names.
fn tables() -> Vec<(String, Vec<Line>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sandbox/moto");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    files.sort();
    let table = |path: PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy();
        let text = fs::read_to_string(&path).expect("a table");
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let lines = lines.map(|(number, line)| {
            read(line).unwrap_or_else(|why| panic!("{name}:{}: {why}", number + 1))
        });
        (name.to_string(), lines.collect())
    };
    files.into_iter().map(table).collect()
}

/// How what is said of a difference begins.
const VERDICTS: &[&str] = &["moto is wrong: ", "moto knows more: ", "both are right: "];

fn read(line: &str) -> Result<Line, String> {
    let line: Line = serde_json::from_str(line).map_err(|why| why.to_string())?;
    let differs = match &line {
        Line::Row(row) => &row.differs,
        Line::Everywhere(said) => &said.differs,
    };
    for why in differs.values() {
        if !VERDICTS.iter().any(|verdict| why.starts_with(verdict)) {
            return Err(format!("`{why}` does not say who is wrong"));
        }
    }
    Ok(line)
}

/// What is not as the table has it.
fn compare(
    row: &Row,
    ours: &Parts,
    theirs: &Parts,
    everywhere: &[Everywhere],
    seen: &mut BTreeSet<(String, String)>,
) -> Vec<String> {
    let operation = row.call.split('?').next().unwrap_or_default();
    let differing: Vec<&String> = ours
        .keys()
        .chain(theirs.keys())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|path| ours.get(*path) != theirs.get(*path))
        // Of an error and a success, all else differs.
        .filter(|path| {
            let both = ours.contains_key("code") == theirs.contains_key("code");
            both || ["status", "code"].contains(&path.as_str())
        })
        .collect();
    let mut problems = Vec::new();
    for path in &differing {
        let mut named = row.differs.keys().any(|pattern| covers(pattern, path));
        for said in everywhere {
            let service = said.everywhere.strip_suffix('*');
            let is_meant = match service {
                Some(service) => operation.starts_with(service),
                None => said.everywhere == operation,
            };
            if !is_meant {
                continue;
            }
            for pattern in said.differs.keys() {
                if covers(pattern, path) {
                    seen.insert((said.everywhere.clone(), pattern.clone()));
                    named = true;
                }
            }
        }
        if !named {
            let show = |parts: &Parts| match parts.get(*path) {
                Some(text) => format!("`{text}`"),
                None => "nothing".to_owned(),
            };
            problems.push(format!(
                "{path}: {} here, {} at moto",
                show(ours),
                show(theirs)
            ));
        }
    }
    for pattern in row.differs.keys() {
        if !differing.iter().any(|path| covers(pattern, path)) {
            problems.push(format!("{pattern} is the same on both sides"));
        }
    }
    problems
}

/// Whether a path is what a pattern says, or below it.
fn covers(pattern: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    pattern.split('/').all(|wanted| {
        let Some(part) = parts.next() else {
            return false;
        };
        match wanted.strip_suffix("[*]") {
            Some(name) => part.split('[').next() == Some(name),
            None => wanted == part,
        }
    })
}

/// One of the two.
struct Side {
    publisher: Client,
    customer: Option<Client>,
    saved: BTreeMap<String, String>,
}

impl Side {
    fn new(publisher: Client) -> Side {
        Side {
            publisher,
            customer: None,
            saved: BTreeMap::new(),
        }
    }

    /// Sends a row's call, and makes the answer comparable.
    fn answer(&mut self, row: &Row) -> Parts {
        let client = match row.r#as {
            Who::Publisher => self.publisher.clone(),
            Who::Customer => self.customer(),
        };
        let client = match &row.region {
            Some(region) => client.in_region(region),
            None => client,
        };
        let (service, call) = self.call(row);
        let answer = client
            .send(service, &call)
            .unwrap_or_else(|refused| panic!("{}: {refused}", row.row));
        let parts = parts(service, &answer);
        for (name, path) in &row.save {
            if let Some(value) = parts.get(path) {
                self.saved.insert(name.clone(), value.clone());
            }
        }
        parts
            .into_iter()
            .map(|(path, text)| {
                let last = path.rsplit('/').next().unwrap_or_default();
                let text = match RANDOM.contains(&last) {
                    true => format!("<{last}>"),
                    false => self.comparable(&text),
                };
                (path, text)
            })
            .collect()
    }

    /// The customer's account, by AssumeRole.
    fn customer(&mut self) -> Client {
        if self.customer.is_none() {
            let assumed = self.publisher.sts(
                "AssumeRole",
                &[
                    ("RoleArn", &format!("arn:aws:iam::{CUSTOMER}:role/customer")),
                    ("RoleSessionName", "customer"),
                ],
            );
            let assumed = assumed.expect("a session");
            let part = |name: &str| {
                let path = format!("AssumeRoleResult/Credentials/{name}");
                assumed.text(&path).to_owned()
            };
            self.customer = Some(self.publisher.with_keys(Keys {
                id: part("AccessKeyId"),
                secret: part("SecretAccessKey"),
                session: Some(part("SessionToken")),
            }));
        }
        self.customer.clone().expect("it was just made")
    }

    fn call<'a>(&self, row: &'a Row) -> (&'a str, Call) {
        let filled = |text: &String| {
            let mut text = text.clone();
            for (name, value) in &self.saved {
                text = text.replace(&format!("${{{name}}}"), value);
            }
            text
        };
        let (service, rest) = row.call.split_once(' ').expect("a service and a call");
        let mut call = match (service, rest.split_once(' ')) {
            ("ec2" | "sts", None) => {
                let version = match service {
                    "ec2" => "2016-11-15",
                    _ => "2011-06-15",
                };
                let mut body = form_urlencoded::Serializer::new(String::new());
                body.append_pair("Action", rest)
                    .append_pair("Version", version);
                for (name, value) in &row.with {
                    body.append_pair(name, &filled(value));
                }
                let kind = "application/x-www-form-urlencoded; charset=utf-8";
                return (
                    service,
                    Call::new("POST", "/")
                        .header("content-type", kind)
                        .body(body.finish()),
                );
            }
            (_, Some(("GET", path))) => Call::new("GET", &filled(&path.to_owned())),
            (_, Some(("PUT", path))) => Call::new("PUT", &filled(&path.to_owned())),
            (_, Some(("HEAD", path))) => Call::new("HEAD", &filled(&path.to_owned())),
            (_, Some(("POST", path))) => Call::new("POST", &filled(&path.to_owned())),
            (_, Some(("DELETE", path))) => Call::new("DELETE", &filled(&path.to_owned())),
            _ => panic!("{}: no such call: {}", row.row, row.call),
        };
        for (name, value) in &row.headers {
            call = call.header(name, filled(value));
        }
        (service, call.body(expand(&filled(&row.body))))
    }

    /// A value as it can be compared: ids, times and accounts by what they stand for.
    fn comparable(&self, text: &str) -> String {
        let mut text = text.replace(MOTO_ACCOUNT, PUBLISHER);
        for (name, value) in &self.saved {
            let is_name = value.len() > 7;
            if is_name {
                text = text.replace(value.as_str(), &format!("<{name}>"));
            }
        }
        let endpoint = &self.publisher.endpoint;
        kind(&text).unwrap_or_else(|| text.replace(endpoint.as_str(), "<endpoint>"))
    }
}

/// moto's server, ended when dropped.
struct Moto {
    process: Child,
    endpoint: String,
}

impl Moto {
    fn start() -> Moto {
        let mut process = Command::new(python_tool("moto_server"))
            .args(["-H", "127.0.0.1", "-p", "0"])
            .env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto starts");
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let endpoint = loop {
            let line = lines.next().expect("moto serves").expect("UTF-8");
            if let Some((_, url)) = line.split_once("Running on ") {
                break url.trim().to_owned();
            }
        };
        // It writes a line for each request, and must be read.
        std::thread::spawn(move || lines.for_each(drop));
        Moto { process, endpoint }
    }

    fn client(&self, like: &Client) -> Client {
        Client {
            endpoint: self.endpoint.clone(),
            ..like.clone()
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn patterns_cover_what_is_below() {
    for (pattern, path, expected) in [
        ("a", "a", true),
        ("a", "a/b", true),
        ("a/b", "a", false),
        ("a", "ab", false),
        ("a/item[*]/b", "a/item[1]/b", true),
        ("a/item[*]/b", "a/item[12]/b/c", true),
        ("a/item[*]/b", "a/item[1]/c", false),
        ("a/item[0]", "a/item[1]", false),
        ("Contents[*]", "Contents/Key", true),
    ] {
        assert_eq!(covers(pattern, path), expected, "{pattern} {path}");
    }
}
