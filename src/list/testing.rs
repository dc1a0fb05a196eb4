//! AMIs as tests of lists make them up.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::Row;
use super::rows::{Source, rows};
use crate::aws::AccountId;
use crate::aws::ec2::{Image, ImageState, Mapping};
use crate::aws::tags::Tags;
use crate::aws::testing::region;

/// The publisher.
pub(crate) const OWNER: &str = "111122223333";
/// Somebody else.
pub(crate) const OTHER: &str = "444455556666";

/// An account.
pub(crate) fn account(id: &str) -> AccountId {
    id.parse().expect("an account")
}

/// An encrypted AMI of the publisher's.
pub(crate) fn image(number: u32, name: &str) -> Image {
    Image {
        id: format!("ami-{number:017x}").parse().expect("an id"),
        name: name.to_owned(),
        state: ImageState::Available,
        state_reason: None,
        architecture: "x86_64".to_owned(),
        boot_mode: None,
        root_device: Some("/dev/xvda".to_owned()),
        ena: true,
        imds: None,
        tpm: None,
        description: Some("an image [KMS key 1234-5678]".to_owned()),
        owner: Some(account(OWNER)),
        created: None,
        deprecation: None,
        last_launched: None,
        tags: Tags(BTreeMap::new()),
        mappings: vec![Mapping {
            device: "/dev/xvda".to_owned(),
            snapshot: None,
            volume_gib: Some(2),
            volume_type: None,
            encrypted: Some(true),
            delete_on_termination: true,
        }],
        public: false,
    }
}

/// The rows of AMIs in eu-west-1; after a space, a name may say `deprecated`, or the Region.
pub(crate) fn listed(names: &[&str]) -> Vec<Row> {
    let mut images: BTreeMap<_, Vec<Image>> = BTreeMap::new();
    for (number, words) in (1..).zip(names) {
        let mut words = words.split(' ');
        let mut image = image(number, words.next().expect("a name"));
        let mut place = "eu-west-1";
        for word in words {
            match word {
                "deprecated" => image.deprecation = Some(OffsetDateTime::UNIX_EPOCH),
                region => place = region,
            }
        }
        images.entry(region(place)).or_default().push(image);
    }
    let owner = account(OWNER);
    let source = Source {
        owner: &owner,
        name: None,
    };
    let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(1);
    rows(&images, source, None, now)
}
