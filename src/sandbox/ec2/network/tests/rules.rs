use super::{call, default_group, group, refused};
use crate::sandbox::testing::Bed;

const INGRESS: &str = "AuthorizeSecurityGroupIngress";
const EGRESS: &str = "AuthorizeSecurityGroupEgress";
const REVOKE: &str = "RevokeSecurityGroupIngress";

/// Parameters of a permission: `P.IpProtocol` stands for `IpPermissions.1.IpProtocol`.
fn permission(group: &str, params: &[(&str, &str)]) -> Vec<(String, String)> {
    let id = ("GroupId".to_owned(), group.to_owned());
    let rest = params.iter().map(|(name, value)| {
        (
            name.replacen("P.", "IpPermissions.1.", 1),
            (*value).to_owned(),
        )
    });
    std::iter::once(id).chain(rest).collect()
}

fn borrowed(params: &[(String, String)]) -> Vec<(&str, &str)> {
    params
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect()
}

#[test]
fn what_is_no_rule() {
    let bed = Bed::new();
    let id = group(&bed, "one");
    let long = "x".repeat(256);
    let invalid = "InvalidParameterValue";
    let cidr = ("P.IpRanges.1.CidrIp", "10.0.0.0/8");
    let tcp = ("P.IpProtocol", "tcp");
    let (from, to) = (("P.FromPort", "22"), ("P.ToPort", "22"));
    let cases: Vec<(Vec<(&str, &str)>, &str)> = vec![
        (vec![], "MissingParameter"),
        (vec![cidr], "MissingParameter"),
        (vec![tcp, from, to], "MissingParameter"),
        (vec![("P.IpProtocol", "tea"), cidr], invalid),
        (vec![("P.IpProtocol", "256"), cidr], invalid),
        (vec![tcp, cidr], invalid),
        (vec![tcp, from, cidr], invalid),
        (vec![tcp, from, ("P.ToPort", "21"), cidr], invalid),
        (vec![tcp, from, ("P.ToPort", "65536"), cidr], invalid),
        (vec![tcp, ("P.FromPort", "-1"), to, cidr], invalid),
        (vec![tcp, from, ("P.ToPort", "x"), cidr], invalid),
        (vec![("P.IpProtocol", "icmp"), cidr], invalid),
        (
            vec![
                ("P.IpProtocol", "icmp"),
                ("P.FromPort", "-1"),
                ("P.ToPort", "0"),
                cidr,
            ],
            invalid,
        ),
        (
            vec![
                ("P.IpProtocol", "icmp"),
                ("P.FromPort", "256"),
                ("P.ToPort", "0"),
                cidr,
            ],
            invalid,
        ),
        (
            vec![tcp, from, to, ("P.IpRanges.1.CidrIp", "10.0.0.0")],
            invalid,
        ),
        (
            vec![tcp, from, to, ("P.IpRanges.1.CidrIp", "10.0.0.0/33")],
            invalid,
        ),
        (
            vec![tcp, from, to, ("P.IpRanges.1.CidrIp", "10.0.0/8")],
            invalid,
        ),
        (
            vec![tcp, from, to, ("P.IpRanges.1.CidrIp", "::/0")],
            invalid,
        ),
        (
            vec![tcp, from, to, ("P.Ipv6Ranges.1.CidrIpv6", "10.0.0.0/8")],
            invalid,
        ),
        (
            vec![tcp, from, to, ("P.Ipv6Ranges.1.CidrIpv6", "::/129")],
            invalid,
        ),
        (
            vec![tcp, from, to, ("P.IpRanges.1.Description", "x")],
            "MissingParameter",
        ),
        (
            vec![tcp, from, to, cidr, ("P.IpRanges.1.Description", "<b>")],
            invalid,
        ),
        (
            vec![tcp, from, to, cidr, ("P.IpRanges.1.Description", &long)],
            invalid,
        ),
        (
            vec![tcp, from, to, cidr, ("P.IpRanges.1.Tea", "x")],
            "UnknownParameter",
        ),
        (
            vec![tcp, from, to, ("P.Groups.1.GroupId", "sg-00000000")],
            "InvalidGroup.NotFound",
        ),
        (
            vec![tcp, from, to, ("P.Groups.1.GroupName", "none")],
            "InvalidGroup.NotFound",
        ),
        (
            vec![tcp, from, to, ("P.Groups.1.Description", "x")],
            "MissingParameter",
        ),
        (
            vec![
                tcp,
                from,
                to,
                ("P.Groups.1.UserId", "222222222222"),
                ("P.Groups.1.GroupName", "one"),
            ],
            "InvalidGroup.NotFound",
        ),
        (
            vec![
                tcp,
                from,
                to,
                ("P.Groups.1.VpcId", "vpc-0"),
                ("P.Groups.1.GroupName", "one"),
            ],
            "InvalidGroup.NotFound",
        ),
        (
            vec![tcp, from, to, ("P.Groups.1.PeeringStatus", "active")],
            invalid,
        ),
        (
            vec![
                tcp,
                from,
                to,
                ("P.Groups.1.VpcPeeringConnectionId", "pcx-0"),
            ],
            "InvalidVpcPeeringConnectionID.NotFound",
        ),
        (
            vec![tcp, from, to, ("P.PrefixListIds.1.PrefixListId", "pl-0")],
            "InvalidPrefixListID.NotFound",
        ),
        (
            vec![tcp, from, to, cidr, ("P.IpRanges.2.CidrIp", "10.1.2.3/8")],
            invalid,
        ),
        (
            vec![
                tcp,
                from,
                to,
                cidr,
                ("IpProtocol", "tcp"),
                ("CidrIp", "0.0.0.0/0"),
                ("FromPort", "1"),
                ("ToPort", "1"),
            ],
            "InvalidParameterCombination",
        ),
        (vec![("IpProtocol", "tcp")], "MissingParameter"),
        (vec![("CidrIp", "0.0.0.0/0")], "MissingParameter"),
        (
            vec![("SourceSecurityGroupName", "one"), ("IpProtocol", "tcp")],
            "InvalidParameterCombination",
        ),
        (
            vec![
                ("SourceSecurityGroupName", "one"),
                ("SourceSecurityGroupOwnerId", "222222222222"),
            ],
            "InvalidGroup.NotFound",
        ),
        (
            vec![
                tcp,
                from,
                to,
                cidr,
                ("TagSpecification.1.ResourceType", "instance"),
            ],
            invalid,
        ),
    ];
    for (params, expected) in &cases {
        refused(&bed, INGRESS, &borrowed(&permission(&id, params)), expected);
    }
    for (name, value) in [
        ("IpProtocol", "tcp"),
        ("CidrIp", "0.0.0.0/0"),
        ("SourceSecurityGroupName", "one"),
    ] {
        refused(&bed, EGRESS, &[("GroupId", &id), (name, value)], invalid);
    }
    refused(&bed, EGRESS, &[("GroupName", "one")], "MissingParameter");
    refused(
        &bed,
        INGRESS,
        &[("GroupId", &id), ("GroupName", "one")],
        "InvalidParameterCombination",
    );
    let answer = call(
        &bed,
        "DescribeSecurityGroupRules",
        &[("Filter.1.Name", "group-id"), ("Filter.1.Value.1", &id)],
    );
    assert_eq!(answer.all("/isEgress"), ["true"], "nothing was added");
}

