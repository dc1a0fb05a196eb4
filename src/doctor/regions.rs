//! The Regions of a release: whether there are such, and whether the account can use them.

use super::{Check, Group, Status};
use crate::aws::ec2::RegionStatus;
use crate::aws::{Aws, Region};

/// What the home Region says of all of them.
pub async fn checks(aws: &Aws, home: &Region, regions: &[Region]) -> Vec<Check> {
    match aws.ec2(home).regions().await {
        Ok(seen) => compare(regions, &seen),
        Err(error) => vec![Check::failed(
            Group::Regions,
            "ec2:DescribeRegions",
            error.to_string(),
            Some(error.advice()),
        )],
    }
}

/// The Regions that are worth asking: those that no check says cannot be used.
pub fn worth_asking(regions: &[Region], checks: &[Check]) -> Vec<Region> {
    let is_out = |region: &&Region| {
        let about = |check: &Check| check.region.as_ref() == Some(region);
        checks
            .iter()
            .any(|check| about(check) && check.status == Status::Failed)
    };
    let left = regions.iter().filter(|region| !is_out(region));
    left.cloned().collect()
}

/// What is configured beside what there is.
fn compare(regions: &[Region], seen: &[RegionStatus]) -> Vec<Check> {
    let each = regions.iter().map(|region| {
        let known = seen.iter().find(|seen| &seen.region == region);
        let check = match known {
            Some(known) if known.usable => Check::ok(Group::Regions, "region", "can be used"),
            Some(_) => Check::failed(
                Group::Regions,
                "region",
                "the account has not opted in",
                Some(format!(
                    "opt in: `aws account enable-region --region-name {region}`, which takes some minutes; or leave it out of `regions`"
                )),
            ),
            None => Check::failed(
                Group::Regions,
                "region",
                "there is no such Region",
                Some(instead(region, seen)),
            ),
        };
        check.of(region)
    });
    each.collect()
}

/// Advice for a Region that does not exist.
fn instead(region: &Region, seen: &[RegionStatus]) -> String {
    let likeness = |seen: &&RegionStatus| {
        let distance = strsim::damerau_levenshtein(region.as_str(), seen.region.as_str());
        (distance, seen.region.clone())
    };
    match seen.iter().min_by_key(likeness) {
        Some(like) => format!("is it {}? Correct or remove it in `regions`", like.region),
        None => "remove it from `regions`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::testing::region;

    #[test]
    fn each_region_is_usable_or_not() {
        let seen = |name: &str, usable| RegionStatus {
            region: region(name),
            usable,
            opt_in: String::new(),
        };
        let seen = [
            seen("eu-west-1", true),
            seen("me-south-1", false),
            seen("us-east-1", true),
        ];
        let asked = ["eu-west-1", "me-south-1", "eu-wset-1"].map(region);
        let checks = compare(&asked, &seen);
        let told: Vec<_> = checks.iter().map(|check| check.status).collect();
        assert_eq!(told, [Status::Ok, Status::Failed, Status::Failed]);
        assert_eq!(worth_asking(&asked, &checks), [region("eu-west-1")]);
        assert_eq!(worth_asking(&asked, &[]), asked);
        let advice = |at: usize| checks[at].advice.clone().unwrap_or_default();
        assert!(advice(1).contains("enable-region --region-name me-south-1"));
        assert!(advice(2).starts_with("is it eu-west-1?"));
    }
}
