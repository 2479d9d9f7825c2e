// SPDX-License-Identifier: MIT
/*
 * The ACK agent. Its thread sleeps in epoll until a namespace is wanted, routes change, or another
 * thread has a command. Held ACKs are sent by a second one (flusher.c).
 */
#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent-internal.h"

#define NOTICES_A_TIME 256

static void want(struct agent *a, uint32_t inode)
{
	a->notices++;
	served_want(&a->served, inode);
}

/* So many at a time: while notices go on coming, others have their turn. */
static int on_notice(void *context, void *data, size_t size)
{
	struct agent *a = context;

	if (size >= sizeof(uint32_t))
		want(a, *(const uint32_t *)data);
	return ++a->read < NOTICES_A_TIME ? 0 : -EAGAIN; /* ends the walk, behind this record */
}

static void read_notices(struct agent *a)
{
	a->read = 0;
	ring_buffer__consume(a->notified);
}

/* What the flusher heard of. */
static void serve_wanted(struct agent *a)
{
	uint32_t inodes[64];
	ssize_t n = read(a->flusher.wanted_fd, inodes, sizeof(inodes));

	for (ssize_t i = 0; i < n / (ssize_t)sizeof(*inodes); i++)
		want(a, inodes[i]);
}

static int copy_reason(struct agent *a)
{
	size_t n = strlen(a->served.reason);

	if (n > (size_t)a->cap)
		n = (size_t)a->cap;
	memcpy(a->text, a->served.reason, n);
	return (int)n;
}

static void note_figures(struct agent *a)
{
	a->namespaces = a->served.count;
	a->foreign = a->served.foreign;
	a->turned_away = a->served.turned_away;
	a->troubled = a->served.troubled;
	a->trouble_with = a->served.trouble.with;
	a->trouble_errno = (uint64_t)-a->served.trouble.err;
	a->unfound = a->served.unfound;
}

/* Comparing many routes takes a second; others are served meanwhile. */
static void answer(struct agent *a)
{
	uint64_t one = 1;

	if (!a->waits || (a->served.awaited && !a->stopping))
		return;
	if (!a->result)
		a->result = a->served.await_err;
	a->served.await_err = 0;
	a->waits = false;
	note_figures(a);
	while (write(a->done_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
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
	a->waits = true;
	answer(a);
}

static void count_changes(struct agent *a, int changes)
{
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

	prctl(PR_SET_NAME, "tcpx-agent");
	/* One event at a time: handling one may remove what another is about. */
	while (!a->stopping) {
		if (epoll_wait(a->served.epoll_fd, &event, 1, timeout) > 0) {
			if (event.data.ptr == &a->wake_fd)
				carry_out(a);
			else if (event.data.ptr == &a->notified)
				read_notices(a);
			else if (event.data.ptr == &a->flusher)
				serve_wanted(a);
			else if (event.data.ptr == &a->served.copier)
				count_changes(a, copier_back(&a->served));
			else
				count_changes(a, served_follow(&a->served, event.data.ptr));
			answer(a);
		}
		timeout = a->stopping ? 0 : served_tick(&a->served);
		note_figures(a);
	}
	return NULL;
}

static int open_notices(struct agent *a, int fd)
{
	if (fd < 0)
		return 0;
	errno = 0;
	a->notified = ring_buffer__new(fd, on_notice, a, NULL);
	if (!a->notified)
		return errno == EBADFD ? -EBADF : errno ? -errno : -ENOMEM;
	return watch(a->served.epoll_fd, ring_buffer__epoll_fd(a->notified), &a->notified);
}

static void destroy(struct agent *a)
{
	flusher_close(&a->flusher);
	ring_buffer__free(a->notified);
	if (a->served.epoll_fd >= 0)
		close(a->served.epoll_fd);
	if (a->wake_fd >= 0)
		close(a->wake_fd);
	if (a->done_fd >= 0)
		close(a->done_fd);
	free(a);
}

static int open_all(struct agent *a, int held_fd, int notices_fd)
{
	int err = flusher_open(&a->flusher, held_fd, &a->served);

	a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->done_fd = eventfd(0, EFD_CLOEXEC);
	a->served.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (err)
		return err;
	if (a->wake_fd < 0 || a->done_fd < 0 || a->served.epoll_fd < 0)
		return -errno;
	err = watch(a->served.epoll_fd, a->wake_fd, &a->wake_fd);
	if (!err && held_fd >= 0)
		err = watch(a->served.epoll_fd, a->flusher.wanted_fd, &a->flusher);
	return err ? err : open_notices(a, notices_fd);
}

static int start_threads(struct agent *a)
{
	int err = served_open(&a->served);

	if (err)
		return err;
	err = flusher_start(&a->flusher);
	if (!err)
		err = start_thread(&a->thread, run, a);
	if (err)
		served_close(&a->served);
	return err;
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
	a->served.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	a->served.map_fd = served_fd;
	a->served.flushing = held_fd >= 0;
	err = open_all(a, held_fd, notices_fd);
	if (!err)
		err = start_threads(a);
	if (err)
		destroy(a);
	else
		*out = a;
	return err;
}

int agent_command(struct agent *a, enum command what)
{
	uint64_t one = 1;

	a->command = what;
	while (write(a->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	while (read(a->done_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	return a->result;
}

int tcpx_agent_stop(void *agent)
{
	struct agent *a = agent;

	if (!a)
		return -EINVAL;
	pthread_mutex_lock(&a->callers);
	agent_command(a, STOP);
	pthread_mutex_unlock(&a->callers);
	pthread_join(a->thread, NULL);
	destroy(a);
	return 0;
}
