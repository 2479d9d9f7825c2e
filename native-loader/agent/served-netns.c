// SPDX-License-Identifier: MIT
/* One namespace: its place in the list and in the map, and what is opened in it. */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "held-path.h"
#include "routes.h"
#include "served-netns.h"

#define OTHERS_MOST 2048 /* that are remembered as not served */

/* What the thinner has noted in an entry that is about to be written anew. */
static void take_notes(struct namespace *n, uint32_t flags)
{
	if (flags & TCPX_SERVED_USED)
		n->used = true;
	if (flags & TCPX_SERVED_IPSEC)
		n->ipsec_ns = now_ns();
}

static void publish(struct served *s, struct namespace *n, uint32_t flags)
{
	struct tcpx_served value = {.flags = flags}, before = {0};

	if (n->routes && !n->copy.away && flags & TCPX_SERVED_ROUTES)
		value.mark_bits = routes_bits_standing(n->routes);
	n->flags = flags;
	pthread_mutex_lock(&s->lock); /* the flusher may be changing it */
	if (!bpf_map_lookup_elem(s->map_fd, &n->inode, &before))
		take_notes(n, before.flags);
	snprintf(n->pass, sizeof(n->pass), "%s", n->path ? held_path_why(n->path) : "");
	if (flags)
		bpf_map_update_elem(s->map_fd, &n->inode, &value, BPF_ANY);
	else
		bpf_map_delete_elem(s->map_fd, &n->inode);
	pthread_mutex_unlock(&s->lock);
}

static uint32_t flags_of(const struct namespace *n)
{
	uint32_t flags = 0;

	if (n->open && n->path)
		flags |= *held_path_why(n->path) ? TCPX_SERVED_PASS : TCPX_SERVED_FLUSH;
	if (n->path && held_path_marks(n->path))
		flags |= TCPX_SERVED_MARKS;
	if (n->routes)
		flags |= TCPX_SERVED_ROUTES;
	/* nobody knows while they are being compared */
	if (n->routes &&
	    (n->copy.away || (routes_bits_standing(n->routes) && !routes_clear(n->routes))))
		flags |= TCPX_SERVED_IN_WAY;
	/* those that are being compared may stand in a moment */
	if (n->refused ||
	    (n->routes && !n->copy.away && !n->copy.resume_ns && !routes_bits_standing(n->routes)))
		flags |= TCPX_SERVED_NO_ROUTES;
	return flags;
}

bool netns_is_told_wrong(const struct namespace *n)
{
	return flags_of(n) != n->flags ||
	       (n->path && strncmp(n->pass, held_path_why(n->path), sizeof(n->pass) - 1));
}

void netns_publish(struct served *s, struct namespace *n)
{
	publish(s, n, flags_of(n));
}

void netns_publish_without(struct served *s, struct namespace *n, uint32_t flags)
{
	publish(s, n, flags_of(n) & ~flags);
}

static struct namespace *in_list(struct namespace *n, uint32_t inode)
{
	while (n && n->inode != inode)
		n = n->next;
	return n;
}

struct namespace *netns_lookup(struct served *s, uint32_t inode)
{
	return in_list(s->first, inode);
}

struct namespace *netns_declined(struct served *s, uint32_t inode)
{
	return in_list(s->declined, inode);
}

void netns_drop_routes(struct served *s, struct namespace *n, bool broken)
{
	copier_wait(s, n);
	if (!n->routes) /* or none any more */
		return;
	n->copy.resume_ns = 0;
	/* explicitly: a guard that is just being made may have it open for a moment longer */
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, routes_fd(n->routes), NULL);
	if (broken)
		routes_abandon(n->routes);
	else
		routes_close(n->routes);
	n->routes = NULL;
	n->routes_ns = 0;
}

void netns_broken(struct served *s, struct namespace *n)
{
	netns_publish_without(s, n, TCPX_SERVED_ROUTES);
	netns_drop_routes(s, n, true);
	n->refused = true;
}

static struct namespace *make(uint32_t inode, int fd, struct namespace *next)
{
	struct namespace *n = calloc(1, sizeof(*n));

	if (n)
		*n = (struct namespace){.inode = inode, .fd = fd, .next = next};
	return n;
}

struct namespace *netns_insert(struct served *s, uint32_t inode, int fd)
{
	struct namespace *n = make(inode, fd, s->first);

	if (!n)
		return NULL;
	pthread_mutex_lock(&s->lock);
	s->first = n;
	pthread_mutex_unlock(&s->lock);
	s->count++;
	return n;
}

void netns_decline(struct served *s, uint32_t inode, int err)
{
	struct namespace *n = s->others < OTHERS_MOST ? make(inode, -1, s->declined) : NULL;

	if (!n)
		return;
	s->declined = n;
	s->others++;
	s->foreign += err == -EPERM;
	n->err = err;
	n->known_ns = now_ns();
	/* not found: it may be there in a moment */
	if (err != -ENOENT)
		publish(s, n, TCPX_SERVED_DECLINED);
}

/* -EPERM is the word for a foreign owner. */
void netns_decline_failed(struct served *s, uint32_t inode, struct trouble trouble)
{
	netns_decline(s, inode, trouble.err == -EPERM ? -EACCES : trouble.err);
	if (s->declined && s->declined->inode == inode)
		s->declined->trouble = trouble;
}

