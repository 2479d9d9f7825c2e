// SPDX-License-Identifier: MIT
/* Socket options and TCP_INFO. */
#include "peer.h"
#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>

void do_setopt(struct call *c)
{
	int v = num(c, 4, 0);

	result(c, setsockopt(num(c, 1, -1), num(c, 2, 0), num(c, 3, 0), &v, sizeof(v)));
}

/* setbytes FD LEVEL NAME HEX: for options that are buffers, such as keys */
void do_setbytes(struct call *c)
{
	const char *text = c->arg[4];
	unsigned char buf[512];
	size_t n = 0;

	for (; n < sizeof(buf) && sscanf(text + 2 * n, "%2hhx", &buf[n]) == 1; n++)
		if (!text[2 * n + 1])
			break;
	result(c, setsockopt(num(c, 1, -1), num(c, 2, 0), num(c, 3, 0), buf, n));
}

static void hex(const unsigned char *p, size_t n, char *out)
{
	*out = 0;
	for (size_t i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", p[i]);
}

/* type: int, str (a name such as "cubic") or hex (a buffer such as TCP_SAVED_SYN) */
void read_option(struct call *c, int fd, int level, int name, const char *type)
{
	unsigned char buf[1024] = {0};
	char text[2 * sizeof(buf) + 1];
	socklen_t len = *type == 'i' ? sizeof(int) : sizeof(buf) - 1;

	if (getsockopt(fd, level, name, buf, &len) < 0)
		return fail(c, errno);
	if (*type == 'i')
		return answer(c, "ok %d", *(int *)buf);
	hex(buf, len, text);
	answer(c, "ok %s", *type == 's' ? (char *)buf : text);
}

void do_getopt(struct call *c)
{
	read_option(c, num(c, 1, -1), num(c, 2, 0), num(c, 3, 0), c->argc > 4 ? c->arg[4] : "int");
}

void do_setcc(struct call *c)
{
	result(c, setsockopt(num(c, 1, -1), IPPROTO_TCP, TCP_CONGESTION, c->arg[2],
			     strlen(c->arg[2])));
}

void do_getcc(struct call *c)
{
	read_option(c, num(c, 1, -1), IPPROTO_TCP, TCP_CONGESTION, "str");
}

void do_tcpinfo(struct call *c)
{
	struct tcp_info i = {0};
	socklen_t len = sizeof(i);

	if (getsockopt(num(c, 1, -1), IPPROTO_TCP, TCP_INFO, &i, &len) < 0)
		return fail(c, errno);
	answer(c,
	       "ok state=%u ca_state=%u options=%u rto=%u ato=%u retransmits=%u total_retrans=%u "
	       "retrans=%u lost=%u unacked=%u sacked=%u probes=%u backoff=%u snd_mss=%u rcv_mss=%u "
	       "pmtu=%u advmss=%u rtt=%u rttvar=%u min_rtt=%u snd_ssthresh=%u snd_cwnd=%u "
	       "rcv_ssthresh=%u rcv_space=%u snd_wnd=%u bytes_acked=%llu bytes_received=%llu "
	       "bytes_sent=%llu bytes_retrans=%llu segs_out=%u segs_in=%u data_segs_out=%u "
	       "data_segs_in=%u delivered=%u",
	       i.tcpi_state, i.tcpi_ca_state, i.tcpi_options, i.tcpi_rto, i.tcpi_ato,
	       i.tcpi_retransmits, i.tcpi_total_retrans, i.tcpi_retrans, i.tcpi_lost,
	       i.tcpi_unacked, i.tcpi_sacked, i.tcpi_probes, i.tcpi_backoff, i.tcpi_snd_mss,
	       i.tcpi_rcv_mss, i.tcpi_pmtu, i.tcpi_advmss, i.tcpi_rtt, i.tcpi_rttvar,
	       i.tcpi_min_rtt, i.tcpi_snd_ssthresh, i.tcpi_snd_cwnd, i.tcpi_rcv_ssthresh,
	       i.tcpi_rcv_space, i.tcpi_snd_wnd, i.tcpi_bytes_acked, i.tcpi_bytes_received,
	       i.tcpi_bytes_sent, i.tcpi_bytes_retrans, i.tcpi_segs_out, i.tcpi_segs_in,
	       i.tcpi_data_segs_out, i.tcpi_data_segs_in, i.tcpi_delivered);
}
