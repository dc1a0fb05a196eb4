//! How OpenRC starts kubelet and CRI-O, and what the kernel is told before.

use std::fs;
use std::process::Command;

use super::{file, plans, unknown};

/// Those of kubelet's flags that a node without systemd may want. All are in tengqm/kubernetes.github.io,
/// content/en/docs/reference/command-line-tools-reference/kubelet.md at 6e63675dd6dc, which is 1.21's page;
/// that of 1.22 was not at hand.
const KUBELET_FLAGS: &str = "
    bootstrap-kubeconfig cert-dir cgroup-driver config container-runtime container-runtime-endpoint
    feature-gates hostname-override image-credential-provider-bin-dir
    image-credential-provider-config kubeconfig node-ip node-labels pod-infra-container-image
    provider-id register-with-taints root-dir runtime-cgroups v";

/// Keys of /proc/sys, by torvalds/linux below Documentation/admin-guide/sysctl: vm.rst at 010e85f9e47c,
/// kernel.rst at 01478b833176 and fs.rst at 0604aa87b098, none of them exactly 5.15's. Not compared with a
/// copy: fs.inotify (inotify(7)), net (Documentation/networking/ip-sysctl.rst; net.bridge comes with
/// br_netfilter), kernel.keys (Documentation/security/keys/core.rst; with CONFIG_KEYS, which Alpine's has).
const SYSCTLS: &str = "
    fs.file-max fs.inotify.max_queued_events fs.inotify.max_user_instances
    fs.inotify.max_user_watches fs.nr_open kernel.keys.root_maxbytes kernel.keys.root_maxkeys
    kernel.panic kernel.panic_on_oops kernel.pid_max net.bridge.bridge-nf-call-arptables
    net.bridge.bridge-nf-call-ip6tables net.bridge.bridge-nf-call-iptables
    net.ipv4.conf.all.forwarding net.ipv4.ip_forward net.ipv6.conf.all.forwarding
    vm.max_map_count vm.overcommit_memory vm.panic_on_oom vm.swappiness";

/// A variable of a conf.d file, as a shell has it that read the file.
#[track_caller]
fn variable(text: &str, name: &str) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("conf");
    fs::write(&path, text).expect("a file");
    let script = format!(". \"$0\" && printf %s \"${name}\"");
    let output = Command::new("sh")
        .args(["-euc", &script])
        .arg(&path)
        .output()
        .expect("sh");
    assert!(output.status.success(), "{text}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn kubelet_is_told_its_runtime_by_flags_and_never_given_up() {
    for plan in plans() {
        let conf = file(&plan, "etc/conf.d/kubelet");
        let arguments = variable(&conf, "command_args");
        let flags: Vec<_> = arguments.split_whitespace().collect();
        let names = flags.iter().map(|flag| {
            let flag = flag.strip_prefix("--").expect("a flag");
            flag.split('=').next().unwrap_or(flag)
        });
        assert_eq!(unknown(names, KUBELET_FLAGS), [""; 0]);
        for needed in [
            "--container-runtime=remote",
            "--container-runtime-endpoint=unix:///var/run/crio/crio.sock",
            "--cgroup-driver=cgroupfs",
            "--config=/var/lib/kubelet/config.yaml",
            "--kubeconfig=/etc/kubernetes/kubelet.conf",
            "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
            "--feature-gates=KubeletCredentialProviders=true",
            "--image-credential-provider-config=/etc/kubernetes/credential-provider.yaml",
        ] {
            assert!(flags.contains(&needed), "{arguments}");
        }
        // Hard-wired in too many places: the mount moves it, no flag does.
        assert!(!arguments.contains("--root-dir"), "{arguments}");
        let need = variable(&conf, "rc_need");
        for service in ["crio", "kubelet-root"] {
            assert!(need.split(' ').any(|one| one == service), "{need}");
        }
        assert_eq!(variable(&conf, "respawn_max"), "0");
    }
}

#[test]
fn crio_starts_neither_without_its_volume_nor_before_mounts_are_shared() {
    for plan in plans() {
        let conf = file(&plan, "etc/conf.d/crio");
        let need = variable(&conf, "rc_need");
        for service in [
            "cgroups",
            "containers-volume",
            "kubelet-root",
            "mount-shared",
        ] {
            assert!(need.split(' ').any(|one| one == service), "{need}");
        }
        assert_eq!(variable(&conf, "respawn_max"), "0");
        let mode = variable(&file(&plan, "etc/rc.conf"), "rc_cgroup_mode");
        assert_eq!(mode, "unified");
    }
}

#[test]
fn sysctls_are_keys_of_the_kernel_or_of_a_module_that_is_loaded_before() {
    for plan in plans() {
        let text = file(&plan, "etc/sysctl.d/60-kubezero.conf");
        let settings: Vec<_> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| line.split_once(" = ").expect(line))
            .collect();
        let keys = settings.iter().map(|(key, _)| *key);
        assert_eq!(unknown(keys, SYSCTLS), [""; 0]);
        for needed in [
            ("net.ipv4.ip_forward", "1"),
            ("net.bridge.bridge-nf-call-iptables", "1"),
            ("net.bridge.bridge-nf-call-ip6tables", "1"),
            ("vm.overcommit_memory", "1"),
            ("kernel.panic", "10"),
            ("kernel.panic_on_oops", "1"),
        ] {
            assert!(settings.contains(&needed), "{needed:?}");
        }
        let modules = file(&plan, "etc/modules-load.d/kubezero.conf");
        let modules: Vec<_> = modules.lines().collect();
        let needed = [
            "overlay",
            "br_netfilter",
            "ip_vs",
            "ip_vs_rr",
            "ip_vs_wrr",
            "ip_vs_sh",
            "nf_conntrack",
        ];
        assert_eq!(modules, needed);
        let after = variable(&file(&plan, "etc/conf.d/sysctl"), "rc_after");
        assert_eq!(after, "modules");
    }
}
