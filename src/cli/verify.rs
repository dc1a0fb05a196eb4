//! `verify`: is this what the publisher signed?

use std::path::PathBuf;

use clap::Args;

use super::block_on;
use crate::aws::{AmiId, Aws, Region};
use crate::channels::settings::names;
use crate::config::Config;
use crate::list::catalog::CatalogAddress;
use crate::release::verify::{self, Verdict};
use crate::sign::{KeyRing, SignError, Signer};
use crate::ui::{Failure, Status, Ui};

/// Verify that an AMI is what the publisher signed, or that a file is.
///
/// The AMI is compared with the signed manifest of its release in the publisher's catalog: owner, id,
/// snapshot, boot. A file is verified without AWS: a manifest (release.json), a provenance statement,
/// a channel. Exits with 3 where it is not what was signed.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The AMI: ami-…, or ami-…@REGION
    #[arg(
        value_name = "AMI",
        required_unless_present = "manifest",
        conflicts_with = "manifest"
    )]
    ami: Option<String>,
    /// A signed file, in place of an AMI
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The publisher's public key, in PEM form [default: that of [list] in the configuration, or
    /// one's own of [signing]]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where the AMI is [default: the configured Region, or that of the environment]
    #[arg(long, value_name = "REGION", conflicts_with = "manifest")]
    region: Option<Region>,
    /// The publisher's catalog, s3://BUCKET/PREFIX or https://… [default: that of [list] in the
    /// configuration; a publisher's own bucket]
    #[arg(long, value_name = "URL", conflicts_with = "manifest")]
    catalog: Option<String>,
}

impl VerifyArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let verdict = match (&self.manifest, &self.ami) {
            (Some(path), _) => verify::file(path, &self.named_ring(config)?)?,
            (None, Some(ami)) => block_on(self.ami(config, ami))?,
            (None, None) => unreachable!("one of them is required"),
        };
        ui.result(&verdict, || verdict.text())?;
        match verdict.verified {
            true => Ok(Status::Done),
            false => Ok(Status::Differs),
        }
    }

    /// Keys that are named: without AWS, that of KMS cannot be asked for.
    fn named_ring(&self, config: &Config) -> Result<KeyRing, Failure> {
        if let Some(key) = self.key.as_ref().or(config.list.key.as_ref()) {
            return Ok(KeyRing::read([key]).map_err(SignError::from)?);
        }
        if let Some(file) = &config.signing.file {
            let signer = Signer::read(file).map_err(SignError::from)?;
            return Ok(signer.ring(&config.signing).map_err(SignError::from)?);
        }
        Err(no_key())
    }

    async fn ami(&self, config: &Config, named: &str) -> Result<Verdict, Failure> {
        let (ami, in_region) = match named.split_once('@') {
            Some((ami, region)) => (ami, Some(region)),
            None => (named, None),
        };
        let bad = |error: crate::aws::names::NameError| {
            Failure::bad_input(error, Some("name it as ami-… or ami-…@REGION".to_owned()))
        };
        let ami: AmiId = ami.parse().map_err(bad)?;
        let named: Option<Region> = in_region.map(str::parse).transpose().map_err(bad)?;
        let region = named
            .or_else(|| self.region.clone())
            .or_else(|| config.publish.home.clone());
        let region = match region {
            Some(region) => region,
            None => Aws::usual_region(&config.aws).await.ok_or_else(|| {
                let advice = "name it: ami-…@REGION, or --region";
                Failure::bad_input(
                    "nothing says in which Region the AMI is",
                    Some(advice.into()),
                )
            })?,
        };
        let home = config
            .publish
            .home
            .clone()
            .unwrap_or_else(|| region.clone());
        let aws = Aws::connect(&config.aws, "verify", &home).await?;
        let ring = match (&self.key, &config.list.key, config.signing.signs()) {
            (None, None, true) => {
                let signer = Signer::open(&config.signing, &aws, &home).await?;
                let ring = signer.map(|signer| signer.ring(&config.signing));
                ring.ok_or_else(no_key)?.map_err(SignError::from)?
            }
            _ => self.named_ring(config)?,
        };
        let catalog = self.catalog(config, &aws)?;
        let channels = names(&config.channels)?.into_iter().collect();
        let place = (&ami, &region);
        Ok(verify::ami(&aws, place, (&catalog, &home), (&ring, &channels)).await?)
    }

    fn catalog(&self, config: &Config, aws: &Aws) -> Result<CatalogAddress, Failure> {
        if let Some(text) = self.catalog.as_ref().or(config.list.catalog.as_ref()) {
            return Ok(text.parse::<CatalogAddress>()?);
        }
        let publish = &config.publish;
        match &publish.bucket {
            Some(bucket) => Ok(CatalogAddress::own(bucket, &publish.prefix, aws.account())),
            None => Err(Failure::bad_input(
                "nothing says where the publisher's catalog is",
                Some(
                    "name it: --catalog s3://BUCKET/PREFIX or https://…, or `catalog` under [list]"
                        .to_owned(),
                ),
            )),
        }
    }
}

fn no_key() -> Failure {
    Failure::bad_input(
        "nothing says which key is the publisher's",
        Some("name the publisher's public key: --key FILE, or `key` under [list]".to_owned()),
    )
}
