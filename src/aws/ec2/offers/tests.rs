use super::*;
use crate::aws::testing::{Cloud, HOME, region};

#[tokio::test]
async fn types_have_zones_and_architectures() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let types = ["t2.micro", "t3.micro", "t4g.small", "t3.*", "none.such"];
    let types = types.map(str::to_owned);
    let zones = ec2.offered(&types).await.expect("zones");
    let told: Vec<(&str, usize)> = zones
        .iter()
        .map(|(kind, zones)| (kind.as_str(), zones.len()))
        .collect();
    assert_eq!(told, [("t2.micro", 3), ("t3.micro", 2), ("t4g.small", 2)]);
    assert!(zones["t3.micro"].contains("us-east-1b"));
    assert_eq!(cloud.calls("DescribeInstanceTypeOfferings").await.len(), 2);

    let found = ec2.architectures(&types).await.expect("architectures");
    let expected = [
        ("t2.micro", vec![Arch::X86_64]),
        ("t3.micro", vec![Arch::X86_64]),
        ("t4g.small", vec![Arch::Aarch64]),
    ];
    let expected = expected.map(|(kind, of)| (kind.to_owned(), of));
    assert_eq!(found, expected.into());
}

#[tokio::test]
async fn of_no_types_nothing_is_asked() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    assert!(ec2.offered(&[]).await.expect("nothing").is_empty());
    assert!(ec2.architectures(&[]).await.expect("nothing").is_empty());
    assert!(cloud.calls("DescribeInstanceTypes").await.is_empty());
}
