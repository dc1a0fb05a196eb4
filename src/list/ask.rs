//! The thin part: whose session, which Regions, what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::catalog::{self, Catalog, CatalogAddress};
use super::rows::{Source, rows};
use super::{Filter, ListError, Row};
use crate::aws::ec2::Image;
use crate::aws::{AccountId, Aws, Region};
use crate::channels::settings::names;
use crate::config::Config;
use crate::sign::KeyRing;

/// Seconds that a call may take with all its attempts: a Region that does not answer is passed over.
const CALL_SECONDS: u64 = 60;
/// Where a session begins that no Region is known of; every account of AWS's largest partition has it.
const ANYWHERE: &str = "us-east-1";
/// AMIs' names, as EC2 filters them: what fits is looked at closely.
const PATTERN: &str = "*/*/*/alpine-*/*/*";

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The publisher's account; that of the configuration, or the caller's own, where none is named.
    pub publisher: Option<AccountId>,
    /// The Regions; all that the account has opted in to where none is named.
    pub regions: BTreeSet<Region>,
    /// The catalog; that of the configuration where none is named.
    pub catalog: Option<CatalogAddress>,
    /// The publisher's public key, whose signature the catalog must have; that of the configuration
    /// where none is named.
    pub key: Option<PathBuf>,
    /// Whether rows tell their channels. Where they do not, and none is asked for, no catalog is read.
    pub shows_channels: bool,
    /// Which rows.
    pub filter: Filter,
}

/// What was found.
#[derive(Debug)]
pub struct Listing {
    /// The publisher's account.
    pub publisher: AccountId,
    /// The caller's.
    pub account: AccountId,
    /// Where the session began.
    pub home: Region,
    /// The Regions that answered.
    pub regions: Vec<Region>,
    /// What is asked for.
    pub rows: Vec<Row>,
    /// How many AMIs of the publisher's there are in all.
    pub seen: usize,
    /// Where the catalog is, if it is known.
    pub catalog: Option<CatalogAddress>,
    /// Whether rows tell their channels.
    pub has_catalog: bool,
    /// Whether a key is named that vouches for AMIs.
    pub has_key: bool,
    /// What failed.
    pub trouble: Vec<ListError>,
    filter: Filter,
}

impl Listing {
    /// That there is nothing, where it was looked for, and why that may be.
    pub fn nothing(&self) -> ListError {
        let Listing {
            publisher, account, ..
        } = self;
        let regions: Vec<&str> = self.regions.iter().map(Region::as_str).collect();
        let regions = match regions[..] {
            [] => "any Region".to_owned(),
            _ => regions.join(", "),
        };
        let options = self.filter.options().join(" ");
        let (what, advice) = match (self.seen, self.rows.len()) {
            (0, _) if publisher == account => (
                format!("account {account} has no AMIs of this program's in {regions}"),
                "name the publisher's account with --publisher, or another Region with --region"
                    .to_owned(),
            ),
            (0, _) => (
                format!("account {account} sees no AMIs of publisher {publisher} in {regions}"),
                format!(
                    "ask the publisher to share them with account {account}; check that {publisher} is the publisher, and that these are its Regions"
                ),
            ),
            (seen, 0) => (
                format!(
                    "of the {seen} AMIs that account {account} sees of publisher {publisher} in {regions}, none matches {options}"
                ),
                "leave an option away to see the others".to_owned(),
            ),
            (_, count) => (
                format!(
                    "all {count} AMIs of publisher {publisher} that match are deprecated ({regions})"
                ),
                "ask the publisher for a newer release; `alpine-ami list` without --id shows these"
                    .to_owned(),
            ),
        };
        ListError::Nothing { what, advice }
    }

    /// What failed, if anything did.
    ///
    /// # Errors
    /// It did.
    pub fn complete(&self) -> Result<(), ListError> {
        match &self.trouble[..] {
            [] => Ok(()),
            [only] => Err(only.clone()),
            all => Err(ListError::Incomplete(all.to_vec())),
        }
    }
}

