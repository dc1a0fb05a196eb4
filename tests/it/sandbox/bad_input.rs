//! What no client of AWS's would send: it is refused with AWS's codes, and the server lives.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use super::client::{Answer, Call, Client, Expect as _};
use super::place::Place;
use super::things::{block, open_snapshot, register, snapshot};

/// The server answers what is right.
#[track_caller]
pub fn lives(client: &Client) {
    client.sts("GetCallerIdentity", &[]).done("it lives");
}

/// Whether an answer says that the caller is wrong.
#[track_caller]
pub fn is_refused(what: &str, answer: &Answer) {
    let is = (400..500).contains(&answer.status);
    assert!(is, "{what}: {} {}", answer.status, answer.text());
    assert!(!answer.body.is_empty(), "{what}: it says nothing");
}

#[test]
fn operations_that_are_none() {
    let place = Place::new();
    let here = place.publisher();
    here.ec2("MakeCoffee", &[]).refused("InvalidAction");
    here.ec2("", &[]).refused("MissingAction");
    here.sts("MakeCoffee", &[]).refused("InvalidAction");
    here.kms("MakeCoffee", json!({}))
        .refused("UnknownOperationException");
    here.organizations("MakeCoffee", json!({}))
        .refused("UnknownOperationException");
    let refused = here
        .ebs(&Call::new("GET", "/coffee"))
        .expect_err("no such path");
    assert!((400..500).contains(&refused.status), "{refused}");
    let refused = here
        .s3(&Call::new("PATCH", "/bucket/key"))
        .expect_err("no such method");
    assert_eq!(refused.status, 405, "{refused}");
    let other = here.send("sqs", &Call::new("POST", "/")).done("an answer");
    is_refused("another service", &other);
    lives(&here);
}

#[test]
fn parameters_that_are_none() {
    let place = Place::new();
    let here = place.publisher();
    let none = [("Colour", "red")];
    for action in [
        "DescribeImages",
        "DescribeVolumes",
        "DescribeSnapshots",
        "DescribeInstances",
        "DescribeTags",
        "DescribeRegions",
        "DescribeAvailabilityZones",
        "DescribeInstanceTypes",
        "DescribeSecurityGroups",
        "DescribeSubnets",
        "DescribeVpcs",
    ] {
        here.ec2(action, &none).refused("UnknownParameter");
        let filter = [("Filter.1.Name", "colour"), ("Filter.1.Value.1", "red")];
        let refused = here.ec2(action, &filter).refused("InvalidParameterValue");
        assert!(refused.message.contains("colour"), "{action}: {refused}");
        here.ec2(action, &[("Filter.1.Nmae", "x"), ("Filter.1.Name", "y")])
            .expect_err("no such member");
    }
    here.ec2("DescribeVolumes", &[("MaxResults", "many")])
        .refused("InvalidParameterValue");
    here.ec2("DescribeVolumes", &[("MaxResults", "1")])
        .refused("InvalidParameterValue");
    here.ec2(
        "DescribeVolumes",
        &[("MaxResults", "5"), ("NextToken", "none")],
    )
    .expect_err("no such token");
    here.kms("CreateKey", json!({"Colour": "red"}))
        .expect_err("no such member");
    here.start_snapshot(&json!({"VolumeSize": 1, "Colour": "red"}))
        .expect_err("no such member");
    let source = snapshot(&here, &[(0, block(1))], None);
    for (parameter, value, code) in [
        ("Architecture", "vax", "InvalidParameterValue"),
        ("BootMode", "floppy", "InvalidParameterValue"),
        ("ImdsSupport", "v3.0", "InvalidParameterValue"),
        (
            "BlockDeviceMapping.1.Ebs.VolumeSize",
            "none",
            "InvalidParameterValue",
        ),
        ("BlockDeviceMapping.1.Ebs.Colour", "red", "UnknownParameter"),
        ("Colour", "red", "UnknownParameter"),
    ] {
        let mut params = vec![
            ("Name", "image"),
            ("RootDeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.SnapshotId", source.as_str()),
        ];
        params.push((parameter, value));
        here.ec2("RegisterImage", &params).refused(code);
    }
    lives(&here);
}

