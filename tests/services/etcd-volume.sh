#!/bin/sh
# The etcd volume: found by its tags, attached, and mounted by one controller at a time.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

me=i-0a1b2c3d4e5f60718
other=i-0ffffffffffffffff
folder=/var/lib/etcd

# volume STATUS [INSTANCE ATTACHMENT] [MULTI]: an item of DescribeVolumes, as EC2 writes it.
volume() {
    cat <<END
        <item>
            <volumeId>vol-0aaa</volumeId>
            <size>8</size>
            <snapshotId/>
            <availabilityZone>eu-central-1b</availabilityZone>
            <status>$1</status>
            <createTime>2022-05-01T10:00:00.000Z</createTime>
            <attachmentSet>
END
    [ -z "${2:-}" ] || cat <<END
                <item>
                    <volumeId>vol-0aaa</volumeId>
                    <instanceId>$2</instanceId>
                    <device>/dev/sdp</device>
                    <status>$3</status>
                </item>
END
    cat <<END
            </attachmentSet>
            <tagSet>
                <item>
                    <key>status</key>
                    <value>a &lt;status&gt; of its own</value>
                </item>
            </tagSet>
            <volumeType>gp3</volumeType>
            <multiAttachEnabled>${4:-false}</multiAttachEnabled>
        </item>
END
}

# describes ITEMS [COMMAND]
describes() {
    answer DescribeVolumes 200 "${2:-}" <<END
<?xml version="1.0" encoding="UTF-8"?>
<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</requestId>
    <volumeSet>
$1
    </volumeSet>
</DescribeVolumesResponse>
END
}

# attaches [COMMAND]
attaches() {
    answer AttachVolume 200 "${1:-}" <<END
<AttachVolumeResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>x</requestId><volumeId>vol-0aaa</volumeId><status>attaching</status>
</AttachVolumeResponse>
END
}

# ec2_refuses ACTION STATUS CODE
ec2_refuses() {
    answer "$1" "$2" <<END
<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>$3</Code><Message>It says why &amp; so on.</Message></Error></Errors><RequestID>x</RequestID></Response>
END
}

a_controller() {
    an_instance
    imds meta-data/iam/security-credentials/ controller
    imds meta-data/iam/security-credentials/controller '{
  "Code" : "Success",
  "Type" : "AWS-HMAC",
  "AccessKeyId" : "ASIAEXAMPLE",
  "SecretAccessKey" : "Secret/+Secret",
  "Token" : "Token//+Token==",
  "Expiration" : "2022-05-01T16:00:00Z"
}'
    imds meta-data/tags/instance/kubezero:cluster prod
    starts kubezero-node
}

# a_zone: one volume, free, whose disk comes some seconds after it was attached.
a_zone() {
    make_disk nvme1n1 64 vol0aaa
    describes "$(volume available)"
    attaches "echo '. /harness/come.nvme1n1' >/harness/at/1015"
    describes "$(volume in-use $me attaching)"
    describes "$(volume in-use $me attached)"
}

# The calls to EC2, by their actions.
actions() {
    calls | sed -n 's/^  Action=//p' | tr '\n' ' '
}

refused() {
    before=$(digest nvme1n1)
    refuses etcd-volume
    says "REFUSED, and not touched"
    is "$(digest nvme1n1)" "$before"
    not_mounted "$folder"
}

it "finds, attaches, formats and mounts the volume of its cluster and zone"
a_controller
a_zone
starts etcd-volume
says "Attaching vol-0aaa as /dev/sdp"
says "Formatting /dev/nvme1n1, which is blank"
mounted "$folder" nvme1n1
is "$(stat -c %a "$root$folder")" 700
is "$(actions)" "DescribeVolumes AttachVolume DescribeVolumes DescribeVolumes "
is "$(sed -n 's/^data-urlencode = "\(.*\)"$/\1/p' "$root/harness/config.DescribeVolumes")" \
    'Action=DescribeVolumes
Version=2016-11-15
Filter.1.Name=tag:kubezero:cluster
Filter.1.Value.1=prod
Filter.2.Name=tag:kubezero:volume
Filter.2.Value.1=etcd
Filter.3.Name=availability-zone
Filter.3.Value.1=eu-central-1b
Filter.4.Name=volume-type
Filter.4.Value.1=gp3
Filter.5.Name=status
Filter.5.Value.1=creating
Filter.5.Value.2=available
Filter.5.Value.3=in-use'
is "$(sed -n 's/^data-urlencode = "\(.*\)"$/\1/p' "$root/harness/config.AttachVolume")" \
    "Action=AttachVolume
