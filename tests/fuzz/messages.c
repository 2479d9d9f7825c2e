// SPDX-License-Identifier: MIT
/* The messages of a script, as bytes. */
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "grammar.h"
#include "host.h"
#include "input.h"

#define DEPTH 3
#define MOST 64 /* messages, or attributes, of one list */

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), "another number")
SAME(DST, RTA_DST);
SAME(OIF, RTA_OIF);
SAME(GATEWAY, RTA_GATEWAY);
SAME(PRIORITY, RTA_PRIORITY);
SAME(PRIORITY, FRA_PRIORITY);
SAME(METRICS, RTA_METRICS);
SAME(MULTIPATH, RTA_MULTIPATH);
SAME(MARK, FRA_FWMARK);
SAME(TABLE, RTA_TABLE);
SAME(TABLE, FRA_TABLE);
SAME(MASK, FRA_FWMASK);
SAME(PROTOCOL, FRA_PROTOCOL);
SAME(NEXT_HOP, RTA_NH_ID);

struct text {
	uint8_t *bytes;
	size_t used, room;
};

static uint32_t counter;

void messages_reset(void)
{
	counter = 0;
}

static void *add(struct text *t, size_t n)
{
	uint8_t *at = t->bytes + t->used;

	if (n > t->room - t->used)
		return NULL;
	memset(at, 0, n);
	t->used += n;
	return at;
}

static void add_bytes(struct text *t, size_t n, bool from_input)
{
	uint8_t *at = add(t, n);

	for (size_t i = 0; at && i < n; i++)
		at[i] = from_input ? input_u8() : (uint8_t)i;
}

static void align(struct text *t)
{
	add(t, NLMSG_ALIGN(t->used) - t->used);
}

static void add_attributes(struct text *t, int depth);

static void add_u32(struct text *t, uint32_t value)
{
	uint8_t *at = add(t, sizeof(value));

	if (at)
		memcpy(at, &value, sizeof(value));
}

static void add_hops(struct text *t, int depth)
{
	struct rtnexthop *hop;
	size_t start;

	for (int n = input_u8() % MOST; n > 0; n--) {
		start = t->used;
		hop = add(t, sizeof(*hop));
		if (!hop)
			return;
		hop->rtnh_flags = input_u8();
		hop->rtnh_hops = input_u8();
		hop->rtnh_ifindex = input_u8();
		add_attributes(t, depth);
		hop->rtnh_len = (uint16_t)(t->used - start);
	}
}

/* Returns a length that is not true, or 0. */
static uint16_t add_content(struct text *t, int depth)
{
	uint16_t lie = 0;

	switch (input_u8() % CONTENTS) {
	case BYTES:
		add_bytes(t, input_u8(), true);
		break;
	case NUMBER:
		add_u32(t, input_u32());
		break;
	case COUNT:
		add_u32(t, ++counter);
		break;
	case LONG:
		add_bytes(t, input_u16(), false);
		break;
	case NEST:
		add_attributes(t, depth + 1);
		break;
	case HOPS:
		add_hops(t, depth + 1);
		break;
	case LIE:
		lie = input_u16();
		add_bytes(t, input_u8(), true);
		break;
	default:
		break;
	}
	return lie;
}

static void add_attributes(struct text *t, int depth)
{
	struct rtattr *a;
	uint16_t lie;
	size_t start;

	for (int n = depth > DEPTH ? 0 : input_u8() % MOST; n > 0; n--) {
		align(t);
		start = t->used;
		a = add(t, sizeof(*a));
		if (!a)
			return;
		a->rta_type = input_u8();
		lie = add_content(t, depth);
		a->rta_len = lie ? lie : (uint16_t)(t->used - start);
	}
	/* The last message of a read may end without alignment. */
	if (depth)
		align(t);
}

static uint8_t family(const struct asked *asked)
{
	uint8_t said = input_u8();

	return said ? said : (uint8_t)asked->family;
}

