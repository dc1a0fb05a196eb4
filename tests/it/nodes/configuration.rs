//! Files that kubelet and CRI-O read, held against the published lists of what they know.

use super::documents::{toml_values, yaml_scalars};
use super::{file, plans, unknown};

/// Fields of `KubeletConfiguration`, kubelet.config.k8s.io/v1beta1, of Kubernetes 1.22.
///
/// The release's own file was not at hand. These are the fields of
/// staging/src/k8s.io/kubelet/config/v1beta1/types.go in n4j/kubernetes at 23aa76a11e62, a fork shortly
/// before 1.22 (less its own `CertDirectory`), and two of the five that were added from there to 1.23, which
/// kubeedge/kubeedge has below vendor/ at 0df0dfe9d5b4. `cpuManagerPolicyOptions` and `memoryThrottlingFactor`
/// are taken for 1.22's; `registerNode`, `registerWithTaints` and `shutdownGracePeriodByPodPriority` for 1.23's.
const KUBELET: &str = "
    apiVersion kind
    enableServer staticPodPath syncFrequency fileCheckFrequency httpCheckFrequency staticPodURL
    staticPodURLHeader address port readOnlyPort tlsCertFile tlsPrivateKeyFile tlsCipherSuites
    tlsMinVersion rotateCertificates serverTLSBootstrap authentication authorization registryPullQPS
    registryBurst eventRecordQPS eventBurst enableDebuggingHandlers enableContentionProfiling
    healthzPort healthzBindAddress oomScoreAdj clusterDomain clusterDNS
    streamingConnectionIdleTimeout nodeStatusUpdateFrequency nodeStatusReportFrequency
    nodeLeaseDurationSeconds imageMinimumGCAge imageGCHighThresholdPercent
    imageGCLowThresholdPercent volumeStatsAggPeriod kubeletCgroups systemCgroups cgroupRoot
    cgroupsPerQOS cgroupDriver cpuManagerPolicy cpuManagerPolicyOptions cpuManagerReconcilePeriod
    memoryManagerPolicy topologyManagerPolicy topologyManagerScope qosReserved
    runtimeRequestTimeout hairpinMode maxPods podCIDR podPidsLimit resolvConf runOnce cpuCFSQuota
    cpuCFSQuotaPeriod nodeStatusMaxImages maxOpenFiles contentType kubeAPIQPS kubeAPIBurst
    serializeImagePulls evictionHard evictionSoft evictionSoftGracePeriod
    evictionPressureTransitionPeriod evictionMaxPodGracePeriod evictionMinimumReclaim podsPerCore
    enableControllerAttachDetach protectKernelDefaults makeIPTablesUtilChains
    iptablesMasqueradeBit iptablesDropBit featureGates failSwapOn memorySwap containerLogMaxSize
    containerLogMaxFiles configMapAndSecretChangeDetectionStrategy systemReserved kubeReserved
    reservedSystemCPUs showHiddenMetricsForVersion systemReservedCgroup kubeReservedCgroup
    enforceNodeAllocatable allowedUnsafeSysctls volumePluginDir providerID kernelMemcgNotification
    logging enableSystemLogHandler shutdownGracePeriod shutdownGracePeriodCriticalPods
    reservedMemory enableProfilingHandler enableDebugFlagsHandler seccompDefault
    memoryThrottlingFactor";

/// Fields of `CredentialProviderConfig`, kubelet.config.k8s.io/v1alpha1: kubernetes/kubernetes,
/// staging/src/k8s.io/kubelet/config/v1alpha1/types.go at 0b1dcaba0a3f. That is years after 1.22, of which
/// no copy was at hand.
const CREDENTIAL_PROVIDER: &str = "
    apiVersion kind providers[].name providers[].matchImages[] providers[].defaultCacheDuration
    providers[].apiVersion providers[].args[] providers[].env[].name providers[].env[].value";

