// SPDX-License-Identifier: MIT
/* What the kernel sends: assigned to flows, queued, reported. */
#include "wire.h"
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_QUEUE 1024

static int queued, listener_count;
static struct packet *queue[MAX_QUEUE];
static struct end listeners[64];

static void hex(const uint8_t *p, int n, char *out)
{
	strcpy(out, "-");
	for (int i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", p[i]);
}

static int same(const struct end *a, const struct end *b)
{
	return a->port == b->port && !memcmp(a->addr, b->addr, 16);
}

static int listens(const struct packet *k)
{
	for (int i = 0; i < listener_count; i++)
		if (same(&listeners[i], &k->dst))
			return 1;
	return 0;
}

/* Finds the flow of a packet, or starts one for a SYN to a listener; 0 = nobody's. */
static int assign(const struct packet *k)
{
	int initial = (k->flags & (SYN | ACK)) == SYN;
	struct flow *f;

	for (int i = flow_count; i > 0; i--) {
		f = &flows[i - 1];
		if (f->v6 != k->v6 || !same(&f->us, &k->dst) || !same(&f->them, &k->src))
			continue;
		if (initial && f->their_isn && f->their_isn != k->seq)
			break; /* a new connection with the same ports */
		return i;
	}
	if (!initial || !listens(k))
		return 0;
	f = new_flow(k->v6, &k->dst, &k->src);
	return f ? flow_count : 0;
}

static void follow(struct flow *f, const struct packet *k)
{
	if (k->flags & SYN) {
		if (f->their_isn != k->seq)
			f->rcv_nxt = k->seq;
		f->their_isn = k->seq;
	}
	if (k->seq == f->rcv_nxt)
		f->rcv_nxt += k->len + !!(k->flags & SYN) + !!(k->flags & FIN);
	if (k->flags & ACK)
		f->snd_una = k->ack;
}

/* Queues what the kernel sends until the deadline or the first packet. */
static int receive(long deadline)
{
	struct pollfd p = {.fd = tun, .events = POLLIN};
	uint8_t buf[MTU];
	struct packet *k;
	long left = deadline - now_ms();
	int n;

	if (poll(&p, 1, left > 0 ? left : 0) <= 0)
		return -1;
	n = read(tun, buf, sizeof(buf));
	k = malloc(sizeof(*k));
	if (n < 20 || queued == MAX_QUEUE || decode(buf, n, k) < 0 || !(k->flow = assign(k))) {
		free(k);
		return 0;
	}
	follow(&flows[k->flow - 1], k);
	queue[queued++] = k;
	return 0;
}

static struct packet *take(long flow)
{
	for (int i = 0; i < queued; i++) {
		struct packet *k = queue[i];

		if (flow && k->flow != flow)
			continue;
		memmove(&queue[i], &queue[i + 1], (--queued - i) * sizeof(*queue));
		return k;
	}
	return NULL;
}

static void report(struct call *c, const struct packet *k)
{
	char opt[81], data[65], flags[9], from[64], *f = flags;

	for (int i = 0; i < 8; i++)
		if (k->flags & 1 << i)
			*f++ = "FSRPAUEC"[i];
	*f = 0;
	hex(k->opt, k->optlen, opt);
	hex(k->data, k->len < 32 ? k->len : 32, data);
	inet_ntop(k->v6 ? AF_INET6 : AF_INET, k->src.addr, from, sizeof(from));
	answer(c,
	       "ok flow=%d flags=%s seq=%u ack=%u wnd=%u len=%u opt=%s data=%s csum=%s src=%s "
	       "sport=%u dport=%u",
	       k->flow, *flags ? flags : "-", k->seq, k->ack, k->window, k->len, opt, data,
	       k->good_csum ? "good" : "bad", from, k->src.port, k->dst.port);
}

void do_expect(struct call *c)
{
	long deadline = now_ms() + num(c, 2, 2000), flow = num(c, 1, 0);
	struct packet *k = take(flow);

	while (!k && receive(deadline) == 0)
		k = take(flow);
	if (k)
		report(c, k);
	else
		answer(c, "err timeout");
	free(k);
}

void do_listen(struct call *c)
{
	if (listener_count == 64 ||
	    parse_end(c->arg[1], num(c, 2, 0), &listeners[listener_count]) < 0)
		return answer(c, "err bad-address");
	listener_count++;
	answer(c, "ok");
}
