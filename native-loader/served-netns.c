// SPDX-License-Identifier: MIT
/* One namespace: its place in the list and in the map, and what is opened in it. */
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

#include "routes.h"
#include "served-netns.h"

#define OTHERS_MOST 2048	 /* that are remembered as not served */
#define FOREIGN_NS (60 * SECOND) /* those of other user namespaces are told so long */

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void publish(struct served *s, struct namespace *n, uint32_t flags)
{
	struct tcpx_served value = {.flags = flags};

	if (n->routes)
		value.mark_bits = routes_bits_standing(n->routes);
	n->flags = flags;
	if (flags)
		bpf_map_update_elem(s->map_fd, &n->inode, &value, BPF_ANY);
	else
		bpf_map_delete_elem(s->map_fd, &n->inode);
}

static uint32_t flags_of(const struct namespace *n)
{
	uint32_t flags = n->open ? TCPX_SERVED_FLUSH : 0;

	if (n->routes)
		flags |= TCPX_SERVED_ROUTES;
	if (n->refused)
		flags |= TCPX_SERVED_NO_ROUTES;
	return flags;
}

void netns_publish(struct served *s, struct namespace *n)
{
	publish(s, n, flags_of(n));
}

void netns_publish_closing(struct served *s, struct namespace *n)
{
	publish(s, n, flags_of(n) & ~TCPX_SERVED_FLUSH);
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
	n->routes_ns = 0;
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
	else
		s->others++;
	return n;
}

void netns_decline(struct served *s, uint32_t inode, int err)
{
	struct namespace *n = s->others < OTHERS_MOST ? netns_insert(s, inode, -1) : NULL;

	if (!n)
		return;
	n->err = err;
	n->known_ns = now_ns();
	n->forget_ns = n->known_ns + (err == -EPERM ? FOREIGN_NS : IDLE_NS);
	if (err == -EPERM)
		s->foreign++;
	/* not found: it may be there in a moment */
	if (err != -ENOENT)
		publish(s, n, TCPX_SERVED_DECLINED);
}

static void unlink_netns(struct served *s, struct namespace *n)
{
	struct namespace **at = &s->first;

	pthread_mutex_lock(&s->lock);
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	pthread_mutex_unlock(&s->lock);
}

void netns_forget(struct served *s, struct namespace *n)
{
	publish(s, n, 0);
	unlink_netns(s, n);
	if (n->fd >= 0) {
		netns_drop_routes(n);
		if (n->open)
			flush_close(&n->flush);
		close(n->fd);
		s->count--;
	} else {
		s->others--;
		s->foreign -= n->err == -EPERM;
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
	int err = routes_open(s->mark_bits, s->home_fd, &n->routes);

	if (!err && n->routes &&
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, routes_fd(n->routes), &event)) {
		err = -errno;
		netns_drop_routes(n);
	}
	n->refused = err != 0;
	/* this process lives at home, which it keeps alive in any case */
	if (!err && n->inode != s->home) {
		n->used_ns = now_ns();
		n->routes_ns = n->used_ns + ROUTES_LOOK_NS;
	}
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
	n->flush_ns = 0;
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
		n->flush_ns = now_ns() + IDLE_NS;
	netns_publish(s, n);
	return err ? err : route_err;
}

/* "TCP: inuse 5 orphan 0 ..." in a file of the calling thread's namespace. */
static unsigned long in_use(const char *path, const char *word)
{
	const char *at;
	char text[512];
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	at = strstr(text, word);
	return at ? strtoul(at + strlen(word), NULL, 10) : 0;
}

unsigned long netns_sockets(struct served *s, const struct namespace *n)
{
	unsigned long sockets;

	if (setns(n->fd, CLONE_NEWNET))
		return 0;
	sockets = in_use("/proc/thread-self/net/sockstat", "\nTCP: inuse ") +
		  in_use("/proc/thread-self/net/sockstat6", "TCP6: inuse ");
	setns(s->home_fd, CLONE_NEWNET);
	return sockets;
}
