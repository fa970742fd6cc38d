#!/bin/sh
# Runs the guest's kernel, as the first process of process and mount namespaces of its own: when it ends, all ends.
#   launch.sh SHARED MEMORY_MB KERNEL ARGUMENT...
# The machine's root file system becomes read-only here, but for SHARED. The kernel keeps its memory, and the sockets of
# its management console, in TMPDIR: a tmpfs that exists in this namespace only.
set -eu
shared=$1 memory=$2
shift 2
mount --make-rprivate /
mount -t proc proc /proc
mount --bind "$shared" "$shared"
mount -o remount,bind,ro /
mount -t tmpfs -o size="$((memory + 64))m" tmpfs /dev/shm
export TMPDIR=/dev/shm
"$@" && status=0 || status=$?
exit "$status"
