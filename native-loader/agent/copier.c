// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "copier.h"
#include "flusher.h"
#include "routes.h"
#include "served-netns.h"

#define PAUSE_MOST (30 * SECOND)
#define PAUSE 9 /* times as long as a comparison took, before the next of that namespace */

/* The routes are this thread's until the pointer is back. */
static void compare(struct namespace *n)
{
	uint64_t begin = now_ns(), end, pause;

	n->copy.result = routes_handle_whole(n->routes);
	end = now_ns();
	pause = PAUSE * (end - begin);
	n->copy.not_before_ns = end + (pause < PAUSE_MOST ? pause : PAUSE_MOST);
	snprintf(n->copy.reason, sizeof(n->copy.reason), "%s",
		 n->copy.result == -EINTR ? "its routes change all the time" : routes_reason());
}

static void *run(void *arg)
{
	struct copier *c = arg;
	struct namespace *n;

	prctl(PR_SET_NAME, "tcpx-copier");
	for (;;) {
		if (read(c->jobs[0], &n, sizeof(n)) != sizeof(n))
			continue;
		if (!n)
			return NULL;
		compare(n);
		while (write(c->copied[1], &n, sizeof(n)) < 0 && errno == EINTR)
			;
	}
}

int copier_start(struct served *s)
{
	struct copier *c = &s->copier;
	int err;

	*c = (struct copier){.jobs = {-1, -1}, .copied = {-1, -1}};
	if (pipe2(c->jobs, O_CLOEXEC) || pipe2(c->copied, O_CLOEXEC))
		return -errno;
	err = watch(s->epoll_fd, c->copied[0], c);
	if (!err)
		err = start_thread(&c->thread, run, c);
	c->running = !err;
	return err;
}

void copier_close(struct served *s)
{
	struct copier *c = &s->copier;
	const struct namespace *none = NULL;
	int fds[] = {c->jobs[0], c->jobs[1], c->copied[0], c->copied[1]};

	if (c->running) {
		while (write(c->jobs[1], &none, sizeof(none)) < 0 && errno == EINTR)
			;
		pthread_join(c->thread, NULL);
	}
	for (unsigned int i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (fds[i] > 0)
			close(fds[i]);
	}
	*c = (struct copier){.jobs = {-1, -1}, .copied = {-1, -1}};
}

static void hand_over(struct served *s, struct namespace *n)
{
	n->copy.resume_ns = 0;
	n->copy.away = true;
	if (!s->copier.running) {
		compare(n);
		return;
	}
	while (write(s->copier.jobs[1], &n, sizeof(n)) < 0 && errno == EINTR)
		;
}

static int epoll(struct served *s, struct namespace *n, bool on)
{
	struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.ptr = n};

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, routes_fd(n->routes), &event) ? -errno : 0;
}

/* What became of it. Of one whose routes could not be opened nothing is left. */
static int settle(struct served *s, struct namespace *n)
{
	int result = n->copy.result;
	bool opening = n->copy.opening, awaited = n->copy.awaited;

	n->copy.away = n->copy.opening = n->copy.awaited = false;
	s->awaited -= awaited;
	if (awaited && result < 0 && !s->await_err)
		s->await_err = result;
	if (result == -EOPNOTSUPP || result == -EINTR)
		memcpy(s->reason, n->copy.reason, sizeof(s->reason));
	if (result == -ETIMEDOUT || (result < 0 && result != -EINTR && opening)) {
		netns_publish_without(s, n, TCPX_SERVED_ROUTES);
		netns_drop_routes(s, n, result == -ETIMEDOUT);
		n->refused = true;
	} else if (result == -EINTR) { /* changed all the time: nobody need tell us again */
		n->copy.resume_ns = n->copy.not_before_ns;
	} else if (epoll(s, n, true)) {
		netns_drop_routes(s, n, false);
	}
	netns_publish(s, n);
	return result;
}

int copier_back(struct served *s)
{
	struct namespace *n;

	if (read(s->copier.copied[0], &n, sizeof(n)) != sizeof(n))
		return 0;
	return settle(s, n);
}

void copier_wait(struct served *s, struct namespace *n)
{
	while (n->copy.away && s->copier.running)
		copier_back(s);
}

void copier_take(struct served *s, struct namespace *n)
{
	epoll(s, n, false);
	if (now_ns() < n->copy.not_before_ns)
		n->copy.resume_ns = n->copy.not_before_ns;
	else
		copier_resume(s, n);
	netns_publish(s, n);
}

void copier_resume(struct served *s, struct namespace *n)
{
	hand_over(s, n);
	if (!s->copier.running)
		settle(s, n);
}
