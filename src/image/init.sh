#!/bin/busybox sh
# The first program in an image whose kernel cannot mount its root alone: loads the modules
# listed in /modules.load, waits for the root, mounts it and hands over to its init.
#
# Kernel parameters: root= (UUID=, LABEL= or a device), rootfstype=, rootflags=,
# ro, rw, init=, rootdelay= (seconds to wait, 60 unless told), initramfs.shell (a shell on the
# console when the root does not come). Otherwise a failure ends this program and the kernel
# does what its parameter panic= says.

bb=/bin/busybox
start() {
	$bb mkdir -p /proc /sys /dev /sysroot
	$bb mount -t proc -o nosuid,noexec,nodev proc /proc
	$bb mount -t sysfs -o nosuid,noexec,nodev sysfs /sys
	$bb mount -t devtmpfs -o nosuid,mode=0755 dev /dev
	exec </dev/console >/dev/console 2>&1
}

fail() {
	echo "initramfs: $*"
	echo "initramfs: block devices:"
	$bb cat /proc/partitions
	[ -z "$refused" ] || echo "initramfs: modules that did not load:$refused"
	if [ -n "$shell" ]; then
		echo "initramfs: mount the root on /sysroot and leave this shell to go on"
		$bb sh
		return
	fi
	echo "initramfs: giving up; boot with initramfs.shell for a shell here"
	exit 1
}

read_parameters() {
	root='' fstype=ext4 flags='' mode=ro init=/sbin/init wait=60 shell=''
	set -f
	for word in $($bb cat /proc/cmdline); do
		case $word in
		root=*) root=${word#root=} ;;
		rootfstype=*) fstype=${word#rootfstype=} ;;
		rootflags=*) flags=,${word#rootflags=} ;;
		rootdelay=*) wait=${word#rootdelay=} ;;
		init=*) init=${word#init=} ;;
		ro | rw) mode=$word ;;
		initramfs.shell) shell=yes ;;
		esac
	done
	set +f
}

load_modules() {
	# Some drive hardware that not every machine has and refuse to load elsewhere.
	refused=
	while read -r module; do
		$bb insmod "/lib/modules/$module" 2>/dev/null || refused="$refused ${module##*/}"
	done </modules.load
}

# Sets device, where the root is there. PARTUUID= is not for here: busybox cannot find it.
find_root() {
	case $root in
	UUID=* | LABEL=*) device=$($bb findfs "$root" 2>/dev/null) ;;
	*) device=$root ;;
	esac
	[ -b "$device" ]
}

uptime() {
	IFS=. read -r seconds rest </proc/uptime
	echo "$seconds"
}

wait_for_root() {
	[ -n "$root" ] || { fail "no root= on the kernel's command line"; return; }
	deadline=$(($(uptime) + wait))
	while ! find_root; do
		if [ "$(uptime)" -ge $deadline ]; then
			fail "no device for root=$root after $wait seconds"
			return
		fi
		$bb usleep 100000
	done
	$bb mount -t "$fstype" -o "$mode$flags" "$device" /sysroot ||
		fail "cannot mount $device ($root) as $fstype"
}

hand_over() {
	# A link may be absolute, so that it dangles until the root is switched.
	[ -e "/sysroot$init" ] || [ -L "/sysroot$init" ] || fail "the root has no $init"
	for folder in proc sys dev; do
		$bb mkdir -p "/sysroot/$folder" 2>/dev/null
		$bb mount --move "/$folder" "/sysroot/$folder"
	done
	exec $bb switch_root /sysroot "$init"
}

start
read_parameters
load_modules
wait_for_root
hand_over
echo "initramfs: cannot start $init"
