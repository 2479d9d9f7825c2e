// SPDX-License-Identifier: MIT
#include <errno.h>
#include <linux/fib_rules.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "routes-internal.h"

#define ATTRIBUTES 32
#define RETRIES 20
#define BITS 32

struct rule {
	uint32_t priority, table, mark, mask;
	bool ours;
	bool lookup_main;
	bool plain; /* for every packet, without conditions on the result */
};

struct survey {
	int family;
	uint32_t bits; /* wanted */
	char *why;
	size_t room;
	bool refused;
	bool main_seen;
	uint32_t main_priority;
	uint32_t
		standing; /* bits of ours that stand between main's rule and all others before it */
	struct {
		uint32_t priority, mark, mask;
	} own[2 * BITS]; /* ours, wherever they stand */
	int owns;
};

static struct rule parse(const struct nlmsghdr *h)
{
	const struct fib_rule_hdr *r = NLMSG_DATA(h);
	const struct rtattr *a[ATTRIBUTES];
	struct rule rule = {0};

	nl_attributes((const struct rtattr *)(r + 1), h->nlmsg_len - NLMSG_LENGTH(sizeof(*r)), a,
		      ATTRIBUTES);
	rule.priority = nl_u32(a[FRA_PRIORITY], 0);
	rule.table = nl_u32(a[FRA_TABLE], r->table);
	rule.mark = nl_u32(a[FRA_FWMARK], 0);
	rule.mask = nl_u32(a[FRA_FWMASK], a[FRA_FWMARK] ? UINT32_MAX : 0);
	rule.ours = r->action == FR_ACT_TO_TBL && rule.table == ROUTES_TABLE &&
		    nl_u8(a[FRA_PROTOCOL], 0) == ROUTES_PROTOCOL;
	rule.lookup_main = r->action == FR_ACT_TO_TBL && rule.table == RT_TABLE_MAIN;
	rule.plain = !r->src_len && !r->dst_len && !r->tos && !(r->flags & FIB_RULE_INVERT);
	for (int i = 1; i < ATTRIBUTES; i++) {
		if (i == FRA_PRIORITY || i == FRA_TABLE || i == FRA_PROTOCOL || i == FRA_PAD)
			continue;
		if (i == FRA_SUPPRESS_PREFIXLEN || i == FRA_SUPPRESS_IFGROUP)
			rule.plain &= nl_u32(a[i], UINT32_MAX) == UINT32_MAX;
		else
			rule.plain &= !a[i];
	}
	return rule;
}

/* Whether a rule for every packet looks main up, but does not take every answer. */
static bool takes_part(const struct rule *rule, const struct nlmsghdr *h)
{
	const struct fib_rule_hdr *r = NLMSG_DATA(h);

	return rule->lookup_main && !rule->plain && !rule->mask && !r->src_len && !r->dst_len &&
	       !r->tos && !(r->flags & FIB_RULE_INVERT);
}

static void refuse(struct survey *s, uint32_t priority, const char *what)
{
	if (!s->refused)
		snprintf(s->why, s->room, "IPv%d rule %u %s", s->family == AF_INET ? 4 : 6,
			 priority, what);
	s->refused = true;
}

static int look(const struct nlmsghdr *h, void *context)
{
	struct survey *s = context;
	struct rule rule;

	if (h->nlmsg_type != RTM_NEWRULE ||
	    h->nlmsg_len < NLMSG_LENGTH(sizeof(struct fib_rule_hdr)))
		return 0;
	rule = parse(h);
	if (rule.ours) {
		if (s->owns == 2 * BITS)
			return -ENOSPC;
		s->own[s->owns].priority = rule.priority;
		s->own[s->owns].mark = rule.mark;
		s->own[s->owns++].mask = rule.mask;
		/* The same bit twice: all of ours are made anew. */
		if (!s->main_seen && rule.mark == rule.mask && !(s->standing & rule.mark))
			s->standing |= rule.mark;
		return 0;
	}
	if (rule.table == ROUTES_TABLE)
		refuse(s, rule.priority, "of somebody else uses table 31904");
	else if (rule.mask & s->bits)
		refuse(s, rule.priority, "looks at the same bit of the mark");
	else if (!s->main_seen && takes_part(&rule, h))
		refuse(s, rule.priority, "takes most routes from table main before its own rule");
	if (s->main_seen)
		return 0;
	if (rule.lookup_main && rule.plain) {
		s->main_seen = true;
		s->main_priority = rule.priority;
	} else {
		s->standing = 0;
	}
	return 0;
}

