//! Who uses AMIs: the account's own resources now, and other accounts by AWS's usage reports.
//!
//! What AWS does not see: Auto Scaling groups with launch configurations that run nothing just now,
//! and ids in files. A report may lack what other accounts' instances did in the last day, and what
//! their launch templates did in the last days.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-usage.html>

use std::fmt;
use std::time::Duration;

use aws_sdk_ec2::operation::describe_image_references::DescribeImageReferencesOutput;
use aws_sdk_ec2::operation::describe_image_usage_report_entries::DescribeImageUsageReportEntriesOutput;
use aws_sdk_ec2::operation::describe_image_usage_reports::DescribeImageUsageReportsOutput;
use aws_sdk_ec2::types::{
    ImageReferenceOptionName, ImageReferenceResourceType, ImageUsageReport,
    ImageUsageResourceTypeOptionRequest, ImageUsageResourceTypeRequest, ResourceType,
    ResourceTypeOption, ResourceTypeRequest,
};
use serde::Serialize;
use time::OffsetDateTime;

use super::retirement::is_gone;
use super::{Ec2, PAGE, filter, specification};
use crate::aws::error::{AwsError, Kind};
use crate::aws::names::{AccountId, AmiId};
use crate::aws::retry::Call;
use crate::aws::tags::{self, Tags};
use crate::aws::wait::{self, Seen, TimedOut};

#[cfg(test)]
mod tests;

/// A call of DescribeImageReferences names so many AMIs at most.
const MOST_IMAGES: usize = 10;
/// All versions of a launch template: a group may be kept on an old one.
const ALL_VERSIONS: &str = "10000";
/// Instances that use their AMI: all that are not gone.
const LIVE: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];
/// A report that an earlier run left is taken if it is no older.
const FRESH: time::Duration = time::Duration::hours(1);
/// What the reports of this program are called.
const REPORT_NAME: &str = "alpine-ami usage";

/// What kind of resource names an AMI: AWS's word, such as `ec2:Instance`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UseKind(String);

impl fmt::Display for UseKind {
    /// For people, of several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self.0.as_str() {
            "ec2:Instance" => "instances",
            "ec2:LaunchTemplate" => "launch templates",
            "ssm:Parameter" => "parameters",
            "imagebuilder:ImageRecipe" => "image recipes",
            "imagebuilder:ContainerRecipe" => "container recipes",
            other => other,
        })
    }
}

/// A resource of the account's own that names an AMI.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reference {
    /// The AMI.
    pub image: AmiId,
    /// What kind of resource it is.
    pub kind: UseKind,
    /// Its ARN.
    pub arn: String,
}

/// How many resources of a kind another account uses an AMI with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Usage {
    /// The account.
    pub account: AccountId,
    /// What kind of resources.
    pub kind: UseKind,
    /// How many.
    pub count: u64,
}

