#!/bin/sh
# The guest's first process. `init.sh` builds the file system and starts itself in it, as `init.sh serve`, which takes
# commands from the console: lines of
#   start JOB           run SHARED/JOB/command; its output, process id, and exit code with times go to files beside it
#   signal JOB SIGNAL   signal what it runs
#   halt                end, as the end of the console's input does
# SHARED/settings has the modules to load and the address of eth0.
set -eu
shared=${0%/*}
. "$shared/settings"

# build makes a root of the machine's files and a layer in memory, and moves to it.
build() {
	mount -n -t tmpfs layer /mnt
	mkdir /mnt/upper /mnt/work /mnt/root
	insmod "/usr/lib/uml/modules/$(uname -r)/kernel/fs/overlayfs/overlay.ko"
	mount -n -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/root
	cd /mnt/root
	pivot_root . mnt
	exec chroot . /bin/sh "$shared/init.sh" serve </dev/null >/dev/null 2>&1
}

# furnish mounts what programs expect, makes iptables the variant that this kernel has, and loads modules.
furnish() {
	mount -n -t proc proc /proc
	mount -n -t devtmpfs dev /dev
	exec </dev/console >/dev/console 2>&1
	mkdir -p /dev/pts /dev/shm /lib/modules
	mount -n -t devpts devpts /dev/pts
	mount -n -t tmpfs shm /dev/shm
	mount -n -t tmpfs run /run
	mount -n -t sysfs sys /sys
	mount -n -t cgroup2 cgroup /sys/fs/cgroup
	mount -n -t hostfs -o "$shared" shared "$shared"
	ln -sfn /proc/mounts /etc/mtab
	ln -sfn "/usr/lib/uml/modules/$(uname -r)" "/lib/modules/$(uname -r)"
	for variant in /usr/sbin/iptables-legacy* /usr/sbin/ip6tables-legacy*; do
		name=${variant##*/}
		[ ! -x "$variant" ] || ln -sfn "$variant" "/usr/sbin/${name%%-*}${name#*-legacy}"
	done
	# shellcheck disable=SC2086
	modprobe -a $modules
	hostname guest
	ip link set lo up
	[ -z "$address" ] || { ip link set vec0 name eth0; ip address add "$address" dev eth0; ip link set eth0 up; }
	# What is written to SHARED is to be seen on the other side soon.
	echo 20 >/proc/sys/vm/dirty_writeback_centisecs
	echo 10 >/proc/sys/vm/dirty_expire_centisecs
	ulimit -n 65536
}

# start runs a job in the background. Its files are complete when "ended" appears.
start() (
	cd "$shared/$1"
	setsid sh ./command </dev/null >stdout 2>stderr &
	echo $! >pid
	wait $! && code=0 || code=$?
	{ echo "$code"; times; } >ended.new
	sync -f .
	mv ended.new ended
)

# signal signals the process group of a job, which may only be about to start.
signal() (
	cd "$shared/$1"
	while [ ! -e ended ] && ! kill -s "$2" -- "-$(cat pid)"; do sleep 0.1; done 2>/dev/null
)

halt() {
	sync
	echo o >/proc/sysrq-trigger
	sleep 60
}

[ "${1-}" = serve ] || build
furnish
stty -echo
: >"$shared/ready"
while read -r verb job signal; do
	case $verb in
	start) start "$job" & ;;
	signal) signal "$job" "$signal" ;;
	halt) break ;;
	esac
done
halt
