#!/bin/sh
# What the real OpenRC makes of the services of a whole node: every dependency is there, none goes round
# in a circle, and the order is the one that is needed. Nothing is started.
#
# OpenRC is Alpine's own where the shared Alpine data is (ALPINE_AMI_SHARED, or `../shared` beside the
# checkout), with the services of Alpine's packages as far as they are there; else Debian's where that is
# installed. The others are the demo mirror's stand-ins for services of Alpine's packages.
# shellcheck source=tests/services/lib.sh
. "$(dirname "$0")/lib.sh"

top=$(cd "$here/../.." && pwd)
alpine=${ALPINE_AMI_SHARED:-$top/../shared}/alpine
mini=$alpine/minirootfs-3.15.11-x86_64.tar.gz
packages=$alpine/v3.19/main/x86_64

# unpack PACKAGE...: packages of the shared data, by the beginning of their names. The signature and
# the package's own record come along, and do not matter here.
unpack() {
    for package; do
        for path in "$packages/$package"-[0-9]*.apk; do
            tar -C "$root" -xzf "$path" 2>/dev/null
        done
    done
}

# a_root: sets `root` to one with OpenRC and the services of Alpine's packages.
a_root() {
    if [ -e "$mini" ] && ls "$packages"/openrc-0*.apk >/dev/null 2>&1 && [ "$(uname -m)" = x86_64 ]; then
        roots=$((roots + 1))
        root=$work/root.$roots
        mkdir "$root"
        mount -t tmpfs -o mode=0755 tmpfs "$root"
        tar -C "$root" -xzf "$mini"
        unpack openrc libcap2 busybox-openrc busybox-mdev-openrc chrony-openrc \
            openssh-server-common-openrc
        cp -r "$template/etc/init.d" "$template/etc/conf.d" "$root/etc"
        mkdir -p "$root/usr/libexec" "$root/harness"
        cp -r "$template/usr/libexec/alpine-ami" "$root/usr/libexec"
        mount --rbind /proc "$root/proc"
        : >"$root/dev/null" && mount --bind /dev/null "$root/dev/null"
    elif [ -x /usr/lib/rc/bin/rc-depend ] || [ -x /lib/rc/bin/rc-depend ]; then
        new_root
        [ -e "$root/lib/rc" ] || ln -s ../usr/lib/rc "$root/lib/rc"
        # What Debian's has of its own, and what the demo mirror gives it to read.
        cp /etc/init.d/cgroups /etc/init.d/savecache "$root/etc/init.d"
        cp -r "$top"/scripts/demo-mirror.d/openrc/files/etc/insserv.conf "$root/etc"
        mkdir -p "$root/etc/insserv.conf.d"
    else
        skip "neither Alpine's OpenRC nor Debian's is here"
    fi
    for path in "$top"/scripts/demo-mirror.d/*/files/etc/init.d/*; do
        [ -e "$root/etc/init.d/${path##*/}" ] || cp "$path" "$root/etc/init.d"
        # Git keeps no other modes, and OpenRC looks at nothing else.
        chmod 0755 "$root/etc/init.d/${path##*/}"
    done
    cp "$overlays/kubezero/root/etc/rc.conf" "$root/etc/rc.conf"
}