Version=2016-11-15
VolumeId=vol-0aaa
InstanceId=$me
Device=/dev/sdp"

it "shows no credentials to whoever lists the processes, and leaves none behind"
a_controller
a_zone
starts etcd-volume
! calls | grep -E 'Secret|Token/|ASIA' || fail "on the command line"
! grep -rE 'Secret/|Token//' "$root/run" "$root/tmp" "$root/var" || fail "left behind"
says_not Secret
grep -qx 'user = "ASIAEXAMPLE:Secret/+Secret"' "$root/harness/config.AttachVolume"
grep -qx 'header = "X-Amz-Security-Token: Token//+Token=="' "$root/harness/config.AttachVolume"

it "needs no API after a reboot"
a_controller
a_zone
starts etcd-volume
echo kept >"$root$folder/file"
reboot
: >"$root/harness/calls"
starts kubezero-node
starts etcd-volume
is "$(cat "$root$folder/file")" kept
is "$(actions)" ""

it "gives the successor the data of the predecessor"
a_controller
a_zone
starts etcd-volume
echo kept >"$root$folder/file"
umount "$root$folder"
new_root
a_controller
describes "$(volume in-use $other attached)"
describes "$(volume in-use $other detaching)"
describes "$(volume available)"
attaches ". /harness/come.nvme1n1"
describes "$(volume in-use $me attached)"
sed "s|$work/root.[0-9]*/|/|g" "$work/disk.nvme1n1.come" >"$root/harness/come.nvme1n1"
starts etcd-volume
says "vol-0aaa is still attached to $other"
says "vol-0aaa is still detaching to $other"
says_not Formatting
is "$(cat "$root$folder/file")" kept
is "$(actions)" "DescribeVolumes DescribeVolumes DescribeVolumes AttachVolume DescribeVolumes "

it "does not go by another machine's record"
a_controller
a_zone
mkdir -p "$root/var/lib/alpine-ami"
echo "$other vol-0aaa" >"$root/var/lib/alpine-ami/etcd-volume"
sh "$work/disk.nvme1n1.come"
rm "$root/harness/ec2/AttachVolume/000.do"
starts etcd-volume
is "$(actions)" "DescribeVolumes AttachVolume DescribeVolumes DescribeVolumes "

it "does not go by a record that was cut off"
for text in "" "$me" "$me vol-0" "$me "; do
    new_root
    a_controller
    make_disk nvme1n1 64 vol0aaa
    mkdir -p "$root/var/lib/alpine-ami"
    printf '%s' "$text" >"$root/var/lib/alpine-ami/etcd-volume"
    describes "$(volume in-use $me attached)" ". /harness/come.nvme1n1"
    starts etcd-volume
    is "$(actions)" "DescribeVolumes "
    is "$(cat "$root/var/lib/alpine-ami/etcd-volume")" "$me vol-0aaa"
done

it "asks again where another controller was faster, and in the end gives up"
a_controller
set_conf etcd-volume patience_seconds=100
describes "$(volume available)"
ec2_refuses AttachVolume 400 VolumeInUse
describes "$(volume in-use $other attached)"
refuses etcd-volume
says "Cannot attach vol-0aaa (AttachVolume: VolumeInUse It says why & so on.): trying again"
says "Gave up after 100 s: Waiting: vol-0aaa is still attached to $other"
is "$(cut -d. -f1 "$root/harness/uptime")" 1100
not_mounted "$folder"

it "attaches after VolumeInUse"
a_controller
make_disk nvme1n1 64 vol0aaa
describes "$(volume available)"
describes "$(volume available)"
describes "$(volume in-use $me attached)"
ec2_refuses AttachVolume 400 VolumeInUse
attaches ". /harness/come.nvme1n1"
starts etcd-volume
mounted "$folder" nvme1n1

it "asks for new credentials each time, so that expired ones do not last"
a_controller
make_disk nvme1n1 64 vol0aaa
ec2_refuses DescribeVolumes 400 RequestExpired
describes "$(volume in-use $me attached)"
imds meta-data/iam/security-credentials/controller \
    '{"Code":"Success","AccessKeyId":"ASIAOLD","SecretAccessKey":"Old","Token":"Old"}'
