//! Only what differs from an earlier release is sent.

use super::house::{BLOCKS, House, REGIONS};

#[test]
fn only_blocks_that_differ_are_sent() {
    let house = House::new();
    let first = house.image("first", &[(0, 1), (1, 1), (2, 1)]);
    let parent = house.publish(&first, &[]);
    let before = house.calls("operation=PutSnapshotBlock").len();
    assert_eq!(before, BLOCKS as usize);

    // One block is another, one is zeros now, one was zeros.
    let second = house.image("second", &[(0, 1), (1, 7), (9, 1)]);
    let published = house.publish(&second, &[]);
    house.check(&published, &REGIONS[..2]);
    assert_eq!(house.calls("operation=PutSnapshotBlock").len(), before + 3);
    assert_eq!(published["upload"]["blocks_sent"], 3, "{published:#}");
    assert_eq!(published["parent"]["release"], parent["release"]);
    for region in &REGIONS[..2] {
        let snapshot = published["regions"][region]["snapshot"].as_str();
        house.check_bytes(region, snapshot.expect("a snapshot"), &second);
    }
    // It was proved by reading back.
    assert!(house.calls("operation=GetSnapshotBlock").len() >= BLOCKS as usize);
}

#[test]
fn another_key_has_no_parent() {
    let mut house = House::new();
    house.publish(&house.image("first", &[(0, 1)]), &[]);
    let other = crate::sandbox::things::key(&house.client(REGIONS[0]));
    house.keys.insert(REGIONS[0], other);
    house.configure(&house.config());
    let second = house.image("second", &[(0, 2)]);
    let published = house.publish(&second, &[]);
    house.check(&published, &REGIONS[..2]);
    assert!(published["parent"].is_null(), "{published:#}");
    assert_eq!(published["upload"]["blocks_sent"], BLOCKS);
}