# services_of RUNLEVEL PROFILE...: the services that profiles put there.
services_of() {
    level=$1
    shift
    for profile; do
        awk -v level="$level" '
            { sub(/#.*/, "") }
            /^\[/ { section = $1 }
            section == "[services]" && $1 == level || $1 == "services." level { inside = 1 }
            inside { text = text $0 }
            /\]/ { inside = 0 }
            END { gsub(/^[^[]*\[|[",\]]|[^ ]* = \[/, " ", text); print text }' \
            "$top/profiles/$profile.toml"
    done
}

rc_depend() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/rc/bin/rc-depend --nocolor --type ineed,iuse,iwant,iafter "$@"
}

# order_of PROFILE...: sets `order` to the services in the order in which OpenRC starts them, runlevel
# after runlevel, as init does; `log` is what it says of their dependencies.
order_of() {
    order=
    rm -rf "$root/run/openrc" && mkdir -p "$root/run/openrc/started"
    for level in sysinit boot default; do
        rm -rf "$root/etc/runlevels/$level" && mkdir -p "$root/etc/runlevels/$level"
        # shellcheck disable=SC2046 # words
        for name in $(services_of "$level" "$@"); do
            [ -e "$root/etc/init.d/$name" ] || fail "there is no service $name"
            ln -sf "/etc/init.d/$name" "$root/etc/runlevels/$level/$name"
        done
    done
    echo sysinit >"$root/run/openrc/softlevel"
    log=$(rc_depend --update --starting devfs 2>&1 >/dev/null)
    for level in sysinit boot default; do
        echo "$level" >"$root/run/openrc/softlevel"
        # shellcheck disable=SC2046 # words
        for name in $(rc_depend --starting $(ls "$root/etc/runlevels/$level") 2>/dev/null); do
            [ ! -L "$root/run/openrc/started/$name" ] || continue
            ln -s "/etc/init.d/$name" "$root/run/openrc/started/$name"
            order="$order $name"
        done
    done
}

# in_order SERVICE...: that they are started, in this order.
in_order() {
    left="$order "
    for name; do
        case $left in
        *" $name "*) left=" ${left#*" $name "}" ;;
        *) fail "$name is not where it should be in:$order; wanted: $*" ;;
        esac
    done
}

# no_complaint: OpenRC says of a service that is not there. A circle it cuts in silence where it can: so
# it is sought in what the services of the runlevels say, as OpenRC reads it from them.
no_complaint() {
    is "$(printf '%s\n' "$log" | grep -v 'Caching service dependencies')" ""
    is "$(circle)" ""
}

# circle: the services of one, if there is one.
circle() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin RC_SVCDIR=/run/openrc \
        RC_LIBEXECDIR=/lib/rc /lib/rc/sh/gendepends.sh 2>/dev/null >"$work/said"
    echo "$order" | tr ' ' '\n' | awk '
        FNR == NR { if ($1) started[$1] = provider[$1] = $1; next }
        { kind[++lines] = $2; name[lines] = $1; $1 = $2 = ""; others[lines] = $0 }
        kind[lines] == "iprovide" && name[lines] in started {
            count = split(others[lines], list)
            for (i = 1; i <= count; i++) provider[list[i]] = name[lines]
        }
        END {
            for (line = 1; line <= lines; line++) {
                if (!(name[line] in started)) continue
                count = split(others[line], list)
                for (i = 1; i <= count; i++) {
                    if (!(list[i] in provider)) continue
                    other = provider[list[i]]
                    if (other == name[line]) continue
                    if (kind[line] ~ /^i(need|use|want|after)$/) print other, name[line]
                    if (kind[line] == "ibefore") print name[line], other
                }
            }
        }' - "$work/said" | tsort 2>&1 >/dev/null | tr '\n' ' '
}

case_name="a worker's services have no circle and start in order"
a_root
rm "$root/etc/init.d/etcd-volume" "$root/etc/conf.d/etcd-volume"
order_of core base kubezero kubezero-worker
no_complaint
in_order localmount grow-root bootmisc
in_order modules sysctl
in_order mount-shared ebs-links containers-volume kubelet-root crio kubelet
in_order cgroups crio
in_order instance-metadata kubezero-node kubelet
in_order sshd containers-volume
in_order kubelet-root user-data
in_order kubezero-node user-data

case_name="a controller's have none either, and etcd's volume is there before kubelet"
a_root
order_of core base kubezero kubezero-controller
no_complaint
in_order mount-shared ebs-links containers-volume kubelet-root crio kubelet
in_order ebs-links etcd-volume kubelet
in_order sshd etcd-volume
in_order kubezero-node etcd-volume

case_name="they stop the other way round"
echo shutdown >"$root/run/openrc/softlevel"
# What it lists so it goes through from the end.
# shellcheck disable=SC2086 # words
stops=$(rc_depend --stopping $order 2>/dev/null)
order=
for name in $stops; do order=" $name$order"; done
in_order kubelet crio kubelet-root containers-volume mount-shared localmount
in_order user-data kubelet etcd-volume kubezero-node networking

case_name="a circle and a service that is not there would be seen"
echo 'rc_after="kubelet"' >>"$root/etc/conf.d/containers-volume"
order_of core base kubezero kubezero-controller
case $(circle) in
*kubelet-root*) ;;
*) fail "the circle is not seen: $(circle)" ;;
esac
a_root
echo 'rc_need="nothing-like-it"' >>"$root/etc/conf.d/ebs-links"
order_of core base kubezero kubezero-controller
says "nothing-like-it"
