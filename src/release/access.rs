//! Customers' access to a release: given before a pointer is moved.

use std::collections::{BTreeMap, BTreeSet};

use super::desk::Desk;
use super::error::ReleaseError;
use crate::aws::Region;
use crate::channels::Channel;
use crate::publish::manifest::ReleaseManifest;
use crate::share::apply;
use crate::share::customers::Customer;
use crate::share::desired::Missing;
use crate::share::plan::RegionPlan;
use crate::share::survey::{Survey, survey};

/// What customers are to get of a release once channels are as they are to be.
#[derive(Default)]
pub struct Access {
    survey: Option<Survey>,
    as_if: Vec<Channel>,
    give: BTreeMap<Region, RegionPlan>,
    /// What they are to get and cannot.
    pub missing: BTreeSet<Missing>,
    /// Regions in which it cannot be given, why, and what to do about it.
    pub failed: BTreeMap<Region, (String, String)>,
}

impl Access {
    /// Looks up what is to be given. Where there is no file of customers, that is nothing.
    ///
    /// # Errors
    /// The bucket's. A Region that cannot be read is no error, but told.
    pub async fn look(
        desk: &Desk<'_>,
        manifest: &ReleaseManifest,
        as_if: Vec<Channel>,
    ) -> Result<Access, ReleaseError> {
        let Some(job) = desk.job(&as_if) else {
            return Ok(Access::default());
        };
        let release = manifest.release.to_string();
        let survey = survey(&job, desk.bucket()).await?;
        let give = survey.plan.giving(&release);
        let missing = survey.plan.missing.iter();
        let missing = missing.filter(|lack| lack.release == manifest.release);
        let mut failed: BTreeMap<Region, (String, String)> = BTreeMap::new();
        // A Region that the release is not in says nothing about it.
        let of_release = |region: &Region| manifest.regions.contains_key(region);
        for (region, error) in survey
            .failed
            .iter()
            .filter(|(region, _)| of_release(region))
        {
            failed.insert(region.clone(), (error.to_string(), error.advice()));
        }
        for refused in &survey.plan.refused {
            if give.contains_key(&refused.region) {
                let told = (refused.why.clone(), refused.advice.clone());
                failed.entry(refused.region.clone()).or_insert(told);
            }
        }
        Ok(Access {
            missing: missing.cloned().collect(),
            failed,
            give,
            survey: Some(survey),
            as_if,
        })
    }

    /// The same, without the Regions that do not answer: these are told. What is in a channel and
    /// must go does not wait for them.
    pub fn where_it_can(mut self, desk: &Desk<'_>) -> Access {
        for (region, (why, _)) in std::mem::take(&mut self.failed) {
            let said = format!("warning: {region}: customers' access is not looked at: {why}");
            desk.progress.say(said);
            self.give.remove(&region);
        }
        self
    }

    /// Gives it, and reads it back.
    ///
    /// # Errors
    /// It could not be given in some Region: what was given stays.
    pub async fn give(mut self, desk: &Desk<'_>, channel: &str) -> Result<(), ReleaseError> {
        let closed = |failed| {
            let channel = channel.to_owned();
            Err(ReleaseError::Access { channel, failed })
        };
        if !self.failed.is_empty() {
            return closed(self.failed);
        }
        let (Some(job), Some(survey)) = (desk.job(&self.as_if), &mut self.survey) else {
            return Ok(());
        };
        let failed = apply::make(&job, desk.bucket(), survey, self.give).await?;
        match failed.is_empty() {
            true => Ok(()),
            false => closed(failed),
        }
    }
}

/// The customers that get a profile by a channel, now.
pub fn customers<'d>(desk: &'d Desk<'_>, channel: &str, profile: &str) -> Vec<&'d Customer> {
    let today = desk.bucket().now().date();
    let customers = desk.customers.iter().flatten();
    customers
        .filter(|customer| {
            let channels = &customer.channels;
            let has = channels.iter().any(|name| name == channel);
            has && customer.wants(profile) && customer.is_served_on(today)
        })
        .collect()
}
