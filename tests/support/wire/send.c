// SPDX-License-Identifier: MIT
/* What the tests put on the wire. */
#include "wire.h"
#include <stdlib.h>
#include <string.h>

/* Sends the next segment of the flow. */
static void advance(struct call *c, struct flow *f, int flags, int optarg, int len)
{
	struct options o;

	if (parse_options(c, optarg, flags & SYN, &o) < 0 ||
	    transmit(c, f, flags, f->snd_nxt, flags & ACK ? f->rcv_nxt : 0, &o, len) < 0)
		return;
	f->snd_nxt += len + !!(flags & SYN) + !!(flags & FIN);
	answer(c, "ok %u", f->snd_nxt);
}

void do_syn(struct call *c)
{
	struct end us, them;
	struct flow *f;
	int v6 = parse_end(c->arg[1], num(c, 2, 0), &us);

	if (v6 < 0 || parse_end(c->arg[3], num(c, 4, 0), &them) != v6)
		return answer(c, "err bad-address");
	f = new_flow(v6, &us, &them);
	if (!f)
		return answer(c, "err too-many-flows");
	if (c->argc > 6)
		f->snd_nxt = f->snd_una = strtoul(c->arg[6], NULL, 0);
	advance(c, f, SYN, 5, 0);
	if (*c->out == 'o')
		answer(c, "ok %d", flow_count);
}

/* synack, ack, fin, rst FLOW [OPTHEX]; data FLOW N [OPTHEX]: answer the next sequence number */
void do_next(struct call *c)
{
	struct flow *f = flow_of(c, 1);
	const char *what = c->arg[0];

	if (!f)
		return;
	if (!strcmp(what, "synack"))
		advance(c, f, SYN | ACK, 2, 0);
	else if (!strcmp(what, "fin"))
		advance(c, f, FIN | ACK, 2, 0);
	else if (!strcmp(what, "rst"))
		advance(c, f, RST | ACK, 2, 0);
	else if (!strcmp(what, "data"))
		advance(c, f, PSH | ACK, 3, num(c, 2, 0));
	else
		advance(c, f, ACK, 2, 0);
}

/* raw FLOW FLAGS SEQ ACK N [OPTHEX]: any segment of the flow, again or out of order */
void do_raw(struct call *c)
{
	struct flow *f = flow_of(c, 1);
	struct options o;
	int flags = 0;

	if (!f)
		return;
	for (const char *p = c->arg[2]; *p; p++)
		for (int i = 0; i < 8; i++)
			flags |= "FSRPAUEC"[i] == *p ? 1 << i : 0;
	if (parse_options(c, 6, flags & SYN, &o) < 0 ||
	    transmit(c, f, flags, strtoul(c->arg[3], NULL, 0), strtoul(c->arg[4], NULL, 0), &o,
		     num(c, 5, 0)) < 0)
		return;
	answer(c, "ok");
}

/* window FLOW N: what the next segments announce; 0 closes the window */
void do_window(struct call *c)
{
	struct flow *f = flow_of(c, 1);

	if (!f)
		return;
	f->window = num(c, 2, 65535);
	answer(c, "ok");
}

void do_flow(struct call *c)
{
	struct flow *f = flow_of(c, 1);

	if (f)
		answer(c, "ok snd_nxt=%u snd_una=%u rcv_nxt=%u wnd=%u", f->snd_nxt, f->snd_una,
		       f->rcv_nxt, f->window);
}
