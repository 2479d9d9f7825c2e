// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "find-netns.h"
#include "routes.h"
#include "served-netns.h"

#define GRACE_NS (1 * SECOND) /* what was held before reaches us within 200 ms */
#define BEFORES 4096
#define SERVED_MOST 1024
#define SERVED_LEAST 16
#define FDS_EACH 12   /* descriptors of a served namespace, and some to spare */
#define FDS_OTHER 128 /* of the rest of the process */
#define SEARCHES 20   /* of /proc per second, which others can make us want */

/* Takes the descriptor over. */
static int adopt(struct served *s, uint32_t inode, int fd)
{
	struct namespace *n;
	int err;

	if (s->count >= s->most) {
		s->turned_away++;
		close(fd);
		netns_decline(s, inode, -EUSERS);
		return -EUSERS;
	}
	n = netns_insert(s, inode, fd);
	if (!n) {
		close(fd);
		return -ENOMEM;
	}
	err = netns_equip(s, n);
	if (!n->open && !n->routes) {
		n->err = err; /* nothing works there: not again for a while */
		n->forget_ns = now_ns() + IDLE_NS;
	}
	return err;
}

/* Takes the descriptor over, and declines a namespace whose owner may be anybody. */
static int adopt_own(struct served *s, uint32_t inode, int fd)
{
	if (netns_owned_by(fd, s->owner_dev, s->owner))
		return adopt(s, inode, fd);
	close(fd);
	netns_decline(s, inode, -EPERM);
	snprintf(s->reason, sizeof(s->reason), NETNS_FOREIGN);
	return -EPERM;
}

static int search(struct served *s, uint32_t inode)
{
	int fd = find_netns(inode);

	if (fd >= 0)
		return adopt_own(s, inode, fd);
	netns_decline(s, inode, fd);
	return fd;
}

static bool may_search(struct served *s)
{
	uint64_t now = now_ns();

	if (now - s->search_ns >= SECOND) {
		s->search_ns = now;
		s->searches = SEARCHES;
	}
	if (!s->searches)
		return false; /* who needs it will ask again */
	s->searches--;
	return true;
}

int served_inode(struct served *s, uint32_t inode)
{
	struct namespace *n = netns_lookup(s, inode);

	/* the number may be another namespace's by now */
	if (n && n->fd < 0 && now_ns() - n->known_ns >= IDLE_NS) {
		netns_forget(s, n);
		n = NULL;
	}
	if (n)
		return n->forget_ns ? n->err : netns_equip(s, n);
	return may_search(s) ? search(s, inode) : -EAGAIN;
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
		return adopt_own(s, inode, fd);
	close(fd);
	n->refused = false;
	n->err = 0;
	n->forget_ns = 0;
	return netns_equip(s, n);
}

/* Connections there have their mark and will not ask another time. */
static void serve_again(struct served *s)
{
	for (unsigned int i = 0; i < s->befores; i++)
		if (!netns_lookup(s, s->before[i]))
			search(s, s->before[i]);
	free(s->before);
	s->before = NULL;
	s->befores = 0;
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
		else
			netns_publish(s, n);
		if (!n->open && !n->routes && !n->forget_ns) /* goes with the next tick */
			n->forget_ns = 1;
		first = first ? first : err;
	}
	if (mark_bits)
		serve_again(s);
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
		if (err && err != -EAGAIN && err != -ENOBUFS) {
			/* a firewall, perhaps: nothing more is held, until somebody asks again */
			struct tcpx_served value = {0};

			if (!bpf_map_lookup_elem(s->map_fd, &n->inode, &value)) {
				value.flags &= ~TCPX_SERVED_FLUSH;
				bpf_map_update_elem(s->map_fd, &n->inode, &value, BPF_EXIST);
			}
		}
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

int served_follow(struct served *s, struct namespace *n)
{
	int err = n->routes ? netns_check(s, routes_handle(n->routes)) : 0;

	if (err == -ETIMEDOUT) {
		routes_abandon(n->routes);
		n->routes = NULL;
		n->routes_ns = 0;
		n->refused = true;
	}
	if (err)
		netns_publish(s, n);
	return err;
}