#[test]
fn rules_as_they_are_kept() {
    let bed = Bed::new();
    let id = group(&bed, "one");
    let cidr = ("P.IpRanges.1.CidrIp", "100.68.0.18/18");
    for (params, expected) in [
        (
            vec![
                ("P.IpProtocol", "6"),
                ("P.FromPort", "22"),
                ("P.ToPort", "23"),
                cidr,
            ],
            "tcp 22 23 100.68.0.0/18",
        ),
        (
            vec![
                ("P.IpProtocol", "icmp"),
                ("P.FromPort", "-1"),
                ("P.ToPort", "-1"),
                cidr,
            ],
            "icmp -1 -1 100.68.0.0/18",
        ),
        (
            vec![("P.IpProtocol", "50"), ("P.FromPort", "1"), cidr],
            "50 -1 -1 100.68.0.0/18",
        ),
        (
            vec![("P.IpProtocol", "-1"), ("P.IpRanges.1.CidrIp", "1.2.3.4/0")],
            "-1 -1 -1 0.0.0.0/0",
        ),
        (
            vec![
                ("P.IpProtocol", "icmpv6"),
                ("P.Ipv6Ranges.1.CidrIpv6", "2001:DB8::1/32"),
            ],
            "icmpv6 -1 -1 2001:db8::/32",
        ),
        (
            vec![
                ("IpProtocol", "udp"),
                ("FromPort", "0"),
                ("ToPort", "65535"),
                ("CidrIp", "10.9.8.7/32"),
            ],
            "udp 0 65535 10.9.8.7/32",
        ),
    ] {
        let answer = call(&bed, INGRESS, &borrowed(&permission(&id, &params)));
        let rule = |name: &str| answer.get(&format!("securityGroupRuleSet/item[0]/{name}"));
        let range = rule("cidrIpv4").or(rule("cidrIpv6")).expect("a range");
        let kept = ["ipProtocol", "fromPort", "toPort"].map(|name| rule(name).expect("a value"));
        assert_eq!(format!("{} {range}", kept.join(" ")), expected);
        let again = permission(&id, &params);
        refused(
            &bed,
            INGRESS,
            &borrowed(&again),
            "InvalidPermission.Duplicate",
        );
    }
    let whole = permission(&id, &[("SourceSecurityGroupName", "one")]);
    let answer = call(&bed, INGRESS, &borrowed(&whole));
    assert_eq!(answer.all("/ipProtocol"), ["tcp", "udp", "icmp"]);
    assert_eq!(answer.all("/referencedGroupInfo/groupId"), [&id, &id, &id]);
}

