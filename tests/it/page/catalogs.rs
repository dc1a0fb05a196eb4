//! Catalogs as publishers have them, and as nobody should.

use std::collections::BTreeMap;

use alpine_ami::arch::Firmware;
use alpine_ami::aws::Region;
use alpine_ami::publish::release::ReleaseId;
use alpine_ami::release::page::data::{
    Condition, MoveKind, PageChanges, PageChannel, PageData, PageFix, PageKey, PageMove,
    PagePackage, PagePlace, PageRelease, PageStay, PageUpgrade, PageVersion,
};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// Packages of a node, with Alpine's licences; the rest of a long list is numbered.
const PACKAGES: [(&str, &str, &str, u64); 24] = [
    ("alpine-base", "3.15.11-r0", "MIT", 4096),
    ("alpine-baselayout", "3.2.0-r18", "GPL-2.0-only", 339_968),
    ("apk-tools", "2.12.7-r3", "GPL-2.0-only", 315_392),
    (
        "aws-iam-authenticator",
        "0.5.7-r0",
        "Apache-2.0",
        41_889_792,
    ),
    ("bash", "5.1.16-r0", "GPL-3.0-or-later", 1_298_432),
    ("busybox", "1.34.1-r7", "GPL-2.0-only", 954_368),
    ("ca-certificates", "20230506-r0", "MPL-2.0 AND MIT", 696_320),
    ("chrony", "4.1-r0", "GPL-2.0-or-later", 413_696),
    ("cni-plugins", "1.0.1-r2", "Apache-2.0", 52_985_856),
    ("conmon", "2.0.32-r0", "Apache-2.0", 131_072),
    ("cri-o", "1.22.3-r1", "Apache-2.0", 58_982_400),
    ("cri-tools", "1.22.0-r0", "Apache-2.0", 49_283_072),
    (
        "crun",
        "1.4.3-r0",
        "GPL-2.0-or-later AND LGPL-2.1-or-later",
        290_816,
    ),
    ("curl", "8.5.0-r0", "curl", 262_144),
    (
        "e2fsprogs",
        "1.46.4-r0",
        "GPL-2.0-or-later AND LGPL-2.0-or-later AND BSD-3-Clause AND MIT",
        700_416,
    ),
    ("iptables", "1.8.7-r1", "GPL-2.0-or-later", 454_656),
    ("jq", "1.6-r1", "MIT", 692_224),
    ("kubelet", "1.22.8-r0", "Apache-2.0", 116_412_416),
    ("libcrypto1.1", "1.1.1w-r1", "OpenSSL", 2_859_008),
    ("libssl1.1", "1.1.1w-r1", "OpenSSL", 536_576),
    ("linux-virt", "5.15.158-r0", "GPL-2.0-only", 39_845_888),
    ("openrc", "0.44.7-r5", "BSD-2-Clause", 2_469_888),
    ("openssh", "8.8_p1-r1", "BSD-3-Clause", 1_560_576),
    ("tzdata", "2023c-r0", "Public-Domain", 3_633_152),
];

