# shellcheck shell=sh
#
# What services need that mount a volume of their own: finding an NVMe disk, telling what is on it,
# formatting it if that is nothing at all, mounting it. Read in by containers-volume and etcd-volume.
#
# Nothing here ever writes to a volume that holds something. A volume counts as blank only if blkid
# knows nothing on it and its first and last MiB are read whole and are zeros.
#
# Formatting may be cut off: by a kill, or the end of the machine. A half-made file system looks like
# anything, so a mark is written to the blank volume first and taken away last, before it is mounted
# for the first time. A volume with the mark was never used, and is formatted again, whoever finds it.

# 512 KiB before the end: mkfs.ext4 and mkfs.xfs write there neither file system nor zeros (xfs clears
# the last 128 KiB). They would discard it with all the rest: see volume_mkfs.
volume_mark="alpine-ami: this volume is being formatted and was never mounted"
volume_mark_sectors=1024

volume_mib_sectors=2048
# The mark and file systems need room; nobody keeps containers or etcd on less.
volume_least_sectors=131072

# nvme_field DISK FIELD: what a controller says of itself, without its padding.
nvme_field() {
    sed 's/ *$//' "/sys/block/$1/device/$2" 2>/dev/null
}

# nvme_by_volume VOL-ID: prints the disk that is this EBS volume. Its serial number is the id without
# the dash.
nvme_by_volume() {
    [ -n "$1" ] || return 1
    serial=$(printf '%s' "$1" | tr -d -)
    for path in /sys/block/nvme*n*; do
        if [ "$(nvme_field "${path##*/}" serial)" = "$serial" ]; then
            printf '/dev/%s\n' "${path##*/}"
            return 0
        fi
    done
    return 1
}

# nvme_by_model MODEL: prints the first disk of this model. Disks are numbered in the order of their
# appearance, which changes between boots; serial numbers stay.
nvme_by_model() {
    for path in /sys/block/nvme*n*; do
        if [ "$(nvme_field "${path##*/}" model)" = "$1" ]; then
            printf '%s /dev/%s\n' "$(nvme_field "${path##*/}" serial)" "${path##*/}"
        fi
    done | sort | sed -n '1s/.* //p' | grep .
}

# Seconds since the machine started: a clock that time servers do not set.
uptime_seconds() {
    cut -d. -f1 /proc/uptime
}

# block_field DEVICE FIELD: what the kernel knows of a block device: `size` in sectors of 512 bytes,
# or `dev`, its numbers.
block_field() {
    cat "/sys/class/block/${1##*/}/$2" 2>/dev/null
}

# mounted_numbers FOLDER: prints the numbers of the device mounted there; nothing where none is.
mounted_numbers() {
    awk -v at="$1" '$5 == at { numbers = $3 } END { if (numbers) print numbers }' /proc/self/mountinfo
}

# volume_read DEVICE SECTOR COUNT
volume_read() {
    dd if="$1" bs=512 skip="$2" count="$3" 2>/dev/null
}

# volume_zeros DEVICE SECTOR COUNT: whether these could be read, and hold nothing.
volume_zeros() {
    [ "$(volume_read "$@" | wc -c)" -eq $(($3 * 512)) ] &&
        [ "$(volume_read "$@" | tr -d '\0' | wc -c)" -eq 0 ]
}

# volume_is_marked DEVICE SECTORS
volume_is_marked() {
    [ "$(volume_read "$1" $(($2 - volume_mark_sectors)) 1 | tr -d '\0')" = "$volume_mark" ]
}

# volume_write_mark DEVICE SECTORS: the mark comes from standard input and is on the disk on return.
volume_write_mark() {
    dd of="$1" bs=512 seek=$(($2 - volume_mark_sectors)) count=1 conv=notrunc,fsync 2>/dev/null
}

# volume_value NAME: a value of blkid's export format.
volume_value() {
    printf '%s\n' "$volume_found" | sed -n "s/^$1=//p"
}

# volume_kind DEVICE TYPE LABEL: prints one of
#   ours          the file system that is wanted; LABEL may be empty, for any
#   blank         nothing at all
#   unfinished    we began to format it and did not finish
#   anything else why the volume must be left alone
volume_kind() {
    if ! size=$(block_field "$1" size) || [ "$size" -lt "$volume_least_sectors" ]; then
        echo "is not there, or is smaller than $((volume_least_sectors / volume_mib_sectors)) MiB"
        return
    fi
    if volume_is_marked "$1" "$size"; then
        echo unfinished
        return
    fi
    # Straight from the device, not from a cache. busybox has a blkid too, which knows few kinds and
    # no --probe: its answer is none of these, and the volume is left alone.
    volume_found=$(blkid --probe --output export "$1" 2>/dev/null)
    case $? in
    0) volume_kind_found "$2" "$3" ;;
    2)
        # Also what blkid ends with when it cannot read; volume_zeros tells.
        if volume_zeros "$1" 0 "$volume_mib_sectors" &&
            volume_zeros "$1" $((size - volume_mib_sectors)) "$volume_mib_sectors"; then
            echo blank
        else
            echo "holds data that is no known file system, or cannot be read"
        fi
        ;;
    8) echo "holds traces of several file systems" ;;
    *) echo "cannot be examined: blkid failed" ;;
    esac
}

# volume_kind_found TYPE LABEL
volume_kind_found() {
    type=$(volume_value TYPE)
    label=$(volume_value LABEL)
    if [ "$type" = "$1" ] && { [ -z "$2" ] || [ "$label" = "$2" ]; }; then
        echo ours
    elif [ -n "$type" ]; then
        echo "holds ${type}${label:+ labelled $label}, not $1${2:+ labelled $2}"
    else
        echo "holds a partition table ($(volume_value PTTYPE)) or the like, not $1"
    fi
}

# volume_mkfs DEVICE TYPE LABEL: without discarding, which would take the mark away before the rest.
volume_mkfs() {
    case $2 in
    ext4) mkfs.ext4 -q -F -E nodiscard -L "$3" "$1" ;;
    xfs) mkfs.xfs -q -f -K -L "$3" "$1" ;;
    *)
        eerror "$2 is no file system that is made here: ext4 and xfs are"
        return 1
        ;;
    esac
}

