//! A profile of which the packages change from night to night.

use std::fs;

use super::town::{Night, Town};
use crate::support::{Crafted, repository, test_keys};

/// A worker that says it built what it was asked for, with the agent's version in it.
const WORKER: &str = r#"
names = [name for one in job["repositories"] for name in one["packages"] if name.startswith("node-agent-")]
manifest["profile"] = "node"
for digest in ("plan_digest", "packages_digest"):
    manifest[digest] = job[digest]
version = names[0].removeprefix("node-agent-").removesuffix(".apk")
manifest["packages"].append({**manifest["packages"][0], "name": "node-agent", "version": version})
with open("/dev/sdf", "r+b") as disk:
    disk.write(names[0].encode())
done()
"#;

/// The built-in base, and one package more.
const PROFILE: &str =
    "description = \"of a test\"\ninclude = [\"base\"]\npackages = [\"node-agent\"]\n";

impl Town {
    /// One with the profile `node`.
    pub fn of_nodes() -> Town {
        let town = Town::with_worker(WORKER);
        let profile = town.yard.house.folder().join("profiles/node.toml");
        fs::write(profile, PROFILE).expect("written");
        town
    }

    /// From now on the repository that the agent comes from has this version of it.
    pub fn agent(&self, version: u32) {
        let folder = self.yard.house.folder().join("agents");
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("removed");
        }
        let script = format!("#!/bin/sh\necho {version}\n");
        let agent = Crafted::new("node-agent", &format!("1.{version}-r0"), "");
        let agent = agent.file("usr/bin/node-agent", &script);
        repository(&folder, &[agent], test_keys());
    }

    /// A night of `node`, with 4 for its status if nothing is new.
    #[track_caller]
    pub fn node_night(&self) -> Night {
        let keys = test_keys().public_dir.display().to_string();
        let args = ["node", "--repository", "agents", "--keys-dir", &keys];
        self.night(&[&args[..], &["--exit-unchanged"]].concat())
    }
}

/// What is in the channel is what the packages of tonight come to, also where they go back to what
/// they were: what a night has replaced comes back. What somebody took out does not.
#[test]
fn what_the_packages_go_back_to_comes_back() {
    let town = Town::of_nodes();
    let mut released = Vec::new();
    for (version, expected) in [(1, 0), (2, 0), (1, 0), (2, 0), (2, 4)] {
        town.agent(version);
        let night = town.node_night();
        assert_eq!(night.status, expected, "{version}: {}", night.said);
        let release = night.report["images"][0]["release"].as_str();
        released.push(release.expect("a release").to_owned());
    }
    let [first, second] = [&released[0], &released[1]];
    assert_eq!(
        released,
        [first, second, first, second, second].map(Clone::clone)
    );
    assert_eq!(
        town.stays("nightly"),
        [first, second, first, second].map(Clone::clone)
    );
    assert_eq!(town.yard.snapshots().len(), 2);

    town.yard.house.run(&["rollback", "nightly"]).done();
    let stays = town.stays("nightly");
    for version in [1, 2] {
        town.agent(version);
        let night = town.node_night();
        assert_eq!(night.status, 4, "{version}: {}", night.said);
        assert_eq!(town.stays("nightly"), stays, "{version}");
    }
}