/// A publisher's: three channels, two profiles on two architectures, seventeen Regions, a roll-back
/// and a withdrawal.
pub fn full() -> PageData {
    let mut catalog = Catalog::new(&REGIONS);
    for arch in ["x86_64", "aarch64"] {
        for (profile, version, packages) in [("kubezero", "1.22.8", 168), ("base", "3.15.11", 41)] {
            for day in [3, 10, 17, 18] {
                catalog.release(
                    &format!("{profile}-{version}-{arch}-202611{day:02}.1"),
                    packages,
                );
            }
            let id = |day: u8| format!("{profile}-{version}-{arch}-202611{day:02}.1");
            catalog.promote("nightly", &id(18), Some(&id(17)), None);
            catalog.promote(
                "candidate",
                &id(17),
                Some(&id(10)),
                Some("A week of nightlies without a failed test"),
            );
            catalog.promote(
                "stable",
                &id(10),
                Some(&id(3)),
                Some("Mends OpenSSL; ran in candidate for seven days"),
            );
        }
    }
    let bad = "kubezero-1.22.8-x86_64-20261117.1";
    catalog.condition(
        bad,
        Condition::Deprecated {
            reason: Some("Superseded by 20261118.1".to_owned()),
        },
    );
    catalog.release("kubezero-1.22.8-x86_64-20261112.1", 168);
    catalog.condition(
        "kubezero-1.22.8-x86_64-20261112.1",
        Condition::Withdrawn {
            reason: Some(
                "Nodes with more than 110 pods lost their network after a restart of crio"
                    .to_owned(),
            ),
        },
    );
    catalog.moved(
        "stable",
        MoveKind::Promoted,
        "kubezero-1.22.8-x86_64-20261112.1",
        Some("kubezero-1.22.8-x86_64-20261110.1"),
        Some("The new conmon"),
        12,
    );
    catalog.moved(
        "stable",
        MoveKind::RolledBack,
        "kubezero-1.22.8-x86_64-20261110.1",
        Some("kubezero-1.22.8-x86_64-20261112.1"),
        Some("Nodes lose their network"),
        13,
    );
    catalog.moved(
        "stable",
        MoveKind::Withdrawn,
        "kubezero-1.22.8-x86_64-20261112.1",
        None,
        Some("Nodes with more than 110 pods lost their network after a restart of crio"),
        14,
    );
    catalog.data
}

/// A channel with nothing in it.
pub fn empty() -> PageData {
    Catalog::new(&REGIONS).data
}

/// Not even channels.
pub fn no_channels() -> PageData {
    let mut data = empty();
    data.channels.clear();
    data.key = None;
    data
}

/// A beginner's: one release in one Region, unsigned, and what is not known left out.
pub fn one() -> PageData {
    let mut catalog = Catalog::new(&REGIONS[7..8]);
    let id = "base-3.15-x86_64-20261118.1";
    catalog.release(id, 0);
    catalog.promote("nightly", id, None, None);
    let mut data = catalog.data;
    data.key = None;
    data.channels.truncate(1);
    data.channels[0].description = None;
    let release = data.releases.values_mut().next().expect("a release");
    *release = PageRelease {
        kernel: None,
        firmware: Vec::new(),
        image_bytes: None,
        used_bytes: None,
        sha256: None,
        signed: false,
        manifest: None,
        provenance: None,
        sbom: None,
        ..release.clone()
    };
    data
}

/// Fifty releases with four hundred packages each.
pub fn many() -> PageData {
    let mut catalog = Catalog::new(&REGIONS);
    for number in 0..50 {
        let id = |day: u8| {
            format!(
                "node-1.{}.{}-x86_64-202611{day:02}.1",
                20 + number / 10,
                number % 10
            )
        };
        catalog.release(&id(17), 400);
        catalog.promote("stable", &id(17), Some(&id(10)), Some("A new minor"));
        catalog.promote("nightly", &id(17), Some(&id(10)), None);
    }
    catalog.data
}

/// Every text that may be anyone's tries to be more than text.
pub fn hostile() -> PageData {
    let evil = "</script><script>document.title='evil'</script><!-- <img src=x onerror=\"document.title='evil'\"> ' \" & {{ 7*7 }} ${1} \u{202e}txet \u{2028} ]]>";
    let mut catalog = Catalog::new(&REGIONS[7..9]);
    let id = "kubezero-1.22.8-x86_64-20261118.1";
    catalog.release(id, 3);
    catalog.promote(
        "stable",
        id,
        Some("kubezero-1.22.8-x86_64-20261110.1"),
        Some(evil),
    );
    catalog.condition(
        id,
        Condition::Deprecated {
            reason: Some(evil.to_owned()),
        },
    );
    let mut data = catalog.data;
    let text = || evil.to_owned();
    data.publisher = text();
    data.catalog = text();
    data.key = Some(PageKey {
        fingerprint: text(),
        pem: text(),
    });
    for channel in &mut data.channels {
        channel.name = format!("{}{}", channel.name, evil);
        channel.description = Some(text());
        for stay in &mut channel.stays {
            stay.by = text();
            let changes = stay.changes.as_mut().expect("changes");
            changes.added[0] = PageVersion {
                name: text(),
                version: text(),
            };
            changes.removed[0] = PageVersion {
                name: text(),
                version: text(),
            };
            changes.upgraded[0] = PageUpgrade {
                name: text(),
                from: text(),
                to: text(),
            };
            changes.fixed[0] = PageFix {
                id: text(),
                package: text(),
            };
        }
        channel.history.iter_mut().for_each(|step| step.by = text());
    }
    for release in data.releases.values_mut() {
        (release.name, release.alpine) = (text(), text());
        (release.kernel, release.sha256) = (Some(text()), Some(text()));
        release.manifest = Some("javascript:document.title='evil'".to_owned());
        release.sbom = Some(format!("sbom.json?{evil}"));
        for package in &mut release.packages {
            *package = PagePackage {
                name: text(),
                version: text(),
                license: text(),
                size: 1,
            };
        }
    }
    data
}

