//! Instance types: which zones have them, and what they run.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::operation::describe_instance_type_offerings::DescribeInstanceTypeOfferingsOutput;
use aws_sdk_ec2::operation::describe_instance_types::DescribeInstanceTypesOutput;
use aws_sdk_ec2::types;

use super::{Ec2, PAGE, SMALL_PAGE, filter};
use crate::arch::Arch;
use crate::aws::error::AwsError;
use crate::aws::retry::Call;

impl Ec2 {
    /// The zones of the Region that have instances of these types, by type. A type that no zone has
    /// is left out. That a zone has a type does not say that there is one to be had.
    ///
    /// # Errors
    /// Those of DescribeInstanceTypeOfferings.
    pub async fn offered(
        &self,
        types: &[String],
    ) -> Result<BTreeMap<String, BTreeSet<String>>, AwsError> {
        let mut zones: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        if types.is_empty() {
            return Ok(zones);
        }
        let call = Call::new("ec2:DescribeInstanceTypeOfferings", types.join(","));
        let request = self
            .client
            .describe_instance_type_offerings()
            .location_type(types::LocationType::AvailabilityZone)
            .filters(filter("instance-type", types))
            .max_results(PAGE);
        let ask = |token| request.clone().set_next_token(token).send();
        let pages = self.pages(&call, ask, DescribeInstanceTypeOfferingsOutput::next_token);
        let pages = pages.await?;
        for offer in pages.iter().flat_map(|page| page.instance_type_offerings()) {
            if let (Some(kind), Some(zone)) = (offer.instance_type(), offer.location()) {
                let kind = zones.entry(kind.as_str().to_owned()).or_default();
                kind.insert(zone.to_owned());
            }
        }
        Ok(zones)
    }

    /// The architectures that instances of these types run, by type, without those that this
    /// program does not build for. A type that the Region does not have is left out.
    ///
    /// # Errors
    /// Those of DescribeInstanceTypes.
    pub async fn architectures(
        &self,
        types: &[String],
    ) -> Result<BTreeMap<String, Vec<Arch>>, AwsError> {
        let mut found = BTreeMap::new();
        if types.is_empty() {
            return Ok(found);
        }
        let call = Call::new("ec2:DescribeInstanceTypes", types.join(","));
        // By a filter: a type that is named as such, and not there, is an error.
        let request = self.client.describe_instance_types();
        let request = request.filters(filter("instance-type", types));
        let request = request.max_results(SMALL_PAGE);
        let ask = |token| request.clone().set_next_token(token).send();
        let pages = self.pages(&call, ask, DescribeInstanceTypesOutput::next_token);
        let pages = pages.await?;
        for kind in pages.iter().flat_map(|page| page.instance_types()) {
            if let Some(name) = kind.instance_type() {
                found.insert(name.as_str().to_owned(), architectures_of(kind));
            }
        }
        Ok(found)
    }
}

fn architectures_of(kind: &types::InstanceTypeInfo) -> Vec<Arch> {
    let processor = kind.processor_info();
    let names = processor.map_or(&[][..], types::ProcessorInfo::supported_architectures);
    let known = |name: &types::ArchitectureType| match name {
        types::ArchitectureType::X8664 => Some(Arch::X86_64),
        types::ArchitectureType::Arm64 => Some(Arch::Aarch64),
        _ => None,
    };
    names.iter().filter_map(known).collect()
}
