// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "routes-internal.h"
#include "routes-follow.h"

#define DEATHS 5 /* of the guard, until we do without */
#define REASON 200
#define ROUNDS 16  /* of reading what there is, until a comparison makes sense */
#define SMALL 4096 /* routes, which are compared in some milliseconds */

static __thread char reason[REASON];

const char *routes_reason(void)
{
	return reason;
}

static int watch_fd(struct routes *r, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return syscall(SYS_epoll_ctl, r->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int open_sockets(struct routes *r)
{
	int *fds[] = {&r->news, &r->nl.dump, &r->nl.ask, &r->last.dump, &r->last.ask};
	int err;

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		*fds[i] = nl_open();
		if (*fds[i] < 0)
			return *fds[i];
	}
	r->epoll = (int)syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
	if (r->epoll < 0)
		return -errno;
	err = routes_subscribe(r->news, r->nl.ask);
	return err ? err : watch_fd(r, r->news);
}

static int guard(struct routes *r)
{
	int err = guard_start(&r->guard, &r->last, &r->place);

	return err ? err : watch_fd(r, r->guard.fd);
}

static void let_go(struct routes *r, bool guard_sweeps)
{
	int fds[] = {r->news, r->nl.dump, r->nl.ask, r->last.dump, r->last.ask, r->epoll};

	guard_end(&r->guard, guard_sweeps);
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	free(r->plan);
	free(r);
}

static int judge(struct routes *r, unsigned int bits)
{
	int err = rules_judge(&r->nl, AF_INET, bits, reason, REASON);

	if (err == -EAFNOSUPPORT) {
		snprintf(reason, REASON, "this kernel has no routing rules");
		return -EOPNOTSUPP;
	}
	if (err)
		return err;
	err = rules_judge(&r->nl, AF_INET6, bits, reason, REASON);
	r->ipv6 = err != -EAFNOSUPPORT;
	return r->ipv6 ? err : 0;
}

/* Routes first: a rule must not lead to a table that is not complete. */
static int bring_up_to_date(struct routes *r)
{
	int err;

	for (int f = 0; f < 2; f++) {
		int family = f ? AF_INET6 : AF_INET;

		if (f && !r->ipv6)
			break;
		if (r->stale[f]) {
			err = route_sync(&r->nl, family, r->most);
			if (err == -EEXIST)
				snprintf(reason, REASON, "table %d holds routes of somebody else",
					 ROUTES_TABLE);
			if (err == -E2BIG)
				snprintf(reason, REASON,
					 "more than %d routes, or %d that cannot be copied",
					 ROUTES_MOST, ROUTES_THROWN_MOST);
			if (err)
				return err == -EEXIST || err == -E2BIG ? -EOPNOTSUPP : err;
			r->stale[f] = false;
		}
	}
	if (!r->stale_rules)
		return 0;
	err = judge(r, r->bits);
	if (!err)
		err = rules_set(&r->nl, AF_INET, r->bits, reason, REASON);
	if (!err && r->ipv6)
		err = rules_set(&r->nl, AF_INET6, r->bits, reason, REASON);
	r->stale_rules = err != 0;
	r->standing = !err;
	return err;
}

unsigned int routes_bits_standing(const struct routes *r)
{
	return r->standing ? r->bits : 0;
}

static int open_routes(unsigned int mark_bits, const struct routes_place *place, size_t most,
		       struct routes **out)
{
	struct routes *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->news = r->epoll = r->guard.fd = -1;
	r->nl = r->last = (struct nl_pair){-1, -1};
	r->bits = mark_bits;
	r->most = most;
	r->place = place ? *place : (struct routes_place){-1, -1, 0};
	r->stale[0] = r->stale[1] = r->stale_rules = true;
	err = open_sockets(r);
	if (!err)
		err = judge(r, mark_bits);
	if (!err)
		err = guard(r);
	if (!err)
		err = bring_up_to_date(r);
	if (err && err != -EFBIG) {
		if (err != -ETIMEDOUT && r->last.ask >= 0)
			sweep(&r->nl);
		let_go(r, err == -ETIMEDOUT);
		return err;
	}
	*out = r;
	return err;
}

int routes_open(unsigned int mark_bits, const struct routes_place *place, struct routes **out)
{
	return open_routes(mark_bits, place, 0, out);
}

int routes_open_small(unsigned int mark_bits, const struct routes_place *place, struct routes **out)
{
	return open_routes(mark_bits, place, SMALL, out);
}

int routes_fd(const struct routes *r)
{
	return r->epoll;
}

/* A guard that was killed is followed by another, unless somebody insists. */
static void look_after_guard(struct routes *r)
{
	char c;
	long n;

	if (r->guard.fd < 0)
		return;
	n = syscall(SYS_recvfrom, r->guard.fd, &c, 1, MSG_DONTWAIT, NULL, NULL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close(r->guard.fd);
	r->guard.fd = -1;
	if (++r->guard.deaths < DEATHS)
		guard(r);
}

static void withdraw(struct routes *r)
{
	char unused[REASON];

	r->standing = false;
	rules_set(&r->nl, AF_INET, 0, unused, REASON);
	if (r->ipv6)
		rules_set(&r->nl, AF_INET6, 0, unused, REASON);
	r->stale_rules = true;
}

int routes_handle(struct routes *r)
{
	int changes, err;

	look_after_guard(r);
	changes = routes_follow(r);
	err = changes < 0 || r->lost ? changes : bring_up_to_date(r);
	if (r->lost && err > 0)
		err = 0;
	if (r->lost && r->standing && !err) { /* the copy is not main's any more */
		withdraw(r);
		changes++;
	}
	if (!err)
		return changes;
	if (err == -ETIMEDOUT)
		r->standing = false; /* its sockets wait for answers of before */
	else
		withdraw(r);
	return err;
}

int routes_handle_whole(struct routes *r)
{
	size_t most = r->most;
	int result = 0;

	r->most = 0;
	for (int i = 0; i < ROUNDS && (!i || (result >= 0 && r->lost)); i++)
		result = routes_handle(r);
	r->most = most;
	return result >= 0 && r->lost ? -EINTR : result;
}

int routes_bits(struct routes *r, unsigned int mark_bits)
{
	int err = judge(r, mark_bits);

	if (err)
		return err;
	r->bits = mark_bits;
	r->stale_rules = true;
	r->standing = false;
	err = bring_up_to_date(r);
	if (err && err != -ETIMEDOUT)
		withdraw(r);
	return err;
}

void routes_close(struct routes *r)
{
	if (!r)
		return;
	sweep(&r->nl);
	let_go(r, false);
}

void routes_abandon(struct routes *r)
{
	if (r->guard.fd < 0)
		sweep(&r->last); /* the guard's sockets, which it has not used */
	let_go(r, true);
}

int routes_check(unsigned int mark_bits)
{
	struct routes r = {.nl = {.dump = nl_open(), .ask = nl_open()}};
	int err = r.nl.dump < 0 ? r.nl.dump : r.nl.ask;

	if (r.nl.dump >= 0 && r.nl.ask >= 0)
		err = judge(&r, mark_bits);
	if (r.nl.dump >= 0)
		close(r.nl.dump);
	if (r.nl.ask >= 0)
		close(r.nl.ask);
	return err;
}

int routes_sweep(void)
{
	struct nl_pair nl = {.dump = nl_open(), .ask = nl_open()};
	int removed = nl.dump < 0 ? nl.dump : nl.ask;

	if (nl.dump >= 0 && nl.ask >= 0)
		removed = sweep(&nl);
	if (nl.dump >= 0)
		close(nl.dump);
	if (nl.ask >= 0)
		close(nl.ask);
	return removed;
}
