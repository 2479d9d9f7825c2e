// SPDX-License-Identifier: MIT
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "route-way.h"

#define ATTRIBUTES 32
#define RETRIES 20
#define INFO_ATTRIBUTES (IFLA_LINKINFO + 1)

/* How much of what we have marked does a rule match? */
enum match { NEVER, PARTLY, ALWAYS };

static bool is_loopback(const struct rtattr *name)
{
	return RTA_PAYLOAD(name) >= 3 && !memcmp(RTA_DATA(name), "lo", 3);
}

/* Without FIB_RULE_INVERT. A packet of our own has come in from nowhere but lo, and its mark is
 * ours alone, or else somebody's whose rules know it.
 */
static enum match inner_match(const struct fib_rule_hdr *r, const struct rtattr *const *a)
{
	uint32_t mark = nl_u32(a[FRA_FWMARK], 0);
	uint32_t mask = nl_u32(a[FRA_FWMASK], a[FRA_FWMARK] ? UINT32_MAX : 0);
	bool some = r->src_len || r->dst_len || r->tos;

	if (mark & mask || nl_u32(a[FRA_TUN_ID], 0))
		return NEVER;
	if (a[FRA_IIFNAME] && !is_loopback(a[FRA_IIFNAME]))
		return NEVER;
	if (a[FRA_IP_PROTO] && nl_u8(a[FRA_IP_PROTO], 0) != IPPROTO_TCP)
		return NEVER;
	for (int i = 1; i < ATTRIBUTES; i++) {
		switch (i) {
		case FRA_PRIORITY:
		case FRA_TABLE:
		case FRA_PROTOCOL:
		case FRA_PAD:
		case FRA_GOTO:
		case FRA_FWMARK:
		case FRA_FWMASK:
		case FRA_IIFNAME:
		case FRA_IP_PROTO:
		case FRA_TUN_ID:
		case FRA_FLOW:
		case FRA_SUPPRESS_IFGROUP:
		case FRA_SUPPRESS_PREFIXLEN:
			break;
		default:
			some |= a[i] != NULL;
		}
	}
	return some ? PARTLY : ALWAYS;
}

static enum match match(const struct fib_rule_hdr *r, const struct rtattr *const *a)
{
	enum match inner = inner_match(r, a);

	if (!(r->flags & FIB_RULE_INVERT) || inner == PARTLY)
		return inner;
	return inner == NEVER ? ALWAYS : NEVER;
}

static bool is_ours(const struct fib_rule_hdr *r, const struct rtattr *const *a, uint32_t table)
{
	return r->action == FR_ACT_TO_TBL && table == ROUTES_TABLE &&
	       nl_u8(a[FRA_PROTOCOL], 0) == ROUTES_PROTOCOL;
}

static void add(struct ways *w, const struct nlmsghdr *h, const struct rtattr *const *a,
		uint32_t table, bool always)
{
	struct way *way = &w->way[w->n];

	if (w->n == WAYS_MOST) {
		w->more++;
		return;
	}
	memset(way, 0, sizeof(*way));
	w->n++;
	way->priority = nl_u32(a[FRA_PRIORITY], 0);
	way->table = table;
	way->suppressed = nl_u32(a[FRA_SUPPRESS_PREFIXLEN], UINT32_MAX);
	way->behind = w->main_seen;
	way->always = always;
	way_words(h, way->words, sizeof(way->words));
}

static int on_rule(const struct nlmsghdr *h, void *context)
{
	const struct fib_rule_hdr *r = NLMSG_DATA(h);
	const struct rtattr *a[ATTRIBUTES];
	struct ways *w = context;
	enum match matches;
	bool suppresses;
	uint32_t table;

	if (h->nlmsg_type != RTM_NEWRULE || h->nlmsg_len < NLMSG_LENGTH(sizeof(*r)))
		return 0;
	nl_attributes((const struct rtattr *)(r + 1), h->nlmsg_len - NLMSG_LENGTH(sizeof(*r)), a,
		      ATTRIBUTES);
	table = nl_u32(a[FRA_TABLE], r->table);
	if (is_ours(r, a, table)) {
		w->standing |= nl_u32(a[FRA_FWMARK], 0);
		return 0;
	}
	matches = match(r, a);
	if (matches == NEVER || (r->action != FR_ACT_TO_TBL && r->action != FR_ACT_GOTO))
		return 0;
	suppresses = nl_u32(a[FRA_SUPPRESS_PREFIXLEN], UINT32_MAX) != UINT32_MAX ||
		     nl_u32(a[FRA_SUPPRESS_IFGROUP], UINT32_MAX) != UINT32_MAX;
	if (r->action == FR_ACT_GOTO) {
		if (!w->main_seen)
			add(w, h, a, 0, true);
	} else if (nl_u8(a[FRA_L3MDEV], 0)) {
		if (w->vrfs)
			add(w, h, a, 0, true);
	} else if (table == RT_TABLE_MAIN) {
		if (matches == ALWAYS && !suppresses)
			w->main_seen = true;
		else if (!w->main_seen)
			add(w, h, a, table, false);
	} else if (table != RT_TABLE_LOCAL) {
		add(w, h, a, table, false);
	}
	return 0;
}

