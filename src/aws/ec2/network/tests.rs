use super::*;
use crate::aws::testing::{Cloud, HOME, region};

#[test]
fn routes_lead_out_or_not() {
    let route = |text: &str, public_ip| {
        let words: Vec<&str> = text.split(' ').collect();
        let [to, via, state] = words[..] else {
            panic!("{text}");
        };
        let route = types::Route::builder().gateway_id(via).state(state.into());
        let route = match to {
            "::/0" => route.destination_ipv6_cidr_block(to).build(),
            list if list.starts_with("pl-") => route.destination_prefix_list_id(list).build(),
            block => route.destination_cidr_block(block).build(),
        };
        leads_out(&route, public_ip)
    };
    assert!(!route("0.0.0.0/0 igw-1 active", false));
    assert!(route("0.0.0.0/0 vgw-1 active", false));
    assert!(route("pl-1 vpce-1 active", false));
    for (text, expected) in [
        ("172.31.0.0/16 local active", false),
        ("0.0.0.0/0 igw-1 active", true),
        ("0.0.0.0/0 igw-1 blackhole", false),
        ("::/0 igw-1 active", false),
        ("10.0.0.0/8 vgw-1 active", false),
        ("pl-1 vpce-1 active", true),
        ("pl-1 vpce-1 blackhole", false),
        ("pl-1 vgw-1 active", false),
    ] {
        assert_eq!(route(text, true), expected, "{text}");
    }
}

#[tokio::test]
async fn default_subnets_are_listed_by_zone() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let subnets = ec2.default_subnets().await.expect("subnets");
    let zones: Vec<&str> = subnets.iter().map(|subnet| subnet.zone.as_str()).collect();
    assert_eq!(zones, ["us-east-1a", "us-east-1b", "us-east-1c"]);
    for subnet in &subnets {
        assert!(subnet.is_default && subnet.public_ip_on_launch);
        assert!(subnet.vpc.starts_with("vpc-"));
        let found = ec2.subnet(&subnet.id).await.expect("an answer");
        assert_eq!(found.as_ref(), Some(subnet));
    }
    let nobodys = "subnet-01234567".parse().expect("an id");
    assert_eq!(ec2.subnet(&nobodys).await.expect("an answer"), None);
}

#[tokio::test]
async fn a_subnets_own_route_table_counts_before_the_main_one() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let subnets = ec2.default_subnets().await.expect("subnets");
    assert!(ec2.routes_out(&subnets[0]).await.expect("an answer"));
    assert_eq!(cloud.calls("DescribeRouteTables").await.len(), 2);
    ec2.test_cut_off(&subnets[0]).await;
    assert!(!ec2.routes_out(&subnets[0]).await.expect("an answer"));
    assert!(ec2.routes_out(&subnets[1]).await.expect("an answer"));
}
