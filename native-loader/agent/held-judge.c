// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/nexthop.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "held-judge.h"
#include "routes-internal.h"

#define GROUPS_MOST 4096 /* that are kept */
#define RULE_ATTRIBUTES 32

/* Of newer headers. */
enum { DSCP = 25, FLOWLABEL, FLOWLABEL_MASK, SPORT_MASK, DPORT_MASK, DSCP_MASK };

/* What a rule may look at, in the order in which it is told. */
enum { BY_PROTOCOL, BY_PORT, BY_USER, BY_TOS, BY_LABEL, BY_OTHER, BYS };

static const char *const BY[] = {
	[BY_PROTOCOL] = "protocol", [BY_PORT] = "port",
	[BY_USER] = "user",	    [BY_TOS] = "TOS",
	[BY_LABEL] = "flow label",  [BY_OTHER] = "something that tcpx does not know",
};

static unsigned int looks_at(int type)
{
	switch (type) {
	case FRA_DST:
	case FRA_SRC:
	case FRA_IIFNAME:
	case FRA_GOTO:
	case FRA_UNUSED2:
	case FRA_PRIORITY:
	case FRA_UNUSED3:
	case FRA_UNUSED4:
	case FRA_UNUSED5:
	case FRA_FWMARK: /* held_rule() tells of it */
	case FRA_FWMASK:
	case FRA_FLOW: /* realms: a result */
	case FRA_TUN_ID:
	case FRA_SUPPRESS_IFGROUP:
	case FRA_SUPPRESS_PREFIXLEN:
	case FRA_TABLE:
	case FRA_OIFNAME: /* a bound device is given to the raw socket, too */
	case FRA_PAD:
	case FRA_L3MDEV:
	case FRA_PROTOCOL: /* who has made the rule */
		return 0;
	case FRA_IP_PROTO:
		return 1U << BY_PROTOCOL;
	case FRA_SPORT_RANGE:
	case FRA_DPORT_RANGE:
	case SPORT_MASK:
	case DPORT_MASK:
		return 1U << BY_PORT;
	case FRA_UID_RANGE:
		return 1U << BY_USER;
	case DSCP:
	case DSCP_MASK:
		return 1U << BY_TOS;
	case FLOWLABEL:
	case FLOWLABEL_MASK:
		return 1U << BY_LABEL;
	default:
		return 1U << BY_OTHER;
	}
}

static int version(int family)
{
	return family == AF_INET ? 4 : 6;
}

static void tell_rule(int family, uint32_t priority, unsigned int by, char *why)
{
	int n = snprintf(why, HELD_WHY, "IPv%d rule %u goes by", version(family), priority);
	const char *between = " ";

	for (int i = 0; i < BYS; i++) {
		if (!(by & 1U << i))
			continue;
		n += snprintf(why + n, (size_t)(HELD_WHY - n), "%s%s", between, BY[i]);
		between = ", ";
	}
}

int held_rule(const struct nlmsghdr *h, bool *marks, char *why)
{
	const struct fib_rule_hdr *r = NLMSG_DATA(h);
	const struct rtattr *a[RULE_ATTRIBUTES], *at = (const struct rtattr *)(r + 1);
	unsigned int by = 0;
	uint8_t protocol;
	int left;

	if (h->nlmsg_type != RTM_NEWRULE || h->nlmsg_len < NLMSG_LENGTH(sizeof(*r)) ||
	    (r->family != AF_INET && r->family != AF_INET6))
		return 0;
	left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*r)));
	nl_attributes(at, (size_t)left, a, RULE_ATTRIBUTES);
	/* of another protocol: neither meets it */
	protocol = nl_u8(a[FRA_IP_PROTO], IPPROTO_TCP);
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_RAW)
		return 0;
	if (nl_u32(a[FRA_TABLE], r->table) == ROUTES_TABLE &&
	    nl_u8(a[FRA_PROTOCOL], 0) == ROUTES_PROTOCOL)
		return 0; /* the same routes, for ACKs at once */
	for (; RTA_OK(at, left); at = RTA_NEXT(at, left))
		by |= looks_at(at->rta_type & NLA_TYPE_MASK);
	if (r->tos)
		by |= 1U << BY_TOS;
	if (a[FRA_FWMARK] || a[FRA_FWMASK])
		*marks = true;
	if (by)
		tell_rule(r->family, nl_u32(a[FRA_PRIORITY], 0), by, why);
	return by != 0;
}

