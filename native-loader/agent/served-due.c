// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stddef.h>

#include "find-netns.h"
#include "held-path.h"
#include "served-due.h"
#include "served-netns.h"

#define GRACE_NS (1 * SECOND) /* what was held before reaches us within 200 ms */
#define SCAN_NS (60 * SECOND)
#define UNSEEN_MOST 5 /* scans: a kernel's own socket may be all that is in a namespace */

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
		netns_follow_path(s, n);
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

uint64_t due_sooner(uint64_t at, uint64_t than)
{
	return at && (!than || at < than) ? at : than;
}

uint64_t due_look(struct served *s, uint64_t now)
{
	struct namespace *n, *next;
	uint64_t first = 0;

	scan(s, now);
	for (n = s->first; n; n = next) {
		next = n->next;
		look_after(s, n, now);
	}
	for (n = s->declined; n; n = next) {
		next = n->next;
		first = due_sooner(look_after_declined(s, n, now), first);
	}
	take_stock(s);
	for (n = s->first; n; n = n->next) {
		first = due_sooner(n->flush_ns, first);
		first = due_sooner(n->copy.away ? 0 : n->routes_ns, first);
		first = due_sooner(n->copy.resume_ns, first);
		first = due_sooner(n->path ? held_path_due(n->path) : 0, first);
	}
	return due_sooner(s->scan_ns, first);
}