# volume_format DEVICE TYPE LABEL: only for volumes that are blank or unfinished.
volume_format() {
    size=$(block_field "$1" size) || return 1
    printf '%s' "$volume_mark" | volume_write_mark "$1" "$size" || return 1
    volume_mkfs "$@" || return 1
    sync
    # Never over what mkfs may have put there after all.
    if volume_is_marked "$1" "$size"; then
        volume_write_mark "$1" "$size" </dev/zero
        # A volume that is used with the mark on it would be formatted at the next boot.
        ! volume_is_marked "$1" "$size"
    fi
}

# volume_check DEVICE TYPE: mends what can be mended without asking. xfs does so when it is mounted.
volume_check() {
    [ "$2" = ext4 ] || return 0
    e2fsck -p "$1"
    # 1 and 2: mended. 4 and more: left as it is, or not even looked at.
    [ $? -lt 4 ]
}

# volume_mount DEVICE TYPE LABEL FOLDER OPTIONS: mounts the volume, formatted first if it is blank.
# Done again, it does nothing. What it refuses it leaves as it found it, and says why.
volume_mount() {
    numbers=$(mounted_numbers "$4")
    if [ -n "$numbers" ] && [ "$numbers" = "$(block_field "$1" dev)" ]; then
        einfo "$1 is mounted on $4 already"
        return 0
    elif [ -n "$numbers" ]; then
        eerror "Something else than ${1:-the volume} is mounted on $4: left as it is"
        return 1
    fi
    kind=$(volume_kind "$1" "$2" "$3")
    case $kind in
    ours) ;;
    blank | unfinished)
        einfo "Formatting $1, which is $kind, as $2"
        if ! volume_format "$1" "$2" "$3"; then
            eerror "Formatting $1 failed"
            return 1
        fi
        ;;
    *)
        eerror "REFUSED, and not touched: $1 $kind"
        return 1
        ;;
    esac
    if ! volume_check "$1" "$2"; then
        eerror "The file system of $1 is damaged beyond what e2fsck -p mends: not mounted"
        return 1
    fi
    mkdir -p "$4" && mount -t "$2" -o "$5" "$1" "$4" &&
        einfo "Mounted $1 on $4"
}

# volume_unmount FOLDER: when a service stops. Whoever still uses the volume while the machine goes
# down is ended later (killprocs), and the volume unmounted or made read-only then.
volume_unmount() {
    [ -n "$(mounted_numbers "$1")" ] || return 0
    sync
    umount "$1" || yesno "${RC_GOINGDOWN:-no}"
}
