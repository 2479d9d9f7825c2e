// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "routes-follow.h"

#define READS 64	  /* a time, then others have their turn */
#define READS_LOST 4096	  /* the same, to get to the end of what waits */
#define NOTES 1024	  /* more than requests fit into one batch */
#define NEWS_ROOM 1048576 /* bytes; what does not fit is made good by a full comparison */
#define REPLACES 2
#define DELETES 4

struct routes_plan {
	struct nl_batch batch;
	unsigned char notes[NOTES]; /* by request: 1 for IPv6, REPLACES, DELETES */
};

/* Our own changes are no news. Filters read numbers in network order. */
static int ignore_own(int news, int ask)
{
	struct sockaddr_nl own = {0};
	socklen_t len = sizeof(own);
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};

	if (syscall(SYS_getsockname, ask, &own, &len))
		return -errno;
	code[1].k = htonl(own.nl_pid);
	if (syscall(SYS_setsockopt, news, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		return -errno;
	return 0;
}

int routes_subscribe(int news, int ask)
{
	static const int groups[] = {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,
				     RTNLGRP_IPV6_RULE,	 RTNLGRP_IPV4_IFADDR, RTNLGRP_LINK};
	int room = NEWS_ROOM, err = ignore_own(news, ask);

	if (err)
		return err;
	syscall(SYS_setsockopt, news, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		if (syscall(SYS_setsockopt, news, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			    sizeof(*groups)))
			return -errno;
	}
	return 0;
}

static int family_index(int family)
{
	return family == AF_INET6;
}

static void everything_stale(struct routes *r)
{
	r->stale[0] = r->stale[1] = r->stale_rules = true;
}

static void refused(void *context, uint32_t number, int error)
{
	struct routes *r = context;
	unsigned char note = r->plan->notes[number % NOTES];

	/* After a comparison older news may be repeated, to no effect. */
	if (error == -EEXIST && !(note & (REPLACES | DELETES)))
		return;
	r->stale[note & 1] = true;
}

static int repeat(struct routes *r, const struct nl_request *m, int type, int flags)
{
	unsigned char note =
		(unsigned char)family_index(((struct rtmsg *)NLMSG_DATA(&m->h))->rtm_family);

	if (type == RTM_DELROUTE)
		note |= DELETES;
	else if (flags & NLM_F_REPLACE)
		note |= REPLACES;
	r->plan->notes[r->plan->batch.count % NOTES] = note;
	return nl_batch_add(&r->plan->batch, &m->h, type, flags);
}

/* A replacement is repeated in one step; other changes of IPv6 next hop by next hop. */
static int repeat_route(struct routes *r, const struct nlmsghdr *h, const struct route_view *v)
{
	bool gone = h->nlmsg_type == RTM_DELROUTE, ipv4 = v->rt->rtm_family == AF_INET;
	bool replaces = !gone && h->nlmsg_flags & NLM_F_REPLACE;
	int flags = NLM_F_CREATE | (h->nlmsg_flags & NLM_F_APPEND), err = 0;
	struct nl_request m;

	if (replaces)
		flags = NLM_F_CREATE | NLM_F_REPLACE;
	else if (gone)
		flags = 0;
	else if (!ipv4)
		flags |= NLM_F_APPEND;
	for (int part = 0; part < (replaces ? 1 : route_parts(v)) && !err; part++) {
		err = route_copy(v, replaces ? ROUTE_WHOLE : part,
				 gone ? ROUTE_EXACT : ROUTE_WANTED, &m);
		if (err == -ENOENT) {
			err = 0;
			continue;
		}
		if (err) /* too long: the comparison knows what to do */
			r->stale[!ipv4] = true;
		else
			err = repeat(r, &m, h->nlmsg_type, flags);
	}
	return err == -EMSGSIZE ? 0 : err;
}

static int on_route(struct routes *r, const struct nlmsghdr *h)
{
	struct route_view v;
	uint32_t table;
	int family;

	if (route_view(h, &v) || v.rt->rtm_flags & RTM_F_CLONED)
		return 0;
	table = route_table(&v);
	family = family_index(v.rt->rtm_family);
	if (table == ROUTES_TABLE)
		r->stale[family] = true; /* not our doing: those are filtered out */
	if (table != RT_TABLE_MAIN || r->stale[family])
		return 0;
	return repeat_route(r, h, &v);
}

/* What IPv4 loses without a word, with an address or a device. */
static void on_link(struct routes *r, const struct nlmsghdr *h)
{
	const struct ifinfomsg *link = NLMSG_DATA(h);

	if (h->nlmsg_type == RTM_NEWLINK &&
	    (h->nlmsg_len < NLMSG_LENGTH(sizeof(*link)) || !(link->ifi_change & IFF_UP)))
		return;
	r->stale[0] = r->stale[1] = true;
}

/* 1: a change of routes or rules, 0: something else. */
static int on_news(struct routes *r, const struct nlmsghdr *h)
{
	int err;

	switch (h->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		err = on_route(r, h);
		return err ? err : 1;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		r->stale_rules = true;
		return 1;
	case RTM_DELADDR:
		r->stale[0] = true;
		return 0;
	case RTM_NEWLINK:
	case RTM_DELLINK:
		on_link(r, h);
		return 0;
	default:
		return 0;
	}
}

static int read_news(struct routes *r)
{
	_Alignas(struct nlmsghdr) unsigned char bytes[NL_READ];
	int changes = 0, err;
	struct nlmsghdr *h;
	long n;

	for (int i = 0; i < (r->lost ? READS_LOST : READS); i++) {
		n = nl_receive(r->news, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n == -EAGAIN) {
			if (r->lost)
				everything_stale(r);
			r->lost = false;
			break;
		}
		/* Until all that waits is read the kernel goes on losing, and says so once. */
		if (n == -ENOBUFS || n == -EMSGSIZE) {
			r->lost = true;
			continue;
		}
		if (n < 0)
			return (int)n;
		for (h = (void *)bytes; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			err = on_news(r, h);
			if (err < 0)
				return err;
			changes += err;
		}
	}
	return changes;
}

int routes_follow(struct routes *r)
{
	int changes, err;

	if (!r->plan)
		r->plan = calloc(1, sizeof(*r->plan));
	if (!r->plan)
		return -ENOMEM;
	nl_batch_start(&r->plan->batch, r->nl.ask, refused, r);
	changes = read_news(r);
	err = nl_batch_flush(&r->plan->batch);
	if (changes >= 0 && !err)
		return changes;
	everything_stale(r);
	return changes < 0 ? changes : err;
}
