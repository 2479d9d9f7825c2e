// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "route-set.h"

#define PASSES 4  /* a next hop may need a route that comes later */
#define RETRIES 5 /* of a dump that was interrupted */

struct job {
	const struct nl_pair *nl;
	struct route_set want, have;
	struct nl_batch batch;
	const struct nlmsghdr **list; /* what the batch is made of, by number */
	const struct nlmsghdr **bad;  /* what the kernel refused */
	size_t n, failures, most;
	int family;
	bool clash; /* a next hop that is there with other metrics: gone after this pass */
	bool changed;
};

static void refused(void *context, uint32_t number, int error)
{
	struct job *j = context;

	/* IPv4: the same route twice, from two protocols. */
	if (number >= j->n || j->failures >= j->n || (error == -EEXIST && j->family == AF_INET))
		return;
	j->clash |= error == -EEXIST;
	j->bad[j->failures++] = j->list[number];
}

/* Sends the first n of the list; those refused are in bad[] afterwards. */
static int send_list(struct job *j, int type, int flags)
{
	int err = 0;

	j->failures = 0;
	nl_batch_start(&j->batch, j->nl->ask, refused, j);
	for (size_t i = 0; i < j->n && !err; i++)
		err = nl_batch_add(&j->batch, j->list[i], type, flags);
	return err ? err : nl_batch_flush(&j->batch);
}

static void take_failures(struct job *j)
{
	memcpy(j->list, j->bad, j->failures * sizeof(*j->list));
	j->n = j->failures;
}

/* A hole in the copy would lead packets astray, to a wider route: "throw" sends them to main. */
static int throw_rest(struct job *j)
{
	struct nl_request m;
	struct route_view v;
	int err = j->n > ROUTES_THROWN_MOST ? -E2BIG : 0;

	for (size_t i = 0; i < j->n && !err; i++) {
		err = route_view(j->list[i], &v);
		if (!err)
			err = route_throw(&v, &m);
		m.h.nlmsg_flags = NLM_F_CREATE | NLM_F_APPEND;
		if (!err)
			err = nl_call(j->nl->ask, &m);
		if (err == -EEXIST)
			err = 0;
	}
	return err;
}

static int add_missing(struct job *j)
{
	size_t before;
	int err;

	j->n = 0;
	for (size_t i = 0; i < j->want.n; i++) {
		if (!route_set_has(&j->have, j->want.ordered[i]))
			j->list[j->n++] = j->want.ordered[i];
	}
	j->changed |= j->n > 0;
	do {
		before = j->n;
		err = send_list(j, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND);
		take_failures(j);
	} while (!err && j->n && j->n < before);
	return err ? err : throw_rest(j);
}

/* After add_missing(): whether this one stands for a route that could not be copied. */
static bool thrown(const struct job *j, const struct nlmsghdr *h, size_t kept)
{
	if (((const struct rtmsg *)NLMSG_DATA(h))->rtm_type != RTN_THROW)
		return false;
	for (size_t i = 0; i < kept; i++) {
		if (route_same_key(j->bad[i], h))
			return true;
	}
	return false;
}

static int delete_loosely(struct job *j)
{
	struct nl_request m;
	struct route_view v;
	int err = 0;

	for (size_t i = 0; i < j->n && !err; i++) {
		err = route_view(j->list[i], &v);
		if (!err)
			err = route_key(&v, &m);
		if (err)
			return err;
		m.h.nlmsg_type = RTM_DELROUTE;
		err = nl_call(j->nl->ask, &m);
		if (err == -ESRCH)
			err = 0;
	}
	return err;
}

/* Sets *again when what was there could not be named exactly. */
static int delete_surplus(struct job *j, bool *again)
{
	size_t kept = j->n;
	int err;

	j->n = 0;
	for (size_t i = 0; i < j->have.n; i++) {
		if (!route_set_has(&j->want, j->have.ordered[i]) &&
		    !thrown(j, j->have.ordered[i], kept))
			j->list[j->n++] = j->have.ordered[i];
	}
	j->changed |= j->n > 0;
	err = send_list(j, RTM_DELROUTE, 0);
	take_failures(j);
	*again = j->n > 0 || j->clash;
	return err ? err : delete_loosely(j);
}

