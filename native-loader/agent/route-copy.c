// SPDX-License-Identifier: MIT
#include <errno.h>
#include <linux/lwtunnel.h>
#include <string.h>
#include <sys/socket.h>

#include "routes-internal.h"

#define METRICS 32 /* room for more RTAX_* than today's 17 */

int route_view(const struct nlmsghdr *h, struct route_view *v)
{
	if (h->nlmsg_type != RTM_NEWROUTE && h->nlmsg_type != RTM_DELROUTE)
		return -EINVAL;
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*v->rt)))
		return -EINVAL;
	v->rt = NLMSG_DATA(h);
	nl_attributes(RTM_RTA(v->rt), RTM_PAYLOAD(h), v->a, ROUTE_ATTRIBUTES);
	return v->rt->rtm_family == AF_INET || v->rt->rtm_family == AF_INET6 ? 0 : -EINVAL;
}

uint32_t route_table(const struct route_view *v)
{
	return nl_u32(v->a[RTA_TABLE], v->rt->rtm_table);
}

static int hops(const struct rtattr *multipath)
{
	struct rtnexthop *leg = RTA_DATA(multipath);
	int left = (int)RTA_PAYLOAD(multipath), n = 0;

	for (; left >= (int)sizeof(*leg) && RTNH_OK(leg, left); leg = RTNH_NEXT(leg)) {
		left -= (int)RTNH_ALIGN(leg->rtnh_len);
		n++;
	}
	return n;
}

static const struct rtnexthop *hop(const struct rtattr *multipath, int number)
{
	struct rtnexthop *leg = RTA_DATA(multipath);

	while (number--)
		leg = RTNH_NEXT(leg);
	return leg;
}

int route_parts(const struct route_view *v)
{
	if (v->rt->rtm_family == AF_INET || !v->a[RTA_MULTIPATH] || v->a[RTA_NH_ID])
		return 1;
	return hops(v->a[RTA_MULTIPATH]);
}

static int copy(struct nl_request *m, const struct rtattr *const *a, const int *types, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		if (a[types[i]])
			err = nl_put(m, types[i], RTA_DATA(a[types[i]]), RTA_PAYLOAD(a[types[i]]));
	}
	return err;
}

static size_t nest(struct nl_request *m, int type, int *err)
{
	size_t at = NLMSG_ALIGN(m->h.nlmsg_len);

	*err = nl_put(m, type, NULL, 0);
	return at;
}

static void end_nest(struct nl_request *m, size_t at)
{
	struct rtattr *a = (struct rtattr *)((unsigned char *)m + at);

	a->rta_len = (unsigned short)(NLMSG_ALIGN(m->h.nlmsg_len) - at);
}

/* The metrics of the route, whatever they are, and our own. */
static int put_metrics(struct nl_request *m, const struct rtattr *metrics)
{
	const struct rtattr *by_type[METRICS] = {0};
	size_t at;
	int err;

	if (metrics)
		nl_attributes(RTA_DATA(metrics), RTA_PAYLOAD(metrics), by_type, METRICS);
	at = nest(m, RTA_METRICS, &err);
	for (int i = 1; i < METRICS && !err; i++) {
		if (i == RTAX_QUICKACK)
			err = nl_put_u32(m, i, 1);
		else if (by_type[i])
			err = nl_put(m, i, RTA_DATA(by_type[i]), RTA_PAYLOAD(by_type[i]));
	}
	if (!err)
		end_nest(m, at);
	return err;
}

static const int NEXT_HOP[] = {RTA_GATEWAY, RTA_VIA, RTA_FLOW, RTA_ENCAP_TYPE, RTA_ENCAP};
#define NEXT_HOPS (sizeof(NEXT_HOP) / sizeof(*NEXT_HOP))

static int put_hop(struct nl_request *m, const struct rtnexthop *leg)
{
	const struct rtattr *a[ROUTE_ATTRIBUTES];
	struct rtnexthop own = *leg;
	size_t at = NLMSG_ALIGN(m->h.nlmsg_len);
	int err;

	if (at + sizeof(own) > NL_MESSAGE)
		return -EMSGSIZE;
	/* DEAD, LINKDOWN and OFFLOAD are the kernel's to say. */
	own.rtnh_flags &= RTNH_F_ONLINK;
	memcpy((unsigned char *)m + at, &own, sizeof(own));
	m->h.nlmsg_len = (uint32_t)(at + sizeof(own));
	nl_attributes(RTNH_DATA(leg), leg->rtnh_len - sizeof(*leg), a, ROUTE_ATTRIBUTES);
	err = copy(m, a, NEXT_HOP, NEXT_HOPS);
	if (!err)
		((struct rtnexthop *)((unsigned char *)m + at))->rtnh_len =
			(unsigned short)(m->h.nlmsg_len - at);
	return err;
}

