#!/bin/sh
# Calls of the EC2 API: what curl really sends, and what is made of answers.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

credentials() {
    imds meta-data/iam/security-credentials/ node
    imds meta-data/iam/security-credentials/node \
        '{"Code":"Success","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"Secret/+S","Token":"Tok//+en=="}'
}

ec2() {
    status=0
    in_root env ${endpoint:+EC2_ENDPOINT="$endpoint"} /usr/libexec/alpine-ami/ec2 \
        eu-central-1 amazonaws.com "$@" >"$work/out" 2>"$work/log" || status=$?
    log=$(cat "$work/log")
    return "$status"
}

it "makes lines of a document"
credentials
answer DescribeX 200 <<'END'
<?xml version="1.0"?>
<!-- no text -->
<R xmlns="x"><set><item><id>a</id><empty/><inner><item><k>1</k></item><item><k>2</k></item></inner></item>
  <item>
    <id>b</id>
    <text>&lt;x&gt; &amp;amp; "two
lines"</text>
    <inner/>
  </item></set><last attribute="y">z</last></R>
END
ec2 DescribeX || fail "ended with $status"
is "$(cat "$work/out")" 'R/set/1/id a
R/set/1/inner/1/k 1
R/set/1/inner/2/k 2
R/set/2/id b
R/set/2/text <x> &amp; "two lines"
R/last z'
calls | grep -q -- '--config -' || fail "not by standard input"
grep -qx 'url = "https://ec2.eu-central-1.amazonaws.com/"' "$root/harness/config.DescribeX"

it "tells what EC2 refuses from what it does not answer"
credentials
answer DoX 403 <<'END'
<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>No.</Message></Error></Errors></Response>
END
! ec2 DoX || fail "ended well"
is "$status $log" "3 UnauthorizedOperation No."
answer DoY 502 <<'END'
<html><body>Bad gateway</body></html>
END
! ec2 DoY || fail "ended well"
is "$status" 1
echo 1 >"$root/harness/ec2-fails"
! ec2 DoX || fail "ended well"
is "$status" 1
imds meta-data/iam/security-credentials/node '{"Code":"Failed"}'
! ec2 DoX || fail "ended well"
is "$status" 4
imds meta-data/iam/security-credentials/node \
    '{"AccessKeyId":"A","SecretAccessKey":"b\"\nurl = \"http://x","Token":""}'
! ec2 DoX || fail "ended well"
is "$status" 4
is "$(find "$root/run" -type f)" ""

it "takes no parameter that would be several options of curl's"
credentials
! ec2 DoX 'Name=a
output = "/etc/passwd"' || fail "ended well"
is "$status" 2
is "$(calls)" ""

it "is signed by the real curl as AWS wants it"
command -v curl >/dev/null || skip "there is no curl"
credentials
rm "$root/stubs/curl"
# The metadata service is a stand-in here: curl is the real one.
cat >"$root/usr/libexec/alpine-ami/imds" <<'END'
#!/bin/sh
cat "/harness/imds/$2.value"
END
in_root busybox ip link set lo up || skip "there is no network of our own"
cat >"$root/harness/reply" <<'END'
#!/bin/sh
# Reads a request whole, then answers.
length=0
while IFS= read -r line; do
    line=$(printf '%s' "$line" | tr -d '\r')
    printf '%s\n' "$line" >>/harness/request
    case $line in
    Content-Length:*) length=${line#*: } ;;
    '') break ;;
    esac
done
head -c "$length" >>/harness/request
body='<R><ok>yes</ok></R>'
printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "${#body}" "$body"
END
chmod +x "$root/harness/reply"
in_root busybox nc -l -p 8123 -e /harness/reply &
for _ in 1 2 3 4 5 6 7 8 9 10; do
    grep -q ':1FBB ' /proc/self/net/tcp /proc/self/net/tcp6 2>/dev/null && break
    command sleep 0.1
done
endpoint=http://127.0.0.1:8123/
ec2 DescribeVolumes "Filter.1.Name=tag:a b" "Filter.1.Value.1=x&y=\"z\"\\" || fail "ended with $status"
wait
is "$(cat "$work/out")" "R/ok yes"
request=$(cat "$root/harness/request")
log=$request
says "POST / HTTP/1.1"
says "Authorization: AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/"
says "/eu-central-1/ec2/aws4_request, SignedHeaders="
says "X-Amz-Security-Token: Tok//+en=="
says "Content-Type: application/x-www-form-urlencoded"
says "Action=DescribeVolumes&Version=2016-11-15&Filter.1.Name=tag%3Aa+b&Filter.1.Value.1=x%26y%3D%22z%22%5C"