/* IPv4: of routes with the same key the first one counts, so their order matters. The last
 * ones are moved behind the others one by one: there is always one in place.
 */
static int order(struct job *j)
{
	const struct nlmsghdr **want = j->want.ordered, **have = j->have.ordered;
	struct nl_batch *b = &j->batch;
	bool moving = false;
	int err = 0;

	nl_batch_start(b, j->nl->ask, NULL, NULL);
	for (size_t i = 0; i < j->want.n && !err; i++) {
		moving = moving && route_same_key(want[i - 1], want[i]);
		if (!moving && (want[i]->nlmsg_len != have[i]->nlmsg_len ||
				memcmp(want[i], have[i], want[i]->nlmsg_len)))
			moving = true;
		if (!moving)
			continue;
		err = nl_batch_add(b, want[i], RTM_DELROUTE, 0);
		if (!err)
			err = nl_batch_add(b, want[i], RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND);
	}
	return err ? err : nl_batch_flush(b);
}

/* Addresses and devices are told about before IPv4's routes have gone with them, and dumps do
 * not wait for that; a change does.
 */
static void settle(const struct nl_pair *nl)
{
	static const unsigned char nowhere[4] = {0};
	struct nl_request m = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg))}};
	struct rtmsg *rt = NLMSG_DATA(&m.h);

	m.h.nlmsg_type = RTM_DELROUTE;
	rt->rtm_family = AF_INET;
	rt->rtm_dst_len = 32;
	rt->rtm_type = RTN_UNICAST;
	rt->rtm_scope = RT_SCOPE_NOWHERE;
	rt->rtm_protocol = ROUTES_PROTOCOL;
	if (!nl_put_u32(&m, RTA_TABLE, ROUTES_TABLE) && !nl_put(&m, RTA_DST, nowhere, 4))
		nl_call(nl->ask, &m);
}

static int pass(struct job *j, bool *again)
{
	size_t most;
	int err;

	j->changed = j->clash = false;
	j->want.most = j->have.most = j->most;
	err = route_set_read(&j->want, j->nl->dump, j->family, RT_TABLE_MAIN);
	if (!err)
		err = route_set_read(&j->have, j->nl->dump, j->family, ROUTES_TABLE);
	if (err)
		return err;
	most = j->want.n + j->have.n + 1;
	j->list = calloc(most, 2 * sizeof(*j->list));
	if (!j->list)
		return -ENOMEM;
	j->bad = j->list + most;
	err = add_missing(j);
	if (err)
		return err;
	/* add_missing() left what it threw in list[] and in bad[] alike; delete_surplus() needs
	 * bad[]. */
	err = delete_surplus(j, again);
	if (err || j->family != AF_INET || !route_set_twins(&j->want))
		return err;
	*again |= j->changed;
	return j->changed || j->want.n != j->have.n ? 0 : order(j);
}

int route_sync(const struct nl_pair *nl, int family, size_t most)
{
	struct job *j = calloc(1, sizeof(*j));
	int err = -EINTR, torn = 0;
	bool again = true;

	if (!j)
		return -ENOMEM;
	j->nl = nl;
	j->family = family;
	j->most = most;
	settle(nl);
	for (int i = 0; again && i < PASSES; i++) {
		again = false;
		err = pass(j, &again);
		free(j->list);
		j->list = NULL;
		route_set_free(&j->want);
		route_set_free(&j->have);
		memset(&j->want, 0, sizeof(j->want));
		memset(&j->have, 0, sizeof(j->have));
		if (err == -EINTR && torn++ < RETRIES) {
			again = true;
			i--;
		}
	}
	free(j);
	return err;
}
