#!/bin/sh
# A root that grows with its disk: real partitions, a real file system, mounted while it grows.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

for program in sfdisk partx resize2fs; do
    command -v "$program" >/dev/null || skip "there is no $program"
done

# Where root may not resize a mounted file system, as in many containers, a stand-in takes the order,
# which is then carried out when the file system is no longer mounted.
resize_later=
if [ $((0x$(sed -n 's/^CapEff:.//p' /proc/self/status) >> 24 & 1)) -eq 0 ]; then
    echo "without CAP_SYS_RESOURCE, the file system is resized when it is not mounted" >&2
    resize_later=yes
fi

# a_machine MIB [PARTITION]: an image as src/image makes it, but for its size: the root is the last of
# three partitions, and 1 MiB lies behind. The disk is that of an instance with a larger volume, and has
# one more PARTITION (as sgdisk wants it) where that is said.
#
# All partitions are there before the disk is a device: the table of one that is in use is written and
# then told to the kernel in a second step, in which anything may come between.
a_machine() {
    image=$work/image
    rm -f "$image"
    truncate -s 64M "$image"
    sfdisk --quiet "$image" <<'END'
label: gpt
start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649
start=4096, size=16384, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
start=20480, size=108544, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
END
    mkfs.ext4 -q -F -L root -E offset=$((20480 * 512)) "$image" 54272k 2>/dev/null
    truncate -s "$1M" "$image"
    if [ -n "${2:-}" ]; then
        sgdisk --move-second-header --new="$2" "$image" >"$work/log" 2>&1 || {
            log=$(cat "$work/log")
            fail "cannot prepare the disk"
        }
    fi
    disk=$(losetup -f --show "$image" 2>/dev/null) || skip "there are no loop devices"
    loops="$disk $loops"
    partx --add "$disk" || skip "loop devices have no partitions here"
    root_device=${disk}p3
    new_root
    mount --rbind /sys "$root/sys"
    if [ -n "$resize_later" ]; then
        # shellcheck disable=SC2016 # the stand-in's
        printf '#!/bin/sh\n[ "$1" = %s ] && echo "$1" >/harness/resize\n' "${disk}p3" \
            >"$root/stubs/resize2fs"
        chmod +x "$root/stubs/resize2fs"
    fi
    for entry in "${disk##*/}" "${disk##*/}p3"; do
        numbers=$(cat "/sys/class/block/$entry/dev")
        mknod "$root/dev/$entry" b "${numbers%:*}" "${numbers#*:}"
    done
}

# The sizes of partition and file system in MiB, whole ones.
partition_mib() {
    echo $(($(cat "/sys/class/block/${disk##*/}p3/size") / 2048))
}

root_mib() {
    if [ -s "$root/harness/resize" ]; then
        partition_mib
        return
    fi
    dumpe2fs -h "${disk}p3" 2>/dev/null |
        awk '/^Block count/ { count = $3 } /^Block size/ { print int(count * $3 / 1048576) }'
}

# root_is_sound grown|as-it-was
root_is_sound() {
    umount -R "$root"
    if [ -n "$resize_later" ]; then
        if ! { e2fsck -fp "${disk}p3" && resize2fs "${disk}p3"; } >"$work/log" 2>&1; then
            log=$(cat "$work/log")
            fail "cannot be resized"
        fi
    fi
    e2fsck -fn "${disk}p3" >"$work/log" 2>&1 || {
        log=$(cat "$work/log")
        fail "the root is damaged"
    }
    # A table that was left as it was has its backup where the disk ended once, and sgdisk says so.
    [ "$1" = as-it-was ] || sgdisk -v "$disk" | grep -q "No problems found" ||
        fail "the partition table is damaged"
    release "$disk"
}

case_name="grows partition and file system to a larger disk"
a_machine 200
is "$(partition_mib) $(root_mib)" "53 53"
echo kept >"$root/etc/kept"
starts grow-root
says "Growing partition 3 of $disk by 137 MiB"
is "$(partition_mib) $(root_mib)" "189 189"
is "$(cat "$root/etc/kept")" kept
before=$(sfdisk --dump "$disk")
starts grow-root
says_not Growing\ partition
is "$(sfdisk --dump "$disk")" "$before"
root_is_sound grown

case_name="does nothing on a disk of the image's own size"
a_machine 64
before=$(sfdisk --dump "$disk")
starts grow-root
says_not "Growing partition"
is "$(sfdisk --dump "$disk")" "$before"
is "$(partition_mib) $(root_mib)" "53 53"
root_is_sound grown

for program in partx resize2fs; do
    [ "$program$resize_later" != resize2fsyes ] || continue
    case_name="goes on after a kill before $program"
    a_machine 200
    # shellcheck disable=SC2016 # the stub's
    printf '#!/bin/sh\nkill -9 "$PPID"\n' >"$root/stubs/$program"
    chmod +x "$root/stubs/$program"
    refuses grow-root
    rm "$root/stubs/$program"
    starts grow-root
    is "$(partition_mib) $(root_mib)" "189 189"
    root_is_sound grown
done

case_name="asks again where the file system was read in the middle of a change"
a_machine 200
mv "$root/stubs/resize2fs" "$root/harness/really" 2>/dev/null ||
    ln -s /usr/sbin/resize2fs "$root/harness/really"
cat >"$root/stubs/resize2fs" <<'END'
#!/bin/sh
echo x >>/harness/asked
if [ "$(wc -l </harness/asked)" -lt 3 ]; then
    echo "Superblock checksum does not match superblock while trying to open $1" >&2
    exit 1
fi
exec /harness/really "$@"
END
chmod +x "$root/stubs/resize2fs"
starts grow-root
says_not "Superblock checksum"
is "$(partition_mib) $(root_mib)" "189 189"
root_is_sound grown

case_name="says so where the file system cannot be made larger"
a_machine 200
printf '#!/bin/sh\necho "it is damaged"\nexit 1\n' >"$root/stubs/resize2fs"
chmod +x "$root/stubs/resize2fs"
refuses grow-root
says "it is damaged"
is "$(cut -d. -f1 "$root/harness/uptime")" 1004
root_is_sound grown

case_name="leaves partitions that lie behind the root"
a_machine 200 4:300000:0
[ -e "/sys/class/block/${disk##*/}p4" ] || fail "there is no fourth partition"
before=$(sfdisk --dump "$disk")
starts grow-root
says "Another partition lies behind the root"
is "$(sfdisk --dump "$disk")" "$before"
is "$(partition_mib) $(root_mib)" "53 53"
root_is_sound grown

case_name="says what failed, and the machine boots all the same"
a_machine 200
printf '#!/bin/sh\nexit 1\n' >"$root/stubs/sfdisk"
chmod +x "$root/stubs/sfdisk"
refuses grow-root
says "could not be made larger"
root_is_sound as-it-was

root_device=
it "does nothing on a root that is no disk"
starts grow-root
says "nothing to grow"