#[test]
fn rules_have_tags_and_descriptions() {
    let bed = Bed::new();
    let id = group(&bed, "one");
    let params = permission(
        &id,
        &[
            ("P.IpProtocol", "tcp"),
            ("P.FromPort", "443"),
            ("P.ToPort", "443"),
            ("P.IpRanges.1.CidrIp", "10.0.0.0/8"),
            ("P.IpRanges.1.Description", "from inside"),
            ("TagSpecification.1.ResourceType", "security-group-rule"),
            ("TagSpecification.1.Tag.1.Key", "use"),
            ("TagSpecification.1.Tag.1.Value", "build"),
        ],
    );
    let answer = call(&bed, INGRESS, &borrowed(&params));
    let rule = answer
        .text("securityGroupRuleSet/item[0]/securityGroupRuleId")
        .to_owned();
    let by_tag = [("Filter.1.Name", "tag:use"), ("Filter.1.Value.1", "build")];
    let found = call(&bed, "DescribeSecurityGroupRules", &by_tag);
    assert_eq!(found.all("/securityGroupRuleId"), [&rule]);
    assert_eq!(
        found.text("securityGroupRuleSet/item[0]/description"),
        "from inside"
    );
    let groups = call(&bed, "DescribeSecurityGroups", &[("GroupId.1", &id)]);
    let range = "securityGroupInfo/item[0]/ipPermissions/item[0]/ipRanges/item[0]";
    assert_eq!(groups.text(&format!("{range}/description")), "from inside");
    for (params, expected) in [
        (
            ("SecurityGroupRuleId.1", "sgr-00000000"),
            "InvalidSecurityGroupRuleId.NotFound",
        ),
        (("MaxResults", "4"), "InvalidParameterValue"),
        (("Tea", "x"), "UnknownParameter"),
    ] {
        refused(&bed, "DescribeSecurityGroupRules", &[params], expected);
    }
    call(
        &bed,
        REVOKE,
        &[("GroupId", &id), ("SecurityGroupRuleId.1", &rule)],
    );
    let left = call(&bed, "DescribeTags", &[]);
    assert!(left.all("/key").is_empty(), "tags go with what they are on");
}