static int on_link(const struct nlmsghdr *h, void *context)
{
	const struct rtattr *a[INFO_ATTRIBUTES], *info[IFLA_INFO_KIND + 1];
	const struct rtattr *kind;

	if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
		return 0;
	nl_attributes(IFLA_RTA(NLMSG_DATA(h)),
		      h->nlmsg_len - NLMSG_LENGTH(sizeof(struct ifinfomsg)), a, INFO_ATTRIBUTES);
	if (!a[IFLA_LINKINFO])
		return 0;
	nl_attributes(RTA_DATA(a[IFLA_LINKINFO]), RTA_PAYLOAD(a[IFLA_LINKINFO]), info,
		      IFLA_INFO_KIND + 1);
	kind = info[IFLA_INFO_KIND];
	if (kind && RTA_PAYLOAD(kind) >= 3 && !memcmp(RTA_DATA(kind), "vrf", 3))
		*(bool *)context = true;
	return 0;
}

/* The kernel keeps the rule of VRFs when the last of them has gone. */
static int find_vrfs(const struct nl_pair *nl, bool *found)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} ask = {.h = {.nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETLINK}};

	ask.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	ask.h.nlmsg_seq = nl_sequence(1);
	return nl_dump(nl->dump, &ask.h, on_link, found);
}

struct table {
	struct ways *w;
	uint32_t number;
};

static void sample(struct ways *w, const struct route_view *v)
{
	struct sample *s = &w->sample[w->samples];
	size_t size = w->family == AF_INET ? 4 : 16;

	if (w->samples == SAMPLES_MOST || v->rt->rtm_type != RTN_UNICAST)
		return;
	memset(s, 0, sizeof(*s));
	if (v->rt->rtm_dst_len && (!v->a[RTA_DST] || RTA_PAYLOAD(v->a[RTA_DST]) != size))
		return;
	if (v->rt->rtm_dst_len)
		memcpy(s->to, RTA_DATA(v->a[RTA_DST]), size);
	s->prefix = v->rt->rtm_dst_len;
	/* link-local ones, and multicast, are all devices' */
	if (w->family == AF_INET6 && s->prefix && (s->to[0] == 0xff || s->to[0] == 0xfe))
		return;
	w->samples++;
}

static int on_route(const struct nlmsghdr *h, void *context)
{
	const struct table *t = context;
	struct route_view v;

	if (route_view(h, &v) || v.rt->rtm_flags & RTM_F_CLONED || route_table(&v) != t->number ||
	    v.rt->rtm_type == RTN_THROW)
		return 0;
	if (t->number == RT_TABLE_MAIN)
		t->w->main_default |= !v.rt->rtm_dst_len && !v.rt->rtm_src_len;
	for (unsigned int i = 0; i < t->w->n; i++) {
		struct way *way = &t->w->way[i];

		if (way->table == t->number &&
		    (way->suppressed == UINT32_MAX || v.rt->rtm_dst_len > way->suppressed))
			way->used = true;
	}
	sample(t->w, &v);
	return 0;
}

static int read_table(struct ways *w, const struct nl_pair *nl, uint32_t number)
{
	struct table t = {w, number};
	int err = nl_dump_routes(nl->dump, w->family, number, on_route, &t);

	return err == -EINTR ? 0 : err; /* changed meanwhile: what was seen was there */
}

static bool was_read(const struct ways *w, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (w->way[i].table == w->way[n].table)
			return true;
	}
	return !w->way[n].table || w->way[n].table == RT_TABLE_MAIN;
}

int ways_read(struct ways *w, const struct nl_pair *nl, int family, uint32_t bits)
{
	bool vrfs = false;
	int err = find_vrfs(nl, &vrfs);

	if (err && err != -EINTR)
		return err;
	err = -EINTR;
	for (int i = 0; err == -EINTR && i < RETRIES; i++) {
		memset(w, 0, sizeof(*w));
		w->family = family;
		w->bits = bits;
		w->vrfs = vrfs;
		err = nl_dump_rules(nl->dump, family, on_rule, w);
	}
	if (!err)
		err = read_table(w, nl, RT_TABLE_MAIN);
	for (unsigned int i = 0; !err && i < w->n; i++) {
		if (!was_read(w, i))
			err = read_table(w, nl, w->way[i].table);
	}
	return err;
}

static int found(const struct nlmsghdr *h, void *context)
{
	*(bool *)context |= h->nlmsg_type == RTM_NEWROUTE;
	return 0;
}

/* The rule of table default is everywhere, and the table empty. */
int ways_none(const struct nl_pair *nl, int family, bool *none)
{
	struct ways w = {.family = family, .vrfs = true};
	bool has_default = false;
	int err = nl_dump_rules(nl->dump, family, on_rule, &w);

	*none = false;
	for (unsigned int i = 0; i < w.n && !err; i++) {
		if (!w.way[i].behind || w.way[i].table != RT_TABLE_DEFAULT)
			return 0;
	}
	if (!err && w.n)
		err = nl_dump_routes(nl->dump, family, RT_TABLE_DEFAULT, found, &has_default);
	*none = !err && !has_default;
	return err == -ETIMEDOUT ? err : 0;
}

bool way_counts(const struct ways *w, const struct way *way)
{
	if (way->behind)
		return way->used && !w->main_default;
	return way->always || way->used;
}
