//! What a publisher changes: another Kubernetes minor beside the first, another repository and key.

use std::fs;
use std::path::Path;

use crate::support::{keys, run};

/// A second minor, whole.
const MINOR: &str = r#"description = "KubeZero 1.23 worker"
include = ["kubezero-worker"]
version = "1.23.5"
packages = ["cri-o@kubezero>=1.23.2", "kubeadm@kubezero~1.23.5", "kubectl@kubezero~1.23.5", "kubelet@kubezero~1.23.5"]
values.pause_image = "k8s.gcr.io/pause:3.6"
"#;

/// A publisher's own repository, whole.
const OURS: &str = r#"description = "Our workers"
include = ["kubezero-worker"]
repositories = [{ url = "https://apk.example.com/v{alpine}/nodes", tag = "kubezero" }]
keys = ["ours"]
"#;

/// Renders `profile` with the profiles of `dir` beside the built-in ones.
fn render(dir: &Path, profile: &str) -> std::path::PathBuf {
    let config = dir.join("c.toml");
    fs::write(&config, "[paths]\nprofiles = [\"profiles\"]\n").expect("a file");
    let out = dir.join(profile);
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (config, plan) = (text(&config), text(&out));
    let args = [
        "--config", &config, "render", profile, "--arch", "aarch64", "--out", &plan,
    ];
    run(args).done();
    out
}

#[test]
fn a_second_minor_is_a_file_of_a_few_lines() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("profiles")).expect("a folder");
    fs::write(dir.path().join("profiles/kubezero-1.23-worker.toml"), MINOR).expect("a file");
    let read = |plan: &Path, name: &str| fs::read_to_string(plan.join(name)).expect(name);
    let (second, first) = (
        render(dir.path(), "kubezero-1.23-worker"),
        render(dir.path(), "kubezero-worker"),
    );
    let changed = |world: &str| -> Vec<String> {
        let kubernetes = ["cri-o@", "kubeadm@", "kubectl@", "kubelet@"];
        let mut found: Vec<_> = world
            .lines()
            .filter(|line| kubernetes.iter().any(|name| line.starts_with(name)))
            .map(str::to_owned)
            .collect();
        found.sort();
        found
    };
    let (world, before) = (read(&second, "world"), read(&first, "world"));
    assert_eq!(
        changed(&world),
        [
            "cri-o@kubezero>=1.23.2",
            "kubeadm@kubezero~1.23.5",
            "kubectl@kubezero~1.23.5",
            "kubelet@kubezero~1.23.5"
        ]
    );
    assert_eq!(
        changed(&before),
        [
            "cri-o@kubezero>=1.22.3",
            "kubeadm@kubezero~1.22.8",
            "kubectl@kubezero~1.22.8",
            "kubelet@kubezero~1.22.8"
        ]
    );
    // All else is the same world.
    assert_eq!(world.lines().count(), before.lines().count());
    let crio = read(&second, "overlay/etc/crio/crio.conf.d/10-kubezero.conf");
    assert!(
        crio.contains("pause_image = \"k8s.gcr.io/pause:3.6\""),
        "{crio}"
    );
    assert!(read(&second, "overlay/usr/share/alpine-ami/node").contains("kubernetes='1.23.5'"));
}

#[test]
fn a_publishers_repository_and_key_take_the_place_of_kubezeros() {
    let dir = tempfile::tempdir().expect("a folder");
    let pair = keys("nodes@example.com-1.rsa");
    let folder = dir.path().join("profiles/keys/ours");
    fs::create_dir_all(&folder).expect("a folder");
    for entry in fs::read_dir(&pair.public_dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
    }
    fs::write(dir.path().join("profiles/ours.toml"), OURS).expect("a file");
    let plan = render(dir.path(), "ours");
    let repositories = fs::read_to_string(plan.join("repositories")).expect("repositories");
    let tagged: Vec<_> = repositories
        .lines()
        .filter(|line| line.starts_with('@'))
        .collect();
    assert_eq!(tagged, ["@kubezero https://apk.example.com/v3.15/nodes"]);
    assert!(plan.join("keys/nodes@example.com-1.rsa.pub").is_file());
}

/// Not even by one who forgets what it is: without a role it is no node.
#[test]
fn the_shared_layer_is_not_built_by_itself() {
    let error = run(["profile", "check", "kubezero"]).failed(2);
    assert!(
        error.contains("a layer for other profiles to include"),
        "{error}"
    );
}
