// SPDX-License-Identifier: MIT
#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../native-loader/agent/find-netns.h"
#include "agent-host.h"
#include "host.h"
#include "input.h"
#include "packet.h"

#define HOME 1
#define OWNER_DEV 5
#define OWNER 77
#define SERVED_AT_ONCE 20
#define FDS_EACH 14 /* as in served.c */
#define FDS_OTHER 128
#define TEXT_MOST 700 /* more than the agent has room for */
#define PIPE_MOST 256

enum kind { USUAL, ABSENT, FOREIGN, SHUT, NO_IPV6 };

static struct agent *agent;
static void *(*thread)(void *);
static int here; /* the namespace of the thread */
static unsigned char text[TEXT_MOST], queue[PIPE_MOST];
static size_t text_n, queue_n;
static uint8_t pipe_gives;
static int refuses;
static const struct tcpx_held *held;

/* Most are usual; there are some of each kind. */
static enum kind kind_of(int inode)
{
	static const enum kind kinds[] = {[4] = NO_IPV6, [5] = SHUT, [6] = ABSENT, [7] = FOREIGN};

	return inode ? kinds[inode % 8] : ABSENT;
}

/* Nothing else here needs many, and the agent asks how many there are. */
static void limit_descriptors(void)
{
	struct rlimit limit = {FDS_OTHER + FDS_EACH * SERVED_AT_ONCE, 0};

	limit.rlim_max = limit.rlim_cur;
	require(!setrlimit(RLIMIT_NOFILE, &limit), "a limit that cannot be set");
}

void host_agent_begin(void)
{
	limit_descriptors();
	agent = NULL;
	thread = NULL;
	here = HOME;
	text_n = queue_n = 0;
	pipe_gives = 0;
	refuses = 0;
	held = NULL;
}

void host_holds(const struct tcpx_held *record)
{
	held = record;
}

void host_pipe_gives(uint8_t n)
{
	pipe_gives = n;
}

void *host_routes_of(struct agent *a, uint8_t n)
{
	unsigned int have = 0;

	for (struct namespace *s = a->served.first; s; s = s->next)
		have += s->routes || s->path;
	n = have ? n % have : 0;
	for (struct namespace *s = a->served.first; s; s = s->next) {
		if ((s->routes || s->path) && !n--)
			return s;
	}
	return NULL;
}

void host_sockets_are(void)
{
	text_n = input_u16() % TEXT_MOST;
	for (size_t i = 0; i < text_n; i++)
		text[i] = input_u8();
}

void host_refuses(uint8_t error)
{
	refuses = error;
}

/* --- threads: the agent's runs when somebody waits for it ------------------------------ */

int __real_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg)
{
	if (!host_inside())
		return __real_pthread_create(out, attr, run, arg);
	memset(out, 0, sizeof(*out));
	/* the flusher's first, then the agent's */
	thread = run;
	agent = arg;
	return 0;
}

int __real_pthread_join(pthread_t it, void **result);
int __wrap_pthread_join(pthread_t it, void **result)
{
	return host_inside() ? 0 : __real_pthread_join(it, result);
}

/* Comparisons are made by who wants them. */
int __real_copier_start(struct served *s);
int __wrap_copier_start(struct served *s)
{
	return host_inside() ? 0 : __real_copier_start(s);
}

/* The only thread keeps its name. */
int __real_prctl(int option, long a, long b, long c, long d);
int __wrap_prctl(int option, long a, long b, long c, long d)
{
	return host_inside() ? 0 : __real_prctl(option, a, b, c, d);
}

int __wrap_epoll_wait(int fd, struct epoll_event *event, int most, int timeout)
{
	void *what;

	(void)most;
	(void)timeout;
	require(fd == agent->served.epoll_fd, "somebody else waits");
	require(here == HOME, "a thread that has not come home");
	require(agent->served.count <= agent->served.most, "more are served than can be");
	*fd_note(agent->done_fd) = 0;
	what = host_event(agent);
	host_calls();
	event->events = EPOLLIN;
	event->data.ptr = what;
	return what ? 1 : 0;
}

/* --- descriptors ---------------------------------------------------------------------- */

static int fail(int error)
{
	errno = error;
	return -1;
}

static int open_with(enum what what, int note)
{
	int fd = fd_open(what);

	*fd_note(fd) = note;
	return fd;
}

int __wrap_epoll_create1(int flags)
{
	(void)flags;
	return fd_open(OTHER);
}

int __wrap_epoll_ctl(int epoll, int how, int fd, struct epoll_event *event)
{
	(void)how;
	(void)event;
	fd_note(epoll);
	fd_note(fd);
	return 0;
}

int __wrap_eventfd(unsigned int value, int flags)
{
	(void)flags;
	return open_with(OTHER, (int)value);
}

