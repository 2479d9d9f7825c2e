// SPDX-License-Identifier: MIT
/* One served namespace: its place in the list and in the map, and what is opened in it. */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "routes.h"
#include "served-netns.h"

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void netns_publish(struct served *s, struct namespace *n, uint32_t flags)
{
	n->flags = flags;
	if (flags)
		bpf_map_update_elem(s->map_fd, &n->inode, &flags, BPF_ANY);
	else
		bpf_map_delete_elem(s->map_fd, &n->inode);
}

struct namespace *netns_lookup(struct served *s, uint32_t inode)
{
	struct namespace *n = s->first;

	while (n && n->inode != inode)
		n = n->next;
	return n;
}

void netns_drop_routes(struct namespace *n)
{
	if (n->routes)
		routes_close(n->routes);
	n->routes = NULL;
}

void netns_forget(struct served *s, struct namespace *n)
{
	struct namespace **at = &s->first;

	if (n->fd >= 0)
		netns_publish(s, n, 0);
	pthread_mutex_lock(&s->lock);
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	pthread_mutex_unlock(&s->lock);
	if (n->fd >= 0) {
		netns_drop_routes(n);
		if (n->open)
			flush_close(&n->flush);
		close(n->fd);
		s->count--;
	}
	free(n);
}

int netns_check(struct served *s, int err)
{
	if (err == -EOPNOTSUPP)
		snprintf(s->reason, sizeof(s->reason), "%s", routes_reason());
	return err;
}

static int open_routes(struct served *s, struct namespace *n)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = n};
	int err = routes_open(s->mark_bits, &n->routes);

	if (!err && n->routes &&
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, routes_fd(n->routes), &event)) {
		err = -errno;
		netns_drop_routes(n);
	}
	n->refused = err != 0;
	return netns_check(s, err);
}

static int open_flush(struct served *s, struct namespace *n)
{
	struct flush flush;
	int err = flush_open(&flush);

	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	n->flush = flush;
	n->open = true;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

void netns_close_flush(struct served *s, struct namespace *n)
{
	pthread_mutex_lock(&s->lock);
	flush_close(&n->flush);
	n->open = false;
	pthread_mutex_unlock(&s->lock);
}

int netns_equip(struct served *s, struct namespace *n)
{
	bool open = s->flushing && !n->open;
	bool route = s->mark_bits && !n->routes && !n->refused;
	int err = 0, route_err = 0;

	if (open || route) {
		if (setns(n->fd, CLONE_NEWNET))
			return -errno;
		err = open ? open_flush(s, n) : 0;
		route_err = route ? open_routes(s, n) : 0;
		setns(s->home_fd, CLONE_NEWNET);
	}
	if (n->open && !(n->flags & TCPX_SERVED_FLUSH))
		n->check_ns = now_ns() + IDLE_NS;
	netns_publish(s, n,
		      (n->open ? TCPX_SERVED_FLUSH : 0) | (n->routes ? TCPX_SERVED_ROUTES : 0));
	return err ? err : route_err;
}

struct namespace *netns_insert(struct served *s, uint32_t inode, int fd)
{
	struct namespace *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->inode = inode;
	n->fd = fd;
	n->next = s->first;
	pthread_mutex_lock(&s->lock);
	s->first = n;
	pthread_mutex_unlock(&s->lock);
	if (fd >= 0)
		s->count++;
	return n;
}
