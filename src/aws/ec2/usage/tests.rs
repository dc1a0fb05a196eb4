use std::time::Duration;

use aws_sdk_ec2::types::RequestLaunchTemplateData;
use serde_json::json;

use super::*;
use crate::aws::testing::{Cloud, HOME, region};

const SOON: Duration = Duration::from_secs(30);

async fn test_template(ec2: &Ec2, name: &str, ami: &AmiId) {
    let data = RequestLaunchTemplateData::builder().image_id(ami.as_str());
    let request = ec2.client.create_launch_template();
    let request = request.launch_template_name(name);
    let made = request.launch_template_data(data.build()).send().await;
    made.expect("a template");
}

#[tokio::test]
async fn own_resources_that_name_images() {
    let cloud = Cloud::start().await;
    cloud.pretend_instances();
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let mut images = Vec::new();
    for name in ["one", "two", "three"] {
        let snapshot = ec2.test_snapshot(None, &Tags::default()).await;
        images.push(ec2.test_image(name, &snapshot, &Tags::default()).await);
    }
    let launch = ec2.test_launch("four").await;
    ec2.test_instance(&launch).await;
    images.push(launch.image.clone());
    // More than a page.
    for number in 0..6 {
        test_template(&ec2, &format!("nodes-{number}"), &images[0]).await;
    }
    ec2.deregister(&images[2], true).await.expect("it goes");
    let found = ec2.references(&images).await.expect("references");
    let of = |image: &AmiId, kind: &str| {
        let named = |found: &&Reference| found.image == *image && found.kind.0 == kind;
        found.iter().filter(named).count()
    };
    assert_eq!(of(&images[0], "ec2:LaunchTemplate"), 6);
    assert_eq!(of(&images[3], "ec2:Instance"), 1);
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[tokio::test]
async fn others_that_use_an_image() {
    let cloud = Cloud::start().await;
    let (aws, customer) = (cloud.aws().await, cloud.customer().await);
    let (ec2, theirs) = (aws.ec2(&region(HOME)), customer.ec2(&region(HOME)));
    let snapshot = ec2.test_snapshot(None, &Tags::default()).await;
    let ami = ec2.test_image("one", &snapshot, &Tags::default()).await;
    let usage = async || ec2.usage(&ami, SOON).await.expect("an answer");
    assert_eq!(usage().await, Ok(Vec::new()));
    ec2.test_share(&ami, customer.account()).await;
    for number in 0..2 {
        test_template(&theirs, &format!("nodes-{number}"), &ami).await;
    }
    let [told] = &usage().await.expect("in time")[..] else {
        panic!("one entry");
    };
    assert_eq!((&told.account, told.count), (customer.account(), 2));
    assert_eq!(told.kind.to_string(), "launch templates");
    assert_eq!(ec2.own_reports(&ami).await.expect("reports"), []);
    ec2.deregister(&ami, true).await.expect("it goes");
    assert_eq!(usage().await, Ok(Vec::new()));
}

/// What an earlier run asked for is taken, unless it is old.
#[tokio::test]
async fn reports_that_come_late_are_taken_later() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let snapshot = ec2.test_snapshot(None, &Tags::default()).await;
    let ami = ec2.test_image("one", &snapshot, &Tags::default()).await;
    cloud.control("PUT", "clock", json!({"scale": 1.0})).await;
    let usage = async || ec2.usage(&ami, Duration::ZERO).await.expect("an answer");
    let late = usage().await.expect_err("it takes minutes");
    assert_eq!(late.last, "the usage report is pending");
    let minutes = json!({"advance_seconds": 20 * 60});
    cloud.control("PUT", "clock", minutes).await;
    assert_eq!(usage().await, Ok(Vec::new()));
    assert_eq!(cloud.calls("CreateImageUsageReport").await.len(), 1);

    usage().await.expect_err("another one");
    let day = json!({"advance_seconds": 24 * 3600});
    cloud.control("PUT", "clock", day).await;
    usage().await.expect_err("that one is too old");
    assert_eq!(cloud.calls("CreateImageUsageReport").await.len(), 3);
    cloud
        .control("PUT", "clock", json!({"advance_seconds": 20 * 60}))
        .await;
    assert_eq!(usage().await, Ok(Vec::new()));
    assert_eq!(ec2.own_reports(&ami).await.expect("reports"), []);
}

#[tokio::test]
async fn what_may_not_be_asked_names_the_action() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let snapshot = ec2.test_snapshot(None, &Tags::default()).await;
    let ami = ec2.test_image("one", &snapshot, &Tags::default()).await;
    let denied = json!({"error": {"status": 403, "code": "UnauthorizedOperation"}});
    for operation in ["CreateImageUsageReport", "DescribeImageReferences"] {
        let rule = json!({"operation": operation, "action": denied});
        cloud.fault(rule).await;
    }
    let error = ec2.usage(&ami, SOON).await.expect_err("denied");
    assert_eq!(
        (error.kind, error.action),
        (Kind::Denied, "ec2:CreateImageUsageReport")
    );
    let error = ec2.references(&[ami]).await.expect_err("denied");
    assert_eq!(
        (error.kind, error.action),
        (Kind::Denied, "ec2:DescribeImageReferences")
    );
}
