#!/bin/sh
# A log that is cut because the disk is full, and on a full disk.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

log_file=/var/log/kubelet/kubelet.log

# a_log MIB: one of 4 MiB on a disk of MIB MiB.
a_log() {
    mkdir -p "$root/var/log/kubelet"
    mount -t tmpfs -o "size=$1M" tmpfs "$root/var/log/kubelet"
    head -c 4194304 /dev/zero | tr '\0' . >"$root$log_file"
}

# size FILE: 0 for one that is not there.
size() {
    wc -c <"$root$1" 2>/dev/null || echo 0
}

it "keeps the end of the log"
a_log 9
in_root /usr/libexec/alpine-ami/cut-log "$log_file" || fail "it fails"
is "$(size "$log_file") $(size "$log_file.0")" "0 4194304"

it "gives up the last cut's part where there is no room for two"
a_log 9
head -c 4194304 /dev/zero >"$root$log_file.0"
in_root /usr/libexec/alpine-ami/cut-log "$log_file" 2>/dev/null || fail "it fails"
is "$(size "$log_file") $(size "$log_file.0")" "0 4194304"
is "$(head -c 1 "$root$log_file.0")" .

it "empties the log where there is no room at all, and says that it kept nothing"
a_log 5
! in_root /usr/libexec/alpine-ami/cut-log "$log_file" 2>/dev/null || fail "it says that all is well"
is "$(cd "$root/var/log/kubelet" && echo *)" kubelet.log
is "$(size "$log_file")" 0
