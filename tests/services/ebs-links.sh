#!/bin/sh
# Links to EBS volumes, at boot and as they come and go.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

# links: every link below /dev with its target, one a line.
links() {
    (cd "$root/dev" && find . -type l | sort | while read -r path; do
        echo "${path#./} $(readlink "$path")"
    done)
}

event() {
    in_root env MDEV="$2" ACTION="$1" /usr/libexec/alpine-ami/ebs-links
}

# a_partition DISK PARTITION
a_partition() {
    mkdir -p "$root/sys/block/$1/$2"
    : >"$root/dev/$2"
}

it "links volumes in both spellings, whichever was given, and by volume id"
new_disk nvme1n1 1 vol0aaa
attached_as nvme1n1 sdf
new_disk nvme2n1 1 vol0bbb
attached_as nvme2n1 /dev/xvdba
starts ebs-links
is "$(links)" 'disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaa ../../nvme1n1
disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0bbb ../../nvme2n1
sdba nvme2n1
sdf nvme1n1
xvdba nvme2n1
xvdf nvme1n1'
before=$(links)
starts ebs-links
is "$(links)" "$before"

it "links partitions, and does not take a digit of the name for one"
new_disk nvme0n1 1 vol0aaa
attached_as nvme0n1 /dev/sda1
a_partition nvme0n1 nvme0n1p3
new_disk nvme1n1 1 vol0bbb
attached_as nvme1n1 sdf
a_partition nvme1n1 nvme1n1p2
starts ebs-links
is "$(links | grep -v by-id)" 'sda1 nvme0n1
sda1p3 nvme0n1p3
sdf nvme1n1
sdf2 nvme1n1p2
xvda1 nvme0n1
xvda1p3 nvme0n1p3
xvdf nvme1n1
xvdf2 nvme1n1p2'
links | grep -q '^disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0bbb-part2 ../../nvme1n1p2$' ||
    fail "no link to the partition by id"

it "links an instance store by id alone, and no other disk"
new_disk nvme1n1 1 AWS0123 "Amazon EC2 NVMe Instance Storage"
new_disk nvme2n1 1 X1 "Somebody's NVMe Disk"
attached_as nvme2n1 sdg
starts ebs-links
is "$(links)" 'disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_AWS0123 ../../nvme1n1'

it "makes no path of what a controller should not say"
for name in '../etc/passwd' 'sd' 'sdf;x' 'nvme0n1' ''; do
    new_root
    new_disk nvme1n1 1 vol0aaa
    attached_as nvme1n1 "$name"
    starts ebs-links
    is "$(links)" 'disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaa ../../nvme1n1'
done

for serial in '../../../etc/x' 'a/b' 'vol 0'; do
    new_root
    new_disk nvme1n1 1 "$serial"
    attached_as nvme1n1 sdf
    starts ebs-links
    case $serial in
    # A blank becomes an underscore, as in udev's names.
    *' '*) is "$(links | wc -l)" 3 ;;
    *) is "$(links)" "" ;;
    esac
done

it "never takes the place of a device"
new_disk nvme1n1 1 vol0aaa
attached_as nvme1n1 sdf
: >"$root/dev/sdf"
starts ebs-links
says "/dev/sdf is a device itself"
[ ! -L "$root/dev/sdf" ] || fail "the device is gone"
is "$(readlink "$root/dev/xvdf")" nvme1n1

it "follows mdev's events, and the next volume takes the name over"
new_disk nvme1n1 1 vol0aaa
attached_as nvme1n1 sdf
new_disk nvme2n1 1 vol0ccc
attached_as nvme2n1 sdg
event add nvme1n1
event add nvme2n1
is "$(readlink "$root/dev/sdf")" nvme1n1
rm -r "$root/dev/nvme1n1" "$root/sys/block/nvme1n1" "$root/sys/class/block/nvme1n1"
event remove nvme1n1
is "$(links)" 'disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0ccc ../../nvme2n1
sdg nvme2n1
xvdg nvme2n1'
new_disk nvme3n1 1 vol0bbb
attached_as nvme3n1 sdf
event add nvme3n1
is "$(readlink "$root/dev/sdf")" nvme3n1

it "forgets a volume that went while nobody listened"
ln -s nvme9n1 "$root/dev/sdf"
starts ebs-links
is "$(links)" ""

it "is called by mdev, which makes Alpine's own links too where it has them"
cp "$overlays/kubezero/root/etc/mdev.conf" "$root/etc/mdev.conf"
new_disk nvme1n1 1 vol0aaa
attached_as nvme1n1 sdf
rm "$root/dev/nvme1n1"
mkdir -p "$root/lib/mdev"
# shellcheck disable=SC2016 # the script's
printf '#!/bin/sh\necho "$ACTION $MDEV" >>/harness/alpine\n' >"$root/lib/mdev/persistent-storage"
chmod +x "$root/lib/mdev/persistent-storage"
in_root sh -c 'busybox --list | grep -qx mdev' || skip "this busybox has no mdev"
mdev() {
    in_root env ACTION="$1" SUBSYSTEM=block DEVPATH=/class/block/nvme1n1 DEVNAME=nvme1n1 \
        /bin/busybox mdev
}
mdev add
is "$(stat -c '%a %g' "$root/dev/nvme1n1")" "660 6"
is "$(links | grep -v by-id)" 'sdf nvme1n1
xvdf nvme1n1'
mdev remove
is "$(links)" ""
is "$(cat "$root/harness/alpine")" "add nvme1n1
remove nvme1n1"
