//! The images' services, under busybox's shell: each script of `tests/services` is a test here.
//!
//! They need root, loop devices and a few programs, and say so where one is missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::support::skip;

/// With this a script ends that cannot run here.
const SKIPPED: i32 = 77;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/services")
}

#[track_caller]
fn passes(name: &str) {
    let output = Command::new("sh")
        .arg(folder().join(format!("{name}.sh")))
        .output()
        .expect("sh");
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(SKIPPED) {
        skip(name, said.trim().trim_start_matches("skipped: "));
    } else {
        assert!(output.status.success(), "{said}");
    }
}

macro_rules! services {
    ($($test:ident: $script:literal,)*) => {
        const SCRIPTS: &[&str] = &[$($script),*];

        $(#[test]
        fn $test() {
            passes($script);
        })*
    };
}

services! {
    a_log_is_cut_on_a_full_disk_too: "cut-log",
    an_instance_has_its_name_and_its_keys: "instance-metadata",
    configuration_says_what_services_ask_for: "conf",
    the_containers_volume_is_mounted_or_the_node_stops: "containers-volume",
    ebs_volumes_have_links: "ebs-links",
    ec2_is_called_with_curl_alone: "ec2",
    the_etcd_volume_goes_to_one_controller: "etcd-volume",
    the_root_grows_with_its_disk: "grow-root",
    the_node_knows_who_it_is: "kubezero-node",
    a_machine_id_is_one_instances: "machine-id",
    mounts_are_shared_and_kubelet_is_on_the_volume: "mounts",
    services_start_in_order: "order",
    user_data_runs_once: "user-data",
    openrc_itself_starts_them_in_that_order: "openrc",
}

#[test]
fn no_script_is_forgotten() {
    let found: BTreeSet<String> = fs::read_dir(folder())
        .expect("a folder")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".sh").map(str::to_owned))
        .filter(|name| name != "lib")
        .collect();
    let known: BTreeSet<String> = SCRIPTS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, known);
}
