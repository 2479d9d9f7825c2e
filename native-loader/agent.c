// SPDX-License-Identifier: MIT
/*
 * The thread of the ACK agent. It sleeps in epoll until the thinner hands it an ACK whose
 * time has come, a namespace is wanted, routes change, or another thread has a command.
 */
#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"
#include "routes.h"
#include "served.h"

enum command { AT_ONCE, SERVE, REASON, STOP };

struct agent {
	struct served served;
	struct ring_buffer *rings; /* NULL: neither */
	pthread_t thread;
	pthread_mutex_t callers; /* one command at a time */
	int wake_fd;		 /* a command is there */
	int done_fd;		 /* and has been carried out */
	enum command command;
	unsigned int mark_bits;
	const char *path;
	char *text;
	int cap;
	int result;
	bool stopping;
	_Atomic uint64_t flushed, failed, notices, namespaces, route_changes, route_errors;
};

static void serve(struct agent *a, uint32_t inode)
{
	a->notices++;
	served_inode(&a->served, inode);
}

static int on_held(void *context, void *data, size_t size)
{
	const struct tcpx_held *held = data;
	const struct tcpx_wanted *wanted = data;
	struct agent *a = context;

	if (size >= sizeof(*held) && held->event == TCPX_THIN_EVENT_HELD) {
		if (served_flush(&a->served, held))
			a->failed++;
		else
			a->flushed++;
	} else if (size >= sizeof(*wanted) && wanted->event == TCPX_THIN_EVENT_WANTED) {
		serve(a, wanted->netns);
	}
	return 0;
}

static int on_notice(void *context, void *data, size_t size)
{
	if (size >= sizeof(uint32_t))
		serve(context, *(const uint32_t *)data);
	return 0;
}

static int copy_reason(struct agent *a)
{
	size_t n = strlen(a->served.reason);

	if (n > (size_t)a->cap)
		n = (size_t)a->cap;
	memcpy(a->text, a->served.reason, n);
	return (int)n;
}

