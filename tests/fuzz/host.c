// SPDX-License-Identifier: MIT
#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "../../native-loader/agent/netlink.h"
#include "../../native-loader/guard-process.h"
#include "host.h"
#include "input.h"

#define FD_FIRST (1 << 20) /* above what a process may have */
#define FDS 2048
#define CLOCK_START 1000000000000ULL

static struct {
	enum what what;
	int note;
	struct asked asked;
} fds[FDS];
static int fds_used; /* the highest */
static bool inside;
static uint64_t sent, now;
static unsigned int fails_at;

bool host_inside(void)
{
	return inside;
}

static void note_sent(const void *bytes, size_t n)
{
	const unsigned char *at = bytes;

	/* FNV-1a, the length first */
	sent = (sent ^ n) * 0x100000001b3ULL;
	for (size_t i = 0; i < n; i++)
		sent = (sent ^ at[i]) * 0x100000001b3ULL;
}

uint64_t host_sent(void)
{
	return sent;
}

void host_begin(void)
{
	/* All runs have the same sequence numbers. */
	nl_sequence(-nl_sequence(0));
	netlink_reset();
	memset(fds, 0, (size_t)fds_used * sizeof(*fds));
	fds_used = 0;
	fails_at = 0;
	sent = 0xcbf29ce484222325ULL;
	now = CLOCK_START;
	inside = true;
}

void host_end(void)
{
	inside = false;
	poison_end();
	for (int i = 0; i < fds_used; i++)
		require(fds[i].what == CLOSED, "a descriptor that was not closed");
}

void host_fails_at(unsigned int n)
{
	fails_at = n;
}

uint64_t clock_ns(void)
{
	return now;
}

void clock_advance(uint64_t seconds)
{
	now += seconds * 1000000000;
}

int fd_open(enum what what)
{
	int i = 0;

	while (i < FDS && fds[i].what != CLOSED)
		i++;
	require(i < FDS, "descriptors without an end");
	fds_used = i < fds_used ? fds_used : i + 1;
	memset(&fds[i], 0, sizeof(fds[i]));
	fds[i].what = what;
	return FD_FIRST + i;
}

enum what fd_what(int fd)
{
	return fd >= FD_FIRST && fd < FD_FIRST + FDS ? fds[fd - FD_FIRST].what : CLOSED;
}

static void require_open(int fd)
{
	require(fd_what(fd) != CLOSED, "use of a descriptor that is not open");
}

int *fd_note(int fd)
{
	require_open(fd);
	return &fds[fd - FD_FIRST].note;
}

int fd_close(int fd)
{
	require_open(fd);
	fds[fd - FD_FIRST].what = CLOSED;
	return 0;
}

struct asked *asked(int fd)
{
	return &fds[fd - FD_FIRST].asked;
}

static long answer(long result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

static long get_name(struct sockaddr_nl *name, int fd)
{
	name->nl_family = AF_NETLINK;
	name->nl_pid = (uint32_t)fd;
	return 0;
}

static long set_option(int fd, long level, long name)
{
	if (level == SOL_NETLINK && name == NETLINK_ADD_MEMBERSHIP)
		asked(fd)->news = true;
	return 0;
}

static long send_to(int fd, const void *bytes, size_t n)
{
	if (fd_what(fd) != SOCKET) /* the guard's line */
		return (long)n;
	note_sent(bytes, n);
	return netlink_sent(fd, bytes, n);
}

static long receive(int fd, void *bytes, size_t room, struct sockaddr_nl *from, unsigned int *len)
{
	struct sockaddr_nl nobody;
	unsigned int unused;

	if (fd_what(fd) != SOCKET)
		return *fd_note(fd) ? 0 : -EAGAIN; /* the guard: dead, or well */
	return netlink_read(fd, bytes, room, from ? from : &nobody, len ? len : &unused);
}

static long clock_tell(struct timespec *out)
{
	out->tv_sec = (time_t)(now / 1000000000);
	out->tv_nsec = (long)(now % 1000000000);
	return 0;
}

static long pair(int *line)
{
	line[0] = fd_open(OTHER);
	line[1] = fd_open(OTHER);
	return 0;
}

static long prepare(long number, const long *a)
{
	switch (number) {
	case SYS_socket:
		return fd_open(SOCKET);
	case SYS_epoll_create1:
		return fd_open(OTHER);
	case SYS_socketpair:
		return pair((int *)a[3]);
	}
	require_open((int)a[0]);
	switch (number) {
	case SYS_bind:
	case SYS_connect:
	case SYS_epoll_ctl:
		return 0;
	case SYS_setsockopt:
		return set_option((int)a[0], a[1], a[2]);
	case SYS_getsockname:
		return get_name((void *)a[1], (int)a[0]);
	}
	require(false, "a system call that the harness does not know");
	return -ENOSYS;
}

static long act(long number, const long *a)
{
	switch (number) {
	case SYS_clock_gettime:
		return clock_tell((struct timespec *)a[1]);
	case SYS_sendto:
		require_open((int)a[0]);
		return send_to((int)a[0], (void *)a[1], (size_t)a[2]);
	case SYS_recvfrom:
		require_open((int)a[0]);
		return receive((int)a[0], (void *)a[1], (size_t)a[2], (void *)a[4], (void *)a[5]);
	}
	return fails_at && !--fails_at ? -EPERM : prepare(number, a);
}
/* Called with as many arguments as the call has: registers, or the stack, hold something for all.
 */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	const long all[] = {a, b, c, d, e, f};

	return inside ? answer(act(number, all)) : __real_syscall(number, a, b, c, d, e, f);
}

int __real_close(int fd);
int __wrap_close(int fd)
{
	return fd >= FD_FIRST ? fd_close(fd) : __real_close(fd);
}

int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
	return inside ? (int)clock_tell(out) : __real_clock_gettime(clock, out);
}

/* No process is made: what it would do, sweep(), answers.c does. */
int __wrap_guard_launch(void (*child)(const void *), const void *context)
{
	(void)child;
	(void)context;
	return 0;
}

const char *__asan_default_options(void)
{
	/* see poison.c: frames are on the stack */
	return "detect_stack_use_after_return=0:detect_leaks=1";
}

const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1";
}
