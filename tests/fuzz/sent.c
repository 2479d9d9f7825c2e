// SPDX-License-Identifier: MIT
/* Whatever the bridge was told, what it sends to the kernel is well-formed and about its own. */
#include <linux/fib_rules.h>
#include <linux/xfrm.h>
#include <sys/socket.h>

#include "../../native-loader/agent/netlink.h"
#include "../../native-loader/agent/routes.h"
#include "host.h"
#include "input.h"

#define TYPES 32

/* Attributes fill the message to its end. */
static void attributes(const struct rtattr *a, int left, const struct rtattr **by_type)
{
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if ((a->rta_type & NLA_TYPE_MASK) < TYPES)
			by_type[a->rta_type & NLA_TYPE_MASK] = a;
	}
	require(left <= 0, "the attributes of a request do not fill it");
}

static void hops(const struct rtattr *multipath)
{
	const struct rtnexthop *hop = RTA_DATA(multipath);
	int left = (int)RTA_PAYLOAD(multipath);
	const struct rtattr *a[TYPES] = {0};

	while (left >= (int)sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) &&
	       hop->rtnh_len <= left) {
		attributes(RTNH_DATA(hop), hop->rtnh_len - (int)sizeof(*hop), a);
		left -= RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
	require(left <= 0, "the next hops of a request do not fill it");
}

static void route(const struct nlmsghdr *h)
{
	const struct rtmsg *rt = NLMSG_DATA(h);
	const struct rtattr *a[TYPES] = {0};

	require(h->nlmsg_len >= NLMSG_LENGTH(sizeof(*rt)), "a request without its head");
	attributes(RTM_RTA(rt), (int)RTM_PAYLOAD(h), a);
	require(nl_u32(a[RTA_TABLE], rt->rtm_table) == ROUTES_TABLE, "a route of another table");
	require(rt->rtm_protocol == ROUTES_PROTOCOL, "a route of another protocol");
	require(rt->rtm_family == AF_INET || rt->rtm_family == AF_INET6, "a route of no family");
	if (a[RTA_MULTIPATH])
		hops(a[RTA_MULTIPATH]);
}

/* A rule is removed with the kernel's own words, so only ours are looked at closely. */
static void rule(const struct nlmsghdr *h)
{
	const struct fib_rule_hdr *r = NLMSG_DATA(h);
	const struct rtattr *a[TYPES];

	require(h->nlmsg_len >= NLMSG_LENGTH(sizeof(*r)), "a request without its head");
	nl_attributes((const void *)(r + 1), h->nlmsg_len - NLMSG_LENGTH(sizeof(*r)), a, TYPES);
	require(nl_u32(a[FRA_TABLE], r->table) == ROUTES_TABLE, "a rule for another table");
	require(nl_u8(a[FRA_PROTOCOL], 0) == ROUTES_PROTOCOL, "a rule of another protocol");
}

static void one(const struct nlmsghdr *h)
{
	require(h->nlmsg_len <= NL_MESSAGE, "a request longer than NL_MESSAGE");
	require(h->nlmsg_flags & NLM_F_REQUEST, "what is no request");
	switch (h->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		route(h);
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		rule(h);
		break;
	case XFRM_MSG_GETSPDINFO:
		break;
	case RTM_GETROUTE:
	case RTM_GETRULE:
	case RTM_GETNEXTHOP:
		require((h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP, "a question without dump");
		break;
	default:
		require(false, "a request of a strange type");
	}
}

void sent_judge(const void *bytes, size_t n)
{
	const struct nlmsghdr *h = bytes;
	long left = (long)n;

	require(n && n <= NL_BATCH, "more than NL_BATCH at a time");
	for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
		one(h);
	require(left == 0, "the requests do not fill what was sent");
}
