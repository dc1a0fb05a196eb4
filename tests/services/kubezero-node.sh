#!/bin/sh
# Who the node is, and its user data.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

env_file=run/kubezero/node.env
yaml=etc/kubernetes/kubezero.yaml

it "tells kubelet the node's name, provider id and instance type"
an_instance
starts kubezero-node
is "$(cat "$root/$env_file")" 'NODE_NAME=ip-10-0-0-7.eu-central-1.compute.internal
INSTANCE_ID=i-0a1b2c3d4e5f60718
INSTANCE_TYPE=m5d.large
ZONE=eu-central-1b
REGION=eu-central-1
AWS_DOMAIN=amazonaws.com
PROVIDER_ID=aws:///eu-central-1b/i-0a1b2c3d4e5f60718
KUBELET_NODE_ARGS="--hostname-override=ip-10-0-0-7.eu-central-1.compute.internal --provider-id=aws:///eu-central-1b/i-0a1b2c3d4e5f60718 --node-labels=node.kubernetes.io/instance-type=m5d.large"'
is "$(stat -c %a "$root/$env_file")" 644
# instance-metadata has not run: it went without, as it does where the metadata service is late.
is "$(cat "$root/etc/hostname")" ip-10-0-0-7.eu-central-1.compute.internal
is "$(hostname)" ip-10-0-0-7.eu-central-1.compute.internal
# shellcheck disable=SC2016 # the shell in the root expands it
is "$(in_root sh -c '. /run/kubezero/node.env; echo "$KUBELET_NODE_ARGS" | wc -w')" 3
[ ! -e "$root/$yaml" ] || fail "there was no user data"
calls | grep -q 'PUT.*/latest/api/token' || fail "no session token was asked for"

it "waits for a slow metadata service"
an_instance
echo 2 >"$root/harness/imds-fails"
starts kubezero-node
[ -s "$root/$env_file" ] || fail "no identity"

it "does not start without the metadata service, nor with an old identity"
an_instance
set_conf kubezero-node metadata_tries=1
starts kubezero-node
reboot
echo 1000 >"$root/harness/imds-fails"
refuses kubezero-node
says "kubelet does not start"
[ ! -e "$root/$env_file" ] || fail "an identity of the last boot"

it "takes no name that a shell would run"
an_instance
# shellcheck disable=SC2016 # not to be expanded
for name in 'x; rm -rf /' '$(id)' 'a
b' '' 'UPPER'; do
    imds meta-data/local-hostname "$name"
    refuses kubezero-node
    [ ! -e "$root/$env_file" ] || fail "an identity with the name $name"
done

it "hands YAML over, for root's eyes, once for each instance"
an_instance
imds user-data '# A comment

global:
  clusterName: x
'
starts kubezero-node
is "$(cat "$root/$yaml")" '# A comment

global:
  clusterName: x'
is "$(stat -c '%a %u' "$root/$yaml")" "600 0"
is "$(stat -c %a "$root/etc/kubernetes")" 755
echo "changed: by hand" >"$root/$yaml"
reboot
starts kubezero-node
is "$(cat "$root/$yaml")" "changed: by hand"
imds meta-data/instance-id i-00000000000000002
starts kubezero-node
grep -q clusterName "$root/$yaml" || fail "another instance has its own user data"

it "hands over again what was cut off before it was written down"
an_instance
imds user-data '---
a: 1
'
mkdir -p "$root/etc/kubernetes"
echo "half a f" >"$root/$yaml.new"
chmod 0644 "$root/$yaml.new"
starts kubezero-node
is "$(stat -c %a "$root/$yaml")" 600
is "$(cat "$root/$yaml")" '---
a: 1'
[ ! -e "$root/$yaml.new" ] || fail "something is left behind"

it "leaves alone what is not ours"
an_instance
number=0
for text in '#!/bin/sh
a: 1' '#cloud-config
users: []' '#cloud-config-archive
- a' 'Content-Type: multipart/mixed; boundary=x
a: 1' 'MIME-Version: 1.0' '{"a": 1}' 'just words' '' '#include
http://x'; do
    number=$((number + 1))
    imds meta-data/instance-id "i-0000000000000001$number"
    imds user-data "$text"
    starts kubezero-node
    [ ! -e "$root/$yaml" ] || fail "handed over: $text"
done
imds meta-data/instance-id i-00000000000000020
printf 'a: 1\n' | gzip >"$root/harness/imds/user-data.value"
starts kubezero-node
[ ! -e "$root/$yaml" ] || fail "handed over packed data"

it "leaves scripts to the service user-data, which runs them still"
an_instance
# shellcheck disable=SC2016 # not to be expanded
imds user-data '#!/bin/sh
echo ran >/var/log/ran
'
starts kubezero-node
[ ! -e "$root/$yaml" ] || fail "handed over a script"
starts user-data
is "$(cat "$root/var/log/ran")" ran