at 10 ". /harness/come.nvme1n1; echo '{\"AccessKeyId\":\"ASIANEW\",\"SecretAccessKey\":\"New\",\"Token\":\"New\"}' >/harness/imds/meta-data/iam/security-credentials/controller.value"
starts etcd-volume
says "RequestExpired"
grep -qx 'user = "ASIANEW:New"' "$root/harness/config.DescribeVolumes" || fail "old credentials"

it "goes on where EC2 or its name does not answer, and where the role is not there yet"
a_controller
make_disk nvme1n1 64 vol0aaa
describes "$(volume in-use $me attached)"
echo 2 >"$root/harness/ec2-fails"
mv "$root/harness/imds/meta-data/iam/security-credentials/.value" "$root/harness/role"
at 30 "mv /harness/role /harness/imds/meta-data/iam/security-credentials/.value; . /harness/come.nvme1n1"
starts etcd-volume
says "the instance needs a role"
mounted "$folder" nvme1n1

it "asks EC2 for the cluster's tag where the metadata has none"
a_controller
make_disk nvme1n1 64 vol0aaa
rm "$root/harness/imds/meta-data/tags/instance/kubezero:cluster.value"
answer DescribeTags 200 <<END
<DescribeTagsResponse><tagSet/></DescribeTagsResponse>
END
answer DescribeTags 200 <<END
<DescribeTagsResponse><tagSet><item><resourceId>$me</resourceId>
<resourceType>instance</resourceType><key>kubezero:cluster</key><value>a b</value></item></tagSet></DescribeTagsResponse>
END
describes "$(volume in-use $me attached)" ". /harness/come.nvme1n1"
starts etcd-volume
says "has no tag kubezero:cluster yet"
calls | grep -qx '  Filter.1.Value.1=a b' || fail "not the tag's value"

it "waits for the volume to be made, and gives up where there is none"
a_controller
make_disk nvme1n1 64 vol0aaa
set_conf etcd-volume patience_seconds=50
describes ""
refuses etcd-volume
says "Gave up after 50 s: Waiting: there is no gp3 volume of cluster prod"
rm -r "$root/harness/ec2/DescribeVolumes"
describes ""
describes "$(volume creating)"
describes "$(volume in-use $me attached)" ". /harness/come.nvme1n1"
starts etcd-volume
says "vol-0aaa is creating"

it "gives up where the disk does not come"
a_controller
make_disk nvme2n1 64 vol0aaaa
sh "$work/disk.nvme2n1.come"
set_conf etcd-volume patience_seconds=50
describes "$(volume in-use $me attached)"
refuses etcd-volume
says "its disk did not come within 50 s"

it "refuses a volume that several machines may have at once"
a_controller
new_disk nvme1n1 64 vol0aaa
describes "$(volume available "" "" true)"
refused
is "$(actions)" "DescribeVolumes "

it "refuses to choose between two volumes"
a_controller
new_disk nvme1n1 64 vol0aaa
describes "$(volume available)$(volume available)"
refused
is "$(actions)" "DescribeVolumes "

it "leaves a foreign file system as it is, at its first boot and at the next"
for what in "mkfs.ext4 -q -F -L containers" "mkfs.xfs -q -f" "sgdisk -n 1:0:0"; do
    new_root
    a_controller
    new_disk nvme1n1 "$([ "$what" = "mkfs.xfs -q -f" ] && echo 400 || echo 64)" vol0aaa
    $what "$work/disk.nvme1n1" >/dev/null
    describes "$(volume in-use $me attached)"
    refused
    refused
done

# Each of the service's own programs that changes something. What mkfs leaves behind is a matter of
# containers-volume.sh.
it "is finished by the next start after a kill at any of its steps"
for step in chmod mkdir mount sync; do
    new_root
    a_controller
    a_zone
    cat >"$root/stubs/$step" <<END
#!/bin/sh
kill -9 "\$PPID"
END
    chmod +x "$root/stubs/$step"
    refuses etcd-volume
    rm "$root/stubs/$step"
    starts etcd-volume
    mounted "$folder" nvme1n1
    is "$(cat "$root/var/lib/alpine-ami/etcd-volume")" "$me vol-0aaa"
    is "$(actions | tr ' ' '\n' | grep -c AttachVolume)" 1
    reboot
    starts kubezero-node
    starts etcd-volume
    says_not Formatting
done
