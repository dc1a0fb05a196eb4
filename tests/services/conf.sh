#!/bin/sh
# The configuration that CRI-O's and kubelet's own services read, as OpenRC reads it: by a shell, before
# the service's script. And that every service finds all that it asks its configuration for.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

stand_ins=$here/../../scripts/demo-mirror.d

# variable SERVICE NAME: as the service's script has it.
variable() {
    # shellcheck disable=SC2016 # the shell in the root expands it
    in_root env command_args=inherited KUBELET_NODE_ARGS=inherited rc_need=inherited \
        /bin/busybox ash -euc '. "/etc/conf.d/$1"; eval "printf %s \"\$$2\""' x "$1" "$2"
}

# has_word WORDS WORD
has_word() {
    case " $1 " in
    *" $2 "*) ;;
    *) fail "no $2 in: $1" ;;
    esac
}

has_no_word() {
    case " $1 " in
    *" $2"*) fail "$2 in: $1" ;;
    esac
}

it "has CRI-O need its volume and its mounts"
need=$(variable crio rc_need)
for service in cgroups containers-volume kubelet-root mount-shared; do
    has_word "$need" "$service"
done
has_no_word "$need" inherited
is "$(variable crio supervisor) $(variable crio respawn_max)" "supervise-daemon 0"
is "$(variable crio rc_ulimit)" "-n 1048576"

it "has kubelet need etcd's volume where there is one"
need=$(variable kubelet rc_need)
for service in crio kubelet-root kubezero-node etcd-volume; do
    has_word "$need" "$service"
done
rm "$root/etc/init.d/etcd-volume"
need=$(variable kubelet rc_need)
is "$need" "crio kubelet-root kubezero-node"

it "gives kubelet the image's flags before the node knows its name"
arguments=$(variable kubelet command_args)
has_word "$arguments" --container-runtime=remote
has_word "$arguments" --container-runtime-endpoint=unix:///var/run/crio/crio.sock
has_word "$arguments" --cgroup-driver=cgroupfs
has_no_word "$arguments" --hostname-override
has_no_word "$arguments" --root-dir
has_no_word "$arguments" inherited

it "gives kubelet the node's flags once it does, and kubeadm's after them"
an_instance
starts kubezero-node
is "$(variable kubelet command_args)" "$arguments$(
    echo "--hostname-override=ip-10-0-0-7.eu-central-1.compute.internal" \
        "--provider-id=aws:///eu-central-1b/i-0a1b2c3d4e5f60718" \
        "--node-labels=node.kubernetes.io/instance-type=m5d.large"
)"
cp "$stand_ins/kubelet-openrc/files/etc/init.d/kubelet" "$root/etc/init.d/kubelet"
mkdir -p "$root/var/lib/kubelet"
echo 'KUBELET_KUBEADM_ARGS="--pod-infra-container-image=p"' >"$root/var/lib/kubelet/kubeadm-flags.env"
# shellcheck disable=SC2016 # the service's
echo 'whole() { echo "$command_args"; }' >>"$root/etc/init.d/kubelet"
service kubelet whole || fail "cannot be read"
has_word "$log" --cgroup-driver=cgroupfs
has_word "$log" --node-labels=node.kubernetes.io/instance-type=m5d.large
has_word "$log" --pod-infra-container-image=p

it "takes no node.env of another boot"
reboot
has_no_word "$(variable kubelet command_args)" --hostname-override

it "lets every service find what it asks its configuration for"
for path in "$root"/etc/conf.d/*; do
    name=${path##*/}
    [ -e "$root/etc/init.d/$name" ] || continue
    # shellcheck disable=SC2016 # the shell in the root expands it
    in_root /bin/busybox ash -euc '. "/etc/conf.d/$1"' x "$name" || fail "$name: cannot be read"
    # A variable that nothing uses is a name that was changed in one place only.
    words=$(sed -n 's/^\([a-z_]*\)=.*/\1/p' "$path")
    for word in $words; do
        case $word in
        rc_* | supervisor | respawn_*) continue ;;
        esac
        grep -qE "\\$\{?$word\>" "$root/etc/init.d/$name" || fail "$name does not use $word"
    done
done

it "has the values of the profiles"
for pair in containers-volume:wait_seconds=120 etcd-volume:patience_seconds=1800 \
    containers-volume:allow_root=no containers-volume:instance_store=yes \
    containers-volume:device=/dev/xvdb containers-volume:folder=/var/lib/containers \
    etcd-volume:device=/dev/sdp etcd-volume:folder=/var/lib/etcd etcd-volume:file_system=ext4 \
    kubelet-root:data=/var/lib/containers/kubelet kubelet-root:logs=/var/lib/containers/log/pods; do
    setting=${pair#*:}
    is "$(variable "${pair%%:*}" "${setting%%=*}")" "${setting#*=}"
done
