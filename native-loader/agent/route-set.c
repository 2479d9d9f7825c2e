// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "route-set.h"

static int compare(const void *x, const void *y)
{
	const struct nlmsghdr *a = *(const struct nlmsghdr *const *)x;
	const struct nlmsghdr *b = *(const struct nlmsghdr *const *)y;

	if (a->nlmsg_len != b->nlmsg_len)
		return a->nlmsg_len < b->nlmsg_len ? -1 : 1;
	return memcmp(a, b, a->nlmsg_len);
}

static int append(struct route_set *s, const struct nlmsghdr *h)
{
	size_t len = NLMSG_ALIGN(h->nlmsg_len), room = s->room ? s->room : 1 << 15;
	void *more;

	if (s->n >= ROUTES_MOST)
		return -E2BIG;
	if (s->most && s->n >= s->most)
		return -EFBIG;
	while (room < s->used + len)
		room *= 2;
	if (room != s->room) {
		more = realloc(s->bytes, room);
		if (!more)
			return -ENOMEM;
		s->bytes = more;
		s->room = room;
	}
	memcpy(s->bytes + s->used, h, h->nlmsg_len);
	s->used += len;
	s->n++;
	return 0;
}

static int collect(const struct nlmsghdr *h, void *context)
{
	struct route_set *s = context;
	struct nl_request m;
	struct route_view v;
	int err;

	/* Clones are caches of what a route once led to. */
	if (route_view(h, &v) || v.rt->rtm_flags & RTM_F_CLONED || route_table(&v) != s->table)
		return 0;
	if (s->table == ROUTES_TABLE && v.rt->rtm_protocol != ROUTES_PROTOCOL)
		return -EEXIST;
	for (int part = 0; part < route_parts(&v); part++) {
		err = route_copy(&v, part, ROUTE_WANTED, &m);
		if (err == -EMSGSIZE)
			err = route_throw(&v, &m);
		if (err == -ENOENT)
			continue;
		if (!err)
			err = append(s, &m.h);
		if (err)
			return err;
	}
	return 0;
}

int route_set_read(struct route_set *s, int fd, int family, uint32_t table)
{
	const struct nlmsghdr *h;
	size_t at = 0;
	int err;

	*s = (struct route_set){.table = table, .most = s->most};
	err = nl_dump_routes(fd, family, table, collect, s);
	if (err)
		return err;
	s->ordered = calloc(s->n + 1, 2 * sizeof(*s->ordered));
	if (!s->ordered)
		return -ENOMEM;
	s->sorted = s->ordered + s->n;
	for (size_t i = 0; i < s->n; i++) {
		h = (const struct nlmsghdr *)(s->bytes + at);
		s->ordered[i] = s->sorted[i] = h;
		at += NLMSG_ALIGN(h->nlmsg_len);
	}
	qsort(s->sorted, s->n, sizeof(*s->sorted), compare);
	return 0;
}

bool route_set_has(const struct route_set *s, const struct nlmsghdr *h)
{
	return s->n && bsearch(&h, s->sorted, s->n, sizeof(*s->sorted), compare);
}

void route_set_free(struct route_set *s)
{
	free(s->bytes);
	free(s->ordered);
}

bool route_same_key(const struct nlmsghdr *a, const struct nlmsghdr *b)
{
	static const int key[] = {RTA_DST, RTA_SRC, RTA_PRIORITY};
	struct route_view x, y;

	if (route_view(a, &x) || route_view(b, &y))
		return false;
	if (x.rt->rtm_family != y.rt->rtm_family || x.rt->rtm_dst_len != y.rt->rtm_dst_len ||
	    x.rt->rtm_src_len != y.rt->rtm_src_len || x.rt->rtm_tos != y.rt->rtm_tos)
		return false;
	for (size_t i = 0; i < sizeof(key) / sizeof(*key); i++) {
		const struct rtattr *p = x.a[key[i]], *q = y.a[key[i]];

		if (!p != !q || (p && (p->rta_len != q->rta_len || memcmp(p, q, p->rta_len))))
			return false;
	}
	return true;
}

bool route_set_twins(const struct route_set *s)
{
	for (size_t i = 1; i < s->n; i++) {
		if (route_same_key(s->ordered[i - 1], s->ordered[i]))
			return true;
	}
	return false;
}
