#!/bin/sh
# Shared mounts, and kubelet's data on the containers' volume.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

# shared MOUNTPOINT: its group of shared mounts.
shared() {
    awk -v point="$root${1%/}" '$5 == point { for (i = 7; $i != "-"; i++) print $i }' \
        /proc/self/mountinfo
}

# binds [FOLDER]: how often it is a mount point.
binds() {
    awk -v point="$root${1:-/var/lib/kubelet}" '$5 == point' /proc/self/mountinfo | wc -l
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

it "binds pods' logs, which are then on the volume"
a_node
mkdir "$root/var/log/pods/default_a_1"
echo x >"$root/var/log/pods/default_a_1/0.log"
is "$(cat "$root/var/lib/containers/log/pods/default_a_1/0.log")" x
# Whoever collects logs reads them without being root's.
is "$(stat -c %a "$root/var/log/pods")" 755
is "$(stat -c %d "$root/var/log/pods")" "$(stat -c %d "$root/var/lib/containers")"
is "$(df -P "$root/var/log" | awk 'END { print $6 }')" "$root"

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
is "$(binds /var/log/pods)" 1
is "$(shared /var/lib/kubelet)" "$before"

it "goes on after a kill right after each bind mount, and between the next two"
for steps in 1 2 3 4 5; do
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
    for folder in /var/lib/kubelet /var/log/pods; do
        is "$(binds "$folder")" 1
        [ -n "$(shared "$folder")" ] || fail "$folder is not shared"
        [ "$(shared "$folder")" != "$(shared /)" ] || fail "$folder is in its source's group"
    done
done

it "works on the root too, where that is allowed"
starts mount-shared
starts kubelet-root
starts kubelet-root
is "$(binds)" 1
[ "$(shared /var/lib/kubelet)" != "$(shared /)" ] || fail "it is in the root's group"
service kubelet-root stop || fail "did not stop"
is "$(binds) $(binds /var/log/pods)" "0 0"

it "releases it when it stops"
a_node
service kubelet-root stop || fail "did not stop"
not_mounted /var/lib/kubelet
not_mounted /var/log/pods
service kubelet-root stop || fail "did not stop twice"

it "releases the one where the other is in use, and lets the machine go down"
for folder in /var/log/pods /var/lib/kubelet; do
    new_root
    a_node
    exec 9>"$root$folder/open"
    ! service kubelet-root stop || fail "stopped while in use"
    is "$(binds) $(binds /var/log/pods)" "$([ $folder = /var/lib/kubelet ] && echo 1 0 || echo 0 1)"
    set_conf kubelet-root RC_GOINGDOWN=yes
    service kubelet-root stop || fail "does not let the machine go down"
    exec 9>&-
done

it "follows no link that a volume brings along"
for link in kubelet log log/pods; do
    new_root
    starts mount-shared
    mkdir -p "$root/var/lib/containers/${link%/*}" "$root/var/cache"
    chmod 0700 "$root/var/cache"
    rmdir "$root/var/lib/containers/$link" 2>/dev/null || true
    ln -s /var/cache "$root/var/lib/containers/$link"
    refuses kubelet-root
    says "/var/lib/containers/$link is no folder: left as it is"
    is "$(stat -c %a "$root/var/cache")" 700
    is "$(ls "$root/var/cache")" ""
done