int __wrap_pipe2(int *fds, int flags)
{
	(void)flags;
	fds[0] = fd_open(OTHER);
	fds[1] = fd_open(OTHER);
	return 0;
}

static ssize_t read_text(void *out, size_t n)
{
	n = n < text_n ? n : text_n;
	memcpy(out, text, n);
	return (ssize_t)n;
}

static ssize_t read_queue(void *out, size_t n)
{
	n = n < queue_n ? n : queue_n;
	n = pipe_gives && pipe_gives < n ? pipe_gives : n;
	if (!n)
		return fail(EAGAIN);
	memcpy(out, queue, n);
	memmove(queue, queue + n, queue_n - n);
	queue_n -= n;
	return (ssize_t)n;
}

ssize_t __real_read(int fd, void *out, size_t n);
ssize_t __wrap_read(int fd, void *out, size_t n)
{
	if (!host_inside() || fd_what(fd) == CLOSED)
		return __real_read(fd, out, n);
	if (fd_what(fd) == TEXT)
		return read_text(out, n);
	if (fd == agent->flusher.wanted_fd)
		return read_queue(out, n);
	if (fd == agent->done_fd && !*fd_note(fd))
		thread(agent);
	if (!*fd_note(fd))
		return fail(EAGAIN);
	*fd_note(fd) = 0;
	return sizeof(uint64_t);
}

ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
	if (!host_inside() || fd_what(fd) == CLOSED)
		return __real_write(fd, bytes, n);
	if (fd != agent->flusher.want_fd) {
		*fd_note(fd) = 1;
		return (ssize_t)n;
	}
	if (n > sizeof(queue) - queue_n)
		return fail(EAGAIN);
	memcpy(queue + queue_n, bytes, n);
	queue_n += n;
	return (ssize_t)n;
}

/* --- namespaces and what is in /proc ---------------------------------------------------- */

int __real_open(const char *path, int flags, int mode);
int __wrap_open(const char *path, int flags, int mode)
{
	if (!host_inside())
		return __real_open(path, flags, mode);
	if (strstr(path, "/ns/net"))
		return open_with(OTHER, here);
	return kind_of(here) == NO_IPV6 ? fail(ENOENT) : fd_open(TEXT);
}

int __real_fstat(int fd, struct stat *out);
int __wrap_fstat(int fd, struct stat *out)
{
	if (!host_inside())
		return __real_fstat(fd, out);
	memset(out, 0, sizeof(*out));
	out->st_ino = (ino_t)*fd_note(fd);
	return 0;
}

int __real_stat(const char *path, struct stat *out);
int __wrap_stat(const char *path, struct stat *out)
{
	if (!host_inside())
		return __real_stat(path, out);
	memset(out, 0, sizeof(*out));
	out->st_dev = OWNER_DEV;
	out->st_ino = OWNER;
	return 0;
}

static int find(int inode)
{
	return kind_of(inode) == ABSENT ? -1 : open_with(OTHER, inode);
}

void __wrap_find_netns(struct wanted *wanted, unsigned int n,
		       void (*seen)(void *context, uint32_t inode), void *context)
{
	require(n <= WANTED_MOST, "a search for too many");
	for (unsigned int i = 0; i < n; i++)
		wanted[i].fd = find((int)wanted[i].inode);
	for (uint32_t inode = 1; seen && inode < 8; inode++)
		seen(context, inode);
}

int __wrap_open_netns(const char *path, uint32_t *inode)
{
	int fd;

	*inode = (unsigned char)*path;
	fd = find((int)*inode);
	return fd < 0 ? -ENOENT : fd;
}

bool __wrap_netns_owned_by(int fd, const struct userns *owner)
{
	require(owner->dev == OWNER_DEV && owner->inode == OWNER, "another owner than the agent's");
	return kind_of(*fd_note(fd)) != FOREIGN;
}

int __wrap_setns(int fd, int type)
{
	(void)type;
	require(kind_of(*fd_note(fd)) != FOREIGN, "a foreign namespace was entered");
	if (kind_of(*fd_note(fd)) == SHUT)
		return fail(EPERM);
	here = *fd_note(fd);
	return 0;
}

/* --- raw sockets ------------------------------------------------------------------------ */

int __wrap_socket(int family, int type, int protocol)
{
	(void)type;
	(void)protocol;
	if (family == AF_INET6 && kind_of(here) == NO_IPV6)
		return fail(EAFNOSUPPORT);
	return open_with(OTHER, here);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	(void)flags;
	require(held, "a packet of a record that is too short");
	require((uint32_t)*fd_note(fd) == held->netns, "a packet in another namespace");
	packet_judge(msg, held);
	return refuses ? fail(refuses) : (ssize_t)msg->msg_iov->iov_len;
}