static int survey(struct survey *s, const struct nl_pair *nl, int family, uint32_t bits, char *why,
		  size_t room)
{
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < RETRIES; i++) {
		memset(s, 0, sizeof(*s));
		s->family = family;
		s->bits = bits;
		s->why = why;
		s->room = room;
		err = nl_dump_rules(nl->dump, family, look, s);
	}
	if (err || !bits || s->refused)
		return err;
	if (!s->main_seen) {
		snprintf(why, room, "no IPv%d rule sends every packet to table main",
			 family == AF_INET ? 4 : 6);
		s->refused = true;
	} else if (s->main_priority < 2) {
		refuse(s, s->main_priority, "leaves no room in front of table main");
	}
	return 0;
}

int rules_judge(const struct nl_pair *nl, int family, uint32_t bits, char *why, size_t room)
{
	struct survey s;
	int err = survey(&s, nl, family, bits, why, room);

	return err ? err : (s.refused ? -EOPNOTSUPP : 0);
}

static int change(const struct nl_pair *nl, int type, int family, uint32_t priority, uint32_t mark,
		  uint32_t mask)
{
	unsigned char protocol = ROUTES_PROTOCOL;
	struct nl_request m = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct fib_rule_hdr))}};
	struct fib_rule_hdr *r = NLMSG_DATA(&m.h);

	m.h.nlmsg_type = (uint16_t)type;
	m.h.nlmsg_flags = type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0;
	r->family = (unsigned char)family;
	r->action = FR_ACT_TO_TBL;
	nl_put_u32(&m, FRA_PRIORITY, priority);
	nl_put_u32(&m, FRA_TABLE, ROUTES_TABLE);
	nl_put_u32(&m, FRA_FWMARK, mark);
	nl_put_u32(&m, FRA_FWMASK, mask);
	nl_put(&m, FRA_PROTOCOL, &protocol, 1);
	return nl_call(nl->ask, &m);
}

static int remove_own(const struct nl_pair *nl, const struct survey *s)
{
	int err = 0, one;

	for (int i = 0; i < s->owns; i++) {
		one = change(nl, RTM_DELRULE, s->family, s->own[i].priority, s->own[i].mark,
			     s->own[i].mask);
		if (one && one != -ENOENT)
			err = one;
	}
	return err;
}

/* __builtin_popcount() may be a call into libgcc, which is not ours to use. */
static int count_bits(uint32_t bits)
{
	int n = 0;

	for (; bits; bits &= bits - 1)
		n++;
	return n;
}

int rules_set(const struct nl_pair *nl, int family, uint32_t bits, char *why, size_t room)
{
	struct survey s;
	int err = survey(&s, nl, family, bits, why, room);

	if (err)
		return err;
	if (s.refused)
		bits = 0;
	else if (bits && s.standing == bits && s.owns == count_bits(bits))
		return 0;
	err = remove_own(nl, &s);
	for (int i = 0; !err && i < BITS; i++) {
		uint32_t bit = UINT32_C(1) << i;

		/* Behind what has the same priority, so nothing is between ours and main's. */
		if (bits & bit)
			err = change(nl, RTM_NEWRULE, family, s.main_priority - 1, bit, bit);
	}
	return err ? err : (s.refused ? -EOPNOTSUPP : 0);
}
