//! Tables of what is there and what is to be done about it.

use super::super::observe::{Found, Observed};
use super::super::plan::{Action, decide, leftovers};
use super::*;
use crate::aws::ec2::{Image, ImageState, Mapping, Snapshot, SnapshotState};

const RELEASE: &str = "base-1-x86_64-20260131.1";
const KEY: &str = "arn:aws:kms:eu-west-1:111111111111:key/right";

fn ami(digit: char) -> AmiId {
    let id = format!("ami-{}", digit.to_string().repeat(8));
    id.parse().expect("an id")
}

fn snap(digit: char) -> SnapshotId {
    let id = format!("snap-{}", digit.to_string().repeat(8));
    id.parse().expect("an id")
}

fn wanted() -> Wanted {
    let release: ReleaseId = RELEASE.parse().expect("an id");
    Wanted {
        name: "tests/base".to_owned(),
        description: String::new(),
        arch: Arch::X86_64,
        boot: boot([Firmware::Bios, Firmware::Uefi], Arch::X86_64),
        volume_gib: 2,
        tags: tags_of(&release, "run"),
        release,
    }
}

/// The release's AMI, finished and right.
fn right() -> Found {
    let wanted = wanted();
    let image = Image {
        id: ami('1'),
        name: wanted.name,
        state: ImageState::Available,
        state_reason: None,
        architecture: "x86_64".to_owned(),
        boot_mode: Some("uefi-preferred".to_owned()),
        root_device: Some("/dev/xvda".to_owned()),
        ena: true,
        imds: Some("v2.0".to_owned()),
        tpm: None,
        description: None,
        owner: None,
        created: None,
        deprecation: None,
        last_launched: None,
        tags: wanted.tags.clone(),
        mappings: vec![Mapping {
            device: "/dev/xvda".to_owned(),
            snapshot: Some(snap('1')),
            volume_gib: Some(2),
            volume_type: Some("gp3".to_owned()),
            encrypted: Some(true),
            delete_on_termination: true,
        }],
        public: false,
    };
    let snapshot = Snapshot {
        id: snap('1'),
        state: SnapshotState::Completed,
        state_message: None,
        encrypted: true,
        key: Some(KEY.parse().expect("a key")),
        volume_gib: 2,
        tags: wanted.tags,
        progress: Some("100%".to_owned()),
        owner: None,
        description: String::new(),
    };
    Found {
        image,
        snapshot: Some(snapshot),
    }
}

fn but(change: impl FnOnce(&mut Image, &mut Snapshot)) -> Found {
    let mut found = right();
    let mut snapshot = found.snapshot.take().expect("it has one");
    change(&mut found.image, &mut snapshot);
    Found {
        snapshot: Some(snapshot),
        ..found
    }
}

fn place(ami: Option<AmiId>, attempt: u32, error: Option<&str>) -> Option<Place> {
    Some(Place {
        ami,
        snapshot: None,
        key: KEY.parse().expect("a key"),
        state: "pending".to_owned(),
        attempt,
        error: error.map(str::to_owned),
    })
}

fn decided(found: Vec<Found>, recorded: Option<Place>) -> Result<Action, RegionError> {
    let target = Target {
        region: region("eu-west-1"),
        key: KEY.parse().expect("a key"),
        recorded,
    };
    let origin = Origin::Snapshot(snap('1'));
    decide(&Observed { images: found }, &wanted(), &target, &origin)
}

#[test]
fn what_is_there_decides_what_is_done() {
    let wait = Action::Wait { ami: ami('1') };
    let nothing = Action::Nothing {
        ami: ami('1'),
        snapshot: snap('1'),
    };
    let unseen = Found {
        snapshot: None,
        ..right()
    };
    let table: Vec<(&str, Found, Action)> = vec![
        ("right", right(), nothing),
        (
            "pending",
            but(|image, _| image.state = ImageState::Pending),
            wait.clone(),
        ),
        (
            "its snapshot is pending",
            but(|_, of| of.state = SnapshotState::Pending),
            wait.clone(),
        ),
        ("its snapshot is not seen", unseen, wait.clone()),
        (
            "transient",
            but(|image, _| image.state = ImageState::Other("transient".to_owned())),
            wait,
        ),
        (
            "deregistered",
            but(|image, _| image.state = ImageState::Deregistered),
            Action::Make { attempt: 0 },
        ),
    ];
    for (what, found, action) in table {
        assert_eq!(decided(vec![found], None).expect(what), action, "{what}");
    }
}

