//! What is kept of calls, and what is not.

use super::*;
use crate::sandbox::testing::{Bed, request};

fn record(bed: &Bed, service: Service, operation: &str, error: Option<&str>) {
    let recording = Recording::new(&bed.shared, service, "id");
    recording.note(|call| {
        call.operation = operation.to_owned();
        call.status = Some(200);
        call.error = error.map(str::to_owned);
        call.account = Some(bed.caller("publisher").account);
        call.region = Some("us-east-1".parse().expect("a Region"));
    });
}

#[test]
fn calls_are_found_again() {
    let bed = Bed::new();
    record(&bed, Service::Ec2, "DescribeImages", None);
    record(&bed, Service::Ec2, "CopyImage", Some("InternalError"));
    record(&bed, Service::Kms, "CreateKey", None);
    // One that nobody answered.
    drop(Recording::new(&bed.shared, Service::Sts, "id"));
    let filter = CallFilter::default;
    let account = |id: &str| Some(id.parse().expect("an id"));
    for (filter, found) in [
        (filter(), vec![1, 2, 3, 4]),
        (
            CallFilter {
                service: Some(Service::Ec2),
                ..filter()
            },
            vec![1, 2],
        ),
        (
            CallFilter {
                operation: Some("CreateKey".to_owned()),
                ..filter()
            },
            vec![3],
        ),
        (
            CallFilter {
                error: Some("InternalError".to_owned()),
                ..filter()
            },
            vec![2],
        ),
        (
            CallFilter {
                after: Some(2),
                ..filter()
            },
            vec![3, 4],
        ),
        (
            CallFilter {
                limit: Some(2),
                ..filter()
            },
            vec![3, 4],
        ),
        (
            CallFilter {
                limit: Some(1),
                service: Some(Service::Ec2),
                ..filter()
            },
            vec![2],
        ),
        (
            CallFilter {
                account: account("111111111111"),
                ..filter()
            },
            vec![1, 2, 3],
        ),
        (
            CallFilter {
                account: account("222222222222"),
                ..filter()
            },
            vec![],
        ),
        (
            CallFilter {
                region: "us-west-2".parse().ok(),
                ..filter()
            },
            vec![],
        ),
    ] {
        let calls = bed.shared.calls.list(&filter);
        let numbers: Vec<u64> = calls.iter().map(|call| call.sequence).collect();
        assert_eq!(numbers, found, "{filter:?}");
    }
    assert_eq!(bed.shared.calls.list(&filter())[3].status, None);
    bed.shared.calls.clear();
    assert!(bed.shared.calls.list(&filter()).is_empty());
    record(&bed, Service::Ec2, "CopyImage", None);
    assert_eq!(
        bed.shared.calls.list(&filter())[0].sequence,
        5,
        "numbers go on"
    );
}

#[test]
fn the_log_has_an_end() {
    let bed = Bed::new();
    for _ in 0..MOST_BYTES / (1 << 20) + 2 {
        let recording = Recording::new(&bed.shared, Service::Ec2, "id");
        recording.note(|call| call.parameters = " ".repeat(1 << 20));
    }
    let calls = bed.shared.calls.list(&CallFilter::default());
    assert_eq!(calls.len(), MOST_BYTES / (1 << 20));
    assert_eq!(calls[0].sequence, 3);
}

#[test]
fn secrets_are_cut_out_of_parameters() {
    let long = "x".repeat(10_000);
    for (service, method, path, body, expected) in [
        (
            Service::Ec2,
            "POST",
            "/",
            "Action=RunInstances&ImageId=ami-1&UserData=c2VjcmV0".to_owned(),
            r#"{"Action":"RunInstances","ImageId":"ami-1","UserData":"(8 bytes)"}"#.to_owned(),
        ),
        (
            Service::Ec2,
            "POST",
            "/",
            "UserData.Value=secret".to_owned(),
            r#"{"UserData.Value":"(6 bytes)"}"#.to_owned(),
        ),
        (
            Service::Sts,
            "GET",
            "/?Action=GetCallerIdentity&X-Amz-Signature=secret",
            String::new(),
            r#"{"Action":"GetCallerIdentity","X-Amz-Signature":"(6 bytes)"}"#.to_owned(),
        ),
        (
            Service::Kms,
            "POST",
            "/",
            r#"{"KeyId":"k","Plaintext":"secret","A":[{"Message":"secret"}]}"#.to_owned(),
            r#"{"KeyId":"k","Plaintext":"(6 bytes)","A":[{"Message":"(6 bytes)"}]}"#.to_owned(),
        ),
        (
            Service::Kms,
            "POST",
            "/",
            "no JSON".to_owned(),
            "null".to_owned(),
        ),
        (
            Service::Kms,
            "POST",
            "/",
            format!(r#"{{"Policy":"{long}"}}"#),
            format!(r#"{{"Policy":"{}… (10000 bytes)"}}"#, "x".repeat(128)),
        ),
        (
            Service::Ebs,
            "PUT",
            "/snapshots/snap-1/blocks/2?a=b",
            "secret".to_owned(),
            r#"{"path":"/snapshots/snap-1/blocks/2","a":"b"}"#.to_owned(),
        ),
        (
            Service::Ebs,
            "POST",
            "/snapshots",
            r#"{"VolumeSize":1}"#.to_owned(),
            r#"{"path":"/snapshots","body":{"VolumeSize":1}}"#.to_owned(),
        ),
    ] {
        let request = request(method, path, &[], body.as_bytes());
        let found = parameters(service, &request);
        assert_eq!(found, expected, "{body}");
    }
    let many: String = (0..2000).map(|n| format!("Id.{n}=i-0123456&")).collect();
    let found = parameters(Service::Ec2, &request("POST", "/", &[], many.as_bytes()));
    assert!(found.len() < 100, "{found}");
}
