use serde_json::json;

use crate::aws::error::Kind;
use crate::aws::tags::Tags;
use crate::aws::testing::{Cloud, HOME, region};

#[tokio::test]
async fn images_are_deprecated_by_awss_clock() {
    let cloud = Cloud::start().await;
    let aws = cloud.aws().await;
    let ec2 = aws.ec2(&region(HOME));
    let snapshot = ec2.test_snapshot(None, &Tags::default()).await;
    let ami = ec2.test_image("one", &snapshot, &Tags::default()).await;
    let ten_days = json!({"advance_seconds": 10 * 24 * 3600});
    cloud.control("PUT", "clock", ten_days).await;
    let shown = async || {
        let image = ec2.image(&ami).await.expect("an answer");
        image.expect("an image").deprecation
    };
    assert_eq!(shown().await, None);
    // The clock is known by the answer before.
    assert!((aws.clock_skew() - 10 * 24 * 3600).abs() < 60);
    let now = ec2.now();
    assert!(ec2.deprecate(&ami, now).await.expect("it is deprecated"));
    let at = shown().await.expect("a time");
    let late = at - now;
    assert!(!late.is_negative() && late.whole_minutes() <= 3, "{late}");
    assert!(ec2.undo_deprecation(&ami).await.expect("it is undone"));
    assert_eq!(shown().await, None);

    ec2.deregister(&ami, true).await.expect("it goes");
    assert!(!ec2.deprecate(&ami, now).await.expect("it is gone"));
    assert!(!ec2.undo_deprecation(&ami).await.expect("it is gone"));
}

#[tokio::test]
async fn protected_images_say_how_they_can_go() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let snapshot = ec2.test_snapshot(None, &Tags::default()).await;
    let ami = ec2.test_image("one", &snapshot, &Tags::default()).await;
    let protect = ec2.client.enable_image_deregistration_protection();
    let protected = protect.image_id(ami.as_str()).send().await;
    protected.expect("it is protected");
    let error = ec2.deregister(&ami, true).await.expect_err("it stays");
    assert_eq!(error.kind, Kind::Conflict);
    let words = format!("disable-image-deregistration-protection --image-id {ami} --region {HOME}");
    assert!(error.message.contains(&words), "{error}");
    assert!(ec2.image(&ami).await.expect("an answer").is_some());
}