#[test]
fn parameters_that_are_missing() {
    let place = Place::new();
    let here = place.publisher();
    for action in [
        "DeregisterImage",
        "DeleteVolume",
        "DeleteSnapshot",
        "CopyImage",
        "CopySnapshot",
        "RegisterImage",
        "ModifyImageAttribute",
        "DescribeImageAttribute",
        "CreateTags",
    ] {
        here.ec2(action, &[]).refused("MissingParameter");
    }
    here.kms("DescribeKey", json!({}))
        .refused("ValidationException");
    here.start_snapshot(&json!({}))
        .refused("ValidationException");
    lives(&here);
}

#[test]
fn bodies_that_are_no_json() {
    let place = Place::new();
    let here = place.publisher();
    for (service, target) in [
        ("kms", "TrentService.CreateKey"),
        ("organizations", "AWSOrganizationsV20161128.ListAccounts"),
    ] {
        for body in ["{", "[]", "\"text\"", "{\"a\": }", "\u{0}", "{} {}"] {
            let call = Call::new("POST", "/")
                .header("content-type", "application/x-amz-json-1.1")
                .header("x-amz-target", target)
                .body(body);
            let answer = here.send(service, &call).done("an answer");
            is_refused(&format!("{service} {body}"), &answer);
        }
    }
    for body in [
        "{",
        "[]",
        "{\"VolumeSize\": \"one\"}",
        "{\"VolumeSize\": -1}",
    ] {
        let call = Call::new("POST", "/snapshots").body(body);
        is_refused(body, &here.send("ebs", &call).done("an answer"));
    }
    let deep = "[".repeat(100_000);
    let call = Call::new("POST", "/snapshots").body(deep);
    is_refused("deep", &here.send("ebs", &call).done("an answer"));
    lives(&here);
}

#[test]
fn bodies_that_are_no_xml() {
    let place = Place::new();
    let here = place.publisher();
    here.s3(&Call::new("PUT", "/a-bucket")).done("a bucket");
    for (path, body) in [
        ("/a-bucket?versioning", "<VersioningConfiguration>"),
        ("/a-bucket?versioning", "none"),
        ("/a-bucket?versioning", "<Other/>"),
        (
            "/a-bucket?versioning",
            "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
        ),
        ("/b-bucket", "<CreateBucketConfiguration"),
    ] {
        let call = Call::new("PUT", path).body(body);
        is_refused(body, &here.send("s3", &call).done("an answer"));
    }
    lives(&here);
}

