//! The policy of the publisher's bucket: our statements in it, which let customers read the catalog, and
//! all the others, which stay as they are.
//!
//! Ours have Sids that begin with [`SID`] and the publisher's name: two publishers may share a bucket,
//! each with a prefix of its own. Accounts are named by their roots and organizations by conditions on
//! fixed ids: such a policy is not public, and Block Public Access may stay on
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status>).

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value, json};

use super::statements::{self, KINDS, Kind};
use super::{Foreign, PolicyError, User, are_alike, closed, opened, tag};
use crate::aws::{AccountId, Region};

/// What the Sids of our statements begin with, before the publisher's name.
pub const SID: &str = "AlpineAmiCatalog";

/// So many bytes a bucket's policy has at most.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/add-bucket-policy.html>
pub const MOST_BYTES: usize = 20_480;

/// What customers read lies below these; the prefix comes before them. Nothing else of the bucket is
/// theirs: `shares.json`, leases, the jobs of build instances.
pub const FOLDERS: [&str; 3] = ["catalog/", "channels/", "releases/"];

/// The end of the Sid of the statement for everybody.
const EVERYBODY: &str = "Everybody";

/// Who may read the catalog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// Whoever asks, without signing the request.
    Everybody,
    /// A party, as policies name it.
    Party(User),
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reader::Everybody => f.pad("everybody"),
            Reader::Party(user) => user.fmt(f),
        }
    }
}

/// Where a publisher's catalog is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The bucket.
    pub bucket: String,
    /// What its keys begin with: nothing, or what ends with `/`.
    pub prefix: String,
    /// The bucket's Region.
    pub region: Region,
    /// The publisher's name.
    pub publisher: String,
}

impl Place {
    /// Where it is, as people write it.
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    fn resources(&self) -> Vec<String> {
        let Place { bucket, prefix, .. } = self;
        let partition = self.region.partition();
        let each = FOLDERS.iter();
        each.map(|folder| format!("arn:{partition}:s3:::{bucket}/{prefix}{folder}*"))
            .collect()
    }

    fn sid(&self) -> String {
        format!("{SID}{}", tag(&self.publisher))
    }

    /// Whom a statement of ours lets read; nothing where it is not ours.
    fn readers(&self, statement: &Value) -> Option<Vec<Reader>> {
        let end = statement["Sid"].as_str()?.strip_prefix(&self.sid())?;
        if end == EVERYBODY {
            return Some(vec![Reader::Everybody]);
        }
        let kind = KINDS.into_iter().find(|kind| format!("{kind:?}") == end)?;
        let users = statements::named(statement, kind).into_iter();
        Some(users.map(Reader::Party).collect())
    }

    /// The statements for these readers.
    fn written(&self, readers: &BTreeSet<Reader>) -> Vec<Value> {
        let mut statements = Vec::new();
        for kind in KINDS {
            let users = readers.iter().filter_map(|reader| match reader {
                Reader::Party(user) if Kind::of(user) == kind => Some(user),
                _ => None,
            });
            let users: Vec<&User> = users.collect();
            if !users.is_empty() {
                statements.push(self.statement_of(kind, &users));
            }
        }
        if readers.contains(&Reader::Everybody) {
            statements.push(self.statement(EVERYBODY, &json!("*"), json!({})));
        }
        statements
    }

    fn statement_of(&self, kind: Kind, users: &[&User]) -> Value {
        let partition = self.region.partition();
        let names = users.iter().map(|user| statements::name(user, partition));
        let mut condition = json!({});
        if kind == Kind::Units {
            // A path alone may count as public; with the organization's id it does not.
            let organizations: BTreeSet<&str> = users.iter().filter_map(organization).collect();
            let (operator, key) = statements::ORGANIZATIONS;
            condition[operator][key] = json!(organizations);
        }
        let principal = statements::principal(kind, names.collect(), &mut condition);
        self.statement(
            &format!("{kind:?}"),
            &json!({ "AWS": principal }),
            condition,
        )
    }

