//! A publisher in a sandbox: bucket, keys, configuration, images, and the program as it is run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use alpine_ami::arch::{Arch, Firmware};
use alpine_ami::blocks::{self, Scan};
use alpine_ami::image::manifest::{
    IMAGE, ImageFile, KernelInfo, Manifest, PackageInfo, RootFileSystem, SCHEMA,
};
use serde_json::Value;

use crate::sandbox::client::{BLOCK, Call, Client, Expect as _, Tree};
use crate::sandbox::place::{HOME, Place};
use crate::sandbox::things;
use crate::support::{self, Ended};

/// The Regions of most tests.
pub const REGIONS: [&str; 3] = [HOME, "eu-west-1", "ap-southeast-2"];
/// The bucket.
pub const BUCKET: &str = "test-images";
/// Blocks of a volume: 1 GiB, the least there is.
pub const BLOCKS: u32 = 2048;

/// A publisher at work.
pub struct House {
    pub place: Place,
    /// Region → key.
    pub keys: BTreeMap<&'static str, String>,
}

impl House {
    /// With a bucket, and a key in each of [`REGIONS`].
    pub fn new() -> House {
        House::in_place(Place::new())
    }

    /// The same in a sandbox of another kind.
    pub fn in_place(place: Place) -> House {
        let publisher = place.publisher();
        let bucket = Call::new("PUT", &format!("/{BUCKET}"));
        publisher.s3(&bucket).done("a bucket");
        let key = |name: &&'static str| (*name, things::key(&publisher.in_region(name)));
        let keys = REGIONS.iter().map(key).collect();
        let house = House { place, keys };
        for name in ["aws-config", "aws-credentials"] {
            fs::write(house.folder().join(name), "").expect("written");
        }
        house.configure(&house.config());
        house
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> &Path {
        self.place.folder.path()
    }

    /// What the configuration says.
    pub fn config(&self) -> String {
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|(region, key)| format!("{region} = \"{key}\""))
            .collect();
        format!(
            "[publish]\npublisher = \"tests\"\nhome = \"{HOME}\"\nregions = [\"{}\"]\n\
             bucket = \"{BUCKET}\"\nvolume_gib = 1\n[publish.keys]\n{}\n\
             [aws]\nattempt_seconds = 2\ntotal_seconds = 30\nwait_minutes = 1\n",
            REGIONS[..2].join("\", \""),
            keys.join("\n"),
        )
    }

    /// Writes the configuration.
    pub fn configure(&self, text: &str) {
        fs::write(self.folder().join("alpine-ami.toml"), text).expect("written");
    }

    /// A build folder whose image has these blocks, each filled with its byte, and zeros between
    /// them, 32 MiB in all.
    pub fn image(&self, name: &str, blocks: &[(u32, u8)]) -> PathBuf {
        let blocks = blocks
            .iter()
            .map(|(index, byte)| (*index, vec![*byte; BLOCK]));
        self.image_of(name, &blocks.collect::<Vec<_>>(), |_| {})
    }

    /// The same of blocks that begin with these bytes, with other things in its manifest.
    pub fn image_of(
        &self,
        name: &str,
        blocks: &[(u32, Vec<u8>)],
        change: impl FnOnce(&mut Manifest),
    ) -> PathBuf {
        let folder = self.folder().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let file = File::create(folder.join(IMAGE)).expect("a file");
        file.set_len(64 * BLOCK as u64).expect("a length");
        for (index, bytes) in blocks {
            let at = u64::from(*index) * BLOCK as u64;
            file.write_all_at(bytes, at).expect("written");
        }
        let file = File::open(folder.join(IMAGE)).expect("a file");
        let scan = blocks::scan(&file).expect("read");
        let mut manifest = manifest(&scan);
        change(&mut manifest);
        manifest.write(&folder).expect("written");
        folder
    }

    /// The program, as the publisher.
    pub fn program(&self) -> Command {
        let client = self.place.publisher();
        let mut command = support::program();
        command
            .current_dir(self.folder())
            .env("HOME", self.folder())
            .env("AWS_CONFIG_FILE", self.folder().join("aws-config"))
            .env(
                "AWS_SHARED_CREDENTIALS_FILE",
                self.folder().join("aws-credentials"),
            )
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", &client.endpoint)
            .env("AWS_ACCESS_KEY_ID", &client.keys.id)
            .env("AWS_SECRET_ACCESS_KEY", &client.keys.secret)
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_REGION")
            .env("NO_PROXY", "127.0.0.1");
        command
    }

