#!/bin/sh
# The order in which OpenRC starts the services, as their depend() says it.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

new_root
services=$(cd "$root/etc/init.d" && ls)

# says_of SERVICE KIND: what it needs, comes after, or before.
says_of() {
    in_root /bin/busybox ash /harness/openrc-run "$1" depend | sed -n "s/^$2 //p" | tr '\n' ' '
}

# Every pair `EARLIER LATER`.
pairs() {
    for name in $services; do
        for earlier in $(says_of "$name" need) $(says_of "$name" after) $(says_of "$name" use); do
            echo "$earlier $name"
        done
        for later in $(says_of "$name" before); do
            echo "$name $later"
        done
    done
    # What the services of Alpine's packages say of themselves.
    echo "crio kubelet"
    echo "localmount bootmisc"
}

pairs >"$work/pairs"
case_name="no service waits for itself"
log=$(tsort "$work/pairs" 2>&1 >"$work/order") || fail "there is a circle"
is "$log" ""

# comes_before EARLIER LATER: because it is said, directly or by way of others; not by chance.
comes_before() {
    awk -v from="$1" -v to="$2" '
        { next_of[$1] = next_of[$1] " " $2 }
        END {
            todo = from
            while (todo != "") {
                count = split(todo, now)
                todo = ""
                for (i = 1; i <= count; i++) {
                    if (now[i] == to) exit 0
                    if (!seen[now[i]]++) todo = todo " " next_of[now[i]]
                }
            }
            exit 1
        }' "$work/pairs" || fail "$1 is not before $2"
}

case_name="volumes come before the runtime, the runtime before kubelet"
set -- localmount mount-shared containers-volume kubelet-root crio kubelet
while [ $# -gt 1 ]; do
    comes_before "$1" "$2"
    shift
done
for pair in "ebs-links containers-volume" "ebs-links etcd-volume" "mount-shared etcd-volume" \
    "instance-metadata kubezero-node" "kubezero-node etcd-volume" "kubezero-node kubelet" \
    "etcd-volume kubelet" "kubezero-node user-data" "kubelet-root user-data" \
    "sshd containers-volume" "sshd etcd-volume" "grow-root bootmisc" "localmount grow-root"; do
    # shellcheck disable=SC2086 # two words
    comes_before $pair
done

case_name="a service fails with what it cannot do without"
for pair in "kubelet-root containers-volume" "kubelet-root mount-shared" \
    "containers-volume mount-shared" "etcd-volume kubezero-node"; do
    says_of "${pair% *}" need | grep -qw "${pair#* }" || fail "${pair% *} does not need ${pair#* }"
done

case_name="services that wait for long are not taken for dead"
for name in containers-volume etcd-volume kubezero-node grow-root; do
    says_of "$name" keyword | grep -qw timeout || fail "$name has OpenRC's patience"
done

case_name="a dependency is known without a machine: nothing runs but depend"
is "$(calls)" ""