impl Ec2 {
    /// The account's own resources that name one of the AMIs: instances that are not gone, versions
    /// of launch templates, parameters, recipes. AMIs that are gone are named by nothing.
    ///
    /// Besides the action itself AWS wants `ec2:DescribeInstances`, `ec2:DescribeLaunchTemplates`,
    /// `ec2:DescribeLaunchTemplateVersions`, `ssm:DescribeParameters`, `ssm:GetParameters`,
    /// `imagebuilder:ListImageRecipes`, `imagebuilder:GetImageRecipe` and the same two of container
    /// recipes.
    ///
    /// # Errors
    /// Those of DescribeImageReferences.
    pub async fn references(&self, images: &[AmiId]) -> Result<Vec<Reference>, AwsError> {
        let mut found = Vec::new();
        for part in images.chunks(MOST_IMAGES) {
            match self.references_of(part).await {
                Ok(references) => found.extend(references),
                // One that is gone fails the call for all.
                Err(error) if is_gone(&error) => {
                    for image in part {
                        match self.references_of(std::slice::from_ref(image)).await {
                            Ok(references) => found.extend(references),
                            Err(error) if is_gone(&error) => {}
                            Err(error) => return Err(error),
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
        found.sort();
        Ok(found)
    }

    async fn references_of(&self, images: &[AmiId]) -> Result<Vec<Reference>, AwsError> {
        let names: Vec<&str> = images.iter().map(AmiId::as_str).collect();
        let call = Call::new("ec2:DescribeImageReferences", names.join(","));
        let kind = |kind, option: ImageReferenceOptionName, values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            let option = ResourceTypeOption::builder()
                .option_name(option)
                .set_option_values(Some(values))
                .build();
            ResourceTypeRequest::builder()
                .resource_type(kind)
                .resource_type_options(option)
                .build()
        };
        let request = self
            .client
            .describe_image_references()
            .set_image_ids(Some(images.iter().map(ToString::to_string).collect()))
            .include_all_resource_types(true)
            .resource_types(kind(
                ImageReferenceResourceType::Ec2Instance,
                ImageReferenceOptionName::StateName,
                &LIVE,
            ))
            .resource_types(kind(
                ImageReferenceResourceType::Ec2LaunchTemplate,
                ImageReferenceOptionName::VersionDepth,
                &[ALL_VERSIONS],
            ))
            .max_results(PAGE);
        let ask = |token| request.clone().set_next_token(token).send();
        let token = DescribeImageReferencesOutput::next_token;
        let mut found = Vec::new();
        for page in self.pages(&call, ask, token).await? {
            for reference in page.image_references() {
                let kind = reference.resource_type().map_or("", |kind| kind.as_str());
                found.push(Reference {
                    image: self.id(&call, reference.image_id())?,
                    kind: UseKind(kind.to_owned()),
                    arn: reference.arn().unwrap_or_default().to_owned(),
                });
            }
        }
        Ok(found)
    }

    /// Which other accounts use an AMI of the account's: a report is made, waited for, read and
    /// deleted. One that an earlier run asked for a short while ago is taken. The inner error: it was
    /// not ready in time; it stays, for a later run.
    ///
    /// # Errors
    /// Those of the calls, each naming its action; the report could not be made.
    pub async fn usage(
        &self,
        ami: &AmiId,
        limit: Duration,
    ) -> Result<Result<Vec<Usage>, TimedOut>, AwsError> {
        let left = self.own_reports(ami).await?;
        let fresh = left.iter().filter(|report| self.is_fresh(report));
        let id = match fresh.max_by_key(|report| created(report)) {
            Some(report) => report.report_id().unwrap_or_default().to_owned(),
            None => match self.ask_for_report(ami).await {
                // What is gone is used by nobody any more.
                Err(error) if is_gone(&error) => return Ok(Ok(Vec::new())),
                asked => asked?,
            },
        };
        let ready = wait::until(limit, |_| {}, || self.look_at_report(ami, &id)).await?;
        if let Err(late) = ready {
            return Ok(Err(late));
        }
        let entries = self.entries(ami, &id).await?;
        let old = left.iter().filter_map(|report| report.report_id());
        for report in old.chain([id.as_str()]) {
            self.forget_report(report).await;
        }
        Ok(Ok(entries))
    }

    /// The reports of an AMI that this program asked for.
    async fn own_reports(&self, ami: &AmiId) -> Result<Vec<ImageUsageReport>, AwsError> {
        let call = Call::new("ec2:DescribeImageUsageReports", ami);
        let request = self.client.describe_image_usage_reports();
        let request = request.image_ids(ami.as_str()).max_results(PAGE);
        let request = request.filters(filter(format!("tag:{}", tags::NAME), [REPORT_NAME]));
        let ask = |token| request.clone().set_next_token(token).send();
        let token = DescribeImageUsageReportsOutput::next_token;
        let pages = self.pages(&call, ask, token).await?;
        let reports = pages.iter().flat_map(|page| page.image_usage_reports());
        Ok(reports.cloned().collect())
    }

    fn is_fresh(&self, report: &ImageUsageReport) -> bool {
        let is_recent = created(report).is_some_and(|created| self.now() - created < FRESH);
        is_recent && report.state() != Some("error")
    }

    async fn ask_for_report(&self, ami: &AmiId) -> Result<String, AwsError> {
        let call = Call::new("ec2:CreateImageUsageReport", ami);
        let kind = |kind: &str| ImageUsageResourceTypeRequest::builder().resource_type(kind);
        let depth = ImageUsageResourceTypeOptionRequest::builder()
            .option_name("version-depth")
            .option_values(ALL_VERSIONS)
            .build();
        let tags = Tags([(tags::NAME.to_owned(), REPORT_NAME.to_owned())].into());
        let token = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let request = self
            .client
            .create_image_usage_report()
            .image_id(ami.as_str())
            .resource_types(kind("ec2:Instance").build())
            .resource_types(
                kind("ec2:LaunchTemplate")
                    .resource_type_options(depth)
                    .build(),
            )
            .client_token(token)
            .tag_specifications(specification(ResourceType::ImageUsageReport, &tags));
        let asked = self.caller.run(call.clone(), || request.clone().send());
        let answer = asked.await?;
        let id = answer.report_id().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| {
            let why = "AWS's answer names no report";
            self.caller.refuse(&call, Kind::Invalid, why)
        })?;
        Ok(id.to_owned())
    }

    async fn look_at_report(&self, ami: &AmiId, id: &str) -> Result<Seen<()>, AwsError> {
        let call = Call::new("ec2:DescribeImageUsageReports", format!("{id} of {ami}"));
        let request = self.client.describe_image_usage_reports().report_ids(id);
        let asked = self.caller.run(call.clone(), || request.clone().send());
        let answer = match asked.await {
            // One reader may not know it yet.
            Err(error) if error.kind == Kind::NotFound => None,
            answer => Some(answer?),
        };
        let report = answer
            .as_ref()
            .and_then(|answer| answer.image_usage_reports().first());
        match report.and_then(|report| report.state()) {
            Some("available") => Ok(Seen::Reached(())),
            Some("error") => {
                let why = report.and_then(|report| report.state_reason());
                let why = why.unwrap_or("AWS says no reason");
                let why = format!("the usage report could not be made: {why}");
                self.forget_report(id).await;
                Err(self.caller.refuse(&call, Kind::Server, why))
            }
            state => Ok(Seen::NotYet(format!(
                "the usage report is {}",
                state.unwrap_or("not there")
            ))),
        }
    }

    async fn entries(&self, ami: &AmiId, id: &str) -> Result<Vec<Usage>, AwsError> {
        let call = Call::new(
            "ec2:DescribeImageUsageReportEntries",
            format!("{id} of {ami}"),
        );
        let request = self.client.describe_image_usage_report_entries();
        let request = request.report_ids(id).max_results(PAGE);
        let ask = |token| request.clone().set_next_token(token).send();
        let token = DescribeImageUsageReportEntriesOutput::next_token;
        let mut found = Vec::new();
        for page in self.pages(&call, ask, token).await? {
            for entry in page.image_usage_report_entries() {
                let count = entry.usage_count().unwrap_or_default();
                found.push(Usage {
                    account: self.id(&call, entry.account_id())?,
                    kind: UseKind(entry.resource_type().unwrap_or_default().to_owned()),
                    count: u64::try_from(count).unwrap_or_default(),
                });
            }
        }
        found.retain(|usage| usage.count > 0);
        found.sort();
        Ok(found)
    }

    /// Deletes a report. Where that fails AWS does it after 30 days.
    async fn forget_report(&self, id: &str) {
        let call = Call::new("ec2:DeleteImageUsageReport", id);
        let request = self.client.delete_image_usage_report().report_id(id);
        match self.caller.run(call, || request.clone().send()).await {
            Ok(_) => {}
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => tracing::warn!("a usage report stays for 30 days: {error}"),
        }
    }
}

fn created(report: &ImageUsageReport) -> Option<OffsetDateTime> {
    let seconds = report.creation_time()?.secs();
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}
