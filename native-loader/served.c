// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "find-netns.h"
#include "routes.h"
#include "served.h"

#define SECOND 1000000000ULL
#define IDLE_NS (10 * SECOND) /* unused raw sockets go, what failed is tried anew */
#define GRACE_NS (1 * SECOND) /* what was held before reaches us within 200 ms */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void publish(struct served *s, struct namespace *n, uint32_t flags)
{
	n->flags = flags;
	if (flags)
		bpf_map_update_elem(s->map_fd, &n->inode, &flags, BPF_ANY);
	else
		bpf_map_delete_elem(s->map_fd, &n->inode);
}

static struct namespace *lookup(struct served *s, uint32_t inode)
{
	struct namespace *n = s->first;

	while (n && n->inode != inode)
		n = n->next;
	return n;
}

static void drop_routes(struct namespace *n)
{
	if (n->routes)
		routes_close(n->routes);
	n->routes = NULL;
}

static void forget(struct served *s, struct namespace *n)
{
	struct namespace **at = &s->first;

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	if (n->fd >= 0) {
		publish(s, n, 0);
		drop_routes(n);
		if (n->open)
			flush_close(&n->flush);
		close(n->fd);
		s->count--;
	}
	free(n);
}

/* Keeps the reason of a refusal for whoever asks. */
static int check_routes(struct served *s, int err)
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
		drop_routes(n);
	}
	n->refused = err != 0;
	return check_routes(s, err);
}

/* Opens what is missing. An error of the routes alone leaves the rest standing. */
static int equip(struct served *s, struct namespace *n)
{
	bool open = s->flushing && !n->open;
	bool route = s->mark_bits && !n->routes && !n->refused;
	int err = 0, route_err = 0;

	if (open || route) {
		if (setns(n->fd, CLONE_NEWNET))
			return -errno;
		err = open ? flush_open(&n->flush) : 0;
		route_err = route ? open_routes(s, n) : 0;
		n->open |= open && !err;
		setns(s->home_fd, CLONE_NEWNET);
	}
	if (n->open && !(n->flags & TCPX_SERVED_FLUSH))
		n->check_ns = now_ns() + IDLE_NS;
	publish(s, n, (n->open ? TCPX_SERVED_FLUSH : 0) | (n->routes ? TCPX_SERVED_ROUTES : 0));
	return err ? err : route_err;
}

static struct namespace *insert(struct served *s, uint32_t inode, int fd)
{
	struct namespace *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->inode = inode;
	n->fd = fd;
	n->next = s->first;
	s->first = n;
	if (fd >= 0)
		s->count++;
	return n;
}

/* Takes the descriptor over. */
static int adopt(struct served *s, uint32_t inode, int fd)
{
	struct namespace *n = insert(s, inode, fd);
	int err;

	if (!n) {
		close(fd);
		return -ENOMEM;
	}
	err = equip(s, n);
	if (!n->flags) {
		n->err = err; /* nothing works there: not again for a while */
		n->check_ns = now_ns() + IDLE_NS;
	}
	return err;
}

static void mark_seen(void *context, uint32_t inode)
{
	struct namespace *n = lookup(context, inode);

	if (n)
		n->seen = true;
}

/* Routes keep a namespace alive that nobody else may need any more. */
static void release_abandoned(struct served *s)
{
	struct namespace *n, *next;

	for (n = s->first; n; n = next) {
		next = n->next;
		if (n->routes && !n->seen)
			forget(s, n);
	}
}

int served_inode(struct served *s, uint32_t inode)
{
	struct namespace *n = lookup(s, inode);
	int fd;

	if (n && (n->fd < 0 || n->err))
		return n->err;
	if (n)
		return equip(s, n);
	for (n = s->first; n; n = n->next)
		n->seen = false;
	fd = find_netns(inode, mark_seen, s);
	release_abandoned(s);
	if (fd >= 0)
		return adopt(s, inode, fd);
	n = insert(s, inode, -1);
	if (n) {
		n->err = fd;
		n->check_ns = now_ns() + IDLE_NS;
	}
	return fd;
}

int served_path(struct served *s, const char *path)
{
	struct namespace *n;
	uint32_t inode;
	int fd = open_netns(path, &inode);

	if (fd < 0)
		return fd;
	n = lookup(s, inode);
	if (n && n->fd < 0) {
		forget(s, n);
		n = NULL;
	}
	if (!n)
		return adopt(s, inode, fd);
	close(fd);
	n->refused = false;
	n->err = 0;
	return equip(s, n);
}

int served_at_once(struct served *s, unsigned int mark_bits)
{
	struct namespace *n;
	int first = 0, err;

	s->mark_bits = mark_bits;
	for (n = s->first; n; n = n->next) {
		if (n->fd < 0)
			continue;
		err = 0;
		n->refused = false;
		if (n->routes && mark_bits)
			err = check_routes(s, routes_bits(n->routes, mark_bits));
		else if (n->routes)
			drop_routes(n);
		if (!err)
			err = equip(s, n);
		if (!n->flags &&
		    !n->check_ns) /* neither sockets nor routes: goes with the next tick */
			n->check_ns = 1;
		first = first ? first : err;
	}
	return first;
}

int served_flush(struct served *s, const struct tcpx_held *held)
{
	struct namespace *n = lookup(s, held->netns);

	if (!n || !n->open)
		return -ENOENT;
	n->used = true;
	return flush_send(&n->flush, held);
}

int served_follow(struct served *s, struct namespace *n)
{
	return n->routes ? check_routes(s, routes_handle(n->routes)) : 0;
}

/* In two steps: first the thinner learns that nobody sends here, then the sockets go. */
static void look_after(struct served *s, struct namespace *n, uint64_t now)
{
	uint32_t flags = 0;

	if (n->err || !n->open) {
		if (!n->routes)
			forget(s, n);
		else
			n->check_ns = 0;
		return;
	}
	if (!(n->flags & TCPX_SERVED_FLUSH)) {
		flush_close(&n->flush);
		n->open = false;
		look_after(s, n, now);
		return;
	}
	bpf_map_lookup_elem(s->map_fd, &n->inode, &flags);
	if (n->used || flags & TCPX_SERVED_USED) {
		n->used = false;
		n->check_ns = now + IDLE_NS;
		publish(s, n, n->flags);
		return;
	}
	n->check_ns = now + GRACE_NS;
	publish(s, n, n->flags & ~TCPX_SERVED_FLUSH);
}

int served_tick(struct served *s)
{
	uint64_t now = now_ns(), first = 0;
	struct namespace *n, *next;

	for (n = s->first; n; n = next) {
		next = n->next;
		if (n->check_ns && now >= n->check_ns)
			look_after(s, n, now);
	}
	for (n = s->first; n; n = n->next)
		if (n->check_ns && (!first || n->check_ns < first))
			first = n->check_ns;
	if (!first)
		return -1;
	return first > now ? (int)((first - now) / 1000000) + 1 : 0;
}

/* An agent that was killed has left its entries. */
static void clear_map(int fd)
{
	uint32_t key;

	while (!bpf_map_get_next_key(fd, NULL, &key))
		if (bpf_map_delete_elem(fd, &key))
			return;
}

int served_open(struct served *s)
{
	s->home_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (s->home_fd < 0)
		return -errno;
	clear_map(s->map_fd);
	return 0;
}

void served_close(struct served *s)
{
	while (s->first)
		forget(s, s->first);
	close(s->home_fd);
}
