// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "find-netns.h"
#include "routes.h"
#include "served-netns.h"

#define GRACE_NS (1 * SECOND) /* what was held before reaches us within 200 ms */

/* Takes the descriptor over. */
static int adopt(struct served *s, uint32_t inode, int fd)
{
	struct namespace *n = netns_insert(s, inode, fd);
	int err;

	if (!n) {
		close(fd);
		return -ENOMEM;
	}
	err = netns_equip(s, n);
	if (!n->flags) {
		n->err = err; /* nothing works there: not again for a while */
		n->check_ns = now_ns() + IDLE_NS;
	}
	return err;
}

static void mark_seen(void *context, uint32_t inode)
{
	struct namespace *n = netns_lookup(context, inode);

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
			netns_forget(s, n);
	}
}

int served_inode(struct served *s, uint32_t inode)
{
	struct namespace *n = netns_lookup(s, inode);
	int fd;

	if (n && (n->fd < 0 || n->err))
		return n->err;
	if (n)
		return netns_equip(s, n);
	for (n = s->first; n; n = n->next)
		n->seen = false;
	fd = find_netns(inode, mark_seen, s);
	release_abandoned(s);
	if (fd >= 0)
		return adopt(s, inode, fd);
	n = netns_insert(s, inode, -1);
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
	n = netns_lookup(s, inode);
	if (n && n->fd < 0) {
		netns_forget(s, n);
		n = NULL;
	}
	if (!n)
		return adopt(s, inode, fd);
	close(fd);
	n->refused = false;
	n->err = 0;
	return netns_equip(s, n);
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
			err = netns_check(s, routes_bits(n->routes, mark_bits));
		else if (n->routes)
			netns_drop_routes(n);
		if (!err)
			err = netns_equip(s, n);
		if (!n->flags &&
		    !n->check_ns) /* neither sockets nor routes: goes with the next tick */
			n->check_ns = 1;
		first = first ? first : err;
	}
	return first;
}

int served_flush(struct served *s, const struct tcpx_held *held)
{
	struct namespace *n;
	int err = -ENOENT;

	pthread_mutex_lock(&s->lock);
	n = netns_lookup(s, held->netns);
	if (n && n->open) {
		n->used = true;
		err = flush_send(&n->flush, held);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

int served_follow(struct served *s, struct namespace *n)
{
	return n->routes ? netns_check(s, routes_handle(n->routes)) : 0;
}

/* In two steps: first the thinner learns that nobody sends here, then the sockets go. */
static void look_after(struct served *s, struct namespace *n, uint64_t now)
{
	uint32_t flags = 0;

	if (n->err || !n->open) {
		if (!n->routes)
			netns_forget(s, n);
		else
			n->check_ns = 0;
		return;
	}
	if (!(n->flags & TCPX_SERVED_FLUSH)) {
		netns_close_flush(s, n);
		look_after(s, n, now);
		return;
	}
	bpf_map_lookup_elem(s->map_fd, &n->inode, &flags);
	if (n->used || flags & TCPX_SERVED_USED) {
		n->used = false;
		n->check_ns = now + IDLE_NS;
		netns_publish(s, n, n->flags);
		return;
	}
	n->check_ns = now + GRACE_NS;
	netns_publish(s, n, n->flags & ~TCPX_SERVED_FLUSH);
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
		netns_forget(s, s->first);
	close(s->home_fd);
}
