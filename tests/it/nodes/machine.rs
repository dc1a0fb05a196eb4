//! Nodes boot: their own checks run crun, conmon and CNI plugins for real, and the stand-ins for CRI-O
//! and kubelet tell how they were started.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{build, demo_mirror, run};

/// What is asked of the records in /run/stand-ins; then kubeadm's part is played.
const RECORDS: &str = r#"
cd /run/stand-ins || exit 1
wait_for() {
    tries=0
    until [ -e "$1" ]; do
        [ $((tries += 1)) -le 300 ] || { echo "there is no $1"; exit 1; }
        sleep 0.1
    done
}
fail() { echo "$1"; exit 1; }

# CRI-O first, after its mounts were there and shared, with room for open files.
wait_for crio/1/uptime
wait_for kubelet/1/uptime
awk 'NR == 1 { crio = $1 } END { exit !(crio <= $1) }' crio/1/uptime kubelet/1/uptime ||
    fail "kubelet was started before crio"
for start in crio/1 kubelet/1; do
    for place in / /var/lib/kubelet; do
        awk -v place="$place" '$5 == place { shared = 0; for (i = 7; $i != "-"; i++) if ($i ~ /^shared:/) shared = 1 }
            END { exit !shared }' $start/mountinfo || fail "$start: $place is not shared"
    done
    grep -q supervise-daemon $start/parent || fail "$start has no supervisor"
    # mount, iptables and modprobe are looked up in it.
    grep -q '^PATH=.*/usr/sbin' $start/environ || fail "$start: $(grep ^PATH= $start/environ)"
done
grep -q '^Max open files  *1048576 ' crio/1/limits || fail "$(grep 'Max open' crio/1/limits)"
grep -Fqx 0::/crio crio/1/cgroup || fail "crio is in $(cat crio/1/cgroup)"
[ -S /var/run/crio/crio.sock ] || fail "nobody listens where kubelet asks"

# kubelet: this instance's name, type and id, and once more after each end.
instance=$(/usr/libexec/alpine-ami/imds get meta-data/instance-id)
type=$(/usr/libexec/alpine-ami/imds get meta-data/instance-type)
zone=$(/usr/libexec/alpine-ami/imds get meta-data/placement/availability-zone)
for argument in "--hostname-override=$(hostname)" "--provider-id=aws:///$zone/$instance" \
    "--node-labels=node.kubernetes.io/instance-type=$type" --container-runtime=remote; do
    grep -Fqx -e "$argument" kubelet/1/argv || fail "kubelet was not told $argument"
done
wait_for kubelet/2/uptime

# kubeadm writes two files and restarts the service.
cp /etc/kubernetes/kubelet-configuration.yaml /var/lib/kubelet/config.yaml
echo 'KUBELET_KUBEADM_ARGS="--pod-infra-container-image=k8s.gcr.io/pause:3.5"' >/var/lib/kubelet/kubeadm-flags.env
[ -s /var/lib/containers/kubelet/config.yaml ] || fail "kubelet's data is not on the containers' volume"
rc-service kubelet stop && rm -r kubelet && rc-service kubelet start || fail "it cannot be restarted"
wait_for kubelet/1/running
grep -Fqx -e --pod-infra-container-image=k8s.gcr.io/pause:3.5 kubelet/1/argv || fail "kubeadm's flags are lost"
grep -Fqx -e --cgroup-driver=cgroupfs kubelet/1/argv || fail "the image's flags are lost"
"#;

#[test]
fn a_worker_boots_with_real_containers_and_starts_crio_and_kubelet_as_they_need() {
    passes("kubezero-worker", &[]);
}

#[test]
fn a_controller_boots_with_etcds_volume() {
    passes("kubezero-controller", &["etcd-data-lies-on-its-own-volume"]);
}

/// Builds a profile with the stand-ins of the demo mirror, and has it tested as it ships otherwise.
#[track_caller]
fn passes(profile: &str, more: &[&str]) {
    let dir = tempfile::tempdir().expect("a folder");
    let mirror = demo_mirror();
    fs::create_dir(dir.path().join("profiles")).expect("a folder");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let mine = format!(
        "description = \"A node of stand-ins\"\n\
         include = [\"{profile}\"]\n\
         repositories = [{{ url = \"{}\", tag = \"kubezero\" }}]\n\
         [checks.stand-ins-were-started-as-the-real-ones-need-it]\n\
         timeout_seconds = 120\n\
         run = '''{RECORDS}'''\n",
        text(&mirror.join("v3.15/kubezero")),
    );
    fs::write(dir.path().join("profiles/mine.toml"), mine).expect("a profile");
    let config = dir.path().join("c.toml");
    fs::write(&config, "[paths]\nprofiles = [\"profiles\"]\n").expect("a file");
    let out = dir.path().join("out");
    let (config, place) = (text(&config), text(&out));
    build("mine", &out, &["--config", &config]).done();
    let manifest = fs::read(out.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let packages = manifest["packages"].as_array().expect("a list");
    let has = |name: &str| packages.iter().any(|one| one["name"] == name);
    assert!(has("crun") && has("conmon") && has("cni-plugins") && !has("runc"));

    // CRI-O and kubelet are shell scripts here; emulated, all of it takes its time.
    let report = run([
        "--config",
        &config,
        "test",
        &place,
        "--memory",
        "768",
        "--deadline",
        "900",
        "--output",
        "json",
    ]);
    assert_eq!(report.status, 0, "{}{}", report.stdout, report.stderr);
    let report: Value = serde_json::from_str(&report.stdout).expect("JSON");
    assert_eq!(report["failed_services"], serde_json::json!([]));
    // Nothing but the metadata service answered, and nobody else was asked for.
    assert_eq!(report["connection_attempts"], serde_json::json!([]));
    let passed = |name: &str| {
        let checks = report["checks"].as_array().expect("a list");
        let found = checks.iter().find(|one| one["name"] == name);
        found.is_some_and(|one| one["passed"] == true)
    };
    let names = [
        "cgroups-are-unified",
        "cni-plugins-connect-a-network-namespace",
        "conmon-keeps-words-and-end-of-a-container",
        "crun-runs-a-container-in-its-memory-limit",
        "nothing-listens-but-what-is-declared",
        "stand-ins-were-started-as-the-real-ones-need-it",
    ];
    for name in names.iter().chain(more) {
        assert!(passed(name), "{name}: {report:#}");
    }
}
