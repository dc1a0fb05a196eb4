#!/bin/sh
# User data that is a script: run once in the life of an instance.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

a_script() {
    an_instance
    # shellcheck disable=SC2016 # not to be expanded
    imds user-data '#!/bin/sh
echo "ran as $(id -u) in $(umask)" >>/var/log/ran
'
}

ran() {
    cat "$root/var/log/ran" 2>/dev/null
}

it "runs a script once for each instance, for root's eyes alone"
a_script
starts user-data
is "$(ran)" "ran as 0 in 0022"
is "$(stat -c %a "$root/var/lib/alpine-ami/user-data")" 700
reboot
starts user-data
is "$(ran | wc -l)" 1
imds meta-data/instance-id i-00000000000000002
starts user-data
is "$(ran | wc -l)" 2

it "does not run what it would run at every boot"
a_script
mkdir -p "$root/var/lib/alpine-ami/user-data-ran-for"
refuses user-data
says "it is not run"
is "$(ran)" ""

it "runs a script only once although it was killed in it"
a_script
# shellcheck disable=SC2016 # not to be expanded
imds user-data '#!/bin/sh
echo began >>/var/log/ran
kill -9 "$PPID"
sleep 1
'
service user-data start || true
reboot
starts user-data
is "$(ran)" began

it "asks the metadata service whatever a .curlrc says"
a_script
starts user-data
calls | grep -q '^curl --disable ' || fail "without --disable in the first place: $(calls)"
! calls | grep -v '^curl --disable ' || fail "not each time"
