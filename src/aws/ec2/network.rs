//! Subnets, and whether a way leads out of them.

#[cfg(test)]
mod tests;

use aws_sdk_ec2::operation::describe_route_tables::DescribeRouteTablesOutput;
use aws_sdk_ec2::operation::describe_subnets::DescribeSubnetsOutput;
use aws_sdk_ec2::types;

use super::{Ec2, PAGE, SMALL_PAGE, filter, unless_missing};
use crate::aws::error::AwsError;
use crate::aws::names::SubnetId;
use crate::aws::retry::Call;

/// A subnet, as DescribeSubnets shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// The VPC that it is in, `vpc-…`.
    pub vpc: String,
    /// Its zone.
    pub zone: String,
    /// Whether instances of the zone go there where no subnet is named.
    pub is_default: bool,
    /// Whether its instances get a public address. Without one, a route to an internet gateway
    /// leads nowhere.
    pub public_ip_on_launch: bool,
}

impl Ec2 {
    /// The subnet of that id. None if the account has none.
    ///
    /// # Errors
    /// Those of DescribeSubnets.
    pub async fn subnet(&self, id: &SubnetId) -> Result<Option<Subnet>, AwsError> {
        let call = Call::new("ec2:DescribeSubnets", id);
        let request = self.client.describe_subnets().subnet_ids(id.as_str());
        let asked = self.caller.run(call.clone(), || request.clone().send());
        match unless_missing(asked.await)? {
            Some(answer) => Ok(self.subnets(&call, answer.subnets())?.pop()),
            None => Ok(None),
        }
    }

    /// The default subnets, at most one a zone, in the order of their zones. None where the account
    /// has no default VPC in the Region.
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/default-subnet.html>
    ///
    /// # Errors
    /// Those of DescribeSubnets.
    pub async fn default_subnets(&self) -> Result<Vec<Subnet>, AwsError> {
        let call = Call::new("ec2:DescribeSubnets", "the default subnets");
        let filter = filter("default-for-az", ["true"]);
        let request = self.client.describe_subnets();
        let request = request.filters(filter).max_results(PAGE);
        let ask = |token| request.clone().set_next_token(token).send();
        let mut subnets = Vec::new();
        for page in self
            .pages(&call, ask, DescribeSubnetsOutput::next_token)
            .await?
        {
            subnets.extend(self.subnets(&call, page.subnets())?);
        }
        subnets.sort_by(|one: &Subnet, other| one.zone.cmp(&other.zone));
        Ok(subnets)
    }

    /// Whether a route leads out of a subnet, for instances without an address but what the subnet
    /// gives them: to everywhere, or to S3 through a gateway endpoint.
    /// What counts is the subnet's own route table, or where it has none, the main one of its VPC.
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-route-tables.html>
    ///
    /// # Errors
    /// Those of DescribeRouteTables.
    pub async fn routes_out(&self, subnet: &Subnet) -> Result<bool, AwsError> {
        let own = vec![filter("association.subnet-id", [&subnet.id])];
        let mut tables = self.route_tables(subnet, own).await?;
        if tables.is_empty() {
            let main = vec![
                filter("vpc-id", [&subnet.vpc]),
                filter("association.main", ["true"]),
            ];
            tables = self.route_tables(subnet, main).await?;
        }
        Ok(tables
            .iter()
            .flat_map(types::RouteTable::routes)
            .any(|route| leads_out(route, subnet.public_ip_on_launch)))
    }

    async fn route_tables(
        &self,
        subnet: &Subnet,
        filters: Vec<types::Filter>,
    ) -> Result<Vec<types::RouteTable>, AwsError> {
        let call = Call::new("ec2:DescribeRouteTables", format!("those of {}", subnet.id));
        let request = self.client.describe_route_tables();
        let request = request.set_filters(Some(filters)).max_results(SMALL_PAGE);
        let ask = |token| request.clone().set_next_token(token).send();
        let pages = self.pages(&call, ask, DescribeRouteTablesOutput::next_token);
        let tables = pages
            .await?
            .into_iter()
            .filter_map(|page| page.route_tables);
        Ok(tables.flatten().collect())
    }

    fn subnets(&self, call: &Call, subnets: &[types::Subnet]) -> Result<Vec<Subnet>, AwsError> {
        let typed = |subnet: &types::Subnet| {
            Ok(Subnet {
                id: self.id(call, subnet.subnet_id())?,
                vpc: subnet.vpc_id().unwrap_or_default().to_owned(),
                zone: subnet.availability_zone().unwrap_or_default().to_owned(),
                is_default: subnet.default_for_az().unwrap_or(false),
                public_ip_on_launch: subnet.map_public_ip_on_launch().unwrap_or(false),
            })
        };
        subnets.iter().map(typed).collect()
    }
}

/// Whether a route leads to everywhere, for which an instance needs a public address where it is an
/// internet gateway's, or to a prefix list through a gateway endpoint, whose
/// service (S3 or DynamoDB) only the list's name tells. One that is a black hole, because its target
/// is gone, leads nowhere.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Route.html>
fn leads_out(route: &types::Route, public_ip: bool) -> bool {
    let is_internet = route.gateway_id().is_some_and(|id| id.starts_with("igw-"));
    let is_everywhere = route.destination_cidr_block() == Some("0.0.0.0/0");
    // What has only an address of version 6 does not reach S3's usual endpoint.
    let is_everywhere = is_everywhere && (public_ip || !is_internet);
    let is_endpoint = route.destination_prefix_list_id().is_some()
        && route.gateway_id().is_some_and(|id| id.starts_with("vpce-"));
    let is_active = route.state() == Some(&types::RouteState::Active);
    is_active && (is_everywhere || is_endpoint)
}
