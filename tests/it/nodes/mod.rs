//! KubeZero's nodes as they are rendered: each key of their configuration is one that the program
//! which reads it knows, and says what the node needs.

mod checks;
mod cluster;
mod configuration;
mod cut_log;
mod documents;
mod etcd;
mod machine;
mod minors;
mod network;
mod outage;
mod services;

use alpine_ami::arch::Arch;
use alpine_ami::config::Config;
use alpine_ami::overlay::NodeKind;
use alpine_ami::plan::Plan;
use alpine_ami::profile::ProfileSource;

/// Both kinds of node, on both architectures.
pub fn plans() -> Vec<Plan> {
    let mut plans = Vec::new();
    for name in ["kubezero-controller", "kubezero-worker"] {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let source = ProfileSource {
                arch: Some(arch),
                ..ProfileSource::new(name)
            };
            plans.push(Plan::new(&Config::default().library(), &source).expect("a plan"));
        }
    }
    plans
}

/// A file of a plan's overlays, rendered.
#[track_caller]
pub fn file(plan: &Plan, path: &str) -> String {
    let Some(NodeKind::File(bytes)) = plan.tree.get(path).map(|node| &node.kind) else {
        panic!("{} has no /{path}", plan.profile.name);
    };
    String::from_utf8(bytes.clone()).expect("UTF-8")
}

/// What is not among `known`, a list of words.
pub fn unknown<'a>(keys: impl IntoIterator<Item = &'a str>, known: &str) -> Vec<&'a str> {
    let known: Vec<_> = known.split_whitespace().collect();
    let keys = keys.into_iter();
    keys.filter(|key| !known.contains(key)).collect()
}
