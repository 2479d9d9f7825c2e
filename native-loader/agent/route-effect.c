// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bridge-agent.h"
#include "route-ask.h"
#include "route-effect.h"
#include "route-way.h"
#include "routes-follow.h"

#define TRIES 4 /* addresses of one route: the first may be this host's own */

static const int FAMILIES[] = {AF_INET, AF_INET6};

struct judge {
	const struct nl_pair *nl;
	struct ways *w;
	const struct tcpx_route_scope *scope;
	unsigned int asked, lost;
	uint32_t by;	  /* the table that has answered last instead */
	uint8_t last[16]; /* where to */
};

static size_t size_of(int family)
{
	return family == AF_INET ? 4 : 16;
}

/* An address of documentation where a route is for everything. */
static void sample_address(const struct judge *j, const struct sample *s, unsigned int nth,
			   uint8_t *to)
{
	static const uint8_t ipv4[] = {192, 0, 2, 0}, ipv6[] = {0x20, 0x01, 0x0d, 0xb8};
	size_t size = size_of(j->w->family);

	memcpy(to, s->to, 16);
	if (!s->prefix && size == 4)
		memcpy(to, ipv4, sizeof(ipv4));
	else if (!s->prefix)
		memcpy(to, ipv6, sizeof(ipv6));
	if (s->prefix < size * 8 - 2)
		to[size - 1] |= nth + 1;
	else if (s->prefix < size * 8)
		to[size - 1] |= nth & 1;
}

/* As connect() does: the source is what the first answer says. 0, or -errno: no route. */
static int ask(const struct judge *j, const uint8_t *to, struct route_answer *a)
{
	struct route_flow flow = {.family = j->w->family, .uid = UINT32_MAX};
	struct route_answer second;
	int err;

	flow.mark = j->w->bits & (~j->w->bits + 1);
	memcpy(flow.to, to, sizeof(flow.to));
	err = route_ask(j->nl->ask, &flow, a);
	if (err || !a->has_source)
		return err;
	flow.bound = true;
	memcpy(flow.source, a->source, sizeof(flow.source));
	err = route_ask(j->nl->ask, &flow, &second);
	if (!err)
		*a = second;
	return err == -ETIMEDOUT ? err : 0;
}

/* Where our rules do not stand yet, what comes to main will come to them. */
static bool has_effect(const struct judge *j, const struct route_answer *a)
{
	if (a->quickack || a->table == ROUTES_TABLE)
		return true;
	return a->table == RT_TABLE_MAIN && (j->w->standing & j->w->bits) != j->w->bits;
}

/* own: this host's addresses count, for they were asked for. */
static int try(struct judge *j, const struct sample *s, bool own)
{
	struct route_answer a;
	uint8_t to[16];
	int err;

	for (unsigned int nth = 0; nth < (own ? 1 : TRIES); nth++) {
		if (own && s->prefix == size_of(j->w->family) * 8)
			memcpy(to, s->to, sizeof(to));
		else
			sample_address(j, s, nth, to);
		err = ask(j, to, &a);
		if (err)
			return err == -ETIMEDOUT ? err : 0;
		if (a.table == RT_TABLE_LOCAL && !own)
			continue;
		j->asked++;
		if (has_effect(j, &a))
			return 0;
		j->lost++;
		j->by = a.table;
		memcpy(j->last, to, sizeof(to));
		return 0;
	}
	return 0;
}

static bool covers(const uint8_t *a, uint8_t prefix, const uint8_t *b)
{
	unsigned int whole = prefix / 8, rest = prefix % 8;

	if (memcmp(a, b, whole))
		return false;
	return !rest || !((a[whole] ^ b[whole]) >> (8 - rest));
}

/* The routes that peers of the scope may get. */
static int try_scope(struct judge *j)
{
	const struct tcpx_route_scope *scope = j->scope;
	struct sample own = {.prefix = scope->prefix};
	size_t size = size_of(j->w->family);
	int err = 0;

	for (unsigned int i = 0; i < j->w->samples && !err; i++) {
		const struct sample *s = &j->w->sample[i];

		if (!scope->family || (s->prefix >= scope->prefix &&
				       covers(scope->address + 16 - size, scope->prefix, s->to)))
			err = try(j, s, false);
	}
	if (err || !scope->family || !scope->prefix)
		return err;
	memcpy(own.to, scope->address + 16 - size, size);
	return try(j, &own, true);
}

static const struct way *way_by(const struct ways *w, uint32_t table)
{
	const struct way *any = NULL; /* that leads to whatever table */

	for (unsigned int i = 0; i < w->n; i++) {
		if (!way_counts(w, &w->way[i]))
			continue;
		if (w->way[i].table == table)
			return &w->way[i];
		if (!w->way[i].table)
			any = &w->way[i];
	}
	return any;
}

