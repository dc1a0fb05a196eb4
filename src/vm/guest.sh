# shellcheck shell=sh
#
#    program FOLDER DEVICE PATIENCE
#
# Looks at the machine from inside and sends what it finds to DEVICE, a serial port.
# Runs in the guest, under busybox ash. Its own FOLDER holds
#   checks     a line `NUMBER TIMEOUT_SECONDS` for each check
#   check.N    the script of check N
# It waits PATIENCE seconds for the default runlevel to be complete.
#
# A line is `alpine-ami KEY FIELD…`. A field is a plain word or, where the text is not
# ours, base64 of it ("-" if it is empty). answers.rs reads this; change both together.

set -u
folder=$1 device=$2 patience=$3

exec 3>"$device" || exit 1
# No echo, no line ends turned into two characters; the reader copes without, too.
stty -F "$device" raw -echo 115200 2>/dev/null

lines=0
say() {
    lines=$((lines + 1))
    printf 'alpine-ami %s\n' "$*" >&3
}

# Standard input as one field.
field() {
    encoded=$(base64 | tr -d '\n')
    printf '%s' "${encoded:--}"
}

# Sets `now`: seconds since the kernel started, in hundredths.
clock() {
    read -r now _ </proc/uptime
}

started_at=$(cut -d ' ' -f 1 /proc/uptime)
say begin 2 "$started_at"

# OpenRC has the folder rc.starting while it goes to a runlevel; softlevel names that one.
# This script is started by a service of the default runlevel, so it waits for its end.
complete=yes
limit=$((${started_at%%.*} + patience))
until [ ! -e /run/openrc/rc.starting ] && [ "$(cat /run/openrc/softlevel 2>/dev/null)" = default ]; do
    clock
    if [ "${now%%.*}" -ge "$limit" ]; then
        complete=no
        break
    fi
    sleep 0.1
done
clock
say ready "$complete" "$now"

# Memory first, before this script uses more of it; /proc/meminfo counts in KiB, zoneinfo in pages.
# Used is what `free` calls so. Of it, the kernel's own is what proc_meminfo(5) has as such: slabs
# that it cannot give back, page tables, data of processors, and what it allocated page by page
# (modules, and the stacks of its threads and of processes: KernelStack is there once more). So are
# free pages that it keeps at hand for each processor: MemFree is without them, and their number
# grows with the memory. Programs' own are pages that no file is behind. What is left between the
# two no counter names. A key that a kernel does not have counts as 0.
say memory "$(awk '
    FILENAME == "/proc/meminfo" { kib[$1] = $2 }
    FILENAME == "/proc/zoneinfo" && $1 == "count:" { at_hand += $2 }
    $1 == "KernelPageSize:" { page = $2 }
    END {
        printf "%d %d %d %d %d", kib["MemTotal:"],
            kib["MemTotal:"] - kib["MemFree:"] - kib["Buffers:"] - kib["Cached:"] - kib["SReclaimable:"],
            kib["MemAvailable:"],
            kib["SUnreclaim:"] + kib["PageTables:"] + kib["SecPageTables:"] + kib["Percpu:"] +
                kib["VmallocUsed:"] + at_hand * page,
            kib["AnonPages:"]
    }' /proc/meminfo /proc/zoneinfo /proc/self/smaps)"

# Processes with a command line: the kernel's own threads have none. Less this one.
processes=0
for process in /proc/[0-9]*; do
    if { [ -n "$(tr -d '\0' <"$process/cmdline")" ]; } 2>/dev/null; then
        processes=$((processes + 1))
    fi
done
say processes $((processes - 1))

# shellcheck disable=SC2046 # three numbers are three fields
say root $(df -kP / | awk 'NR == 2 { print $2, $3, $4 }')
say kernel "$(uname -r | field)"
# shellcheck disable=SC1091 # it is the guest's
say os "$( (. /etc/os-release && printf '%s' "${PRETTY_NAME:-}") 2>/dev/null | field)"

# A service counts as started when it started well; whether its daemon still runs, OpenRC
# has to look. Other states are files in folders of their names.
crashed=" $(rc-status --crashed 2>/dev/null | tr '\n' ' ') "
state_of() {
    for state in failed starting stopping inactive started; do
        [ -e "/run/openrc/$state/$1" ] || [ -L "/run/openrc/$state/$1" ] || continue
        if [ "$state" = started ]; then
            case $crashed in
            *" $1 "*) state=crashed ;;
            esac
        fi
        return
    done
    state=stopped
}
for runlevel in /etc/runlevels/*; do
    for service in "$runlevel"/*; do
        [ -e "$service" ] || [ -L "$service" ] || continue
        state_of "${service##*/}"
        say service "$(printf '%s' "${runlevel##*/}" | field)" \
            "$(printf '%s' "${service##*/}" | field)" "$state"
    done
done

netstat -ltn 2>/dev/null | awk '$1 ~ /^tcp/ { print $4 }' >"$folder/listening"
while read -r address; do
    say listening "$(printf '%s' "$address" | field)"
done <"$folder/listening"

# run_check NUMBER TIMEOUT: its output goes to a file, not a pipe, since a process that it
# leaves running would keep a pipe open for ever.
run_check() {
    say checking "$1"
    clock
    from=$now
    timeout -s KILL "$2" sh "$folder/check.$1" </dev/null >"$folder/output" 2>&1 3>&-
    status=$?
    clock
    say check "$1" "$status" "$from" "$now" "$(tail -c 4096 "$folder/output" | field)"
    : >"$folder/output"
}
while read -r number seconds <&4; do
    run_check "$number" "$seconds"
done 4<"$folder/checks"

# Counts itself, too.
say end $((lines + 1))
sync
poweroff
# A machine whose init does not listen is switched off all the same.
sleep 60
poweroff -f
