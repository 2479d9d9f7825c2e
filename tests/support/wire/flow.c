// SPDX-License-Identifier: MIT
/* The flows: one per pair of ends that this endpoint has talked with. */
#include "wire.h"
#include <arpa/inet.h>
#include <string.h>

#define MAX_FLOWS 1024

struct flow flows[MAX_FLOWS];
int flow_count;

int parse_end(const char *host, long port, struct end *e)
{
	int v6 = strchr(host, ':') != NULL;

	memset(e, 0, sizeof(*e));
	e->port = port;
	return inet_pton(v6 ? AF_INET6 : AF_INET, host, e->addr) == 1 ? v6 : -1;
}

struct flow *flow_of(struct call *c, int i)
{
	long n = num(c, i, 0);

	if (n >= 1 && n <= flow_count)
		return &flows[n - 1];
	answer(c, "err no-such-flow");
	return NULL;
}

struct flow *new_flow(int v6, const struct end *us, const struct end *them)
{
	struct flow *f = &flows[flow_count];

	if (flow_count == MAX_FLOWS)
		return NULL;
	f->v6 = v6;
	f->us = *us;
	f->them = *them;
	f->window = 65535;
	/* Above the last one, so that a port used again is not taken for an old duplicate. */
	f->snd_nxt = f->snd_una = (uint32_t)now_ms() * 256 + flow_count * 100000;
	flow_count++;
	return f;
}
