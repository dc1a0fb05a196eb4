//! A build under the least policy: what it may do, and what it may not.

use super::*;
use crate::arch::Arch;
use crate::aws::ec2::{Ec2, Instance, InstanceState, Launch};
use crate::aws::s3::{BucketAddress, Condition};

/// A builder who may do what the policy allows, and somebody else of the account, who may do all.
struct Site {
    cloud: Cloud,
    builder: Aws,
    ec2: Ec2,
    others: Ec2,
    /// As a build asks for it.
    launch: Launch,
}

fn tagged(key: &str) -> Tags {
    Tags([(key.to_owned(), "b-1".to_owned())].into())
}

async fn site() -> Site {
    let cloud = Cloud::start().await;
    cloud.pretend_instances();
    let (aws, home) = (furnish(&cloud).await, region(HOME));
    let others = aws.ec2(&home);
    let mut launch = others.test_launch("build").await;
    let key = aws.kms(&home).describe("alias/images").await;
    launch.volume.key = key.expect("the key").arn;
    launch.root_device = Some("/dev/xvda".to_owned());
    launch.tags = tagged(tags::BUILD);
    let commands = [policy::Command::Build];
    let (policy, warnings) = least_policy_as(&good(), &commands, Ok(aws)).await;
    assert_eq!(warnings, [""; 0]);
    let builder = confine(&cloud, &policy).await;
    Site {
        cloud,
        ec2: builder.ec2(&home),
        builder,
        others,
        launch,
    }
}

async fn launched(ec2: &Ec2, launch: &Launch) -> Instance {
    let made = ec2.test_instance(launch).await.id;
    let instance = ec2.instance(&made).await.expect("an answer");
    instance.expect("it is there")
}

fn denied<T: std::fmt::Debug>(answer: Result<T, AwsError>, action: &str) {
    let error = answer.expect_err(action);
    assert_eq!(
        (error.kind, error.action),
        (Kind::Denied, action),
        "{error}"
    );
}

#[tokio::test]
async fn a_build_makes_and_ends_what_is_its_own() {
    let Site {
        cloud: _cloud,
        ec2,
        launch,
        ..
    } = site().await;
    let subnets = ec2.default_subnets().await.expect("subnets");
    assert!(ec2.routes_out(&subnets[0]).await.expect("a way"));
    let types = [launch.instance_type.clone()];
    assert_eq!(ec2.offered(&types).await.expect("offers").len(), 1);
    assert_eq!(ec2.architectures(&types).await.expect("types").len(), 1);
    let image = ec2.newest_image("self", "buil?", Arch::X86_64).await;
    assert_eq!(
        image.expect("an answer").map(|image| image.id),
        Some(launch.image.clone())
    );

    let launch = Launch {
        subnet: Some(subnets[0].id.clone()),
        ..launch
    };
    let instance = launched(&ec2, &launch).await;
    // A key that it may not use would end it.
    assert_eq!(instance.state, InstanceState::Running);
    let found = ec2.instances_of_token("build").await.expect("an answer");
    assert_eq!(found[0].id, instance.id);
    for volume in instance.volumes.values() {
        let volume = ec2.volume(volume).await.expect("an answer");
        assert_eq!(
            volume.expect("a volume").key.as_ref(),
            Some(&launch.volume.key)
        );
    }
    ec2.console_output(&instance.id).await.expect("its output");
    ec2.stop(&instance.id).await.expect("it stops");
    let volume = &instance.volumes["/dev/sdf"];
    let snapshot = ec2.create_snapshot(volume, "", &tagged(tags::BUILD)).await;
    let snapshot = snapshot.expect("a snapshot");
    assert_eq!(
        ec2.snapshots_of_volume(volume).await.expect("a list").len(),
        1
    );
    assert!(ec2.delete_snapshot(&snapshot).await.expect("it goes"));
    ec2.terminate(&instance.id).await.expect("it ends");
}

#[tokio::test]
async fn a_build_makes_nothing_without_its_tag_and_nothing_abroad() {
    let Site {
        cloud: _cloud,
        builder,
        ec2,
        launch,
        ..
    } = site().await;
    for tags in [Tags::default(), tagged("other")] {
        let launch = Launch {
            tags,
            ..launch.clone()
        };
        denied(ec2.run_instance(&launch).await, "ec2:RunInstances");
    }
    let instance = launched(&ec2, &launch).await;
    let volume = &instance.volumes["/dev/sdf"];
    for tags in [Tags::default(), tagged("other")] {
        let snapshot = ec2.create_snapshot(volume, "", &tags).await;
        denied(snapshot, "ec2:CreateSnapshot");
    }
    let abroad = builder.ec2(&region(ABROAD));
    denied(abroad.default_subnets().await, "ec2:DescribeSubnets");
    denied(abroad.run_instance(&launch).await, "ec2:RunInstances");
}

