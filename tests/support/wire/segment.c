// SPDX-License-Identifier: MIT
/* Segments as bytes: options, headers, checksums. */
#include "wire.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MSS_OPTION "\x02\x04\x05\xb4" /* 1460 */

static uint16_t get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t sum(const uint8_t *p, int n, uint32_t s)
{
	for (; n > 1; n -= 2, p += 2)
		s += get16(p);
	return n ? s + (*p << 8) : s;
}

static uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return ~s;
}

static uint16_t tcp_csum(int v6, const struct end *src, const struct end *dst, const uint8_t *tcp,
			 int n)
{
	uint32_t s = IPPROTO_TCP + n;

	s = sum(src->addr, v6 ? 16 : 4, s);
	s = sum(dst->addr, v6 ? 16 : 4, s);
	return fold(sum(tcp, n, s));
}

/* The bytes of OPTHEX, with an MSS option before them on a SYN. */
int parse_options(struct call *c, int i, int syn, struct options *o)
{
	const char *s = word(c, i, "-");
	unsigned int byte;

	memset(o, 0, sizeof(*o));
	if (*s == '=')
		s++;
	else if (syn)
		o->len = 4;
	memcpy(o->byte, MSS_OPTION, o->len);
	for (; *s && *s != '-'; s += 2) {
		if (o->len == 40 || sscanf(s, "%2x", &byte) != 1 || !s[1]) {
			answer(c, "err bad-options");
			return -1;
		}
		o->byte[o->len++] = byte;
	}
	o->len = (o->len + 3) & ~3;
	return 0;
}

static int ip_header(uint8_t *p, const struct flow *f, int n)
{
	memset(p, 0, 40);
	if (f->v6) {
		p[0] = 0x60;
		put16(p + 4, n);
		p[6] = IPPROTO_TCP;
		p[7] = 64;
		memcpy(p + 8, f->us.addr, 16);
		memcpy(p + 24, f->them.addr, 16);
		return 40;
	}
	p[0] = 0x45;
	put16(p + 2, 20 + n);
	p[8] = 64;
	p[9] = IPPROTO_TCP;
	memcpy(p + 12, f->us.addr, 4);
	memcpy(p + 16, f->them.addr, 4);
	put16(p + 10, fold(sum(p, 20, 0)));
	return 20;
}

/* Sends one segment and leaves the flow as it is. */
int transmit(struct call *c, const struct flow *f, int flags, uint32_t seq, uint32_t ack,
	     const struct options *o, int len)
{
	uint8_t pkt[MTU + 100], tcp[MTU + 100] = {0};
	int n = 20 + o->len + len, head;

	if (len < 0 || n + 40 > MTU) {
		answer(c, "err too-long");
		return -1;
	}
	put16(tcp, f->us.port);
	put16(tcp + 2, f->them.port);
	put32(tcp + 4, seq);
	put32(tcp + 8, ack);
	tcp[12] = (5 + o->len / 4) << 4;
	tcp[13] = flags;
	put16(tcp + 14, f->window);
	memcpy(tcp + 20, o->byte, o->len);
	for (int i = 0; i < len; i++)
		tcp[20 + o->len + i] = i * 7; /* as "send" of peer does */
	put16(tcp + 16, tcp_csum(f->v6, &f->us, &f->them, tcp, n));
	head = ip_header(pkt, f, n);
	memcpy(pkt + head, tcp, n);
	if (write(tun, pkt, head + n) != head + n) {
		answer(c, "err %s", strerror(errno));
		return -1;
	}
	return 0;
}

int decode(const uint8_t *p, int n, struct packet *k)
{
	int v6 = p[0] >> 4 == 6, head = v6 ? 40 : (p[0] & 15) * 4, alen = v6 ? 16 : 4, off;

	memset(k, 0, sizeof(*k));
	if (n < head + 20 || p[v6 ? 6 : 9] != IPPROTO_TCP)
		return -1;
	k->v6 = v6;
	memcpy(k->src.addr, p + (v6 ? 8 : 12), alen);
	memcpy(k->dst.addr, p + (v6 ? 24 : 16), alen);
	p += head;
	n -= head;
	off = (p[12] >> 4) * 4;
	if (off < 20 || off > n)
		return -1;
	k->good_csum = tcp_csum(v6, &k->src, &k->dst, p, n) == 0;
	k->src.port = get16(p);
	k->dst.port = get16(p + 2);
	k->seq = get32(p + 4);
	k->ack = get32(p + 8);
	k->flags = p[13];
	k->window = get16(p + 14);
	k->optlen = off - 20;
	memcpy(k->opt, p + 20, k->optlen);
	k->len = n - off;
	memcpy(k->data, p + off, k->len);
	return 0;
}