    /// Runs the program.
    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::from(self.program().args(args).output().expect("it starts"))
    }

    /// Publishes a folder; what it prints as JSON.
    #[track_caller]
    pub fn publish(&self, folder: &Path, more: &[&str]) -> Value {
        let folder = folder.to_str().expect("a path");
        let args = [&["publish", folder, "--output", "json"], more].concat();
        let printed = self.run(&args).done();
        serde_json::from_str(&printed).expect("JSON")
    }

    /// The publisher in a Region.
    pub fn client(&self, region: &str) -> Client {
        self.place.publisher().in_region(region)
    }

    /// The publisher's images in a Region.
    pub fn images(&self, region: &str) -> Vec<Tree> {
        let answer = self
            .client(region)
            .ec2("DescribeImages", &[("Owner.1", "self")])
            .done("images");
        answer.items("imagesSet")
    }

    /// The publisher's snapshots in a Region.
    pub fn snapshots(&self, region: &str) -> Vec<Tree> {
        let answer = self
            .client(region)
            .ec2("DescribeSnapshots", &[("Owner.1", "self")])
            .done("snapshots");
        answer.items("snapshotSet")
    }

    /// The calls that came in, without those of the tests themselves after `before`.
    pub fn calls(&self, filter: &str) -> Vec<Value> {
        let answer = self
            .place
            .control("GET", &format!("calls?{filter}"), Value::Null);
        let list = answer.as_array().or_else(|| answer["calls"].as_array());
        list.cloned().expect("calls")
    }

    /// Waits until so many calls of an operation came in, whatever became of them.
    pub fn wait_for_calls(&self, operation: &str, count: usize) {
        let filter = format!("operation={operation}");
        let begun = std::time::Instant::now();
        while self.calls(&filter).len() < count {
            let waited = begun.elapsed().as_secs();
            assert!(
                waited < 120,
                "no {count} calls of {operation} in {waited} s"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Kills a run when a fault has met its call. None if it was not met: how the run ended.
    pub fn kill_at(&self, mut run: Child, fault: u64) -> Option<ExitStatus> {
        let what = format!("faults/{fault}");
        loop {
            if let Some(ended) = run.try_wait().expect("it can be waited for") {
                return Some(ended);
            }
            if self.place.control("GET", &what, Value::Null)["applied"] == 1 {
                run.kill().expect("it is there");
                run.wait().expect("it ended");
                return None;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// What must hold of a published release, whatever happened on the way: in each Region one
    /// image and one snapshot of it, encrypted under that Region's key, tagged, available.
    #[track_caller]
    pub fn check(&self, published: &Value, regions: &[&str]) {
        assert_eq!(published["state"], "published", "{published:#}");
        let release = published["release"].as_str().expect("a release");
        let told: BTreeSet<&str> = published["regions"]
            .as_object()
            .expect("Regions")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(told, regions.iter().copied().collect(), "{published:#}");
        for region in regions {
            self.check_region(release, region, &published["regions"][region]);
        }
    }

    #[track_caller]
    fn check_region(&self, release: &str, region: &str, told: &Value) {
        let of_release = |tree: &Tree| tag(tree, "alpine-ami:release").as_deref() == Some(release);
        let images: Vec<Tree> = self.images(region).into_iter().filter(of_release).collect();
        let snapshots: Vec<Tree> = self
            .snapshots(region)
            .into_iter()
            .filter(of_release)
            .collect();
        let [image] = &images[..] else {
            panic!(
                "{region}: {} images of {release}: {images:#?}",
                images.len()
            );
        };
        let [snapshot] = &snapshots[..] else {
            panic!(
                "{region}: {} snapshots of {release}: {snapshots:#?}",
                snapshots.len()
            );
        };
        assert_eq!(image.text("imageState"), "available");
        assert_eq!(told["ami"], image.text("imageId"));
        assert_eq!(told["snapshot"], snapshot.text("snapshotId"));
        assert_eq!(told["state"], "available");
        let key = self.keys[region].as_str();
        assert_eq!(told["key"], key);
        assert_eq!(snapshot.text("kmsKeyId"), key);
        assert_eq!(snapshot.text("status"), "completed");
        for name in ["alpine-ami:run", "alpine-ami:end-of-life"] {
            assert!(
                tag(image, name).is_some() && tag(snapshot, name).is_some(),
                "{name}"
            );
        }
    }

    /// Nothing is there that no release tag names, and no snapshot without an image.
    #[track_caller]
    pub fn check_no_orphans(&self, releases: usize) {
        for region in &REGIONS[..2] {
            let (images, snapshots) = (self.images(region), self.snapshots(region));
            assert_eq!(
                (images.len(), snapshots.len()),
                (releases, releases),
                "{region}"
            );
            let is_tagged = |tree: &Tree| tag(tree, "alpine-ami:release").is_some();
            assert!(
                images.iter().all(is_tagged) && snapshots.iter().all(is_tagged),
                "{region}"
            );
        }
    }

    /// What was remembered of an upload is gone with it.
    #[track_caller]
    pub fn check_no_journal(&self, folder: &Path) {
        let files = fs::read_dir(folder).expect("a folder");
        let names: Vec<String> = files
            .map(|file| {
                file.expect("a file")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .filter(|name| name.starts_with('.'))
            .collect();
        assert!(names.is_empty(), "{names:?}");
    }

    /// Every block of a snapshot; those that are absent are none.
    pub fn blocks(&self, region: &str, snapshot: &str) -> BTreeMap<u32, Vec<u8>> {
        let client = self.client(region);
        let mut blocks = BTreeMap::new();
        let mut next = String::new();
        loop {
            let path = format!("/snapshots/{snapshot}/blocks?maxResults=1000{next}");
            let page = client.ebs(&Call::new("GET", &path)).done("a page");
            let page: Value = serde_json::from_slice(&page.body).expect("JSON");
            for entry in page["Blocks"].as_array().expect("blocks") {
                let index = entry["BlockIndex"].as_u64().expect("a number");
                let token = entry["BlockToken"].as_str().expect("a token");
                let path = format!("/snapshots/{snapshot}/blocks/{index}");
                let mut call = Call::new("GET", &path);
                call.query.push(("blockToken".to_owned(), token.to_owned()));
                let data = client.ebs(&call).done("a block").body;
                blocks.insert(u32::try_from(index).expect("a number"), data);
            }
            match page["NextToken"].as_str() {
                Some(token) => {
                    next = format!("&pageToken={}", crate::sandbox::client::encode(token))
                }
                None => return blocks,
            }
        }
    }

    /// The snapshot holds the image, and zeros after it, byte for byte.
    #[track_caller]
    pub fn check_bytes(&self, region: &str, snapshot: &str, folder: &Path) {
        self.check_all_bytes(region, snapshot, folder, BLOCKS);
    }

    /// The same of a snapshot with so many blocks.
    #[track_caller]
    pub fn check_all_bytes(&self, region: &str, snapshot: &str, folder: &Path, count: u32) {
        let image = fs::read(folder.join(IMAGE)).expect("read");
        let blocks = self.blocks(region, snapshot);
        assert_eq!(blocks.len(), count as usize, "{region}: a block is absent");
        let zeros = vec![0; BLOCK];
        for (index, block) in blocks {
            let at = index as usize * BLOCK;
            let expected = image.get(at..at + BLOCK).unwrap_or(&zeros);
            assert!(
                block == expected,
                "{region}: block {index} of {snapshot} differs"
            );
        }
    }
}

/// The value of a tag.
pub fn tag(tree: &Tree, key: &str) -> Option<String> {
    let found = tree
        .items("tagSet")
        .into_iter()
        .find(|tag| tag.text("key") == key)?;
    Some(found.text("value").to_owned())
}

/// A manifest of an image with these bytes.
pub fn manifest(scan: &Scan) -> Manifest {
    let size = scan.size;
    Manifest {
        schema: SCHEMA,
        tool: "tests".to_owned(),
        profile: "base".to_owned(),
        version: "3.15".to_owned(),
        alpine: "3.15.11".to_owned(),
        arch: Arch::X86_64,
        firmware: vec![Firmware::Bios, Firmware::Uefi],
        plan_digest: "0".repeat(64),
        packages_digest: "0".repeat(64),
        lock: None,
        source_date_epoch: 0,
        image: ImageFile::new(IMAGE, scan),
        snapshot: None,
        root: RootFileSystem {
            uuid: "00000000-0000-0000-0000-000000000000".to_owned(),
            label: "root".to_owned(),
            capacity: size,
            used: size,
        },
        kernel: KernelInfo {
            release: "5.15.0".to_owned(),
            cmdline: String::new(),
            initramfs: true,
        },
        packages: vec![PackageInfo {
            name: "busybox".to_owned(),
            version: "1.34.1-r7".to_owned(),
            arch: "x86_64".to_owned(),
            checksum: "Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
            repository: "main".to_owned(),
            size: 1,
            installed_size: 1,
            license: "GPL-2.0-only".to_owned(),
            origin: None,
        }],
        boot_packages: Vec::new(),
        left_out: Vec::new(),
        checks: BTreeMap::new(),
        test_volumes: Vec::new(),
    }
}