static void take_out(struct namespace **at, const struct namespace *n)
{
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
}

void netns_forget(struct served *s, struct namespace *n)
{
	copier_wait(s, n);
	if (n->fd >= 0 || n->flags)
		publish(s, n, 0);
	if (n->fd < 0) {
		take_out(&s->declined, n);
		s->others--;
		s->foreign -= n->err == -EPERM;
		free(n);
		return;
	}
	pthread_mutex_lock(&s->lock);
	take_out(&s->first, n);
	pthread_mutex_unlock(&s->lock);
	netns_drop_routes(s, n, false);
	if (n->open)
		netns_close_flush(s, n);
	close(n->fd);
	s->count--;
	free(n);
}

int netns_check(struct served *s, int err)
{
	if (err == -EOPNOTSUPP)
		snprintf(s->reason, sizeof(s->reason), "%s", routes_reason());
	return err;
}

/* The thread's own namespace needs no right to enter it. */
static int enter(struct served *s, const struct namespace *n)
{
	return n->inode != s->home && setns(n->fd, CLONE_NEWNET) ? -errno : 0;
}

static void come_home(struct served *s, const struct namespace *n)
{
	/* what would follow would happen to a stranger: better no agent, which its guards survive
	 */
	if (n->inode != s->home && setns(s->home_fd, CLONE_NEWNET))
		syscall(SYS_kill, getpid(), SIGKILL);
}

static int open_routes(struct served *s, struct namespace *n)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = n};
	struct routes_place place = {s->home_fd, s->map_fd, n->inode};
	int err = routes_open_small(s->mark_bits, &place, &n->routes);
	bool large = err == -EFBIG;

	if (large)
		err = 0;
	if (!err && n->routes &&
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, routes_fd(n->routes), &event)) {
		err = -errno;
		netns_drop_routes(s, n, false);
	}
	if (!err && large) {
		n->copy.opening = true;
		copier_take(s, n);
	}
	n->refused = err != 0;
	/* this process lives at home, which it keeps alive in any case */
	if (!err && n->inode != s->home) {
		n->used_ns = now_ns();
		n->routes_ns = n->used_ns + ROUTES_LOOK_NS;
	}
	return netns_check(s, err);
}

static int open_path(struct served *s, struct namespace *n)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = n};
	int err = held_path_open(&n->path);

	if (!err && epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, held_path_fd(n->path), &event)) {
		err = -errno;
		held_path_close(n->path);
		n->path = NULL;
	}
	return err;
}

static int open_flush(struct served *s, struct namespace *n)
{
	struct flush flush = {0};
	int err = flush_open(&flush);

	if (err)
		return err;
	err = open_path(s, n);
	if (err) {
		flush_close(&flush);
		return err;
	}
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
	n->open = n->closing = false;
	n->pass[0] = 0;
	pthread_mutex_unlock(&s->lock);
	n->flush_ns = 0;
	/* explicitly, as of routes */
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, held_path_fd(n->path), NULL);
	held_path_close(n->path);
	n->path = NULL;
}

static void note(struct namespace *n, enum trouble_with with, int err)
{
	if (err)
		n->trouble = (struct trouble){with, err};
	else if (n->trouble.with == with)
		n->trouble.err = 0;
}

int netns_equip(struct served *s, struct namespace *n)
{
	bool open = s->flushing && !n->open;
	bool route = s->mark_bits && !n->routes && !n->refused;
	int err = 0, route_err = 0;

	if (open || route) {
		err = enter(s, n);
		note(n, TROUBLE_ENTER, err);
		if (err)
			return err;
		err = open ? open_flush(s, n) : 0;
		note(n, TROUBLE_RAW, err);
		route_err = route ? open_routes(s, n) : 0;
		if (route)
			note(n, TROUBLE_ROUTES, route_err == -EOPNOTSUPP ? 0 : route_err);
		come_home(s, n);
	}
	if (n->open && (n->closing || !n->flush_ns)) {
		n->closing = false;
		n->thinned_ns = now_ns();
		n->flush_ns = n->thinned_ns + IDLE_NS;
	}
	netns_publish(s, n);
	return err ? err : route_err;
}

/* "TCP: inuse 5 orphan 0 ..." in a file of the calling thread's namespace; -1: not known. */
static long in_use(const char *path, const char *word)
{
	const char *at;
	char text[512];
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1; /* no IPv6 */
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return -1;
	text[n] = 0;
	at = strstr(text, word);
	return at ? strtol(at + strlen(word), NULL, 10) : 0;
}

bool netns_in_use(struct served *s, const struct namespace *n)
{
	long sockets, sockets6;

	if (enter(s, n))
		return true;
	sockets = in_use("/proc/thread-self/net/sockstat", "\nTCP: inuse ");
	sockets6 = in_use("/proc/thread-self/net/sockstat6", "TCP6: inuse ");
	come_home(s, n);
	return sockets || sockets6; /* an error is no proof that there are none */
}

void netns_follow_path(struct served *s, struct namespace *n)
{
	held_path_handle(n->path);
	if (!n->closing && netns_is_told_wrong(n))
		netns_publish(s, n);
}