/* In two steps: first the thinner learns that nobody sends here, then the sockets go. */
static void look_after_flush(struct served *s, struct namespace *n, uint64_t now)
{
	struct tcpx_served value = {0};

	if (!(n->flags & TCPX_SERVED_FLUSH)) {
		netns_close_flush(s, n);
		return;
	}
	bpf_map_lookup_elem(s->map_fd, &n->inode, &value);
	if (n->used || value.flags & TCPX_SERVED_USED) {
		n->used = false;
		n->flush_ns = now + IDLE_NS;
		netns_publish(s, n);
		return;
	}
	n->flush_ns = now + GRACE_NS;
	netns_publish_closing(s, n);
}

/* Our sockets keep a namespace alive that nobody else may need any more. */
static void look_after_routes(struct served *s, struct namespace *n, uint64_t now)
{
	if (netns_sockets(s, n))
		n->used_ns = now;
	n->routes_ns = now + ROUTES_LOOK_NS;
	if (now - n->used_ns < ROUTES_IDLE_NS)
		return;
	if (n->open)
		netns_close_flush(s, n); /* nothing can be held there */
	netns_drop_routes(n);
}

static bool is_due(uint64_t at, uint64_t now)
{
	return at && now >= at;
}

static void look_after(struct served *s, struct namespace *n, uint64_t now)
{
	if (is_due(n->forget_ns, now)) {
		netns_forget(s, n);
		return;
	}
	if (is_due(n->flush_ns, now))
		look_after_flush(s, n, now);
	if (is_due(n->routes_ns, now))
		look_after_routes(s, n, now);
	if (!n->forget_ns && !n->open && !n->routes)
		netns_forget(s, n);
}

static uint64_t sooner(uint64_t at, uint64_t than)
{
	return at && (!than || at < than) ? at : than;
}

int served_tick(struct served *s)
{
	uint64_t now = now_ns(), first = 0;
	struct namespace *n, *next;

	for (n = s->first; n; n = next) {
		next = n->next;
		look_after(s, n, now);
	}
	for (n = s->first; n; n = n->next)
		first = sooner(n->forget_ns, sooner(n->flush_ns, sooner(n->routes_ns, first)));
	if (!first)
		return -1;
	return first > now ? (int)((first - now) / 1000000) + 1 : 0;
}

/* Entries of an agent before us, ended or killed. */
static void take_over(struct served *s)
{
	struct tcpx_served value = {0};
	uint32_t key;

	s->before = calloc(BEFORES, sizeof(*s->before));
	while (!bpf_map_get_next_key(s->map_fd, NULL, &key)) {
		bpf_map_lookup_elem(s->map_fd, &key, &value);
		if (bpf_map_delete_elem(s->map_fd, &key))
			return;
		if (s->before && s->befores < BEFORES && !(value.flags & TCPX_SERVED_DECLINED))
			s->before[s->befores++] = key;
	}
}

static unsigned int most_served(void)
{
	struct rlimit fds;
	rlim_t most = SERVED_MOST;

	if (!getrlimit(RLIMIT_NOFILE, &fds) && fds.rlim_cur != RLIM_INFINITY) {
		most = fds.rlim_cur > FDS_OTHER ? (fds.rlim_cur - FDS_OTHER) / FDS_EACH : 0;
		if (most > SERVED_MOST)
			most = SERVED_MOST;
	}
	return most < SERVED_LEAST ? SERVED_LEAST : (unsigned int)most;
}

int served_open(struct served *s)
{
	struct stat home, owner;

	if (stat(OWN_USERNS, &owner))
		return -errno;
	s->home_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (s->home_fd < 0)
		return -errno;
	if (!fstat(s->home_fd, &home))
		s->home = (uint32_t)home.st_ino;
	s->owner_dev = owner.st_dev;
	s->owner = owner.st_ino;
	s->most = most_served();
	take_over(s);
	return 0;
}

void served_close(struct served *s)
{
	const struct tcpx_served none = {0};
	uint32_t inode;
	bool routes;

	while (s->first) {
		inode = s->first->inode;
		routes = s->first->routes != NULL;
		netns_forget(s, s->first);
		if (routes) /* for the next agent: see serve_again() */
			bpf_map_update_elem(s->map_fd, &inode, &none, BPF_ANY);
	}
	free(s->before);
	close(s->home_fd);
}
