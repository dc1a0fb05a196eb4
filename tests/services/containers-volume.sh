#!/bin/sh
# The containers' volume: found, formatted if it is blank, mounted, or else the node stops.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

folder=/var/lib/containers

# Most disks here are too small for xfs, which is what the profile says.
profiles_file_system=$(sed -n 's/^file_system="\(.*\)"$/\1/p' "$template/etc/conf.d/containers-volume")
printf '%s\n' file_system=ext4 wait_seconds=60 >>"$template/etc/conf.d/containers-volume"
store="Amazon EC2 NVMe Instance Storage"

# a_volume: blank, attached as the name that conf.d expects, and there from the beginning.
a_volume() {
    new_disk nvme1n1 "${1:-64}" vol0aaa
    attached_as nvme1n1 sdb
}

# refused DISK: the service fails and has not written to it.
refused() {
    before=$(digest "$1")
    refuses containers-volume
    says "REFUSED, and not touched: /dev/$1"
    is "$(digest "$1")" "$before"
    not_mounted "$folder"
}

it "formats a blank volume and mounts it"
a_volume
starts ebs-links
starts containers-volume
says "Formatting /dev/nvme1n1, which is blank"
mounted "$folder" nvme1n1
grep " $root$folder " /proc/mounts | grep -q 'ext4 rw,noatime' || fail "not its options"
is "$(blkid -p -o value -s LABEL "/dev/loop$minor")" containers
starts containers-volume
says "mounted on $folder already"

it "keeps what it holds over a reboot"
a_volume
starts ebs-links
starts containers-volume
echo kept >"$root$folder/file"
reboot
starts containers-volume
says_not Formatting
is "$(cat "$root$folder/file")" kept

it "makes what the profile wants, which is xfs"
is "$profiles_file_system" xfs
a_volume 400
set_conf containers-volume "file_system=$profiles_file_system"
starts ebs-links
starts containers-volume
mounted "$folder" nvme1n1
reboot
starts containers-volume
says_not Formatting
mounted "$folder" nvme1n1

it "waits for a late volume, and says so"
make_disk nvme1n1 128 vol0aaa
attached_as nvme1n1 xvdb
at 20 ". /harness/come.nvme1n1"
starts containers-volume
says "Waiting up to 60 s for the containers' volume /dev/xvdb"
says "/dev/xvdb came after 20 s"
mounted "$folder" nvme1n1

it "refuses the root where the volume does not come"
refuses containers-volume
says "CRI-O and kubelet do not start"
is "$(cut -d. -f1 "$root/harness/uptime")" 1060
not_mounted "$folder"

it "does not wait where none is expected"
set_conf containers-volume device=
refuses containers-volume
is "$(cut -d. -f1 "$root/harness/uptime")" 1000

it "takes the root where that is allowed"
set_conf containers-volume device=
set_conf containers-volume allow_root=yes
starts containers-volume
says "containers and pods fill the root"

it "refuses a volume that cannot be used even where the root is allowed"
a_volume
mkfs.ext4 -q -F -L somebody "$work/disk.nvme1n1"
set_conf containers-volume allow_root=yes
starts ebs-links
refused nvme1n1

it "prefers the instance store, the same one each time"
new_disk nvme3n1 128 AWS0001 "$store"
new_disk nvme2n1 128 AWS0002 "$store"
new_disk nvme1n1 128 vol0aaa
attached_as nvme1n1 sdb
starts ebs-links
starts containers-volume
mounted "$folder" nvme3n1

it "leaves the instance store where conf.d says no"
new_disk nvme2n1 128 AWS0002 "$store"
a_volume
set_conf containers-volume instance_store=no
starts ebs-links
starts containers-volume
mounted "$folder" nvme1n1

it "leaves what holds anything at all"
for what in "mkfs.ext4 -q -F -L data" "mkfs.xfs -q -f" mkswap "sgdisk -n 1:0:0" \
    "dirty 4096" "dirty 1000000" "dirty 67108000"; do
    # One byte somewhere that no file system begins with.
    dirty() {
        printf x | dd of="$2" bs=1 seek="$1" conv=notrunc 2>/dev/null
    }
    new_root
    a_volume "$([ "$what" = "mkfs.xfs -q -f" ] && echo 400 || echo 64)"
    $what "$work/disk.nvme1n1" >/dev/null 2>&1 || fail "cannot prepare: $what"
    starts ebs-links
    refused nvme1n1
done

it "leaves a volume that blkid cannot examine"
a_volume
printf '#!/bin/sh\nexit 1\n' >"$root/stubs/blkid"
chmod +x "$root/stubs/blkid"
starts ebs-links
refused nvme1n1
says "cannot be examined"

