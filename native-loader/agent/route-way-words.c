// SPDX-License-Identifier: MIT
/* A rule of routing in words, as `ip rule` has them. */
#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "route-way.h"

#define ATTRIBUTES (FRA_DPORT_RANGE + 1)

struct words {
	char *out;
	size_t room, used;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *w, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(w->out + w->used, w->room - w->used, format, arguments);
	va_end(arguments);
	if (n > 0)
		w->used += (size_t)n < w->room - w->used ? (size_t)n : w->room - w->used - 1;
}

static void say_address(struct words *w, const char *word, int family, const struct rtattr *a,
			uint8_t bits)
{
	char text[INET6_ADDRSTRLEN];
	size_t size = family == AF_INET ? 4 : 16;

	if (!a || RTA_PAYLOAD(a) != size || !inet_ntop(family, RTA_DATA(a), text, sizeof(text)))
		return;
	if (bits == size * 8)
		say(w, " %s %s", word, text);
	else
		say(w, " %s %s/%u", word, text, bits);
}

/* Of a device; whoever may rename it decides what it is. */
static void say_name(struct words *w, const char *word, const struct rtattr *a)
{
	size_t n = a ? RTA_PAYLOAD(a) : 0;
	const char *name = a ? RTA_DATA(a) : "";

	if (!n || n > IFNAMSIZ)
		return;
	say(w, " %s ", word);
	for (size_t i = 0; i < n && name[i]; i++)
		say(w, "%c", name[i] > ' ' && name[i] < 127 ? name[i] : '?');
}

static void say_ports(struct words *w, const char *word, const struct rtattr *a)
{
	struct fib_rule_port_range range;

	if (!a || RTA_PAYLOAD(a) < sizeof(range))
		return;
	memcpy(&range, RTA_DATA(a), sizeof(range));
	say(w, " %s %u", word, range.start);
	if (range.end != range.start)
		say(w, "-%u", range.end);
}

static void say_conditions(struct words *w, const struct fib_rule_hdr *r,
			   const struct rtattr *const *a)
{
	struct fib_rule_uid_range uids;

	if (r->flags & FIB_RULE_INVERT)
		say(w, " not");
	if (r->src_len)
		say_address(w, "from", r->family, a[FRA_SRC], r->src_len);
	if (r->dst_len)
		say_address(w, "to", r->family, a[FRA_DST], r->dst_len);
	if (r->tos)
		say(w, " tos %#x", r->tos);
	if (a[FRA_FWMARK] || a[FRA_FWMASK])
		say(w, " fwmark %#x/%#x", nl_u32(a[FRA_FWMARK], 0),
		    nl_u32(a[FRA_FWMASK], UINT32_MAX));
	say_name(w, "iif", a[FRA_IIFNAME]);
	say_name(w, "oif", a[FRA_OIFNAME]);
	if (a[FRA_UID_RANGE] && RTA_PAYLOAD(a[FRA_UID_RANGE]) >= sizeof(uids)) {
		memcpy(&uids, RTA_DATA(a[FRA_UID_RANGE]), sizeof(uids));
		say(w, " uidrange %u-%u", uids.start, uids.end);
	}
	if (a[FRA_IP_PROTO])
		say(w, " ipproto %u", nl_u8(a[FRA_IP_PROTO], 0));
	say_ports(w, "sport", a[FRA_SPORT_RANGE]);
	say_ports(w, "dport", a[FRA_DPORT_RANGE]);
}

void way_words(const struct nlmsghdr *h, char *out, size_t room)
{
	const struct fib_rule_hdr *r = NLMSG_DATA(h);
	const struct rtattr *a[ATTRIBUTES];
	struct words w = {.out = out, .room = room};
	uint32_t suppress;

	nl_attributes((const struct rtattr *)(r + 1), h->nlmsg_len - NLMSG_LENGTH(sizeof(*r)), a,
		      ATTRIBUTES);
	say(&w, "IPv%d rule %u (", r->family == AF_INET ? 4 : 6, nl_u32(a[FRA_PRIORITY], 0));
	say_conditions(&w, r, a);
	if (r->action == FR_ACT_GOTO)
		say(&w, " goto %u", nl_u32(a[FRA_GOTO], 0));
	else if (nl_u8(a[FRA_L3MDEV], 0))
		say(&w, " lookup of the VRF");
	else
		say(&w, " lookup %u", nl_u32(a[FRA_TABLE], r->table));
	suppress = nl_u32(a[FRA_SUPPRESS_PREFIXLEN], UINT32_MAX);
	if (suppress != UINT32_MAX)
		say(&w, " suppress_prefixlength %u", suppress);
	say(&w, ")");
	/* the blank that each word has in front of it */
	out = strchr(out, '(');
	if (out && out[1] == ' ')
		memmove(out + 1, out + 2, strlen(out + 2) + 1);
}
