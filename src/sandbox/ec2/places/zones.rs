//! Availability zones, and what AWS calls its Regions in full.

use crate::sandbox::id::Region;

/// An availability zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Such as `eu-central-1a`; accounts of AWS do not all mean the same place by it.
    pub name: String,
    /// Such as `euc1-az2`, the same place for all.
    pub id: String,
}

/// What there is to say of a Region besides its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What the zone ids begin with.
    id_prefix: &'static str,
    /// Numbers of the zones `a`, `b` and `c` in their ids; as in AWS, seldom 1, 2, 3.
    numbers: [u8; 3],
    /// Such as `Europe (Frankfurt)`.
    pub long_name: &'static str,
    /// Such as `Germany`.
    pub geography: &'static str,
}

const fn place(
    id_prefix: &'static str,
    numbers: [u8; 3],
    long_name: &'static str,
    geography: &'static str,
) -> Place {
    Place {
        id_prefix,
        numbers,
        long_name,
        geography,
    }
}

/// A Region's place on earth.
pub fn place_of(region: &Region) -> Place {
    match region.as_str() {
        "af-south-1" => place("afs1", [1, 2, 3], "Africa (Cape Town)", "South Africa"),
        "ap-northeast-1" => place("apne1", [4, 1, 2], "Asia Pacific (Tokyo)", "Japan"),
        "ap-northeast-2" => place("apne2", [1, 2, 3], "Asia Pacific (Seoul)", "South Korea"),
        "ap-northeast-3" => place("apne3", [3, 1, 2], "Asia Pacific (Osaka)", "Japan"),
        "ap-south-1" => place("aps1", [1, 3, 2], "Asia Pacific (Mumbai)", "India"),
        "ap-southeast-1" => place("apse1", [1, 2, 3], "Asia Pacific (Singapore)", "Singapore"),
        "ap-southeast-2" => place("apse2", [3, 1, 2], "Asia Pacific (Sydney)", "Australia"),
        "ca-central-1" => place("cac1", [1, 2, 4], "Canada (Central)", "Canada"),
        "eu-central-1" => place("euc1", [2, 3, 1], "Europe (Frankfurt)", "Germany"),
        "eu-central-2" => place("euc2", [1, 2, 3], "Europe (Zurich)", "Switzerland"),
        "eu-north-1" => place("eun1", [1, 2, 3], "Europe (Stockholm)", "Sweden"),
        "eu-west-1" => place("euw1", [3, 1, 2], "Europe (Ireland)", "Ireland"),
        "eu-west-2" => place("euw2", [2, 3, 1], "Europe (London)", "United Kingdom"),
        "eu-west-3" => place("euw3", [1, 2, 3], "Europe (Paris)", "France"),
        "sa-east-1" => place("sae1", [1, 2, 3], "South America (Sao Paulo)", "Brazil"),
        "us-east-1" => place("use1", [1, 2, 3], "US East (N. Virginia)", USA),
        "us-east-2" => place("use2", [1, 2, 3], "US East (Ohio)", USA),
        "us-west-1" => place("usw1", [3, 1, 2], "US West (N. California)", USA),
        "us-west-2" => place("usw2", [2, 1, 3], "US West (Oregon)", USA),
        other => unreachable!("{other} has no place"),
    }
}

const USA: &str = "United States of America";

/// The zones of a Region, in the order of their names.
pub fn zones(region: &Region) -> Vec<Zone> {
    let place = place_of(region);
    ["a", "b", "c"]
        .iter()
        .zip(place.numbers)
        .map(|(letter, number)| Zone {
            name: format!("{region}{letter}"),
            id: format!("{}-az{number}", place.id_prefix),
        })
        .collect()
}

/// Families and types that AWS does not have everywhere: Region, letters of the zones without,
/// types. `us-east-1c` is AWS's `use1-az3`, which has old types only.
const MISSING: &[(&str, &str, &[&str])] = &[
    ("af-south-1", "a", &["c6g.large"]),
    ("af-south-1", "abc", &["t2.micro", "t3a.small"]),
    ("ap-northeast-1", "c", &["t3a.small"]),
    ("ap-northeast-2", "b", &["t2.micro", "t3a.small"]),
    ("ap-northeast-3", "abc", &["t3a.small"]),
    ("ap-northeast-3", "bc", &["t2.micro"]),
    ("ap-south-1", "c", &["t2.micro"]),
    (
        "eu-central-2",
        "abc",
        &["c6i.large", "t2.micro", "t3a.small"],
    ),
    ("eu-north-1", "abc", &["t2.micro", "t3a.small"]),
    ("sa-east-1", "b", &["t2.micro"]),
    (
        "us-east-1",
        "c",
        &[
            "c6g.large",
            "c6i.large",
            "m5.large",
            "m6g.large",
            "m6g.medium",
            "m6i.large",
            "m7i.large",
            "t3.large",
            "t3.medium",
            "t3.micro",
            "t3.small",
            "t3a.small",
            "t4g.medium",
            "t4g.micro",
            "t4g.small",
        ],
    ),
];

/// Whether a zone (by its name) has instances of a type.
pub fn offered(region: &Region, zone: &str, kind: &str) -> bool {
    let Some(letter) = zone
        .strip_prefix(region.as_str())
        .filter(|_| zones(region).iter().any(|known| known.name == zone))
    else {
        return false;
    };
    super::types::instance_type(kind).is_some()
        && !MISSING.iter().any(|(in_region, letters, types)| {
            *in_region == region.as_str() && letters.contains(letter) && types.contains(&kind)
        })
}
