#!/bin/sh
# The machine's id: one for each instance, whatever the image brought along.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

# id: what kubelet would read; fails where that is no machine id.
id() {
    grep -xE '[0-9a-f]{32}' "$root/etc/machine-id" || fail "no machine id"
}

# a_sealed_machine: as an image has it before its first boot.
a_sealed_machine() {
    an_instance
    : >"$root/etc/machine-id"
}

it "fills the image's empty id, the same at each boot"
a_sealed_machine
starts instance-metadata
first=$(id)
is "$(wc -l <"$root/etc/machine-id")" 1
is "$(stat -c '%a %u' "$root/etc/machine-id")" "444 0"
inode=$(stat -c %i "$root/etc/machine-id")
reboot
starts instance-metadata
is "$(id)" "$first"
is "$(stat -c %i "$root/etc/machine-id")" "$inode"

it "gives two instances of one image two ids"
a_sealed_machine
imds meta-data/instance-id i-0a1b2c3d4e5f60719
starts instance-metadata
[ "$(id)" != "$first" ] || fail "the same id"

it "does not keep the id of the machine that an image was made of"
an_instance
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
starts instance-metadata
is "$(id)" "$first"

it "is the node's where the metadata service was late at boot"
a_sealed_machine
# Both ask for a token first: one gives up after 5 tries, the other goes on.
echo 7 >"$root/harness/imds-fails"
starts instance-metadata
is "$(cat "$root/etc/machine-id")" ""
starts kubezero-node
is "$(id)" "$first"

it "keeps kubelet from starting where there is none"
a_sealed_machine
printf '#!/bin/sh\nexit 1\n' >"$root/usr/libexec/alpine-ami/machine-id"
refuses kubezero-node
says "kubelet does not start"
starts instance-metadata
says "no instance id"

it "leaves the id as it is where the metadata service does not answer or names no instance"
an_instance
echo kept >"$root/etc/machine-id"
# shellcheck disable=SC2016 # not to be expanded
for wrong in '' 'i-' 'I-1' 'i-0$(id)' 'i-0
1'; do
    imds meta-data/instance-id "$wrong"
    starts instance-metadata
    is "$(cat "$root/etc/machine-id")" kept
done
an_instance
echo 1000 >"$root/harness/imds-fails"
starts instance-metadata
is "$(cat "$root/etc/machine-id")" kept

it "is whole after a kill at any of its steps"
for step in rm chmod mv sha256sum; do
    new_root
    a_sealed_machine
    # shellcheck disable=SC2016 # the stub's
    printf '#!/bin/sh\nkill -9 "$PPID"\n' >"$root/stubs/$step"
    chmod +x "$root/stubs/$step"
    # shellcheck disable=SC2016 # the shell in the root expands it
    in_root sh -c 'for path in /stubs/*; do eval "${path##*/}() { $path \"\$@\"; }"; done
        . /usr/libexec/alpine-ami/machine-id' x i-0a1b2c3d4e5f60718 2>/dev/null || true
    is "$(cat "$root/etc/machine-id")" ""
    rm "$root/stubs/$step"
    starts instance-metadata
    is "$(id)" "$first"
    [ ! -e "$root/etc/machine-id.new" ] || fail "something is left behind"
done
