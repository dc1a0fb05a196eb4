#!/bin/sh
# Shared mounts, and kubelet's data on the containers' volume.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

# shared MOUNTPOINT: its group of shared mounts.
shared() {
    awk -v point="$root${1%/}" '$5 == point { for (i = 7; $i != "-"; i++) print $i }' \
        /proc/self/mountinfo
}

binds() {
    awk -v point="$root/var/lib/kubelet" '$5 == point' /proc/self/mountinfo | wc -l
}

# A node with its volume mounted after mounts were made shared, as at a boot.
a_node() {
    starts mount-shared
    mkdir -p "$root/var/lib/containers"
    in_root mount -t tmpfs tmpfs /var/lib/containers
    starts kubelet-root
}

it "makes / shared, and what is mounted later"
is "$(shared /)" ""
starts mount-shared
[ -n "$(shared /)" ] || fail "/ is not shared"
mkdir "$root/later"
in_root mount -t tmpfs tmpfs /later
[ -n "$(shared /later)" ] || fail "a later mount is not shared"

it "binds kubelet's data, which is then on the volume"
a_node
echo x >"$root/var/lib/kubelet/file"
is "$(cat "$root/var/lib/containers/kubelet/file")" x
is "$(stat -c %a "$root/var/lib/kubelet")" 750
[ -n "$(shared /var/lib/kubelet)" ] || fail "it is not shared"

it "has pods' volumes mounted once, and not below the data too"
a_node
mkdir "$root/var/lib/kubelet/pod"
in_root mount -t tmpfs tmpfs /var/lib/kubelet/pod
is "$(grep -c "$root/var/lib/.*/pod " /proc/self/mountinfo)" 1

it "binds once, and leaves the group as it is that containers hang on"
a_node
before=$(shared /var/lib/kubelet)
starts kubelet-root
is "$(binds)" 1
is "$(shared /var/lib/kubelet)" "$before"

it "goes on after a kill right after the bind mount, and between the next two"
for steps in 1 2; do
    new_root
    starts mount-shared
    mkdir -p "$root/var/lib/containers" "$root/var/lib/kubelet"
    cat >"$root/stubs/mount" <<END
#!/bin/sh
echo x >>/harness/mounts
/bin/busybox mount "\$@"
[ "\$(wc -l </harness/mounts)" -lt $steps ] || kill -9 "\$PPID"
END
    chmod +x "$root/stubs/mount"
    refuses kubelet-root
    rm "$root/stubs/mount"
    starts kubelet-root
    is "$(binds)" 1
    [ -n "$(shared /var/lib/kubelet)" ] || fail "it is not shared"
    [ "$(shared /var/lib/kubelet)" != "$(shared /)" ] || fail "it is in its source's group"
done

it "works on the root too, where that is allowed"
starts mount-shared
starts kubelet-root
starts kubelet-root
is "$(binds)" 1
[ "$(shared /var/lib/kubelet)" != "$(shared /)" ] || fail "it is in the root's group"
service kubelet-root stop || fail "did not stop"
is "$(binds)" 0

it "releases it when it stops"
a_node
service kubelet-root stop || fail "did not stop"
not_mounted /var/lib/kubelet
service kubelet-root stop || fail "did not stop twice"