it "leaves a volume that cannot be read, though blkid then finds nothing on it"
a_volume
starts ebs-links
# A number that no driver has. Not a loop device that is detached: the next test to ask for one would
# get it, and have its disk examined here.
rm "$root/dev/nvme1n1"
mknod "$root/dev/nvme1n1" b 0 0
refuses containers-volume
says "REFUSED, and not touched: /dev/nvme1n1 holds data that is no known file system, or cannot be read"

it "formats again what was cut off while it was formatted"
for kind in ext4:64 xfs:400; do
    new_root
    a_volume "${kind#*:}"
    set_conf containers-volume "file_system=${kind%:*}"
    starts ebs-links
    # Half of a file system: its beginning, and then a kill.
    cat >"$root/stubs/mkfs.${kind%:*}" <<'END'
#!/bin/sh
for device; do :; done
head -c 300000 /dev/urandom | dd of="$device" conv=notrunc 2>/dev/null
kill -9 "$PPID"
END
    chmod +x "$root/stubs/mkfs.${kind%:*}"
    refuses containers-volume
    rm "$root/stubs/mkfs.${kind%:*}"
    starts containers-volume
    says "which is unfinished"
    mounted "$folder" nvme1n1
done

it "formats again what was made and never mounted"
for kind in ext4:64 xfs:400; do
    new_root
    a_volume "${kind#*:}"
    set_conf containers-volume "file_system=${kind%:*}"
    starts ebs-links
    cat >"$root/stubs/mkfs.${kind%:*}" <<END
#!/bin/sh
/usr/sbin/mkfs.${kind%:*} "\$@"
kill -9 "\$PPID"
END
    chmod +x "$root/stubs/mkfs.${kind%:*}"
    refuses containers-volume
    is "$(blkid -p -o value -s TYPE "/dev/loop$minor")" "${kind%:*}"
    rm "$root/stubs/mkfs.${kind%:*}"
    starts containers-volume
    says "which is unfinished"
    mounted "$folder" nvme1n1
    # The mark is gone: nobody formats it ever again.
    echo kept >"$root$folder/file"
    reboot
    starts containers-volume
    is "$(cat "$root$folder/file")" kept
done

it "does not use a volume that it would format again at the next boot"
a_volume
starts ebs-links
cat >"$root/stubs/dd" <<'END'
#!/bin/sh
# A disk that loses what is written to it, once there is a file system on it.
case $* in
*of=*) [ -z "$(/usr/sbin/blkid -p /dev/nvme1n1)" ] || exit 0 ;;
esac
exec /bin/busybox dd "$@"
END
chmod +x "$root/stubs/dd"
refuses containers-volume
says "Formatting /dev/nvme1n1 failed"
not_mounted "$folder"
rm "$root/stubs/dd"
starts containers-volume
says "which is unfinished"

it "goes on after a kill between formatting and mounting"
a_volume
starts ebs-links
# shellcheck disable=SC2016 # the stub's
printf '#!/bin/sh\nkill -9 "$PPID"\n' >"$root/stubs/mount"
chmod +x "$root/stubs/mount"
refuses containers-volume
says "which is blank"
rm "$root/stubs/mount"
starts containers-volume
says_not Formatting
mounted "$folder" nvme1n1

it "mends a file system after a crash, and leaves one that cannot be mended"
a_volume
starts ebs-links
starts containers-volume
reboot
printf '#!/bin/sh\necho "e2fsck $*"\nexit 1\n' >"$root/stubs/e2fsck"
chmod +x "$root/stubs/e2fsck"
starts containers-volume
says "e2fsck -p /dev/nvme1n1"
reboot
printf '#!/bin/sh\nexit 4\n' >"$root/stubs/e2fsck"
refuses containers-volume
says "damaged beyond"
not_mounted "$folder"

it "mounts a full volume"
a_volume
starts ebs-links
starts containers-volume
head -c 200000000 /dev/zero >"$root$folder/all" 2>/dev/null && fail "it was not full"
reboot
starts containers-volume
mounted "$folder" nvme1n1

it "leaves what is mounted there already"
a_volume
mkdir -p "$root$folder"
mount -t tmpfs tmpfs "$root$folder"
starts ebs-links
refuses containers-volume
says "Something else than /dev/nvme1n1 is mounted"

it "unmounts when it stops, unless somebody uses it"
a_volume
starts ebs-links
starts containers-volume
service containers-volume stop || fail "did not stop"
not_mounted "$folder"
starts containers-volume
exec 9>"$root$folder/open"
! service containers-volume stop || fail "stopped while in use"
set_conf containers-volume RC_GOINGDOWN=yes
service containers-volume stop || fail "does not let the machine go down"
exec 9>&-
