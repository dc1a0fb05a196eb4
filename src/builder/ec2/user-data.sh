#!/bin/sh
# Made by `alpine-ami build --on ec2`: fetches the worker and its job, runs it once, and switches
# this machine off.
#
# Runs as root, once, under busybox ash, dash or bash, on Alpine and on other cloud images. The
# words between two @ are filled in by user_data.rs, which also takes out the comments. URLs are
# presigned, so they are secrets: nothing here prints one, and no program that could print one has
# its messages shown.
set -eu
umask 077
# OpenRC puts /bin first, where busybox has a `setpriv` that is not the one of util-linux.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

arch=@ARCH@
life=@LIFE_SECONDS@
worker_url=@WORKER_URL@
worker_sha256=@WORKER_SHA256@
job_url=@JOB_URL@
job_sha256=@JOB_SHA256@
log_url=@LOG_URL@

console=/dev/console
sysrq=/proc/sysrq-trigger
boot_id=/proc/sys/kernel/random/boot_id
once=/var/lib/alpine-ami-worker
folders='/var/tmp /var/lib /root /tmp'
log=

has() { command -v "$1" >/dev/null 2>&1; }

# Switches the machine off after that many seconds. It is nobody's child, in a session of its own,
# deaf to polite signals: it outlives this script and whatever becomes of the service that runs it.
# An orderly shutdown may wait for that very service, so it has a minute; then the power goes.
# What is written to the trigger is obeyed whatever sysctl says: sync, remount read-only, off.
power_off_after() {
    detach=setsid
    has setsid || detach=
    # shellcheck disable=SC2016 # the inner shell expands it
    $detach sh -c '
        (
            trap "" HUP INT TERM
            sleep "$1"
            [ "$1" = 0 ] || echo "alpine-ami: end of life after $1 s: switching off" >>"$2"
            poweroff
            sleep 60
            poweroff -f
            sleep 10
            for key in s u o; do echo "$key" >"$3"; done
        ) &
    ' alpine-ami-power-off "$1" "$console" "$sysrq" </dev/null >/dev/null 2>&1 || :
}

say() {
    # No console, or no room for the log, stops nobody.
    printf 'alpine-ami: %s\n' "$*" 2>/dev/null >>"$console" || :
    [ -z "$log" ] || printf 'alpine-ami: %s\n' "$*" 2>/dev/null >>"$log" || :
}

fail() {
    say "$*"
    exit 1
}

# Leaves the end of the log where the builder looks for it. A presigned PUT takes no stream: S3
# wants the length first.
send_log() {
    [ -n "$log" ] || return 0
    if ! has curl; then
        say "there is no curl here to send the log with: this console is all there is"
        return 0
    fi
    # Its room may be what was missing.
    rm -f "$work/worker"
    tail -c 524288 "$log" >"$log.end" || return 0
    code=$(curl -fsg --connect-timeout 20 --max-time 120 -o /dev/null -w '%{http_code}' \
        -T "$log.end" "$log_url" 2>/dev/null) ||
        say "cannot send the log (HTTP status ${code:-000}): this console is all there is"
}

# Whatever ends this script ends here.
finish() {
    status=$1
    trap '' HUP INT TERM
    trap - EXIT
    set +e
    [ "$status" = 0 ] || send_log
    power_off_after 0
    exit "$status"
}

# get URL FILE: one try; says in `why` what went wrong.
get() {
    if has curl; then
        code=$(curl -fsgL --connect-timeout 20 --speed-limit 1000 --speed-time 60 \
            -o "$2" -w '%{http_code}' "$1" 2>/dev/null) && return 0
        why="curl ended with status $?, HTTP status ${code:-000}"
    elif has wget; then
        wget -q -T 60 -O "$2" "$1" 2>/dev/null && return 0
        why="wget ended with status $?"
    else
        fail "there is neither curl nor wget here"
    fi
    return 1
}

# verify FILE SHA256: busybox's wget neither checks certificates nor always sees a short answer.
verify() {
    has sha256sum || fail "there is no sha256sum here"
    sum=$(sha256sum "$1") && [ "${sum%% *}" = "$2" ] && return 0
    why="its SHA-256 is ${sum%% *}, not $2"
    return 1
}

# fetch WHAT URL SHA256 FILE
fetch() {
    try=1
    until get "$2" "$4" && verify "$4" "$3"; do
        [ "$try" -lt 5 ] || fail "cannot fetch $1: $why"
        try=$((try + 1))
        sleep "$((try * 2))"
    done
}

# The disk with most room; a file system in memory only where there is nothing else.
roomiest() {
    best=/tmp most=0
    for folder in $folders; do
        # shellcheck disable=SC2046 # the columns of df
        set -- $(df -Pk "$folder" 2>/dev/null | tail -n 1)
        case ${1:-tmpfs} in
            tmpfs | ramfs | devtmpfs) continue ;;
        esac
        if [ -w "$folder" ] && [ "${4:-0}" -gt "$most" ]; then
            best=$folder most=$4
        fi
    done
    echo "$best"
}

# A job is begun once in the life of an instance: its disk is no longer blank after that.
claim() {
    boot=$(cat "$boot_id") || boot=
    if mkdir "$once" 2>/dev/null; then
        echo "$boot" >"$once/boot"
        return 0
    fi
    [ -d "$once" ] || fail "cannot make $once"
    if [ "$boot" = "$(cat "$once/boot" 2>/dev/null)" ]; then
        say "the worker was started before, by this boot: leaving it alone"
        trap - EXIT
        exit 0
    fi
    fail "the worker was started before this boot: not again"
}

# The console gets what the log gets. The status has a file, since a pipe has the status of its end.
run_worker() {
    {
        "$work/worker" worker --job "$work/job" --job-sha256 "$job_sha256" --work "$work" \
            </dev/null &&
            worker=0 || worker=$?
        echo "$worker" >"$work/status"
    } 2>&1 | tee -a "$log" >>"$console" || :
    worker=$(cat "$work/status" 2>/dev/null) || worker=
    [ "$worker" = 0 ] || fail "the worker failed (exit status ${worker:-unknown})"
}

power_off_after "$life"
trap 'finish $?' EXIT
trap 'exit 143' HUP INT TERM
# A console that cannot be written would end the worker with its first word.
{ : >>"$console"; } 2>/dev/null || console=/dev/null
# Whoever started this may have left the console in the middle of a line.
echo 2>/dev/null >>"$console" || :
claim
best=$(roomiest)
work=$(mktemp -d "$best/alpine-ami.XXXXXX") || fail "cannot make a folder in $best"
log=$work/log
TMPDIR=$work HOME=/root
export TMPDIR HOME
cd "$work"
machine=$(uname -m)
[ "$machine" = "$arch" ] || fail "this machine is $machine, the worker is for $arch"
fetch "the worker" "$worker_url" "$worker_sha256" "$work/worker"
fetch "the job" "$job_url" "$job_sha256" "$work/job"
chmod 0700 "$work/worker"
run_worker
say "done: switching off"
