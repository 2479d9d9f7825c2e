// SPDX-License-Identifier: MIT
/* What the parts of wire share; main.c says what wire is. */
#pragma once
#include <stdint.h>

#define MTU 1500
#define MAX_ARGS 8

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

struct end {
	uint8_t addr[16];
	uint16_t port;
};

struct flow {
	int v6;
	struct end us, them;
	uint32_t snd_nxt, snd_una, rcv_nxt, their_isn;
	uint16_t window;
};

struct packet {
	int v6, flow, good_csum;
	struct end src, dst;
	uint32_t seq, ack;
	uint8_t flags, optlen, opt[40];
	uint16_t window, len;
	uint8_t data[MTU];
};

struct options {
	uint8_t byte[64];
	int len;
};

struct call {
	char *arg[MAX_ARGS];
	int argc;
	char out[4096];
};

/* call.c */
void answer(struct call *c, const char *fmt, ...);
const char *word(struct call *c, int i, const char *otherwise);
long num(struct call *c, int i, long otherwise);
long now_ms(void);

/* device.c */
extern int tun; /* -1 until "open" */
void do_open(struct call *c);

/* segment.c: between structures and bytes */
int parse_options(struct call *c, int i, int syn, struct options *o);
int transmit(struct call *c, const struct flow *f, int flags, uint32_t seq, uint32_t ack,
	     const struct options *o, int len);
int decode(const uint8_t *p, int n, struct packet *k);

/* flow.c */
extern struct flow flows[]; /* the flow numbers of the protocol start at 1 */
extern int flow_count;
int parse_end(const char *host, long port, struct end *e);
struct flow *new_flow(int v6, const struct end *us, const struct end *them);
struct flow *flow_of(struct call *c, int i);

/* receive.c */
void do_expect(struct call *c);
void do_listen(struct call *c);

/* send.c */
void do_syn(struct call *c);
void do_next(struct call *c);
void do_raw(struct call *c);
void do_window(struct call *c);
void do_flow(struct call *c);