#[test]
fn forms_that_are_none() {
    let place = Place::new();
    let here = place.publisher();
    for body in [
        "Action=DescribeImages&Action=DescribeImages",
        "Action=DescribeImages&Filter.1.Name=name&Filter.1=x",
        "Action=DescribeImages&Filter.x.Name=name",
        "Action=DescribeImages&Filter.99999999999999999999.Name=name",
        "Action=DescribeImages&ImageId.1.2.3.4.5.6.7.8.9=x",
        "Action=DescribeImages&%FF%FE=%00",
        "Action=DescribeImages&....=x",
        "Version=2016-11-15",
        "",
    ] {
        let call = Call::new("POST", "/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        is_refused(body, &here.send("ec2", &call).done("an answer"));
    }
    lives(&here);
}

#[test]
fn bodies_that_are_too_large() {
    let place = Place::new();
    let here = place.publisher();
    let id = open_snapshot(&here, None);
    let large = vec![b'x'; 8 << 20];
    for service in ["ec2", "kms", "sts", "organizations"] {
        let answer = here.send(service, &Call::new("POST", "/").body(large.clone()));
        if let Ok(answer) = answer {
            is_refused(service, &answer);
        }
        lives(&here);
    }
    here.s3(&Call::new("PUT", "/a-bucket")).done("a bucket");
    let document = Call::new("PUT", "/a-bucket?versioning").body(large.clone());
    if let Ok(answer) = here.send("s3", &document) {
        is_refused("a document of S3", &answer);
    }
    lives(&here);
    let put = super::client::put_block(&id, 0, &large);
    if let Ok(answer) = here.send("ebs", &put) {
        is_refused("a block", &answer);
    }
    lives(&here);
    for size in [0, 1, 524_287, 524_289, 1 << 20] {
        let put = here.put_block(&id, 0, &large[..size]);
        put.refused("ValidationException");
    }
    here.put_block(&id, 0, &block(1)).done("a block's size");
}

#[test]
fn blocks_that_are_not_what_they_say() {
    let place = Place::new();
    let here = place.publisher();
    let id = open_snapshot(&here, None);
    let good = super::client::put_block(&id, 0, &block(1));
    let with = |name: &str, value: &str| {
        let mut call = good.clone();
        call.headers.retain(|(header, _)| header != name);
        if !value.is_empty() {
            call = call.header(name, value);
        }
        here.ebs(&call)
    };
    let other = super::client::checksum(&block(2));
    with("x-amz-Checksum", &other).refused("ValidationException");
    for (name, value) in [
        ("x-amz-Checksum", "none"),
        ("x-amz-Checksum", ""),
        ("x-amz-Checksum-Algorithm", "MD5"),
        ("x-amz-Checksum-Algorithm", ""),
        ("x-amz-Data-Length", "1"),
        ("x-amz-Data-Length", "-1"),
        ("x-amz-Data-Length", ""),
    ] {
        let refused = with(name, value).expect_err("it is refused");
        assert_eq!(refused.status, 400, "{name} {value}: {refused}");
    }
    for index in ["-1", "x", "4294967296", "99999999999999999999"] {
        let call = Call {
            path: format!("/snapshots/{id}/blocks/{index}"),
            ..good.clone()
        };
        let answer = here.send("ebs", &call).done("an answer");
        is_refused(index, &answer);
    }
    // Beyond the volume's end.
    here.put_block(&id, 2048, &block(1))
        .refused("ValidationException");
    here.put_block("snap-00000000000000000", 0, &block(1))
        .refused("ResourceNotFoundException");
    here.complete_snapshot(&id, 7)
        .refused("ValidationException");
    here.ebs(&good).done("as it should be");
    here.complete_snapshot(&id, 1).done("one block");
}

#[test]
fn requests_that_are_no_http() {
    let place = Place::new();
    let here = place.publisher();
    let address = here.endpoint.strip_prefix("http://").expect("an address");
    for bytes in [
        &b"\x00\x01\x02\x03\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ] {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a limit");
        stream.write_all(bytes).expect("sent");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("nothing more comes");
        let mut answer = Vec::new();
        // It answers or closes; that it stalls would be an error here.
        stream.read_to_end(&mut answer).expect("an end");
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    lives(&here);
}

#[test]
fn ids_that_are_none() {
    let place = Place::new();
    let here = place.publisher();
    for (action, parameter, malformed, missing) in [
        (
            "DescribeImages",
            "ImageId.1",
            "InvalidAMIID.Malformed",
            "InvalidAMIID.NotFound",
        ),
        (
            "DeregisterImage",
            "ImageId",
            "InvalidAMIID.Malformed",
            "InvalidAMIID.NotFound",
        ),
        (
            "DescribeSnapshots",
            "SnapshotId.1",
            "InvalidParameterValue",
            "InvalidSnapshot.NotFound",
        ),
        (
            "DeleteSnapshot",
            "SnapshotId",
            "InvalidParameterValue",
            "InvalidSnapshot.NotFound",
        ),
        (
            "DescribeVolumes",
            "VolumeId.1",
            "InvalidParameterValue",
            "InvalidVolume.NotFound",
        ),
        (
            "DeleteVolume",
            "VolumeId",
            "InvalidParameterValue",
            "InvalidVolume.NotFound",
        ),
        (
            "DescribeInstances",
            "InstanceId.1",
            "InvalidInstanceID.Malformed",
            "InvalidInstanceID.NotFound",
        ),
    ] {
        let prefix = match action {
            action if action.contains("Image") => "ami",
            action if action.contains("Snapshot") => "snap",
            action if action.contains("Volume") => "vol",
            _ => "i",
        };
        here.ec2(action, &[(parameter, "none")]).refused(malformed);
        let unknown = format!("{prefix}-0123456789abcdef0");
        here.ec2(action, &[(parameter, &unknown)]).refused(missing);
    }
    let register = register(&here, "image", "none", &[]);
    register.refused("InvalidParameterValue");
}