/// A catalog that is being made.
struct Catalog {
    data: PageData,
    regions: Vec<Region>,
}

impl Catalog {
    fn new(regions: &[&str]) -> Catalog {
        let channel = |(name, description): (&str, &str)| PageChannel {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            stays: Vec::new(),
            history: Vec::new(),
        };
        let channels = [
            ("nightly", "Every night, as soon as its tests have passed."),
            (
                "candidate",
                "What comes next to stable; for staging clusters.",
            ),
            (
                "stable",
                "For production. Kept for 90 days after it was replaced.",
            ),
        ];
        Catalog {
            data: PageData {
                publisher: "kubezero".to_owned(),
                account: "111122223333".parse().expect("an account"),
                generated: datetime!(2026-11-18 04:12:07 UTC),
                catalog: "s3://kubezero-images/catalog".to_owned(),
                key: Some(PageKey {
                    fingerprint: "SHA256:3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs".to_owned(),
                    pem: "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2s6m0oVJt0cVbJ7cM3n8rQF1pM9b\n0kzq4vW7d3yXh5K2uN8tJ6eYbGqfLZxCw1oRiTgSmA0PdVhEjBnQkUyX9A==\n-----END PUBLIC KEY-----\n".to_owned(),
                }),
                channels: channels.map(channel).to_vec(),
                releases: BTreeMap::new(),
            },
            regions: regions.iter().map(|region| region.parse().expect("a Region")).collect(),
        }
    }

    /// A release in every Region, with ids and digests that are made from its own.
    fn release(&mut self, id: &str, packages: usize) {
        let release: ReleaseId = id.parse().expect("a release id");
        let day = i64::from(release.date % 100);
        let number = |salt: u64| {
            let text = format!("{id} {salt}");
            text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
        };
        let places = self.regions.iter().enumerate().map(|(at, region)| {
            let hex = format!("{:017x}", number(at as u64));
            let key = format!(
                "arn:aws:kms:{region}:111122223333:key/mrk-0a1b2c3d4e5f60718293a4b5c6d7e8f9"
            );
            let place = PagePlace {
                ami: format!("ami-{hex}").parse().expect("an AMI"),
                snapshot: Some(format!("snap-{hex}").parse().expect("a snapshot")),
                key: Some(key.parse().expect("a key")),
            };
            (region.clone(), place)
        });
        let line = &release.line;
        let has_bios = line.arch.as_str() == "x86_64";
        let page = PageRelease {
            name: format!(
                "kubezero/{}/{}/alpine-3.15.11/{}/{}.{}",
                line.profile, line.version, line.arch, release.date, release.number
            ),
            alpine: "3.15.11".to_owned(),
            kernel: Some(format!("5.15.{}-0-virt", 140 + day)),
            firmware: if has_bios {
                vec![Firmware::Bios, Firmware::Uefi]
            } else {
                vec![Firmware::Uefi]
            },
            published: at(day, 2),
            image_bytes: Some(2 << 30),
            used_bytes: Some(330_301_440 + u64::try_from(day).expect("a day") * 100_000),
            sha256: Some(
                (0..4)
                    .map(|part| format!("{:016x}", number(100 + part)))
                    .collect(),
            ),
            condition: Condition::Good,
            signed: true,
            regions: places.collect(),
            packages: (0..packages).map(package).collect(),
            manifest: Some(format!("../releases/{id}.json")),
            provenance: Some(format!("../releases/{id}.intoto.jsonl")),
            sbom: Some(format!("../releases/{id}.spdx.json")),
        };
        self.data.releases.insert(release, page);
    }

