//! What can go wrong when AMIs are listed.

use crate::aws::{AwsError, Kind};
use crate::channels::settings::ChannelNameError;
use crate::sign::OpenError;
use crate::sign::key::KeyError;

/// Why something cannot be listed, or not all of it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ListError {
    /// There is no session.
    #[error(transparent)]
    Session(AwsError),
    /// Which Regions the account has opted in to is not known.
    #[error("the account's Regions are not known: {0}")]
    Regions(AwsError),
    /// A Region does not say which AMIs there are.
    #[error(transparent)]
    Images(AwsError),
    /// The catalog is no place that one can be at.
    #[error("`{text}` is no catalog: {why}")]
    Address {
        /// What was read.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Channels are asked for, and nothing says where they are.
    #[error(
        "which AMIs are in the channel `{0}` only the publisher's catalog says, and none is named"
    )]
    NoCatalog(String),
    /// A key is named, and nothing that it could have signed.
    #[error("a publisher's key is named, and no catalog: what it signed is in the catalog")]
    NothingSigned,
    /// No channel can be called so.
    #[error(transparent)]
    ChannelName(#[from] ChannelNameError),
    /// The catalog has no such channel.
    #[error("there is no channel `{channel}` in {catalog}; {}", there_are(.known))]
    UnknownChannel {
        /// The channel.
        channel: String,
        /// The catalog.
        catalog: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The bucket of the catalog is not there, or nobody says where.
    #[error("the catalog's bucket {bucket} cannot be found: {why}")]
    Bucket {
        /// Its name.
        bucket: String,
        /// Why.
        why: &'static str,
    },
    /// A call for the catalog failed.
    #[error("the catalog cannot be read: {0}")]
    CatalogCall(AwsError),
    /// A web server does not give it.
    #[error("the catalog cannot be read: {url}: {why}")]
    Web {
        /// What was asked for.
        url: String,
        /// Why.
        why: String,
    },
    /// A document of it is none.
    #[error("{place} is no channel's document: {why}")]
    Unreadable {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// A document was written by a newer version of this program.
    #[error(
        "{place} has format {schema}; this version knows formats up to {}",
        crate::channels::SCHEMA
    )]
    Newer {
        /// Where it is.
        place: String,
        /// Its format.
        schema: u32,
    },
    /// The publisher's key did not sign it.
    #[error("{place} cannot be trusted: {why}")]
    Untrusted {
        /// Where it is.
        place: String,
        /// Why.
        why: OpenError,
    },
    /// The publisher's public key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is nothing to give.
    #[error("{what}")]
    Nothing {
        /// What was looked for, and where.
        what: String,
        /// What may be the reason.
        advice: String,
    },
    /// One id is asked for, and the AMIs are of several kinds.
    #[error("{count} AMIs match, of several kinds: {}", .kinds.join("; "))]
    Several {
        /// How many match.
        count: usize,
        /// In what they differ.
        kinds: Vec<String>,
        /// The options that would narrow it.
        add: Vec<&'static str>,
    },
    /// Two lines of AMIs would have one name.
    #[error("{what} would both be `{key}`")]
    Clash {
        /// What they are.
        what: String,
        /// The name.
        key: String,
        /// The option that would keep one of them away.
        add: &'static str,
    },
    /// Something of it failed.
    #[error("the list is not complete:{}", lines(.0))]
    Incomplete(Vec<ListError>),
}

fn there_are(names: &[String]) -> String {
    match names {
        [] => "there is none at all".to_owned(),
        names => format!("there are {}", names.join(", ")),
    }
}

fn lines(errors: &[ListError]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}

impl ListError {
    /// Whether it is wrong what was asked.
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            ListError::Address { .. }
                | ListError::NoCatalog(_)
                | ListError::NothingSigned
                | ListError::ChannelName(_)
                | ListError::Key(_)
        )
    }

    /// Whether the catalog, or a document of it, may not be read.
    pub fn is_denied(&self) -> bool {
        matches!(self, ListError::CatalogCall(error) if error.kind == Kind::Denied)
    }

    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            ListError::Session(error) => error.advice(),
            ListError::Regions(error) if error.kind == Kind::Denied => {
                "name Regions with --region, or allow ec2:DescribeRegions to the principal".to_owned()
            }
            ListError::Regions(error) => {
                format!("name Regions with --region; or {}", error.advice())
            }
            ListError::Images(error) if error.kind == Kind::Denied => format!(
                "allow {} to the principal in {} (`alpine-ami list --setup` prints the policy), or name other Regions with --region",
                error.action, error.region
            ),
            // The session is good, or it would not have begun.
            ListError::Images(error) if error.kind == Kind::Credentials => format!(
                "see whether the account has opted in to {}, or name other Regions with --region",
                error.region
            ),
            ListError::Images(error) => error.advice(),
            ListError::Address { .. } => {
                "write s3://BUCKET, s3://BUCKET/PREFIX or https://…, with --catalog or as `catalog` in [list]".to_owned()
            }
            ListError::NoCatalog(_) | ListError::NothingSigned => {
                "name it with --catalog s3://BUCKET/PREFIX or https://…, or as `catalog` in [list]; the publisher knows where it is".to_owned()
            }
            ListError::ChannelName(_) => "name a channel of the publisher's".to_owned(),
            ListError::UnknownChannel { .. } => "name one of them".to_owned(),
            ListError::Bucket { .. } => "ask the publisher where the catalog is".to_owned(),
            ListError::CatalogCall(error) if error.kind == Kind::Denied => format!(
                "allow {} to the principal (`list --setup --catalog …` prints the policy); if it is allowed, ask the publisher to serve the catalog to the account (`catalog = \"customers\"` in [share], then `share apply`), and whether that document is there: S3 tells no customer",
                error.action
            ),
            ListError::CatalogCall(error) => error.advice(),
            ListError::Web { .. } => {
                "check the address, the network and a proxy; what lies there is channels/NAME.json".to_owned()
            }
            ListError::Unreadable { .. } => "tell the publisher; without --catalog everything else is listed".to_owned(),
            ListError::Newer { .. } => "update alpine-ami".to_owned(),
            ListError::Untrusted { .. } => "do not use what it says, and ask the publisher, by another way than this one, which key is theirs".to_owned(),
            ListError::Key(error) => error.advice(),
            ListError::Nothing { advice, .. } => advice.clone(),
            ListError::Several { add, .. } => format!("add {}", add.join(" and ")),
            ListError::Clash { add, .. } => format!("add {add}"),
            ListError::Incomplete(errors) => {
                let mut advice: Vec<String> = errors.iter().filter_map(ListError::advice).collect();
                advice.sort_unstable();
                advice.dedup();
                advice.join("\n")
            }
        })
    }
}

impl From<crate::web::WebError> for ListError {
    fn from(error: crate::web::WebError) -> ListError {
        let crate::web::WebError { url, why } = error;
        ListError::Web { url, why }
    }
}
