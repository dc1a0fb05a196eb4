#!/bin/sh
# The instance's host name and launch keys.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

keys=home/alpine/.ssh/authorized_keys

# a_launch [KEY]...: an instance launched with these keys, whose user has a home.
a_launch() {
    an_instance
    echo alpine:x:1000:1000::/home/alpine:/bin/sh >>"$root/etc/passwd"
    echo alpine:x:1000: >>"$root/etc/group"
    mkdir -p "$root/home/alpine"
    index=0
    listing=
    for key; do
        imds "meta-data/public-keys/$index/openssh-key" "$key"
        listing="$listing$index=a key
"
        index=$((index + 1))
    done
    [ -z "$listing" ] || imds meta-data/public-keys/ "$listing"
}

it "takes the instance's name and lets its keys in"
a_launch "ssh-ed25519 AAAA one" "ssh-rsa BBBB two"
starts instance-metadata
is "$(cat "$root/etc/hostname")" ip-10-0-0-7.eu-central-1.compute.internal
is "$(cat "$root/$keys")" 'ssh-ed25519 AAAA one
ssh-rsa BBBB two'
is "$(stat -c '%a %u:%g' "$root/$keys")" "600 1000:1000"
is "$(stat -c '%a %u:%g' "$root/${keys%/*}")" "700 1000:1000"

it "takes no name that hostname would take for an option, or a shell for more"
# shellcheck disable=SC2016 # not to be expanded
for name in '-F' '' '$(id)' 'a b' 'a
b'; do
    new_root
    a_launch
    echo before >"$root/etc/hostname"
    imds meta-data/local-hostname "$name"
    starts instance-metadata
    says "no usable host name"
    is "$(cat "$root/etc/hostname")" before
done

it "asks again at the next boot for a key that it was not given"
for missing in meta-data/public-keys/ meta-data/public-keys/1/openssh-key; do
    new_root
    a_launch "ssh-ed25519 AAAA one" "ssh-rsa BBBB two"
    # Once nobody answers, five times each.
    cat >"$root/usr/libexec/alpine-ami/imds-now" <<END
#!/bin/sh
[ "\$*" != "get $missing" ] || exit 1
exec /usr/libexec/alpine-ami/imds-then "\$@"
END
    chmod +x "$root/usr/libexec/alpine-ami/imds-now"
    mv "$root/usr/libexec/alpine-ami/imds" "$root/usr/libexec/alpine-ami/imds-then"
    mv "$root/usr/libexec/alpine-ami/imds-now" "$root/usr/libexec/alpine-ami/imds"
    starts instance-metadata
    says "it is asked again at the next boot"
    mv "$root/usr/libexec/alpine-ami/imds-then" "$root/usr/libexec/alpine-ami/imds"
    reboot
    starts instance-metadata
    is "$(wc -l <"$root/$keys")" 2
done

it "installs keys once for each instance, without joining lines of its owner's"
a_launch "ssh-ed25519 AAAA one"
starts instance-metadata
printf 'ssh-rsa CCCC mine' >"$root/$keys"
reboot
starts instance-metadata
is "$(cat "$root/$keys")" "ssh-rsa CCCC mine"
imds meta-data/instance-id i-00000000000000002
starts instance-metadata
is "$(cat "$root/$keys")" 'ssh-rsa CCCC mine
ssh-ed25519 AAAA one'

it "follows no link of the user's"
a_launch "ssh-ed25519 AAAA one"
ln -s /etc "$root/home/alpine/.ssh"
starts instance-metadata
says "symbolic link"
[ ! -e "$root/etc/authorized_keys" ] || fail "it was followed"

it "boots without a metadata service"
echo 1000 >"$root/harness/imds-fails"
starts instance-metadata
says "no metadata service answers"