static void add_route(struct text *t, const struct asked *asked)
{
	struct rtmsg *r = add(t, sizeof(*r)), nowhere;

	r = r ? r : &nowhere;
	r->rtm_family = family(asked);
	r->rtm_dst_len = input_u8();
	r->rtm_src_len = input_u8();
	r->rtm_tos = input_u8();
	r->rtm_table = input_u8();
	r->rtm_protocol = input_u8();
	r->rtm_scope = input_u8();
	r->rtm_type = input_u8();
	r->rtm_flags = input_u16();
	add_attributes(t, 0);
}

static void add_rule(struct text *t, const struct asked *asked)
{
	struct fib_rule_hdr *r = add(t, sizeof(*r)), nowhere;

	r = r ? r : &nowhere;
	r->family = family(asked);
	r->dst_len = input_u8();
	r->src_len = input_u8();
	r->tos = input_u8();
	r->table = input_u8();
	r->action = input_u8();
	r->flags = input_u8();
	add_attributes(t, 0);
}

static void add_link(struct text *t)
{
	struct ifinfomsg *link = add(t, sizeof(*link));
	uint8_t change = input_u8();

	if (link)
		link->ifi_change = change;
}

static void add_error(struct text *t, uint8_t twists)
{
	int error = input_u8();

	add_u32(t, (uint32_t)(twists & WRONG ? error : -error));
}

static void add_body(struct text *t, struct nlmsghdr *h, const struct asked *asked, uint8_t kind,
		     uint8_t twists)
{
	bool gone = twists & GONE;

	switch (kind % MESSAGES) {
	case ROUTE:
		h->nlmsg_type = gone ? RTM_DELROUTE : RTM_NEWROUTE;
		add_route(t, asked);
		break;
	case RULE:
		h->nlmsg_type = gone ? RTM_DELRULE : RTM_NEWRULE;
		add_rule(t, asked);
		break;
	case LINK:
		h->nlmsg_type = gone ? RTM_DELLINK : RTM_NEWLINK;
		add_link(t);
		break;
	case ADDRESS:
		h->nlmsg_type = gone ? RTM_DELADDR : RTM_NEWADDR;
		add(t, sizeof(struct ifaddrmsg));
		break;
	case VERDICT:
		h->nlmsg_type = NLMSG_ERROR;
		h->nlmsg_seq = asked->first + input_u16();
		add_error(t, twists);
		add(t, sizeof(*h));
		break;
	case END:
		h->nlmsg_type = NLMSG_DONE;
		add_error(t, twists);
		break;
	case OBJECT:
		h->nlmsg_type = gone ? RTM_DELNEXTHOP : RTM_NEWNEXTHOP;
		add(t, sizeof(struct nhmsg));
		add_attributes(t, 0);
		break;
	default:
		h->nlmsg_type = input_u16();
		add_bytes(t, input_u8(), true);
	}
}

static bool add_message(struct text *t, const struct asked *asked, uint8_t kind, uint8_t twists)
{
	struct nlmsghdr *h;
	uint32_t sequence = 0, length = 0;
	size_t start;

	align(t);
	start = t->used;
	h = add(t, sizeof(*h));
	if (!h)
		return false;
	if (twists & OTHER_SEQUENCE)
		sequence = input_u32();
	if (twists & OTHER_LENGTH)
		length = input_u32();
	h->nlmsg_flags = (uint16_t)((twists & INTERRUPTED ? 0x10 /* NLM_F_DUMP_INTR */ : 0) |
				    (twists & REPLACES ? NLM_F_REPLACE : 0) |
				    (twists & APPENDS ? NLM_F_APPEND : 0));
	h->nlmsg_seq = asked->last;
	add_body(t, h, asked, kind, twists);
	if (twists & OTHER_SEQUENCE)
		h->nlmsg_seq = sequence;
	h->nlmsg_len = twists & OTHER_LENGTH ? length : (uint32_t)(t->used - start);
	return true;
}

size_t messages_read(const struct asked *asked, uint8_t *out, size_t room)
{
	struct text t = {.bytes = out, .room = room};

	for (int n = input_u8() % MOST; n > 0; n--) {
		uint8_t kind = input_u8(), twists = input_u8();
		int more = twists & MANY ? input_u8() : 0;
		const uint8_t *place = input_place();

		for (int i = 0; i <= more; i++) {
			input_return(place);
			if (!add_message(&t, asked, kind, twists))
				break;
		}
	}
	return t.used;
}