static void carry_out(struct agent *a)
{
	uint64_t one = 1;

	if (read(a->wake_fd, &one, sizeof(one)) != sizeof(one))
		return;
	switch (a->command) {
	case AT_ONCE:
		a->result = served_at_once(&a->served, a->mark_bits);
		break;
	case SERVE:
		a->result = served_path(&a->served, a->path);
		break;
	case REASON:
		a->result = copy_reason(a);
		break;
	case STOP:
		served_close(&a->served);
		a->stopping = true;
		a->result = 0;
		break;
	}
	a->namespaces = a->served.count;
	while (write(a->done_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void follow_routes(struct agent *a, struct namespace *n)
{
	int changes = served_follow(&a->served, n);

	if (changes < 0)
		a->route_errors++;
	else
		a->route_changes += (unsigned int)changes;
}

static void *run(void *arg)
{
	struct agent *a = arg;
	struct epoll_event event;
	int timeout = -1;

	prctl(PR_SET_NAME, "tcpx-flush");
	/* One event at a time: handling one may remove what another is about. */
	while (!a->stopping) {
		if (epoll_wait(a->served.epoll_fd, &event, 1, timeout) > 0) {
			if (event.data.ptr == &a->wake_fd)
				carry_out(a);
			else if (event.data.ptr == &a->rings)
				ring_buffer__consume(a->rings);
			else
				follow_routes(a, event.data.ptr);
		}
		timeout = a->stopping ? 0 : served_tick(&a->served);
		a->namespaces = a->served.count;
	}
	return NULL;
}

static int watch(struct agent *a, int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	return epoll_ctl(a->served.epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* One set of ring buffers for both. */
static int open_rings(struct agent *a, int held_fd, int notices_fd)
{
	int fd = held_fd >= 0 ? held_fd : notices_fd;

	if (fd < 0)
		return 0;
	errno = 0;
	a->rings = ring_buffer__new(fd, held_fd >= 0 ? on_held : on_notice, a, NULL);
	if (!a->rings) /* EBADFD: the kernel's word for a descriptor that is none */
		return errno == EBADFD ? -EBADF : errno ? -errno : -ENOMEM;
	if (held_fd >= 0 && notices_fd >= 0) {
		int err = ring_buffer__add(a->rings, notices_fd, on_notice, a);

		if (err)
			return err;
	}
	return watch(a, ring_buffer__epoll_fd(a->rings), &a->rings);
}

static void destroy(struct agent *a)
{
	ring_buffer__free(a->rings);
	if (a->served.epoll_fd >= 0)
		close(a->served.epoll_fd);
	if (a->wake_fd >= 0)
		close(a->wake_fd);
	if (a->done_fd >= 0)
		close(a->done_fd);
	free(a);
}

/* Signals are for the threads that know what to do with them. */
static int start_thread(struct agent *a)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&a->thread, NULL, run, a);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

int tcpx_agent_start(int held_fd, int notices_fd, int served_fd, void **out)
{
	struct agent *a;
	int err;

	if (served_fd < 0 || !out)
		return -EINVAL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->callers = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	a->served.map_fd = served_fd;
	a->served.flushing = held_fd >= 0;
	a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->done_fd = eventfd(0, EFD_CLOEXEC);
	a->served.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (a->wake_fd < 0 || a->done_fd < 0 || a->served.epoll_fd < 0)
		err = -errno;
	else
		err = watch(a, a->wake_fd, &a->wake_fd);
	if (!err)
		err = open_rings(a, held_fd, notices_fd);
	if (!err)
		err = served_open(&a->served);
	if (!err) {
		err = start_thread(a);
		if (err)
			served_close(&a->served);
	}
	if (err)
		destroy(a);
	else
		*out = a;
	return err;
}

/* With the callers' lock held: hands the command over and waits. */
static int command(struct agent *a, enum command what)
{
	uint64_t one = 1;

	a->command = what;
	while (write(a->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	while (read(a->done_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	return a->result;
}

int tcpx_agent_at_once(void *agent, unsigned int mark_bits)
{
	struct agent *a = agent;
	int result;

	if (!a)
		return -EINVAL;
	pthread_mutex_lock(&a->callers);
	a->mark_bits = mark_bits;
	result = command(a, AT_ONCE);
	pthread_mutex_unlock(&a->callers);
	return result;
}

int tcpx_agent_serve(void *agent, const char *netns_path)
{
	struct agent *a = agent;
	int result;

	if (!a || !netns_path)
		return -EINVAL;
	pthread_mutex_lock(&a->callers);
	a->path = netns_path;
	result = command(a, SERVE);
	pthread_mutex_unlock(&a->callers);
	return result;
}

int tcpx_agent_reason(void *agent, char *out, int cap)
{
	struct agent *a = agent;
	int result;

	if (!a || !out || cap < 0)
		return -EINVAL;
	pthread_mutex_lock(&a->callers);
	a->text = out;
	a->cap = cap;
	result = command(a, REASON);
	pthread_mutex_unlock(&a->callers);
	return result;
}

int tcpx_agent_stats(void *agent, struct tcpx_agent_stats *out)
{
	struct agent *a = agent;
	struct timespec cpu = {};
	clockid_t clock;

	if (!a || !out)
		return -EINVAL;
	if (pthread_getcpuclockid(a->thread, &clock) || clock_gettime(clock, &cpu))
		return -EIO;
	*out = (struct tcpx_agent_stats){
		.flushed = a->flushed,
		.failed = a->failed,
		.notices = a->notices,
		.namespaces = a->namespaces,
		.cpu_ns = (uint64_t)cpu.tv_sec * 1000000000 + (uint64_t)cpu.tv_nsec,
		.route_changes = a->route_changes,
		.route_errors = a->route_errors,
	};
	return 0;
}

int tcpx_agent_stop(void *agent)
{
	struct agent *a = agent;

	if (!a)
		return -EINVAL;
	pthread_mutex_lock(&a->callers);
	command(a, STOP);
	pthread_mutex_unlock(&a->callers);
	pthread_join(a->thread, NULL);
	destroy(a);
	return 0;
}

int tcpx_routes_check(unsigned int mark_bits, char *why, int cap)
{
	int err = routes_check(mark_bits);

	if (!why || cap < 1)
		return -EINVAL;
	snprintf(why, (size_t)cap, "%s", err == -EOPNOTSUPP ? routes_reason() : "");
	return err;
}

int tcpx_routes_sweep(void)
{
	return routes_sweep();
}
