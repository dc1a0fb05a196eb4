//! The state outlives the sandbox, however it ends.

use serde_json::json;

use super::client::{Call, Client, Expect as _};
use super::place::{CUSTOMER, Place, Process};
use super::things::{
    block, image, key, launch_permission, open_snapshot, settled_snapshot, share_snapshot, snapshot,
};

/// One of everything.
struct Things {
    key: String,
    plain: String,
    encrypted: String,
    open: String,
    image: String,
    volume: String,
}

fn make(client: &Client) -> Things {
    let key = key(client);
    let plain = snapshot(client, &[(0, block(1)), (7, block(7))], None);
    let encrypted = snapshot(client, &[(0, block(2))], Some(&key));
    share_snapshot(client, &plain, CUSTOMER).done("shared");
    let open = open_snapshot(client, None);
    client.put_block(&open, 3, &block(3)).done("a block");
    let image = image(client, "image", &plain);
    launch_permission(client, &image, "Add", CUSTOMER).done("shared");
    let made = client
        .ec2(
            "CreateVolume",
            &[
                ("AvailabilityZone", "us-east-1a"),
                ("Size", "1"),
                ("ClientToken", "once"),
                ("TagSpecification.1.ResourceType", "volume"),
                ("TagSpecification.1.Tag.1.Key", "a"),
                ("TagSpecification.1.Tag.1.Value", "b"),
            ],
        )
        .done("a volume");
    client
        .s3(&Call::new("PUT", "/kept-bucket"))
        .done("a bucket");
    client
        .s3(&Call::new("PUT", "/kept-bucket/object").body("kept"))
        .done("an object");
    Things {
        key,
        plain,
        encrypted,
        open,
        image,
        volume: made.text("volumeId").to_owned(),
    }
}

/// Everything is there, and goes on as if nothing had been.
fn check(publisher: &Client, customer: &Client, things: &Things) {
    let described = publisher.kms("DescribeKey", json!({"KeyId": things.key}));
    assert_eq!(described.done("the key")["KeyMetadata"]["Enabled"], true);
    assert!(publisher.get_block(&things.plain, 7).done("plain") == block(7));
    assert!(customer.get_block(&things.plain, 0).done("shared") == block(1));
    assert!(publisher.get_block(&things.encrypted, 0).done("encrypted") == block(2));

    publisher
        .put_block(&things.open, 4, &block(4))
        .done("one more");
    publisher
        .complete_snapshot(&things.open, 2)
        .done("both blocks are there");
    assert_eq!(settled_snapshot(publisher, &things.open), "completed");
    assert!(publisher.get_block(&things.open, 3).done("before") == block(3));

    let shared = customer.ec2("DescribeImages", &[("ExecutableBy.1", "self")]);
    assert_eq!(shared.done("images").all("imageId"), [&things.image]);
    let volumes = publisher
        .ec2("DescribeVolumes", &[("VolumeId.1", &things.volume)])
        .done("the volume");
    assert_eq!(volumes.text("volumeSet/item[0]/tagSet/item[0]/value"), "b");
    let token = publisher.ec2(
        "CreateVolume",
        &[
            ("AvailabilityZone", "us-east-1a"),
            ("Size", "2"),
            ("ClientToken", "once"),
        ],
    );
    token.refused("IdempotentParameterMismatch");
    let object = publisher.s3(&Call::new("GET", "/kept-bucket/object"));
    assert_eq!(object.done("the object").body, b"kept");
}

#[test]
fn after_an_end() {
    let mut place = Place::new();
    let things = make(&place.publisher());
    let before = place.publisher().keys;
    place.restart();
    assert_eq!(place.publisher().keys, before);
    check(&place.publisher(), &place.customer(), &things);
}

#[test]
fn after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let mut process = Process::start(&state);
    let things = make(&process.publisher);
    let before = process.publisher.keys.clone();
    process.kill();
    let process = Process::start(&state);
    assert_eq!(process.publisher.keys, before);
    check(&process.publisher, &process.customer, &things);
}

#[test]
fn killed_amid_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let mut process = Process::start(&state);
    let client = process.publisher.clone();
    let source = snapshot(&client, &[(0, block(1))], None);
    // Copies are asked for one after the other; the kill comes at whatever moment.
    let asked = std::thread::scope(|scope| {
        let (first, started) = std::sync::mpsc::channel();
        let asking = scope.spawn(move || {
            let mut copies = Vec::new();
            for number in 0.. {
                let copied = super::things::copy_snapshot(&client, &source, &client.region, &[]);
                match copied {
                    Ok(copied) => copies.push(copied.text("snapshotId").to_owned()),
                    Err(refused) => {
                        assert_eq!(refused.status, 0, "{refused}");
                        return copies;
                    }
                }
                if number == 5 {
                    first.send(()).expect("somebody waits");
                }
            }
            copies
        });
        started.recv().expect("copies are made");
        process.kill();
        asking.join().expect("it ended")
    });
    assert!(asked.len() > 5);
    // What was answered is there, and is finished.
    let process = Process::start(&state);
    for copy in asked {
        let client = &process.publisher;
        assert_eq!(settled_snapshot(client, &copy), "completed", "{copy}");
        assert!(client.get_block(&copy, 0).done("its block") == block(1));
    }
}