static int put_hops(struct nl_request *m, const struct rtattr *multipath, int first, int n,
		    enum route_use use)
{
	const struct rtnexthop *leg;
	size_t at;
	int err;

	at = nest(m, RTA_MULTIPATH, &err);
	for (int i = first; i < first + n && !err; i++) {
		leg = hop(multipath, i);
		if (use == ROUTE_EXACT || !(leg->rtnh_flags & RTNH_F_DEAD))
			err = put_hop(m, leg);
	}
	if (!err)
		end_nest(m, at);
	return err;
}

/* An IPv6 next hop of weight 1 looks like a route of its own, so that it is the same whether
 * the kernel has joined it to others or not.
 */
static int put_single(struct nl_request *m, const struct rtnexthop *leg)
{
	struct rtmsg *rt = NLMSG_DATA(&m->h);
	const struct rtattr *a[ROUTE_ATTRIBUTES];
	int err = nl_put_u32(m, RTA_OIF, (uint32_t)leg->rtnh_ifindex);

	rt->rtm_flags = leg->rtnh_flags & RTNH_F_ONLINK;
	nl_attributes(RTNH_DATA(leg), leg->rtnh_len - sizeof(*leg), a, ROUTE_ATTRIBUTES);
	return err ? err : copy(m, a, NEXT_HOP, NEXT_HOPS);
}

static int put_next_hop(const struct route_view *v, int part, enum route_use use,
			struct nl_request *m)
{
	const struct rtattr *multipath = v->a[RTA_MULTIPATH];
	const struct rtnexthop *leg;
	static const int id[] = {RTA_NH_ID}, oif[] = {RTA_OIF};
	int err;

	/* What the kernel adds about the next hop object must not be given with its number. */
	if (v->a[RTA_NH_ID])
		return copy(m, v->a, id, 1);
	if (!multipath) {
		err = copy(m, v->a, oif, 1);
		return err ? err : copy(m, v->a, NEXT_HOP, NEXT_HOPS);
	}
	if (v->rt->rtm_family == AF_INET || part == ROUTE_WHOLE)
		return put_hops(m, multipath, 0, hops(multipath), use);
	leg = hop(multipath, part);
	if (use == ROUTE_WANTED && leg->rtnh_flags & RTNH_F_DEAD)
		return -ENOENT;
	return leg->rtnh_hops ? put_hops(m, multipath, part, 1, use) : put_single(m, leg);
}

static int put_head(const struct route_view *v, struct nl_request *m)
{
	static const int head[] = {RTA_DST, RTA_SRC, RTA_PRIORITY};
	struct rtmsg *rt = NLMSG_DATA(&m->h);
	int err;

	memset(m, 0, NLMSG_LENGTH(sizeof(*rt)));
	m->h.nlmsg_len = NLMSG_LENGTH(sizeof(*rt));
	m->h.nlmsg_type = RTM_NEWROUTE;
	rt->rtm_family = v->rt->rtm_family;
	rt->rtm_dst_len = v->rt->rtm_dst_len;
	rt->rtm_src_len = v->rt->rtm_src_len;
	rt->rtm_tos = v->rt->rtm_tos;
	rt->rtm_protocol = ROUTES_PROTOCOL;
	rt->rtm_type = v->rt->rtm_type;
	rt->rtm_scope = v->rt->rtm_scope;
	err = nl_put_u32(m, RTA_TABLE, ROUTES_TABLE);
	return err ? err : copy(m, v->a, head, sizeof(head) / sizeof(*head));
}

int route_copy(const struct route_view *v, int part, enum route_use use, struct nl_request *m)
{
	/* Not RTA_CACHEINFO and RTA_EXPIRES: when main's route expires, we hear of it. */
	static const int rest[] = {RTA_PREFSRC, RTA_PREF};
	struct rtmsg *rt = NLMSG_DATA(&m->h);
	int err = put_head(v, m);

	if (err)
		return err;
	rt->rtm_flags = v->rt->rtm_flags & RTNH_F_ONLINK;
	err = copy(m, v->a, rest, sizeof(rest) / sizeof(*rest));
	if (!err)
		err = put_metrics(m, v->a[RTA_METRICS]);
	/* Last, because it may change the flags. */
	return err ? err : put_next_hop(v, part, use, m);
}

int route_throw(const struct route_view *v, struct nl_request *m)
{
	struct rtmsg *rt = NLMSG_DATA(&m->h);
	int err = put_head(v, m);

	rt->rtm_type = RTN_THROW;
	rt->rtm_scope = RT_SCOPE_UNIVERSE;
	return err;
}

int route_key(const struct route_view *v, struct nl_request *m)
{
	struct rtmsg *rt = NLMSG_DATA(&m->h);
	int err = put_head(v, m);

	rt->rtm_scope = RT_SCOPE_NOWHERE; /* for a deletion: any */
	return err;
}