/// Keys of crio.conf(5): docs/crio.conf.5.md in kubernetes-sigs/cri-o at 032dee6a5154, on the way from
/// CRI-O 1.21 to 1.22, of which no copy was at hand.
///
/// The page was behind its program. By pkg/config/config.go at that commit, `separate_pull_cgroup` is read
/// in `crio.runtime` and not in `crio.image`; `default_mounts`, `manage_ns_lifecycle` and
/// `enable_custom_shm_size` are read no more, and are not here.
const CRIO: &str = "
    crio.root crio.runroot crio.storage_driver crio.storage_option crio.log_dir crio.version_file
    crio.version_file_persist crio.internal_wipe crio.clean_shutdown_file
    crio.api.listen crio.api.stream_address crio.api.stream_port crio.api.stream_enable_tls
    crio.api.stream_idle_timeout crio.api.stream_tls_cert crio.api.stream_tls_key
    crio.api.stream_tls_ca crio.api.grpc_max_send_msg_size crio.api.grpc_max_recv_msg_size
    crio.runtime.default_runtime crio.runtime.default_ulimits crio.runtime.no_pivot
    crio.runtime.decryption_keys_path crio.runtime.conmon crio.runtime.conmon_cgroup
    crio.runtime.conmon_env crio.runtime.default_env crio.runtime.selinux
    crio.runtime.seccomp_profile crio.runtime.seccomp_use_default_when_empty
    crio.runtime.apparmor_profile crio.runtime.irqbalance_config_file crio.runtime.rdt_config_file
    crio.runtime.cgroup_manager crio.runtime.default_capabilities crio.runtime.default_sysctls
    crio.runtime.additional_devices crio.runtime.hooks_dir crio.runtime.default_mounts_file
    crio.runtime.pids_limit crio.runtime.log_filter crio.runtime.log_level
    crio.runtime.log_size_max crio.runtime.log_to_journald crio.runtime.container_exits_dir
    crio.runtime.container_attach_socket_dir crio.runtime.bind_mount_prefix crio.runtime.read_only
    crio.runtime.uid_mappings crio.runtime.gid_mappings crio.runtime.ctr_stop_timeout
    crio.runtime.drop_infra_ctr crio.runtime.infra_ctr_cpuset crio.runtime.namespaces_dir
    crio.runtime.pinns_path crio.runtime.absent_mount_sources_to_reject
    crio.runtime.separate_pull_cgroup
    crio.runtime.runtimes.crun.runtime_path crio.runtime.runtimes.crun.runtime_root
    crio.runtime.runtimes.crun.runtime_type crio.runtime.runtimes.crun.runtime_config_path
    crio.runtime.runtimes.crun.privileged_without_host_devices
    crio.runtime.runtimes.crun.allowed_annotations
    crio.image.default_transport crio.image.global_auth_file crio.image.pause_image
    crio.image.pause_image_auth_file crio.image.pause_command crio.image.signature_policy
    crio.image.image_volumes crio.image.insecure_registries crio.image.registries
    crio.image.big_files_temporary_dir
    crio.network.cni_default_network crio.network.network_dir crio.network.plugin_dirs
    crio.metrics.enable_metrics crio.metrics.metrics_port crio.metrics.metrics_socket
    crio.metrics.metrics_cert crio.metrics.metrics_key";

/// Keys of containers-storage.conf(5), but for the tables of other drivers: containers/storage,
/// docs/containers-storage.conf.5.md at 01fccaa58f06. That is newer than what CRI-O 1.22 has in it, so not
/// each of them need be known there; a page of that time was not at hand.
const STORAGE: &str = "
    storage.driver storage.graphroot storage.rootless_storage_path storage.imagestore
    storage.runroot storage.driver_priority storage.transient_store
    storage.options.additionalimagestores storage.options.pull_options.enable_partial_images
    storage.options.pull_options.use_hard_links storage.options.pull_options.ostree_repos
    storage.options.remap-uids storage.options.remap-gids storage.options.remap-user
    storage.options.remap-group storage.options.root-auto-userns-user
    storage.options.auto-userns-min-size storage.options.auto-userns-max-size
    storage.options.disable-volatile
    storage.options.overlay.ignore_chown_errors storage.options.overlay.inodes
    storage.options.overlay.force_mask storage.options.overlay.mount_program
    storage.options.overlay.mountopt storage.options.overlay.skip_mount_home
    storage.options.overlay.size";

/// Keys of version 2 of containers-registries.conf(5), beside its tables: containers/image,
/// docs/containers-registries.conf.5.md at 05d705ce05d5, which is older than what CRI-O 1.22 has in it.
const REGISTRIES: &str = "unqualified-search-registries short-name-mode";

#[test]
fn kubelets_configuration_has_fields_of_1_22_only() {
    for plan in plans() {
        let written = yaml_scalars(&file(&plan, "etc/kubernetes/kubelet-configuration.yaml"));
        let top = written
            .iter()
            .map(|(path, _)| path.split('.').next().unwrap_or_default());
        assert_eq!(unknown(top, KUBELET), [""; 0]);
        let expected = [
            ("apiVersion", "kubelet.config.k8s.io/v1beta1"),
            ("kind", "KubeletConfiguration"),
            ("cgroupDriver", "cgroupfs"),
            ("failSwapOn", "false"),
            ("protectKernelDefaults", "false"),
            ("podsPerCore", "20"),
            ("systemReserved.memory", "96Mi"),
            ("kubeReserved.cpu", "70m"),
            ("kubeReserved.memory", "96Mi"),
            ("imageGCLowThresholdPercent", "70"),
            ("featureGates.KubeletCredentialProviders", "true"),
        ];
        for (path, value) in expected {
            let found = written.iter().find(|(written, _)| written == path);
            assert_eq!(
                found.map(|(_, value)| value.as_str()),
                Some(value),
                "{path}"
            );
        }
    }
}

