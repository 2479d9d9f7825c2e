// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"

/* Newer than the C libraries we may find ourselves in. */
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}

/* For paths that return an earlier failure: close() must not replace it. */
static int close_and(int fd, int ret)
{
	close(fd);
	return ret;
}

int tcpx_close(int fd)
{
	return result(close(fd));
}

/* 1 when the path still names what fd is open on, 0 when not. */
static int still_names(const char *path, int fd)
{
	struct stat at_path, at_fd;

	if (fstat(fd, &at_fd))
		return -errno;
	if (syscall(SYS_newfstatat, AT_FDCWD, path, &at_path, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	return at_path.st_dev == at_fd.st_dev && at_path.st_ino == at_fd.st_ino;
}

int tcpx_flock(const char *dir, int exclusive_nonblock)
{
	int fd, same;

	if (!dir)
		return -EINVAL;
	for (;;) {
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | (exclusive_nonblock ? LOCK_NB : 0)))
			return close_and(fd, -errno);
		/* Whoever held the lock may have removed or replaced the directory. */
		same = still_names(dir, fd);
		if (same > 0)
			return fd;
		close(fd);
		if (same < 0)
			return same;
	}
}

static int do_mount(const char *path)
{
	return mount("tcpx", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME,
		     "mode=700");
}

static int do_umount(const char *path)
{
	return umount2(path, UMOUNT_NOFOLLOW);
}

/*
 * setns() into a mount namespace is refused to a process with threads that share its
 * fs_struct, which Bun's do; so a child does it. A bare clone: no fork handlers run in a
 * process with a JIT, and without an exit signal nobody else reaps the child. It may only
 * make system calls, and its exit status is the errno.
 */
static int in_mount_ns(const char *mnt_ns, int (*action)(const char *), const char *path)
{
	int ns, status;
	long pid;

	ns = open(mnt_ns, O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return -errno;
	pid = syscall(SYS_clone, 0, 0, 0, 0, 0);
	if (pid < 0)
		return close_and(ns, -errno);
	if (pid == 0)
		_exit(setns(ns, CLONE_NEWNS) || action(path) ? errno & 0xff : 0);
	close(ns);
	while (waitpid((pid_t)pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int tcpx_mount_bpffs(const char *path, const char *mnt_ns)
{
	if (!path)
		return -EINVAL;
	return mnt_ns ? in_mount_ns(mnt_ns, do_mount, path) : result(do_mount(path));
}

int tcpx_umount(const char *path, const char *mnt_ns)
{
	if (!path)
		return -EINVAL;
	return mnt_ns ? in_mount_ns(mnt_ns, do_umount, path) : result(do_umount(path));
}

int tcpx_fs_type(const char *path, uint64_t *magic)
{
	struct statfs fs;

	if (!path || !magic)
		return -EINVAL;
	if (statfs(path, &fs))
		return -errno;
	*magic = (uint32_t)fs.f_type;
	return 0;
}

static int control_socket(void)
{
	return result(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

int tcpx_netns_cookie(uint64_t *out)
{
	socklen_t len = sizeof(*out);
	int fd;

	if (!out)
		return -EINVAL;
	fd = control_socket();
	if (fd < 0)
		return fd;
	return close_and(fd, result(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, out, &len)));
}

int tcpx_netns_new(void)
{
	struct ifreq req = {.ifr_name = "lo"};
	int fd, err;

	if (unshare(CLONE_NEWNET))
		return -errno;
	fd = control_socket();
	if (fd < 0)
		return fd;
	err = result(ioctl(fd, SIOCGIFFLAGS, &req));
	if (!err) {
		req.ifr_flags |= IFF_UP;
		err = result(ioctl(fd, SIOCSIFFLAGS, &req));
	}
	return close_and(fd, err);
}

int tcpx_netns_enter(const char *path)
{
	int fd;

	if (!path)
		return -EINVAL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return close_and(fd, result(setns(fd, CLONE_NEWNET)));
}

static int copy_of(int pid, int fd)
{
	int pidfd;

	if (fd < 0)
		return -EBADF;
	if (!pid)
		return result(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	pidfd = result(syscall(SYS_pidfd_open, pid, 0));
	if (pidfd < 0)
		return pidfd;
	return close_and(pidfd, result(syscall(SYS_pidfd_getfd, pidfd, fd, 0)));
}

int tcpx_sockopt_of(int pid, int fd, int level, int name, void *value, int size)
{
	socklen_t len = (socklen_t)size;
	int copy, err;

	if (!value || size < 0)
		return -EINVAL;
	copy = copy_of(pid, fd);
	if (copy < 0)
		return copy;
	err = close_and(copy, result(getsockopt(copy, level, name, value, &len)));
	return err < 0 ? err : (int)len;
}

int tcpx_sockopt_set(int pid, int fd, int level, int name, const void *value, int size)
{
	int copy;

	if (!value || size < 0)
		return -EINVAL;
	copy = copy_of(pid, fd);
	if (copy < 0)
		return copy;
	return close_and(copy, result(syscall(SYS_setsockopt, copy, level, name, value, size)));
}

int tcpx_algorithm_load(const char *name)
{
	int fd;

	if (!name)
		return -EINVAL;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	return close_and(fd, result(syscall(SYS_setsockopt, fd, IPPROTO_TCP, TCP_CONGESTION, name,
					    strlen(name))));
}

int tcpx_packet_socket(const char *ifname)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct ifreq req = {};
	int fd, err;

	if (!ifname)
		return -EINVAL;
	if (strlen(ifname) >= sizeof(req.ifr_name))
		return -ENODEV;
	memcpy(req.ifr_name, ifname, strlen(ifname));
	/* Protocol 0 receives nothing: no frame of another interface before the bind. */
	fd = result(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (fd < 0)
		return fd;
	err = result(ioctl(fd, SIOCGIFINDEX, &req));
	if (!err) {
		addr.sll_ifindex = req.ifr_ifindex;
		err = result(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	}
	return err ? close_and(fd, err) : fd;
}

int tcpx_raise_memlock(void)
{
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	return result(setrlimit(RLIMIT_MEMLOCK, &unlimited));
}

/* The coarse clock moves once a tick. */
int tcpx_jiffy_us(void)
{
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick))
		return -errno;
	return (int)(tick.tv_nsec / 1000);
}