    fn condition(&mut self, id: &str, condition: Condition) {
        let id: ReleaseId = id.parse().expect("a release id");
        self.data
            .releases
            .get_mut(&id)
            .expect("a release")
            .condition = condition;
    }

    fn channel(&mut self, name: &str) -> &mut PageChannel {
        let mut channels = self.data.channels.iter_mut();
        channels
            .find(|channel| channel.name == name)
            .expect("a channel")
    }

    /// Into a channel, with changes.
    fn promote(&mut self, channel: &str, id: &str, before: Option<&str>, reason: Option<&str>) {
        let release: ReleaseId = id.parse().expect("a release id");
        let day = i64::from(release.date % 100);
        let stay = PageStay {
            release,
            since: at(day, 4),
            by: by(reason).to_owned(),
            reason: reason.map(str::to_owned),
            changes: before.map(changes),
        };
        self.channel(channel).stays.push(stay);
        self.moved(channel, MoveKind::Promoted, id, before, reason, day);
    }

    fn moved(
        &mut self,
        channel: &str,
        kind: MoveKind,
        id: &str,
        before: Option<&str>,
        reason: Option<&str>,
        day: i64,
    ) {
        self.channel(channel).history.push(PageMove {
            at: at(day, 4),
            kind,
            release: id.parse().expect("a release id"),
            before: before.map(|id| id.parse().expect("a release id")),
            by: by(reason).to_owned(),
            reason: reason.map(str::to_owned),
        });
    }
}

fn at(day: i64, hour: i64) -> OffsetDateTime {
    datetime!(2026-11-01 00:00 UTC) + Duration::days(day - 1) + Duration::hours(hour)
}

/// Machines give no reasons.
fn by(reason: Option<&str>) -> &'static str {
    match reason {
        Some(_) => "arn:aws:sts::111122223333:assumed-role/release-engineers/stefan",
        None => "arn:aws:sts::111122223333:assumed-role/publisher/nightly",
    }
}

fn package(number: usize) -> PagePackage {
    let (name, version, license, size) = PACKAGES
        .get(number)
        .copied()
        .unwrap_or(("lib", "1.0.4-r2", "MIT", 86_016));
    let name = match number < PACKAGES.len() {
        true => name.to_owned(),
        false => format!("{name}{number}"),
    };
    PagePackage {
        name,
        version: version.to_owned(),
        license: license.to_owned(),
        size,
    }
}

fn changes(before: &str) -> PageChanges {
    let version = |(name, version): (&str, &str)| PageVersion {
        name: name.to_owned(),
        version: version.to_owned(),
    };
    let upgrade = |(name, from, to): (&str, &str, &str)| PageUpgrade {
        name: name.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    };
    let fix = |(id, package): (&str, &str)| PageFix {
        id: id.to_owned(),
        package: package.to_owned(),
    };
    let upgraded = [
        ("chrony", "4.0-r5", "4.1-r0"),
        ("conmon", "2.0.30-r0", "2.0.32-r0"),
        ("libcrypto1.1", "1.1.1v-r0", "1.1.1w-r1"),
        ("libssl1.1", "1.1.1v-r0", "1.1.1w-r1"),
        ("linux-virt", "5.15.150-r0", "5.15.158-r0"),
    ];
    let fixed = [
        ("CVE-2023-4807", "libcrypto1.1"),
        ("CVE-2023-5678", "libcrypto1.1"),
        ("CVE-2024-26642", "linux-virt"),
    ];
    PageChanges {
        since: before.parse().expect("a release id"),
        added: vec![version(("ipset", "7.15-r0"))],
        removed: vec![version(("runc", "1.0.3-r1"))],
        upgraded: upgraded.map(upgrade).to_vec(),
        fixed: fixed.map(fix).to_vec(),
    }
}
