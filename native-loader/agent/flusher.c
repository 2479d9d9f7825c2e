// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "flusher.h"

#define HOLD_MOST 512 /* bytes of an element of the map */

/*
 * Something newer has gone while the record was on its way to us: perhaps we were late. An ACK that
 * follows a newer one tells nothing, and with timestamps its sender answers that it is too old.
 */
static bool is_outdated(const struct flusher *f, const struct tcpx_held *held)
{
	unsigned char value[HOLD_MOST];
	int fd = atomic_load(&f->holds_fd);
	__u32 passed;
	int err;

	if (fd < 0)
		return false;
	err = bpf_map_lookup_elem(fd, &held->cookie, value);
	if (err)
		return err == -ENOENT; /* as after a FIN */
	memcpy(&passed, value + offsetof(struct tcpx_hold, passed), sizeof(passed));
	return passed != held->passed;
}

static int on_held(void *context, void *data, size_t size)
{
	const struct tcpx_held *held = data;
	const struct tcpx_wanted *wanted = data;
	struct flusher *f = context;

	if (size >= sizeof(*held) && held->event == TCPX_THIN_EVENT_HELD) {
		if (is_outdated(f, held))
			f->outdated++;
		else if (served_flush(f->served, held))
			f->failed++;
		else
			f->flushed++;
	} else if (size >= sizeof(*wanted) && wanted->event == TCPX_THIN_EVENT_WANTED) {
		if (write(f->want_fd, &wanted->netns, sizeof(wanted->netns)) < 0)
			return 0; /* full; the thinner asks again */
	}
	return 0;
}

static void *run(void *arg)
{
	struct flusher *f = arg;
	struct epoll_event event;

	prctl(PR_SET_NAME, "tcpx-flush");
	for (;;) {
		if (epoll_wait(f->epoll_fd, &event, 1, -1) < 1)
			continue;
		if (event.data.ptr == &f->stop_fd)
			return NULL;
		ring_buffer__consume(f->ring);
	}
}

int watch(int epoll_fd, int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int flusher_open(struct flusher *f, int held_fd, struct served *served)
{
	int pipe[2], err;

	*f = (struct flusher){served,	       .epoll_fd = -1, .stop_fd = -1,
			      .wanted_fd = -1, .want_fd = -1,  .holds_fd = -1};
	if (held_fd < 0)
		return 0;
	errno = 0;
	f->ring = ring_buffer__new(held_fd, on_held, f, NULL);
	if (!f->ring) /* EBADFD: the kernel's word for a descriptor that is none */
		return errno == EBADFD ? -EBADF : errno ? -errno : -ENOMEM;
	if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	f->wanted_fd = pipe[0];
	f->want_fd = pipe[1];
	f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	f->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (f->epoll_fd < 0 || f->stop_fd < 0)
		return -errno;
	err = watch(f->epoll_fd, f->stop_fd, &f->stop_fd);
	return err ? err : watch(f->epoll_fd, ring_buffer__epoll_fd(f->ring), f->ring);
}

int flusher_start(struct flusher *f)
{
	int err = f->ring ? start_thread(&f->thread, run, f) : 0;

	f->running = f->ring && !err;
	return err;
}

int flusher_holds(struct flusher *f, int holds_fd)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);
	int err = bpf_obj_get_info_by_fd(holds_fd, &info, &len);

	if (err)
		return err;
	if (info.key_size != sizeof(__u64) || info.value_size > HOLD_MOST ||
	    info.value_size < sizeof(struct tcpx_hold))
		return -EINVAL;
	atomic_store(&f->holds_fd, holds_fd);
	return 0;
}

void flusher_close(struct flusher *f)
{
	int fds[] = {f->epoll_fd, f->stop_fd, f->wanted_fd, f->want_fd};
	uint64_t one = 1;

	if (f->running) {
		while (write(f->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_join(f->thread, NULL);
	}
	ring_buffer__free(f->ring);
	for (unsigned int i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

int add_cpu(pthread_t thread, uint64_t *ns)
{
	struct timespec cpu;
	clockid_t clock;

	if (pthread_getcpuclockid(thread, &clock) || clock_gettime(clock, &cpu))
		return -EIO;
	*ns += (uint64_t)cpu.tv_sec * 1000000000 + (uint64_t)cpu.tv_nsec;
	return 0;
}