    fn statement(&self, end: &str, principal: &Value, condition: Value) -> Value {
        let mut statement = json!({
            "Sid": format!("{}{end}", self.sid()),
            "Effect": "Allow",
            "Principal": principal,
            "Action": "s3:GetObject",
            "Resource": self.resources(),
        });
        if condition != json!({}) {
            statement["Condition"] = condition;
        }
        statement
    }
}

fn organization<'u>(user: &&'u User) -> Option<&'u str> {
    match user {
        User::Unit(organization, _) => Some(organization),
        User::Path(path) => path.split('/').next(),
        _ => None,
    }
}

/// The policy of the publisher's bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogPolicy {
    place: Place,
    /// Everything but the statements.
    document: Map<String, Value>,
    /// The statements that are not ours, as they are.
    others: Vec<Value>,
    readers: BTreeSet<Reader>,
    is_as_written: bool,
}

impl CatalogPolicy {
    /// Reads a bucket's policy; nothing, where it has none.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: Option<&str>, place: Place) -> Result<CatalogPolicy, PolicyError> {
        let (document, statements) = match text {
            Some(text) => opened(text)?,
            None => {
                let version = ("Version".to_owned(), json!("2012-10-17"));
                (Map::from_iter([version]), Vec::new())
            }
        };
        let (ours, others): (Vec<Value>, Vec<Value>) = statements
            .into_iter()
            .partition(|statement| place.readers(statement).is_some());
        let readers = ours.iter().filter_map(|statement| place.readers(statement));
        let readers: BTreeSet<Reader> = readers.flatten().collect();
        Ok(CatalogPolicy {
            is_as_written: are_alike(&ours, &place.written(&readers)),
            place,
            document,
            others,
            readers,
        })
    }

    /// Where the catalog is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Who may read the catalog by our statements.
    pub fn readers(&self) -> &BTreeSet<Reader> {
        &self.readers
    }

    /// Whether our statements are what we write for their readers: nobody else has changed them.
    pub fn is_as_written(&self) -> bool {
        self.is_as_written
    }

    /// The policy with more readers.
    #[must_use]
    pub fn with(&self, readers: &BTreeSet<Reader>) -> CatalogPolicy {
        let readers = self.readers.union(readers).cloned().collect();
        self.of(readers)
    }

    /// The policy with fewer readers.
    #[must_use]
    pub fn without(&self, readers: &BTreeSet<Reader>) -> CatalogPolicy {
        let readers = self.readers.difference(readers).cloned().collect();
        self.of(readers)
    }

    fn of(&self, readers: BTreeSet<Reader>) -> CatalogPolicy {
        CatalogPolicy {
            readers,
            is_as_written: true,
            ..self.clone()
        }
    }

    /// The policy as it is put; nothing, where no statement is left: S3 takes none that is empty.
    pub fn text(&self) -> Option<String> {
        let mut statements = self.others.clone();
        statements.extend(self.place.written(&self.readers));
        (!statements.is_empty()).then(|| closed(&self.document, statements))
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.text().map_or(0, |text| text.len())
    }

    /// How many more accounts it has room for.
    pub fn room(&self) -> usize {
        let account =
            |digits: &str| Reader::Party(User::Account(digits.parse().expect("twelve digits")));
        let (one, two) = (account("000000000000"), account("000000000001"));
        let with_one = self.with(&[one.clone()].into()).bytes();
        let each = self.with(&[one, two].into()).bytes() - with_one;
        match MOST_BYTES.checked_sub(with_one) {
            Some(left) => 1 + left / each,
            None => 0,
        }
    }

    /// Whom the statements that are not ours let do something in the bucket, outside of the account.
    pub fn foreign(&self, account: &AccountId) -> BTreeSet<Foreign> {
        statements::foreign(&self.others, account)
    }
}
