//! CNI: the image brings plugins and no network.

use super::{plans, unknown};

/// Keys of a network configuration of CNI 0.4.0: containernetworking/cni, SPEC.md at 020cac50ab19; of the
/// plugin `bridge` and of `host-local`: containernetworking/cni.dev, content/plugins/current/main/bridge.md
/// at 022cd218a116 and content/plugins/current/ipam/host-local.md at 5be68896028c. The page of `bridge` is
/// newer than Alpine 3.15's plugins, and its `enabledad` is not here.
const NETWORK: &str = "
    cniVersion name type args ipMasq networkScaling ipam dns
    dns.nameservers dns.domain dns.search dns.options
    bridge isGateway isDefaultGateway forceAddress mtu hairpinMode promiscMode vlan
    ipam.type ipam.subnet ipam.rangeStart ipam.rangeEnd ipam.gateway ipam.routes ipam.ranges
    ipam.resolvConf ipam.dataDir";

#[test]
fn no_network_is_configured_before_the_cluster_does() {
    for plan in plans() {
        let below: Vec<_> = plan
            .tree
            .keys()
            .filter(|path| path.starts_with("etc/cni/net.d/"))
            .collect();
        assert!(below.is_empty(), "{below:?}");
        assert!(plan.tree.contains_key("etc/cni/net.d"));
    }
}

/// The one configuration that there is: that of the check inside the image.
#[test]
fn the_checks_network_has_keys_of_the_specification_only() {
    for plan in plans() {
        let check = &plan.profile.checks["cni-plugins-connect-a-network-namespace"].run;
        let (_, rest) = check.split_once("<<'END'\n").expect("a document");
        let (text, _) = rest.split_once("\nEND\n").expect("its end");
        let network: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let mut keys: Vec<String> = Vec::new();
        for (key, value) in network.as_object().expect("an object") {
            keys.push(key.clone());
            let below = value.as_object().into_iter().flatten();
            keys.extend(below.map(|(inner, _)| format!("{key}.{inner}")));
        }
        assert_eq!(unknown(keys.iter().map(String::as_str), NETWORK), [""; 0]);
        // Plugins refuse a configuration without these.
        for required in ["cniVersion", "name", "type"] {
            assert!(keys.iter().any(|key| key == required), "{required}");
        }
    }
}
