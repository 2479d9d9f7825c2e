// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monotonic.h"
#include "held-look.h"
#include "held-path.h"
#include "routes.h"

#define READS 64	       /* a time, then others have their turn */
#define READS_LOST 4096	       /* the same, to get to the end of what waits */
#define NEWS_ROOM 1048576      /* bytes; what does not fit is made good by another look */
#define PAUSE 49	       /* times as long as a look took, before the next */
#define RETRY_NS (10 * SECOND) /* where it cannot be read */
#define UNSURE "its routing has just changed"

struct held_path {
	int news;
	int ask;
	bool marks;
	bool groups; /* several next hops may be behind a number */
	bool unsure; /* nothing is in the way as far as known, but that is not all */
	bool stale;  /* to be looked at anew */
	bool lost;   /* news were lost, and more will be until all that waits is read */
	uint64_t next_ns;
	char why[HELD_WHY];
};

#define ROUTE(field) (NLMSG_HDRLEN + offsetof(struct rtmsg, field))

/* Without our own copies of routes, of which there may be hundreds of thousands: what they are
 * copied from is told, too. */
static int leave_out_copies(int news)
{
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __builtin_bswap16(RTM_NEWROUTE), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __builtin_bswap16(RTM_DELROUTE), 0, 5),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ROUTE(rtm_table)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RT_TABLE_COMPAT, 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ROUTE(rtm_protocol)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ROUTES_PROTOCOL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, ~0U),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(*code),
					   (struct sock_filter *)code};

	return syscall(SYS_setsockopt, news, SOL_SOCKET, SO_ATTACH_FILTER, &program,
		       sizeof(program))
		       ? -errno
		       : 0;
}

static int subscribe(int news)
{
	static const int groups[] = {
		RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE,	RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
		RTNLGRP_NEXTHOP,   RTNLGRP_IPV4_IFADDR, RTNLGRP_LINK,
	};
	int room = NEWS_ROOM;

	syscall(SYS_setsockopt, news, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		if (syscall(SYS_setsockopt, news, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			    sizeof(*groups)))
			return -errno;
	}
	return leave_out_copies(news);
}

static void look(struct held_path *p)
{
	uint64_t begin = now_ns(), end;
	struct held_look l;
	int err = held_look(&l, p->ask);
	bool torn = err == -EINTR; /* it goes on changing */

	end = now_ns();
	if (err && !torn && !l.why[0])
		snprintf(l.why, sizeof(l.why), "its routing cannot be read (error %d)", -err);
	memcpy(p->why, l.why, sizeof(p->why));
	p->marks = l.marks;
	p->groups = l.groups;
	p->unsure = torn;
	p->stale = err != 0;
	p->next_ns = end + (err && !torn ? RETRY_NS : PAUSE * (end - begin));
}

/* --- what changes afterwards ------------------------------------------------------------- */

/* What was in the way may be gone. */
static void hope(struct held_path *p)
{
	p->stale |= p->why[0] != 0;
}

static void doubt(struct held_path *p)
{
	p->stale = p->unsure = true;
}

static void on_rule(struct held_path *p, const struct nlmsghdr *h)
{
	char why[HELD_WHY];

	if (held_rule(h, &p->marks, why) && !p->why[0])
		memcpy(p->why, why, sizeof(p->why));
}

static void on_route(struct held_path *p, const struct nlmsghdr *h)
{
	static const struct held_groups none;
	uint32_t group;
	char why[HELD_WHY];

	if (held_route(h, &none, &group, why)) {
		if (!p->why[0])
			memcpy(p->why, why, sizeof(p->why));
	} else if (group && p->groups) {
		doubt(p);
	} else if (h->nlmsg_flags & NLM_F_REPLACE) {
		hope(p);
	}
}

static void on_next_hop(struct held_path *p, const struct nlmsghdr *h)
{
	if (held_group(h)) {
		p->groups = true;
		doubt(p); /* routes may have its number already */
	} else {
		hope(p);
	}
}

/* What IPv4 loses without a word, with an address or a device. */
static void on_link(struct held_path *p, const struct nlmsghdr *h)
{
	const struct ifinfomsg *link = NLMSG_DATA(h);

	if (h->nlmsg_type == RTM_DELLINK ||
	    (h->nlmsg_len >= NLMSG_LENGTH(sizeof(*link)) && link->ifi_change & IFF_UP))
		hope(p);
}

static void on_news(struct held_path *p, const struct nlmsghdr *h)
{
	switch (h->nlmsg_type) {
	case RTM_NEWRULE:
		on_rule(p, h);
		break;
	case RTM_NEWROUTE:
		on_route(p, h);
		break;
	case RTM_NEWNEXTHOP:
		on_next_hop(p, h);
		break;
	case RTM_DELRULE:
		p->stale |= p->marks; /* fewer ACKs pass without it */
		hope(p);
		break;
	case RTM_DELROUTE:
	case RTM_DELNEXTHOP:
	case RTM_DELADDR:
		hope(p);
		break;
	case RTM_NEWLINK:
	case RTM_DELLINK:
		on_link(p, h);
		break;
	}
}

static void read_news(struct held_path *p)
{
	_Alignas(struct nlmsghdr) unsigned char bytes[NL_READ];
	struct nlmsghdr *h;
	long n;

	for (int i = 0; i < (p->lost ? READS_LOST : READS); i++) {
		n = nl_receive(p->news, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n == -EAGAIN) {
			p->lost = false;
			return;
		}
		if (n < 0) { /* ENOBUFS: until all that waits is read the kernel goes on losing */
			p->lost = true;
			doubt(p);
			continue;
		}
		for (h = (void *)bytes; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
			on_news(p, h);
	}
}

int held_path_open(struct held_path **out)
{
	struct held_path *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->news = nl_open();
	p->ask = nl_open();
	err = p->news < 0 ? p->news : p->ask < 0 ? p->ask : subscribe(p->news);
	if (err) {
		held_path_close(p);
		return err;
	}
	look(p);
	*out = p;
	return 0;
}

void held_path_close(struct held_path *p)
{
	if (!p)
		return;
	if (p->news >= 0)
		close(p->news);
	if (p->ask >= 0)
		close(p->ask);
	free(p);
}

int held_path_fd(const struct held_path *p)
{
	return p->news;
}

void held_path_handle(struct held_path *p)
{
	read_news(p);
	if (p->stale && !p->lost && now_ns() >= p->next_ns)
		look(p);
}

uint64_t held_path_due(const struct held_path *p)
{
	return p->stale ? p->next_ns : 0;
}

const char *held_path_why(const struct held_path *p)
{
	return p->why[0] || !p->unsure ? p->why : UNSURE;
}

bool held_path_marks(const struct held_path *p)
{
	return p->marks;
}