static void explain(const struct judge *j, char *why, size_t room)
{
	const struct tcpx_route_scope *scope = j->scope;
	const struct way *way = way_by(j->w, j->by);
	char text[INET6_ADDRSTRLEN] = "?", whom[INET6_ADDRSTRLEN + 16];
	size_t size = size_of(j->w->family);

	if (j->by == RT_TABLE_LOCAL) {
		inet_ntop(j->w->family, j->last, text, sizeof(text));
		snprintf(why, room,
			 "%s is this host itself, whose routes (loopback, table local) come before "
			 "all others",
			 text);
		return;
	}
	if (scope->family)
		inet_ntop(j->w->family, scope->address + 16 - size, text, sizeof(text));
	snprintf(whom, sizeof(whom), "to %s/%u", text, scope->prefix);
	if (way)
		snprintf(why, room, "%s routes every connection %s", way->words,
			 scope->family ? whom : "there is");
	else
		snprintf(why, room, "IPv%d table %u routes every connection %s",
			 j->w->family == AF_INET ? 4 : 6, j->by, scope->family ? whom : "there is");
}

static int judge_family(struct judge *j, const struct tcpx_route_scope *scopes, unsigned int n,
			char *why, size_t room)
{
	int version = j->w->family == AF_INET ? 4 : 6, err;

	for (unsigned int i = 0; i < n; i++) {
		j->scope = &scopes[i];
		j->asked = j->lost = 0;
		if (scopes[i].family && scopes[i].family != version)
			continue;
		err = try_scope(j);
		if (err)
			return err;
		if (!j->asked || j->lost < j->asked)
			continue;
		explain(j, why, room);
		return -EOPNOTSUPP;
	}
	return 0;
}

int effect_judge(const struct nl_pair *nl, uint32_t bits, const struct tcpx_route_scope *scopes,
		 unsigned int n, char *why, size_t room)
{
	struct ways *w = calloc(1, sizeof(*w));
	struct judge j = {.nl = nl, .w = w};
	int err = w ? 0 : -ENOMEM;

	for (int f = 0; f < 2 && !err; f++) {
		err = ways_read(w, nl, FAMILIES[f], bits);
		if (err == -EOPNOTSUPP) /* the kernel's word, and no judgement */
			err = -EIO;
		if (!err)
			err = judge_family(&j, scopes, n, why, room);
		if (err == -EAFNOSUPPORT)
			err = 0;
	}
	free(w);
	return err;
}

static void tell(const struct ways *w, const char *before, char *out, size_t room, size_t *used,
		 int *told)
{
	int n;

	for (unsigned int i = 0; i < w->n; i++) {
		if (!way_counts(w, &w->way[i]))
			continue;
		n = snprintf(out + *used, room - *used, "%s%s\n", before, w->way[i].words);
		if (n < 0 || (size_t)n >= room - *used) {
			out[*used] = 0; /* no half a line */
			return;
		}
		*used += (size_t)n;
		++*told;
	}
}

int effect_ways(const struct nl_pair *nl, uint32_t bits, const char *before, char *out, size_t room,
		size_t *used)
{
	struct ways *w = calloc(1, sizeof(*w));
	int told = 0, err = w ? 0 : -ENOMEM;

	for (int f = 0; f < 2 && !err; f++) {
		err = ways_read(w, nl, FAMILIES[f], bits);
		if (!err)
			tell(w, before, out, room, used, &told);
		if (err == -EAFNOSUPPORT)
			err = 0;
	}
	free(w);
	return err ? err : told;
}

int routes_look(struct routes *r)
{
	bool none = true;
	int err = 0;

	r->clear = true;
	for (int f = 0; f < (r->ipv6 ? 2 : 1) && !err; f++) {
		err = ways_none(&r->nl, FAMILIES[f], &none);
		r->clear &= none;
	}
	return err;
}

bool routes_clear(const struct routes *r)
{
	return r->standing && r->clear;
}

int routes_ways(const struct routes *r, const char *before, char *out, size_t room, size_t *used)
{
	return effect_ways(&r->nl, r->bits, before, out, room, used);
}

int routes_effect(unsigned int mark_bits, const struct tcpx_route_scope *scopes, unsigned int n,
		  char *out, size_t room)
{
	struct nl_pair nl = {.dump = nl_open(), .ask = nl_open()};
	int result = nl.dump < 0 ? nl.dump : nl.ask;
	size_t used = 0;

	if (nl.dump >= 0 && nl.ask >= 0) {
		result = effect_judge(&nl, mark_bits, scopes, n, out, room);
		if (!result)
			result = effect_ways(&nl, mark_bits, "", out, room, &used);
	}
	if (nl.dump >= 0)
		close(nl.dump);
	if (nl.ask >= 0)
		close(nl.ask);
	return result;
}
