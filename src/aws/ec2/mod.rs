//! EC2: images and snapshots, instances and what they need, tags, and which Regions the account
//! may use.
//!
//! | part | subject |
//! |---|---|
//! | [`images`] | AMIs: described, registered, copied, deregistered |
//! | [`snapshots`] | snapshots: described, deleted |
//! | [`sharing`] | whom AMIs and snapshots are shared with |
//! | [`retirement`] | AMIs: deprecated, and not any more |
//! | [`usage`](mod@usage) | who uses AMIs |
//! | [`instances`] | instances: launched, described, stopped, terminated, and what they write on their console |
//! | [`volumes`] | volumes: described, deleted, and snapshots made of them |
//! | [`network`] | subnets, and whether a way leads out of them |
//! | [`offers`] | which zones have an instance type, and what it runs |

use std::str::FromStr;

use aws_sdk_ec2::types;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::error::{AwsError, Kind};
use super::names::{NameError, Place, Region};
use super::retry::{Call, Caller};
use super::tags::Tags;

pub mod images;
pub mod instances;
pub mod network;
pub mod offers;
pub mod retirement;
pub mod sharing;
pub mod snapshots;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod usage;
pub mod volumes;

pub use images::{Image, ImageCopy, ImageState, Mapping, Registration};
pub use instances::{Instance, InstanceState, Launch, Launched, NewVolume};
pub use network::Subnet;
pub use sharing::{Party, Way};
pub use snapshots::{Snapshot, SnapshotState};
pub use usage::{Reference, Usage, UseKind};
pub use volumes::{Volume, VolumeState};

/// What a page holds at most; most calls allow 1000. Tests turn pages too.
const PAGE: i32 = if cfg!(test) { 5 } else { 1000 };
/// The same for DescribeRouteTables and DescribeInstanceTypes, which allow 100.
const SMALL_PAGE: i32 = if cfg!(test) { 5 } else { 100 };

/// A client in a Region.
#[derive(Debug, Clone)]
pub struct Ec2 {
    caller: Caller,
    client: aws_sdk_ec2::Client,
}

/// A Region, as the account has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionStatus {
    /// The Region.
    pub region: Region,
    /// Whether the account may use it: it is opted in, or needs no opting in.
    pub usable: bool,
    /// AWS's word: `opt-in-not-required`, `opted-in` or `not-opted-in`.
    pub opt_in: String,
}

impl Ec2 {
    pub(super) fn new(caller: Caller) -> Ec2 {
        let config = aws_sdk_ec2::config::Builder::from(caller.session.sdk())
            .region(aws_config::Region::new(caller.region.to_string()))
            .interceptor(caller.session.interceptor())
            .build();
        let client = aws_sdk_ec2::Client::from_conf(config);
        Ec2 { caller, client }
    }

    /// Where it is.
    pub fn region(&self) -> &Region {
        &self.caller.region
    }

    /// Where it is, and whose.
    pub fn place(&self) -> Place {
        Place::new(&self.caller.region, self.caller.session.account())
    }

    /// All Regions that AWS has in the partition, with those that the account has not opted in to.
    ///
    /// # Errors
    /// Those of DescribeRegions.
    pub async fn regions(&self) -> Result<Vec<RegionStatus>, AwsError> {
        let call = Call::new("ec2:DescribeRegions", "all Regions");
        let request = self.client.describe_regions().all_regions(true);
        let answer = self.caller.run(call, || request.clone().send()).await?;
        let status = |region: &types::Region| {
            let opt_in = region.opt_in_status().unwrap_or_default().to_owned();
            Some(RegionStatus {
                // What has a name of another form is none of the Regions that can be asked for.
                region: region.region_name()?.parse().ok()?,
                usable: opt_in != "not-opted-in",
                opt_in,
            })
        };
        Ok(answer.regions().iter().filter_map(status).collect())
    }

    /// All pages of a list. `ask` asks for the one with a token, `token` tells that of the next.
    async fn pages<O, E, F>(
        &self,
        call: &Call,
        ask: impl Fn(Option<String>) -> F,
        token: impl Fn(&O) -> Option<&str>,
    ) -> Result<Vec<O>, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>>,
    {
        let mut pages = Vec::new();
        let mut next = None;
        loop {
            let asked = self.caller.run(call.clone(), || ask(next.clone()));
            let page = asked.await?;
            // A page may be empty and not the last.
            next = token(&page)
                .filter(|token| !token.is_empty())
                .map(str::to_owned);
            pages.push(page);
            if next.is_none() {
                return Ok(pages);
            }
        }
    }

    /// An id in an answer.
    fn id<I: FromStr<Err = NameError>>(
        &self,
        call: &Call,
        id: Option<&str>,
    ) -> Result<I, AwsError> {
        let id = id.unwrap_or_default().parse::<I>();
        id.map_err(|error| self.caller.refuse(call, Kind::Invalid, error.to_string()))
    }

    /// Puts tags on a resource that is there; tags of the same names get the new values.
    ///
    /// # Errors
    /// Those of CreateTags.
    pub async fn tag(&self, resource: &str, tags: &Tags) -> Result<(), AwsError> {
        let call = Call::new("ec2:CreateTags", resource);
        let request = self.client.create_tags().resources(resource);
        let request = request.set_tags(Some(tags_of(tags)));
        self.caller.run(call, || request.clone().send()).await?;
        Ok(())
    }
}

/// Tags that a call gives to what it makes.
fn specification(kind: types::ResourceType, tags: &Tags) -> types::TagSpecification {
    let specification = types::TagSpecification::builder().resource_type(kind);
    specification.set_tags(Some(tags_of(tags))).build()
}

fn tags_of(tags: &Tags) -> Vec<types::Tag> {
    let tag =
        |(key, value): (&String, &String)| types::Tag::builder().key(key).value(value).build();
    tags.0.iter().map(tag).collect()
}

fn tags_from(tags: &[types::Tag]) -> Tags {
    let tag = |tag: &types::Tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned()));
    Tags(tags.iter().filter_map(tag).collect())
}

/// Nothing where AWS says that there is none.
fn unless_missing<T>(answer: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What has one of the values.
fn filter<V: ToString>(
    name: impl Into<String>,
    values: impl IntoIterator<Item = V>,
) -> types::Filter {
    let values = values.into_iter().map(|value| literal(&value.to_string()));
    let filter = types::Filter::builder().name(name);
    filter.set_values(Some(values.collect())).build()
}

/// Filters take `*` and `?` for wildcards, and `\` before them for themselves.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>
fn literal(text: &str) -> String {
    let mut literal = String::new();
    for char in text.chars() {
        if matches!(char, '*' | '?' | '\\') {
            literal.push('\\');
        }
        literal.push(char);
    }
    literal
}
