#!/bin/sh
# `poweroff` of an instance that runs as processes: tells its first process, never this machine's.
# The signals are those of busybox's init, but that `-f` means at once, as it does elsewhere.
for option; do
    case $option in
        -f | --force | -ff) exec kill -s USR1 1 ;;
    esac
done
exec kill -s USR2 1
