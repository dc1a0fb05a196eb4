# shellcheck shell=sh
#
# Runs the images' services in a root of their own: a mount namespace and a chroot, with the overlays'
# files at their real places, this machine's programs, and stand-ins where a machine would be needed
# (see stubs/). Services run under busybox's shell. Disks are loop devices: blkid, mkfs and mount are
# the real ones. Time passes only where a service sleeps.
#
# A test file begins:
#
#   . "$(dirname "$0")/lib.sh"      # a new mount namespace, and this file again in it
#   new_root                        # once for each case
#
# Environment: ALPINE_ROOTFS, the archive of an Alpine mini root file system, has its busybox take the
# place of this machine's; that of Alpine 3.15 where it lies beside the checkout. Exit status 77: something is missing here, and the test was skipped.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
overlays=$(cd "$here/../../overlays" && pwd)

skip() {
    echo "skipped: $*" >&2
    exit 77
}

if [ -z "${SERVICES_NAMESPACE:-}" ]; then
    [ "$(id -u)" -eq 0 ] || skip "loop devices and chroot need root"
    SERVICES_NAMESPACE=1 exec unshare --mount --net --uts --propagation private sh "$0" "$@"
fi

work=$(mktemp -d /tmp/services.XXXXXX)
loops=

# release LOOP: unless it is someone else's by now, such as that of a test that runs beside this one.
release() {
    case $(cat "/sys/block/${1##*/}/loop/backing_file" 2>/dev/null) in
    "$work"/*)
        partx --delete "$1" 2>/dev/null || true
        losetup -d "$1" 2>/dev/null || true
        ;;
    esac
}

clean_up() {
    umount -R -l "$work"/root.* 2>/dev/null || true
    for loop in $loops; do release "$loop"; done
    rm -rf "$work" || true
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

mini_root=$here/../../../shared/alpine/minirootfs-3.15.11-$(uname -m).tar.gz
if [ -z "${ALPINE_ROOTFS:-}" ] && [ -e "$mini_root" ]; then ALPINE_ROOTFS=$mini_root; fi

# The shell of the services: a busybox outside of /usr/bin, which the roots have from this machine.
find_busybox() {
    mkdir -p "$work/busybox"
    if [ -n "${ALPINE_ROOTFS:-}" ]; then
        tar -C "$work/busybox" -xzf "$ALPINE_ROOTFS" ./bin/busybox ./lib
        mv "$work/busybox/bin/busybox" "$work/busybox/busybox"
    elif command -v busybox >/dev/null; then
        cp "$(command -v busybox)" "$work/busybox/busybox"
    else
        skip "there is no busybox"
    fi
}
find_busybox

# make_template: sets `template` to what every root begins with, apart from mounts.
make_template() {
    template=$work/template
    mkdir "$template"
    cd "$template"
    mkdir -p bb bin dev etc/conf.d etc/init.d harness/at harness/ec2 harness/imds lib proc run \
        sys/block tmp usr/bin usr/sbin usr/lib var/lib var/log
    cp "$work/busybox/busybox" bin/busybox
    ln -s busybox bin/sh
    ln -s usr/sbin sbin
    if [ -d /usr/lib64 ]; then
        mkdir usr/lib64 && ln -s usr/lib64 lib64
    fi
    # Not one link, so that musl's loader can stand beside this machine's libraries.
    for entry in /usr/lib/*; do ln -s "..$entry" lib/; done
    for entry in "$work"/busybox/lib/*musl*; do
        [ ! -e "$entry" ] || cp -P "$entry" lib/
    done
    # busybox's programs before this machine's, except those that a node has from packages.
    for entry in $(chroot . /bin/busybox --list); do
        case $entry in
        blkid | ash | sh | busybox) ;;
        *) ln -s /bin/busybox "bb/$entry" ;;
        esac
    done
    printf '%s\n' root:x:0: kmem:x:9: disk:x:6: tty:x:5: uucp:x:14: kvm:x:34: netdev:x:28: \
        input:x:23: >etc/group
    echo root:x:0:0:root:/root:/bin/sh >etc/passwd
    cp -r "$here/stubs" stubs
    cp "$here/openrc-run" "$here/stand-ins" harness/
    echo "1000.00 2000.00" >harness/uptime
    : >harness/calls
    for entry in core base kubezero kubezero-controller; do lay "$entry"; done
    cd "$here"
}

# What profiles say is the value of what a template names, as commands for sed; lists are not among
# them, for no service has one.
values() {
    for profile in core base kubezero kubezero-controller; do
        sed -n '/^\[values\]/,/^\[[^v]/ s/^\([a-z0-9_]*\) = "\{0,1\}\([^"[]*\)"\{0,1\}$/\1 \2/p' \
            "$overlays/../profiles/$profile.toml"
    done | while read -r name value; do
        printf '%s\n' "s|{{ $name }}|$value|g"
        case $value in
        true) printf '%s\n' "s|{% if $name %}\([^{]*\){% else %}[^{]*{% endif %}|\1|g" ;;
        false) printf '%s\n' "s|{% if $name %}[^{]*{% else %}\([^{]*\){% endif %}|\1|g" ;;
        esac
    done
}
values >"$work/values"

render() {
    sed -f "$work/values" "$1"
}

# A program that is started by itself knows none of the functions of who starts it.
with_stand_ins() {
    sed '1 { /^#!\/bin\/sh$/ a . /harness/stand-ins
    }'
}

# lay OVERLAY: its services, their configuration and their programs, into the template.
lay() {
    for path in $(cd "$overlays/$1/root" &&
        find etc/init.d etc/conf.d usr/libexec -type f 2>/dev/null); do
        mkdir -p "${path%/*}"
        render "$overlays/$1/root/$path" | with_stand_ins >"${path%.tera}"
        chmod 0755 "${path%.tera}"
    done
}

make_template
! grep -r '{[{%]' "$template/etc/conf.d" "$template/etc/init.d" >&2 || {
    echo "no profile has these values" >&2
    exit 1
}

roots=0

root_device=

# new_root: sets `root` to a new machine with the overlays laid; on the file system of `root_device`,
# or in memory.
new_root() {
    roots=$((roots + 1))
    root=$work/root.$roots
    mkdir -p "$root"
    if [ -n "$root_device" ]; then
        mount "$root_device" "$root"
    else
        mount -t tmpfs -o mode=0755 tmpfs "$root"
    fi
    cp -a "$template/." "$root"
    for entry in bin sbin lib lib64; do
        [ ! -d "/usr/$entry" ] || mount --rbind "/usr/$entry" "$root/usr/$entry"
    done
    mount --rbind /proc "$root/proc"
    mount --bind "$root/harness/uptime" "$root/proc/uptime"
    for entry in null zero urandom; do
        : >"$root/dev/$entry" && mount --bind "/dev/$entry" "$root/dev/$entry"
    done
}

# set_conf SERVICE LINE: a line of /etc/conf.d, after those that ship.
set_conf() {
    printf '%s\n' "$2" >>"$root/etc/conf.d/$1"
}

# in_root COMMAND [ARGUMENT]...
in_root() {
    env -i PATH=/stubs:/bb:/usr/sbin:/usr/bin:/sbin:/bin HOME=/ chroot "$root" "$@"
}

# service NAME ACTION: `log` is what it says; ends with its exit status.
service() {
    status=0
    in_root /bin/busybox ash /harness/openrc-run "$1" "$2" >"$work/log" 2>&1 || status=$?
    log=$(cat "$work/log")
    return "$status"
}

starts() {
    service "$1" start || fail "$1 did not start"
}

refuses() {
    ! service "$1" start || fail "$1 started"
}

# reboot: what a machine forgets.
reboot() {
    awk '{ print length($5), $5 }' /proc/self/mountinfo | sort -rn | while read -r _ point; do
        case $point in
        "$root"/var/lib/*) umount "$point" ;;
        esac
    done
    rm -rf "${root:?}/run" && mkdir "$root/run"
}

# new_disk NAME MIB [SERIAL] [MODEL]: a blank disk; `later` has it come only when it is called.
new_disk() {
    make_disk "$@"
    sh "$work/disk.$1.come"
}

make_disk() {
    rm -f "$work/disk.$1"
    truncate -s "$2M" "$work/disk.$1"
    loop=$(losetup -f --show "$work/disk.$1" 2>/dev/null) || skip "there are no loop devices"
    loops="$loops $loop"
    minor=${loop#/dev/loop}
    cat >"$work/disk.$1.come" <<END
mkdir -p $root/sys/block/$1/device $root/sys/class/block
ln -s ../../block/$1 $root/sys/class/block/$1
echo $(($2 * 2048)) >$root/sys/block/$1/size
echo 7:$minor >$root/sys/block/$1/dev
printf '%-20s\n' "${3:-}" >$root/sys/block/$1/device/serial
printf '%-40s\n' "${4:-Amazon Elastic Block Store}" >$root/sys/block/$1/device/model
mknod $root/dev/$1 b 7 $minor
END
    # The same, for a shell that has this root for its own.
    sed "s|$root/|/|g" "$work/disk.$1.come" >"$root/harness/come.$1"
}

# attached_as DISK NAME: what the controller says at its bytes 3072 to 3103.
attached_as() {
    head -c 4096 /dev/zero >"$root/harness/identify.$1"
    printf '%-32s' "$2" |
        dd of="$root/harness/identify.$1" bs=1 seek=3072 conv=notrunc 2>/dev/null
}

# at SECONDS COMMAND: once so many seconds have passed, while a service sleeps.
at() {
    echo "$2" >>"$root/harness/at/$((1000 + $1))"
}

# imds PATH VALUE
imds() {
    path=$root/harness/imds/$1.value
    mkdir -p "${path%/*}"
    printf '%s' "$2" >"$path"
}

# A node's metadata.
an_instance() {
    imds meta-data/local-hostname ip-10-0-0-7.eu-central-1.compute.internal
    imds meta-data/instance-id i-0a1b2c3d4e5f60718
    imds meta-data/instance-type m5d.large
    imds meta-data/placement/availability-zone eu-central-1b
    imds meta-data/placement/region eu-central-1
    imds meta-data/services/domain amazonaws.com
}

# answer ACTION STATUS [COMMAND]: EC2's next answer, from standard input; the last one is repeated.
# The command is run on the machine when the answer is given.
answer() {
    mkdir -p "$root/harness/ec2/$1"
    next=$(find "$root/harness/ec2/$1" -name '*.body' | wc -l)
    name=$(printf '%03d' "$next")
    cat >"$root/harness/ec2/$1/$name.body"
    echo "$2" >"$root/harness/ec2/$1/$name.status"
    [ -z "${3:-}" ] || echo "$3" >"$root/harness/ec2/$1/$name.do"
}

calls() {
    cat "$root/harness/calls"
}

case_name=

# it NAME: what is tested next; with new_root, a case.
it() {
    case_name=$1
    log=
    new_root
}

fail() {
    echo "FAILED: ${0##*/}: $case_name: $*" >&2
    [ -z "${log:-}" ] || printf '%s\n' "$log" | sed 's/^/    /' >&2
    exit 1
}

# says TEXT, says_not TEXT: in what the service logged.
says() {
    case $log in
    *"$1"*) ;;
    *) fail "it does not say: $1" ;;
    esac
}

says_not() {
    case $log in
    *"$1"*) fail "it says: $1" ;;
    esac
}

# is GOT WANTED
is() {
    [ "$1" = "$2" ] || fail "got: $1; wanted: $2"
}

numbers_at() {
    awk -v at="$root$1" '$5 == at { print $3 }' /proc/self/mountinfo
}

# mounted FOLDER DISK; not_mounted FOLDER
mounted() {
    is "$(numbers_at "$1")" "$(cat "$root/sys/block/$2/dev")"
}

not_mounted() {
    is "$(numbers_at "$1")" ""
}

# digest DISK
digest() {
    sha256sum <"$work/disk.$1"
}