#[test]
fn attempts_are_counted_once() {
    let failed = || {
        but(|image, _| {
            image.state = ImageState::Failed;
            image.state_reason = Some("so".to_owned());
        })
    };
    let make = |attempt| Action::Make { attempt };
    let replace = |attempt| Action::Replace {
        ami: ami('1'),
        snapshot: Some(snap('1')),
        reason: "so".to_owned(),
        attempt,
    };
    for (what, found, recorded, action) in [
        ("nothing anywhere", vec![], None, make(0)),
        ("meant", vec![], place(None, 2, None), make(2)),
        (
            "taken away by somebody",
            vec![],
            place(Some(ami('1')), 2, None),
            make(3),
        ),
        (
            "taken away by us",
            vec![],
            place(Some(ami('1')), 2, Some("so")),
            make(2),
        ),
        ("failed, not recorded", vec![failed()], None, replace(1)),
        (
            "failed, its id recorded",
            vec![failed()],
            place(Some(ami('1')), 1, None),
            replace(2),
        ),
        (
            "failed and recorded",
            vec![failed()],
            place(Some(ami('1')), 2, Some("so")),
            replace(2),
        ),
        (
            "failed again",
            vec![failed()],
            place(Some(ami('2')), 2, Some("so")),
            replace(3),
        ),
    ] {
        assert_eq!(decided(found, recorded).expect(what), action, "{what}");
    }
}

#[test]
fn reasons_come_from_the_image_or_its_snapshot() {
    let reason = |found| match decided(vec![found], None).expect("an action") {
        Action::Replace { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    let by_snapshot = but(|_, of| {
        of.state = SnapshotState::Error;
        of.state_message = Some("Given key ID is not accessible".to_owned());
    });
    assert_eq!(reason(by_snapshot), "Given key ID is not accessible");
    let silent = but(|image, _| image.state = ImageState::Other("invalid".to_owned()));
    assert_eq!(reason(silent), "AWS gives no reason; its state is invalid");
}

#[test]
fn what_is_not_as_the_release_says_is_named() {
    let other: KeyArn = KEY.replace("right", "other").parse().expect("a key");
    let no_release = |tags: &mut Tags| tags.0.remove(tags::RELEASE);
    let table: Vec<(&str, Found)> = vec![
        ("name", but(|image, _| image.name = "other".to_owned())),
        (
            "architecture",
            but(|image, _| image.architecture = "arm64".to_owned()),
        ),
        ("boot mode", but(|image, _| image.boot_mode = None)),
        (
            "TPM support",
            but(|image, _| image.tpm = Some("v2.0".to_owned())),
        ),
        ("IMDS support", but(|image, _| image.imds = None)),
        ("ENA support", but(|image, _| image.ena = false)),
        ("audience", but(|image, _| image.public = true)),
        (
            "volume size in GiB",
            but(|image, _| image.mappings[0].volume_gib = Some(8)),
        ),
        (
            "snapshot's encryption",
            but(|_, of| (of.encrypted, of.key) = (false, None)),
        ),
        ("snapshot's key", but(|_, of| of.key = Some(other.clone()))),
        (
            "snapshot's tag of the release",
            but(|_, of| drop(no_release(&mut of.tags))),
        ),
        (
            "snapshot",
            but(|image, of| {
                image.mappings[0].snapshot = Some(snap('2'));
                of.id = snap('2');
            }),
        ),
    ];
    for (expected, found) in table {
        match decided(vec![found], None).expect_err(expected) {
            RegionError::Different { field, .. } => assert_eq!(field, expected),
            other => panic!("{expected}: {other}"),
        }
    }
}

#[test]
fn names_and_tags_that_are_not_ours_alone_are_errors() {
    let foreign = but(|image, _| {
        image.id = ami('2');
        image.tags = Tags::default();
    });
    let anothers = but(|image, _| {
        let other = "base-1-x86_64-20260131.2".to_owned();
        image.tags.0.insert(tags::RELEASE.to_owned(), other);
    });
    for (found, holder) in [
        (foreign.clone(), None),
        (anothers, Some("base-1-x86_64-20260131.2")),
    ] {
        match decided(vec![found], None).expect_err("it is taken") {
            RegionError::NameTaken { holder: is, .. } => assert_eq!(is.as_deref(), holder),
            other => panic!("{other}"),
        }
    }
    let second = but(|image, _| (image.id, image.name) = (ami('2'), "other".to_owned()));
    let error = decided(vec![right(), second], None).expect_err("two");
    assert!(matches!(&error, RegionError::Several { amis, .. } if amis == &[ami('1'), ami('2')]));
    let disabled = but(|image, _| image.state = ImageState::Disabled);
    let error = decided(vec![disabled], None).expect_err("disabled");
    assert!(matches!(&error, RegionError::OutOfUse { state, .. } if state == "disabled"));
}

#[test]
fn leftovers_are_ours_and_of_no_image() {
    let snapshot = |digit, release: Option<&str>| {
        let mut snapshot = right().snapshot.expect("it has one");
        snapshot.id = snap(digit);
        snapshot.tags = Tags::default();
        if let Some(release) = release {
            snapshot
                .tags
                .0
                .insert(tags::RELEASE.to_owned(), release.to_owned());
        }
        snapshot
    };
    let snapshots = [
        snapshot('1', Some(RELEASE)),
        snapshot('2', Some(RELEASE)),
        snapshot('3', Some("base-1-x86_64-20260131.2")),
        snapshot('4', None),
    ];
    assert_eq!(
        leftovers(&[right().image], &snapshots, RELEASE),
        [snap('2')]
    );
    assert_eq!(leftovers(&[], &snapshots, RELEASE), [snap('1'), snap('2')]);
}