#[test]
fn rules_are_revoked() {
    let bed = Bed::new();
    let id = group(&bed, "one");
    let flat = |port: &'static str| {
        permission(
            &id,
            &[
                ("IpProtocol", "tcp"),
                ("FromPort", port),
                ("ToPort", port),
                ("CidrIp", "10.0.0.0/8"),
            ],
        )
    };
    call(&bed, INGRESS, &borrowed(&flat("22")));
    let missing = call(&bed, REVOKE, &borrowed(&flat("23")));
    assert_eq!(
        missing.text("unknownIpPermissionSet/item[0]/fromPort"),
        "23"
    );
    assert!(missing.all("/securityGroupRuleId").is_empty());
    let gone = call(&bed, REVOKE, &borrowed(&flat("22")));
    assert_eq!(
        gone.text("revokedSecurityGroupRuleSet/item[0]/fromPort"),
        "22"
    );
    assert_eq!(gone.get("unknownIpPermissionSet/item[0]/fromPort"), None);

    let answer = call(
        &bed,
        "DescribeSecurityGroupRules",
        &[("Filter.1.Name", "group-id"), ("Filter.1.Value.1", &id)],
    );
    let egress = answer
        .text("securityGroupRuleSet/item[0]/securityGroupRuleId")
        .to_owned();
    let by_id = [("GroupId", &*id), ("SecurityGroupRuleId.1", &egress)];
    refused(&bed, REVOKE, &by_id, "InvalidSecurityGroupRuleId.NotFound");
    refused(&bed, REVOKE, &[("GroupId", &id)], "MissingParameter");
    refused(&bed, REVOKE, &by_id[1..], "MissingParameter");
    let flat = flat("22");
    let both = [borrowed(&flat), by_id[1..].to_vec()].concat();
    refused(&bed, REVOKE, &both, "InvalidParameterCombination");
    call(&bed, "RevokeSecurityGroupEgress", &by_id);
    let groups = call(&bed, "DescribeSecurityGroups", &[("GroupId.1", &id)]);
    assert!(groups.all("/ipProtocol").is_empty());
}

#[test]
fn the_default_group_can_be_changed() {
    let bed = Bed::new();
    let id = default_group(&bed);
    let rules = [
        ("GroupId", &*id),
        ("IpPermissions.1.IpProtocol", "-1"),
        ("IpPermissions.1.Groups.1.GroupId", &id),
    ];
    call(&bed, REVOKE, &rules);
    assert_eq!(default_group(&bed), id);
    let groups = call(&bed, "DescribeSecurityGroups", &[("GroupId.1", &id)]);
    assert_eq!(groups.all("/ipProtocol"), ["-1"], "only the way out");
    assert_eq!(
        call(&bed, "DescribeSecurityGroups", &[])
            .all("]/groupName")
            .len(),
        1
    );
}

#[test]
fn sixty_rules_each_way() {
    let bed = Bed::new();
    let id = group(&bed, "one");
    let ranges: Vec<(String, String)> = (1..=61)
        .map(|number| {
            (
                format!("P.IpRanges.{number}.CidrIp"),
                format!("10.0.{number}.0/24"),
            )
        })
        .collect();
    let mut params = vec![("P.IpProtocol", "-1")];
    params.extend(borrowed(&ranges));
    let over = "RulesPerSecurityGroupLimitExceeded";
    refused(&bed, INGRESS, &borrowed(&permission(&id, &params)), over);
    call(&bed, INGRESS, &borrowed(&permission(&id, &params[..61])));
    refused(
        &bed,
        EGRESS,
        &borrowed(&permission(&id, &params[..61])),
        over,
    );
    call(&bed, EGRESS, &borrowed(&permission(&id, &params[..60])));
}