#[test]
fn crios_configuration_has_documented_keys_only_and_says_what_its_defaults_get_wrong() {
    for plan in plans() {
        let written = toml_values(&file(&plan, "etc/crio/crio.conf.d/10-kubezero.conf"));
        let keys = written.iter().map(|(path, _)| path.as_str());
        assert_eq!(unknown(keys, CRIO), [""; 0]);
        let text = |value: &str| toml::Value::String(value.to_owned());
        let expected = [
            ("crio.runtime.default_runtime", text("crun")),
            ("crio.runtime.cgroup_manager", text("cgroupfs")),
            ("crio.runtime.conmon_cgroup", text("pod")),
            ("crio.runtime.pids_limit", toml::Value::Integer(1024)),
            (
                "crio.runtime.runtimes.crun.runtime_path",
                text("/usr/bin/crun"),
            ),
            ("crio.runtime.runtimes.crun.runtime_type", text("oci")),
            ("crio.image.pause_image", text("k8s.gcr.io/pause:3.5")),
            (
                "crio.network.plugin_dirs",
                toml::Value::Array(vec![text("/usr/libexec/cni"), text("/opt/cni/bin")]),
            ),
        ];
        for (path, value) in expected {
            let found = written.iter().find(|(written, _)| written == path);
            assert_eq!(found.map(|(_, value)| value), Some(&value), "{path}");
        }
        // They are CRI-O's own, and of one boot or one machine.
        for never in ["version", "clean.shutdown"] {
            let path = format!("var/lib/crio/{never}");
            assert!(!plan.tree.contains_key(&path), "{path}");
        }
    }
}

#[test]
fn images_lie_on_the_containers_volume() {
    for plan in plans() {
        let written = toml_values(&file(&plan, "etc/containers/storage.conf"));
        let keys = written.iter().map(|(path, _)| path.as_str());
        assert_eq!(unknown(keys, STORAGE), [""; 0]);
        let graph = written.iter().find(|(path, _)| path == "storage.graphroot");
        let graph = graph.and_then(|(_, value)| value.as_str());
        assert_eq!(graph, Some("/var/lib/containers/storage"));

        let registries = toml_values(&file(&plan, "etc/containers/registries.conf"));
        let keys = registries.iter().map(|(path, _)| path.as_str());
        assert_eq!(unknown(keys, REGISTRIES), [""; 0]);

        // containers-policy.json(5): without a default no image is pulled.
        let policy = file(&plan, "etc/containers/policy.json");
        let policy: serde_json::Value = serde_json::from_str(&policy).expect("JSON");
        assert!(policy["default"].is_array(), "{policy}");
    }
}

#[test]
fn the_credential_provider_is_called_by_its_programs_name() {
    for plan in plans() {
        let written = yaml_scalars(&file(&plan, "etc/kubernetes/credential-provider.yaml"));
        let keys = written.iter().map(|(path, _)| path.as_str());
        assert_eq!(unknown(keys, CREDENTIAL_PROVIDER), [""; 0]);
        let all = |path: &str| -> Vec<&str> {
            let found = written.iter().filter(|(written, _)| written == path);
            found.map(|(_, value)| value.as_str()).collect()
        };
        assert_eq!(all("apiVersion"), ["kubelet.config.k8s.io/v1alpha1"]);
        assert_eq!(all("kind"), ["CredentialProviderConfig"]);
        assert_eq!(
            all("providers[].apiVersion"),
            ["credentialprovider.kubelet.k8s.io/v1alpha1"]
        );
        // Required of each provider: matchImages, defaultCacheDuration.
        assert!(all("providers[].matchImages[]").contains(&"*.dkr.ecr.*.amazonaws.com"));
        assert_eq!(all("providers[].defaultCacheDuration"), ["12h"]);

        let node = file(&plan, "usr/share/alpine-ami/node");
        let program = node
            .lines()
            .find_map(|line| line.strip_prefix("credential_provider='"))
            .and_then(|rest| rest.strip_suffix('\''))
            .expect("the program");
        let (folder, name) = program.rsplit_once('/').expect("a path");
        assert_eq!(all("providers[].name"), [name]);
        let kubelet = file(&plan, "etc/conf.d/kubelet");
        assert!(
            kubelet.contains(&format!("--image-credential-provider-bin-dir={folder}\"")),
            "{kubelet}"
        );
    }
}
