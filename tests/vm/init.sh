#!/bin/sh
# SPDX-License-Identifier: MIT
# The guest's first process: mounts what a host has (but no bpffs: tcpx mounts it), or leaves that to
# systemd; runs the tests, and powers off whatever happens.

# iproute2 before busybox's applets of the same names
export PATH=/usr/sbin:/bin HOME=/tmp TCPX_BIN=/usr/sbin/tcpx TCPX_CACHE_DIR=/tcpx/cache

if [ -x /usr/lib/systemd/systemd ]; then
	# a guest with systemd (scripts/vm/systemd-root.ts), which mounts, and starts this again as a service
	[ $$ != 1 ] || exec /usr/lib/systemd/systemd
	export PATH=/usr/sbin:/usr/bin:/busybox
	/bin/busybox mkdir /busybox
	/bin/busybox --install -s /busybox
else
	/bin/busybox --install -s /bin
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t devtmpfs devtmpfs /dev
	mount -t tmpfs tmpfs /run
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
mkdir -p /run/netns
ip link set lo up

(
	sleep "${TCPX_LIMIT:-300}"
	echo "guest: out of time"
	poweroff -f
) &

for module in veth tun sch_netem sch_fq tcp_bbr; do
	modprobe "$module" || echo "guest: no module $module"
done

echo "VM: begin $(uname -r)"
bun run "/tcpx/tests/vm/${TCPX_GUEST:-guest.ts}" 2>&1
echo "guest: the tests ended with $?"
sync
poweroff -f
