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
#include "held-path.h"
#include "routes.h"
#include "served-due.h"
#include "served-netns.h"

#define BEFORES 4096
#define SERVED_MOST 1024
#define SERVED_LEAST 16
#define FDS_EACH 14    /* descriptors of a served namespace, and some to spare */
#define FDS_OTHER 128  /* of the rest of the process */
#define SEARCH_PAUSE 9 /* times as long as the last one took, before the next */

/* Takes the descriptor over. */
static int adopt(struct served *s, uint32_t inode, int fd)
{
	struct trouble trouble;
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
	if (n->open || n->routes)
		return err;
	trouble = n->trouble;
	netns_forget(s, n);
	/* nothing works there: not again for a while */
	if (trouble.err)
		netns_decline_failed(s, inode, trouble);
	else if (err)
		netns_decline(s, inode, err);
	return err;
}

/* Takes the descriptor over, and declines a namespace whose owner may be anybody. */
static int adopt_own(struct served *s, uint32_t inode, int fd)
{
	if (netns_owned_by(fd, &s->own))
		return adopt(s, inode, fd);
	close(fd);
	netns_decline(s, inode, -EPERM);
	snprintf(s->reason, sizeof(s->reason), NETNS_FOREIGN);
	return -EPERM;
}

/* Of one that was wanted, perhaps a while ago. */
static void take_found(struct served *s, const struct wanted *found)
{
	/* a command may have named it since */
	bool known = netns_lookup(s, found->inode) || netns_declined(s, found->inode);

	if (known && found->fd >= 0)
		close(found->fd);
	else if (found->fd >= 0)
		adopt_own(s, found->inode, found->fd);
	else if (!known && found->err)
		netns_decline_failed(s, found->inode, (struct trouble){TROUBLE_ENTER, found->err});
	else if (!known)
		netns_decline(s, found->inode, -ENOENT);
}

static void search(struct served *s)
{
	struct wanted wanted[WANTED_MOST];
	uint64_t begin = now_ns(), end;
	unsigned int n = s->wanteds;

	for (unsigned int i = 0; i < n; i++)
		wanted[i].inode = s->wanted[i];
	s->wanteds = 0;
	find_netns(wanted, n, NULL, NULL);
	end = now_ns();
	/* others decide how many are wanted, and how large /proc is */
	s->search_ns = end + SEARCH_PAUSE * (end - begin);
	for (unsigned int i = 0; i < n; i++)
		take_found(s, &wanted[i]);
}

static void want(struct served *s, uint32_t inode)
{
	for (unsigned int i = 0; i < s->wanteds; i++) {
		if (s->wanted[i] == inode)
			return;
	}
	if (s->wanteds < WANTED_MOST) /* else: who needs it asks again */
		s->wanted[s->wanteds++] = inode;
}

void served_want(struct served *s, uint32_t inode)
{
	struct namespace *n = netns_lookup(s, inode);

	if (n) {
		netns_equip(s, n);
		return;
	}
	n = netns_declined(s, inode);
	if (n && now_ns() < n->known_ns + DECLINED_NS)
		return;
	if (n) /* the number may be another namespace's by now */
		netns_forget(s, n);
	want(s, inode);
}

/* Who has a command wants to know how it ends. */
static void await_copy(struct served *s, struct namespace *n)
{
	if (!n->copy.away || n->copy.awaited)
		return;
	n->copy.awaited = true;
	s->awaited++;
}

int served_path(struct served *s, const char *path)
{
	struct namespace *n;
	uint32_t inode;
	int fd = open_netns(path, &inode), err;

	if (fd < 0)
		return fd;
	n = netns_declined(s, inode);
	if (n)
		netns_forget(s, n);
	n = netns_lookup(s, inode);
	if (n) {
		close(fd);
		n->refused = false;
		err = netns_equip(s, n);
	} else {
		err = adopt_own(s, inode, fd);
		n = netns_lookup(s, inode);
	}
	if (n)
		await_copy(s, n);
	return err;
}

/* Connections there have their mark and will not ask another time. */
static void serve_again(struct served *s)
{
	for (unsigned int i = 0; i < s->befores; i++) {
		if (!netns_lookup(s, s->before[i]))
			want(s, s->before[i]);
		if (s->wanteds == WANTED_MOST)
			search(s);
	}
	if (s->wanteds)
		search(s);
	free(s->before);
	s->before = NULL;
	s->befores = 0;
}

/* Those that were declined for a reason of theirs may be asked again. */
static void ask_again(struct served *s)
{
	struct namespace *n, *next;

	for (n = s->declined; n; n = next) {
		next = n->next;
		if (n->err != -EPERM)
			netns_forget(s, n);
	}
}

/* After a call of routes.c. */
static int judge(struct served *s, struct namespace *n, int err)
{
	if (err == -EFBIG) {
		copier_take(s, n);
		return 0;
	}
	if (err == -ETIMEDOUT)
		netns_broken(s, n);
	return netns_check(s, err);
}

static int set_bits(struct served *s, struct namespace *n)
{
	int err = 0;

	n->refused = false;
	copier_wait(s, n);
	if (n->routes && s->mark_bits) {
		err = judge(s, n, routes_bits(n->routes, s->mark_bits));
	} else if (n->routes) {
		netns_publish_without(s, n, TCPX_SERVED_ROUTES);
		netns_drop_routes(s, n, false);
	}
	if (!err)
		return netns_equip(s, n);
	netns_publish(s, n);
	return err;
}

int served_at_once(struct served *s, unsigned int mark_bits)
{
	int first = 0, err;

	s->mark_bits = mark_bits;
	ask_again(s);
	for (struct namespace *n = s->first; n; n = n->next) {
		err = set_bits(s, n);
		first = first ? first : err;
	}
	if (mark_bits)
		serve_again(s);
	for (struct namespace *n = s->first; n; n = n->next)
		await_copy(s, n);
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
	int err;

	if (n->path)
		netns_follow_path(s, n);
	err = n->routes && !n->copy.away && !n->copy.resume_ns
		      ? judge(s, n, routes_handle(n->routes))
		      : 0;
	/* after changes, too: the guard of an agent before us may have taken our entry back */
	if (err)
		netns_publish(s, n);
	return err;
}

int served_tick(struct served *s)
{
	uint64_t now, first;

	if (s->wanteds && now_ns() >= s->search_ns)
		search(s);
	now = now_ns();
	first = due_sooner(s->wanteds ? s->search_ns : 0, due_look(s, now));
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
	struct stat home;
	int err = own_userns(&s->own);

	if (err)
		return err;
	s->home_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (s->home_fd < 0)
		return -errno;
	err = copier_start(s);
	if (err) {
		copier_close(s);
		close(s->home_fd);
		return err;
	}
	if (!fstat(s->home_fd, &home))
		s->home = (uint32_t)home.st_ino;
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
	while (s->declined)
		netns_forget(s, s->declined);
	copier_close(s);
	free(s->before);
	close(s->home_fd);
}