#[tokio::test]
async fn a_build_leaves_alone_what_is_not_its_own() {
    let Site {
        cloud: _cloud,
        ec2,
        others,
        launch,
        ..
    } = site().await;
    let foreign = Launch {
        token: "foreign".to_owned(),
        tags: tagged("other"),
        ..launch.clone()
    };
    let instance = launched(&others, &foreign).await;
    let volume = &instance.volumes["/dev/sdf"];
    let snapshot = others.create_snapshot(volume, "", &tagged("other")).await;
    let snapshot = snapshot.expect("a snapshot");
    denied(ec2.stop(&instance.id).await, "ec2:StopInstances");
    denied(ec2.terminate(&instance.id).await, "ec2:TerminateInstances");
    denied(
        ec2.console_output(&instance.id).await,
        "ec2:GetConsoleOutput",
    );
    let copied = ec2.create_snapshot(volume, "", &tagged(tags::BUILD)).await;
    denied(copied, "ec2:CreateSnapshot");
    denied(ec2.delete_snapshot(&snapshot).await, "ec2:DeleteSnapshot");
    // Nor does it make it its own.
    let retagged = ec2.tag(instance.id.as_str(), &tagged(tags::BUILD)).await;
    denied(retagged, "ec2:CreateTags");

    // The key is another: the launch is taken, and comes to nothing.
    let mut other_key = Launch {
        token: "another key".to_owned(),
        ..launch
    };
    other_key.volume.key = others.test_key().await;
    let instance = launched(&ec2, &other_key).await;
    assert_eq!(instance.state, InstanceState::Terminated);
}

#[tokio::test]
async fn a_build_gives_no_grants_of_its_own() {
    use aws_sdk_kms::error::ProvideErrorMetadata as _;
    use aws_sdk_kms::types::GrantOperation;
    let Site {
        cloud: _cloud,
        builder,
        launch,
        ..
    } = site().await;
    let kms = builder.kms(&region(HOME)).sdk().clone();
    let grant = kms
        .create_grant()
        .key_id(launch.volume.key.as_str())
        .grantee_principal("arn:aws:iam::111111111111:root")
        .operations(GrantOperation::Decrypt);
    let refused = grant
        .send()
        .await
        .expect_err("refused")
        .into_service_error();
    assert_eq!(refused.code(), Some("AccessDeniedException"));
    let message = refused.message().unwrap_or_default();
    assert!(message.contains("explicit deny"), "{message}");
}

#[tokio::test]
async fn a_build_has_the_objects_of_its_prefix() {
    let Site { cloud, builder, .. } = site().await;
    let s3 = builder.s3(&region(HOME));
    let bucket = BucketAddress {
        name: BUCKET.to_owned(),
        owner: None,
    };
    let (key, hour) = ("ami/jobs/b-1", Duration::from_secs(3600));
    let put = s3.put(&bucket, key, "text/plain", "a job", &Condition::Absent);
    put.await.expect("written");
    let url = s3.presigned_get(&bucket, key, hour).await.expect("a URL");
    assert_eq!(cloud.http("GET", &url, b"").await, (200, b"a job".to_vec()));
    let url = s3.presigned_put(&bucket, key, hour).await.expect("a URL");
    assert_eq!(cloud.http("PUT", &url, b"a result").await.0, 200);
    let seen = s3.seen(&bucket, key).await.expect("an answer");
    assert_eq!(seen.map(|seen| seen.size), Some(8));
    assert_eq!(s3.list(&bucket, "ami/").await.expect("a list"), [key]);
    s3.remove(&bucket, key).await.expect("removed");
    assert_eq!(s3.seen(&bucket, key).await.expect("an answer"), None);
    let put = s3.put(
        &bucket,
        "elsewhere",
        "text/plain",
        "a job",
        &Condition::Always,
    );
    denied(put.await, "s3:PutObject");
    denied(s3.remove(&bucket, "elsewhere").await, "s3:DeleteObject");
}

#[tokio::test]
async fn what_build_instances_lack_is_told() {
    let cloud = Cloud::start().await;
    let aws = furnish(&cloud).await;
    let report = examine_as(&good(), Ok(aws.clone()), LONG).await;
    let about = |report: &Report| {
        let checks = report.checks.iter();
        let ours = checks.filter(|check| check.group == Group::Build);
        ours.map(|check| (check.status, check.found.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(about(&report), [], "nobody builds there");

    let text = r#"
        base_images = { x86_64 = "ami-00000000", aarch64 = "self/none/*" }
        workers = { x86_64 = "/not/there" }
    "#;
    let patient = Patient {
        build: toml::from_str(text).expect("settings"),
        ..good()
    };
    let found = about(&examine_as(&patient, Ok(aws), LONG).await);
    let [
        (Status::Ok, network),
        (Status::Failed, here),
        (Status::Failed, arm),
    ] = &found[..]
    else {
        panic!("{found:#?}");
    };
    assert!(network.contains("subnet-"), "{network}");
    assert!(here.contains("cannot read the worker"), "{here}");
    assert!(arm.contains("no worker for aarch64"), "{arm}");
}