/// Opens a session, in the Region that the configuration or the environment names, or one that is
/// asked for: a wrong one among these does not hide the others.
///
/// # Errors
/// There are no credentials, or they are not valid.
pub async fn connect(config: &Config, question: &Question) -> Result<(Aws, Region), ListError> {
    let mut settings = config.aws.clone();
    settings.total_seconds = settings.total_seconds.min(CALL_SECONDS);
    let configured = config.publish.home.clone();
    let usual = match configured {
        Some(_) => None,
        None => Aws::usual_region(&settings).await,
    };
    let known = configured.into_iter().chain(usual);
    let mut homes: Vec<Region> = known.chain(question.regions.iter().cloned()).collect();
    if homes.is_empty() {
        homes.push(ANYWHERE.parse().expect("it is a Region's name"));
    }
    let mut failed = None;
    for home in homes {
        match Aws::connect(&settings, "list", &home).await {
            Ok(aws) => return Ok((aws, home)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let failed = failed.expect("one Region at least was tried");
    Err(ListError::Session(failed))
}

/// Looks for AMIs in every Region at once. A Region that fails, or a catalog that no filter needs, is
/// no error: what is found is found.
///
/// # Errors
/// The Regions are not known; channels are asked for, and are not known.
pub async fn look(
    aws: &Aws,
    home: &Region,
    config: &Config,
    question: &Question,
) -> Result<Listing, ListError> {
    let account = aws.account().clone();
    let configured = config.list.publisher.clone();
    let publisher = question.publisher.clone().or(configured);
    let publisher = publisher.unwrap_or_else(|| account.clone());
    let is_own = publisher == account;
    let channel = question.filter.channel.as_deref();
    let has_key = question.key.is_some() || config.list.key.is_some();
    let known = address(config, question, is_own.then_some(&account))?;
    let is_read = question.shows_channels || channel.is_some() || has_key;
    let address = known.as_ref().filter(|_| is_read);
    if has_key && address.is_none() {
        return Err(ListError::NothingSigned);
    }
    if let (Some(channel), None) = (channel, address) {
        return Err(ListError::NoCatalog(channel.to_owned()));
    }
    let regions = regions(aws, home, &question.regions).await?;
    let (found, catalog) = tokio::join!(
        images(aws, regions, &publisher),
        catalog(aws, home, config, address, question)
    );
    let (images, mut trouble) = found;
    let catalog = match catalog {
        Ok(catalog) => catalog,
        Err(error) if channel.is_some() || has_key => return Err(error),
        Err(error) => {
            trouble.push(error);
            None
        }
    };
    let own_name = config.publish.publisher.as_deref().filter(|_| is_own);
    let source = Source {
        owner: &publisher,
        name: own_name,
    };
    // Deprecation begins by AWS's clock.
    let now = OffsetDateTime::now_utc() + time::Duration::seconds(aws.clock_skew());
    let mut rows = rows(&images, source, catalog.as_ref(), now);
    let seen = rows.len();
    rows.retain(|row| question.filter.takes(row));
    // Whoever names a key launches nothing that it does not vouch for.
    if !question.shows_channels {
        rows.retain(|row| row.signed != Some(false));
    }
    Ok(Listing {
        publisher,
        account,
        home: home.clone(),
        regions: images.into_keys().collect(),
        rows,
        seen,
        has_catalog: catalog.is_some(),
        catalog: known,
        has_key,
        trouble,
        filter: question.filter.clone(),
    })
}

/// Where the channels are. A publisher's own are in its bucket.
fn address(
    config: &Config,
    question: &Question,
    own: Option<&AccountId>,
) -> Result<Option<CatalogAddress>, ListError> {
    if let Some(named) = &question.catalog {
        return Ok(Some(named.clone()));
    }
    if let Some(text) = &config.list.catalog {
        return text.parse().map(Some);
    }
    let publish = &config.publish;
    let own = own.zip(publish.bucket.as_deref());
    Ok(own.map(|(owner, bucket)| CatalogAddress::own(bucket, &publish.prefix, owner)))
}

async fn catalog(
    aws: &Aws,
    home: &Region,
    config: &Config,
    address: Option<&CatalogAddress>,
    question: &Question,
) -> Result<Option<Catalog>, ListError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let channel = question.filter.channel.as_deref();
    let key = question.key.as_ref().or(config.list.key.as_ref());
    let ring = key.map(|key| KeyRing::read([key])).transpose()?;
    let mut known: BTreeSet<String> = names(&config.channels)?.into_iter().collect();
    known.extend(channel.map(str::to_owned));
    let catalog = catalog::read(address, aws, home, &known, ring.as_ref()).await?;
    if let Some(channel) = channel {
        catalog.check(channel)?;
    }
    Ok(Some(catalog))
}

async fn regions(
    aws: &Aws,
    home: &Region,
    named: &BTreeSet<Region>,
) -> Result<BTreeSet<Region>, ListError> {
    if !named.is_empty() {
        return Ok(named.clone());
    }
    let all = aws.ec2(home).regions().await.map_err(ListError::Regions)?;
    let usable = all.into_iter().filter(|region| region.usable);
    Ok(usable.map(|region| region.region).collect())
}

async fn images(
    aws: &Aws,
    regions: BTreeSet<Region>,
    publisher: &AccountId,
) -> (BTreeMap<Region, Vec<Image>>, Vec<ListError>) {
    let mut asked = JoinSet::new();
    for region in regions {
        let (ec2, publisher) = (aws.ec2(&region), publisher.clone());
        asked.spawn(async move { (region, ec2.images_of(&publisher, PATTERN).await) });
    }
    let (mut found, mut failed) = (BTreeMap::new(), BTreeMap::new());
    while let Some(answer) = asked.join_next().await {
        match answer.expect("asking does not panic") {
            (region, Ok(images)) => {
                found.insert(region, images);
            }
            (region, Err(error)) => {
                failed.insert(region, ListError::Images(error));
            }
        }
    }
    (found, failed.into_values().collect())
}
