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
#include "served-netns.h"

#define GRACE_NS (1 * SECOND) /* what was held before reaches us within 200 ms */
#define BEFORES 4096
#define SERVED_MOST 1024
#define SERVED_LEAST 16
#define FDS_EACH 14    /* descriptors of a served namespace, and some to spare */
#define FDS_OTHER 128  /* of the rest of the process */
#define SEARCH_PAUSE 9 /* times as long as the last one took, before the next */
#define SCAN_NS (60 * SECOND)
#define UNSEEN_MOST 5 /* scans: a kernel's own socket may be all that is in a namespace */

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
	if (err == -ETIMEDOUT) {
		netns_publish_without(s, n, TCPX_SERVED_ROUTES);
		netns_drop_routes(s, n, true);
		n->refused = true;
	}
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

/* ACKs that are held at this moment still go out, and no others are held where that may be wrong.
 */
static void follow_path(struct served *s, struct namespace *n)
{
	held_path_handle(n->path);
	if (!n->closing && netns_is_told_wrong(n))
		netns_publish(s, n);
}

int served_follow(struct served *s, struct namespace *n)
{
	int err;

	if (n->path)
		follow_path(s, n);
	err = n->routes && !n->copy.away && !n->copy.resume_ns
		      ? judge(s, n, routes_handle(n->routes))
		      : 0;
	/* after changes, too: the guard of an agent before us may have taken our entry back */
	if (err)
		netns_publish(s, n);
	return err;
}

/* In two steps: first the thinner learns that nobody sends here, then the sockets go. */
static void look_after_flush(struct served *s, struct namespace *n, uint64_t now)
{
	if (n->closing) {
		netns_close_flush(s, n);
		return;
	}
	netns_publish(s, n); /* which takes the thinner's notes */
	if (n->used)
		n->thinned_ns = now;
	n->used = false;
	n->flush_ns = now + IDLE_NS;
	if (now < n->thinned_ns + (n->flags & TCPX_SERVED_PASS ? PASS_NS : IDLE_NS))
		return;
	n->closing = true;
	n->flush_ns = now + GRACE_NS;
	netns_publish_without(s, n, TCPX_SERVED_FLUSH | TCPX_SERVED_PASS);
}

/* Our sockets keep a namespace alive that nobody else may need any more. */
static void look_after_routes(struct served *s, struct namespace *n, uint64_t now)
{
	if (netns_in_use(s, n))
		n->used_ns = now;
	n->routes_ns = now + ROUTES_LOOK_NS;
	if (now < n->used_ns + ROUTES_IDLE_NS)
		return;
	/* whoever comes from now on asks for it again; who has come a moment ago has the mark */
	netns_publish_without(s, n, ~0U);
	if (netns_in_use(s, n)) {
		n->used_ns = now;
		netns_publish(s, n);
		return;
	}
	if (n->open)
		netns_close_flush(s, n); /* nothing can be held there */
	netns_drop_routes(s, n, false);
}

static bool is_due(uint64_t at, uint64_t now)
{
	return at && now >= at;
}

static void look_after(struct served *s, struct namespace *n, uint64_t now)
{
	uint32_t inode;
	bool refused;

	if (n->path && is_due(held_path_due(n->path), now))
		follow_path(s, n);
	if (is_due(n->flush_ns, now))
		look_after_flush(s, n, now);
	if (is_due(n->copy.resume_ns, now))
		copier_resume(s, n);
	if (is_due(n->routes_ns, now) && !n->copy.away)
		look_after_routes(s, n, now);
	if ((n->open || n->routes) && n->unseen < UNSEEN_MOST)
		return;
	inode = n->inode;
	refused = n->refused;
	netns_forget(s, n);
	if (refused) /* by what was found in its routes: not again at once */
		netns_decline(s, inode, -EOPNOTSUPP);
}

static uint64_t forgotten_at(const struct namespace *n)
{
	bool told = n->err == -EPERM || n->err == -ENOENT || n->trouble.err;

	return n->known_ns + (told ? FOREIGN_NS : IDLE_NS);
}

/* In the map only for a while: the number may be another namespace's by now. */
static uint64_t look_after_declined(struct served *s, struct namespace *n, uint64_t now)
{
	if (now >= forgotten_at(n)) {
		netns_forget(s, n);
		return 0;
	}
	if (n->flags && now >= n->known_ns + DECLINED_NS)
		netns_publish_without(s, n, ~0U);
	return n->flags ? n->known_ns + DECLINED_NS : forgotten_at(n);
}

static void mark_seen(void *context, uint32_t inode)
{
	struct namespace *n = netns_lookup(context, inode);

	if (n)
		n->unseen = 0;
}

/* Those of no process and without a name: what is left in there may be a socket of the kernel. */
static void scan(struct served *s, uint64_t now)
{
	bool routes = false;

	for (struct namespace *n = s->first; n; n = n->next)
		routes |= n->routes && n->inode != s->home;
	if (!routes) {
		s->scan_ns = 0;
		return;
	}
	if (is_due(s->scan_ns, now)) {
		for (struct namespace *n = s->first; n; n = n->next)
			n->unseen += n->inode != s->home;
		find_netns(NULL, 0, mark_seen, s);
		s->scan_ns = 0;
	}
	if (!s->scan_ns)
		s->scan_ns = now + SCAN_NS;
}

/* What `status` is told. */
static void take_stock(struct served *s)
{
	struct namespace *lists[] = {s->first, s->declined};

	s->troubled = s->unfound = 0;
	for (unsigned int i = 0; i < 2; i++) {
		for (struct namespace *n = lists[i]; n; n = n->next) {
			s->unfound += n->err == -ENOENT;
			s->troubled += n->trouble.err != 0;
			if (n->trouble.err)
				s->trouble = n->trouble;
		}
	}
}

static uint64_t sooner(uint64_t at, uint64_t than)
{
	return at && (!than || at < than) ? at : than;
}

int served_tick(struct served *s)
{
	struct namespace *n, *next;
	uint64_t now, first = 0;

	if (s->wanteds && now_ns() >= s->search_ns)
		search(s);
	now = now_ns();
	scan(s, now);
	for (n = s->first; n; n = next) {
		next = n->next;
		look_after(s, n, now);
	}
	for (n = s->declined; n; n = next) {
		next = n->next;
		first = sooner(look_after_declined(s, n, now), first);
	}
	take_stock(s);
	for (n = s->first; n; n = n->next) {
		first = sooner(n->flush_ns, sooner(n->copy.away ? 0 : n->routes_ns,
						   sooner(n->copy.resume_ns, first)));
		first = sooner(n->path ? held_path_due(n->path) : 0, first);
	}
	first = sooner(s->scan_ns, sooner(s->wanteds ? s->search_ns : 0, first));
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