uint32_t held_group(const struct nlmsghdr *h)
{
	const struct nhmsg *m = NLMSG_DATA(h);
	const struct rtattr *a[NHA_GROUP + 1];

	if (h->nlmsg_type != RTM_NEWNEXTHOP || h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return 0;
	nl_attributes((const struct rtattr *)(m + 1), h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)), a,
		      NHA_GROUP + 1);
	if (!a[NHA_GROUP] || RTA_PAYLOAD(a[NHA_GROUP]) < 2 * sizeof(struct nexthop_grp))
		return 0;
	return nl_u32(a[NHA_ID], 0);
}

static int keep_group(const struct nlmsghdr *h, void *context)
{
	struct held_groups *g = context;
	uint32_t id = held_group(h);

	if (!id)
		return 0;
	if (!g->ids)
		g->ids = calloc(GROUPS_MOST, sizeof(*g->ids));
	if (!g->ids)
		return -ENOMEM;
	if (g->n < GROUPS_MOST)
		g->ids[g->n++] = id;
	else
		g->many = true;
	return 0;
}

static int compare(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return a < b ? -1 : a > b;
}

int held_groups_read(struct held_groups *g, int fd)
{
	struct {
		struct nlmsghdr h;
		struct nhmsg m;
		struct rtattr groups_only;
	} ask = {
		.h = {.nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETNEXTHOP},
		.groups_only = {.rta_type = NHA_GROUPS, .rta_len = RTA_LENGTH(0)},
	};
	int err;

	memset(g, 0, sizeof(*g));
	ask.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	ask.h.nlmsg_seq = nl_sequence(1);
	err = nl_dump(fd, &ask.h, keep_group, g);
	if (g->n)
		qsort(g->ids, g->n, sizeof(*g->ids), compare);
	return err == -EOPNOTSUPP ? 0 : err;
}

void held_groups_free(struct held_groups *g)
{
	free(g->ids);
	memset(g, 0, sizeof(*g));
}

static unsigned int hops(const struct rtattr *multipath)
{
	const struct rtnexthop *leg = RTA_DATA(multipath);
	int left = (int)RTA_PAYLOAD(multipath);
	unsigned int n = 0;

	for (; left >= (int)sizeof(*leg) && RTNH_OK(leg, left); leg = RTNH_NEXT(leg)) {
		left -= (int)RTNH_ALIGN(leg->rtnh_len);
		n++;
	}
	return n;
}

static void tell_route(const struct route_view *v, char *why)
{
	unsigned char address[16] = {0};
	const struct rtattr *dst = v->a[RTA_DST];
	char text[INET6_ADDRSTRLEN] = "";
	size_t n = v->rt->rtm_family == AF_INET ? 4 : 16;

	if (dst && RTA_PAYLOAD(dst) >= n)
		memcpy(address, RTA_DATA(dst), n);
	inet_ntop(v->rt->rtm_family, address, text, sizeof(text));
	snprintf(why, HELD_WHY, "IPv%d route %s/%u has several next hops",
		 version(v->rt->rtm_family), text, v->rt->rtm_dst_len);
}

int held_route(const struct nlmsghdr *h, const struct held_groups *groups, uint32_t *group,
	       char *why)
{
	struct route_view v;
	uint32_t table, id;
	bool several;

	*group = 0;
	if (h->nlmsg_type != RTM_NEWROUTE || route_view(h, &v) || v.rt->rtm_flags & RTM_F_CLONED ||
	    v.rt->rtm_type != RTN_UNICAST)
		return 0;
	table = route_table(&v);
	if (table == RT_TABLE_LOCAL ||
	    (table == ROUTES_TABLE && v.rt->rtm_protocol == ROUTES_PROTOCOL))
		return 0;
	*group = id = nl_u32(v.a[RTA_NH_ID], 0);
	several = v.a[RTA_MULTIPATH] && hops(v.a[RTA_MULTIPATH]) > 1;
	if (!several && id)
		several = groups->many ||
			  (groups->n && bsearch(&id, groups->ids, groups->n, sizeof(id), compare));
	if (several)
		tell_route(&v, why);
	return several;
}
