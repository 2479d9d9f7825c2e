// SPDX-License-Identifier: MIT
/* The sending side. */
#include "load.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SAMPLE_MS 100
#define MAX_SAMPLES 2000

/* Since the start of the connection, as the sender's TCP_INFO tells. */
struct sample {
	long at_ms;
	uint32_t segments; /* with data, sent */
	uint32_t acks;	   /* segments without data, received */
	uint32_t retransmitted;
	uint64_t acked; /* bytes */
};

struct source {
	int fd;
	uint64_t sent;
	struct sample samples[MAX_SAMPLES];
	int count;
};

static void take_sample(struct source *s)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (s->count == MAX_SAMPLES)
		return;
	if (getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		give_up("TCP_INFO");
	s->samples[s->count++] = (struct sample){
		.at_ms = now_ms(),
		.segments = info.tcpi_data_segs_out,
		.acks = info.tcpi_segs_in - info.tcpi_data_segs_in,
		.retransmitted = info.tcpi_total_retrans,
		.acked = info.tcpi_bytes_acked,
	};
}

static void tell(const struct source *s)
{
	static char text[MAX_SAMPLES * 64];
	int n = 0;

	for (int i = 0; i < s->count; i++) {
		const struct sample *p = &s->samples[i];

		n += snprintf(text + n, sizeof(text) - n, "%s[%ld,%u,%u,%u,%llu]", i ? "," : "",
			      p->at_ms, p->segments, p->acks, p->retransmitted,
			      (unsigned long long)p->acked);
	}
	say("{\"sent\":%llu,\"samples\":[%s]}\n", (unsigned long long)s->sent, text);
}

/* 1 when there is room to send, 0 when the time is over. */
static int wait_for_room(int fd, long until_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	long left = until_ms - now_ms();

	return left > 0 && poll(&p, 1, left) > 0;
}

/* Sends what fits now, at most `most` bytes; 0 when nothing fits, -1 when the connection is gone.
 */
static int send_some(struct source *s, uint64_t most)
{
	uint32_t n;
	const unsigned char *data = pattern_at(s->sent, &n);
	ssize_t k = send(s->fd, data, n < most ? n : most, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (k < 0)
		return errno == EAGAIN ? 0 : -1;
	s->sent += k;
	return k;
}

static void send_for(struct source *s, long ms)
{
	long now = now_ms(), end = now + ms;

	take_sample(s);
	for (long next = now + SAMPLE_MS; now < end; now = now_ms()) {
		if (now >= next) {
			take_sample(s);
			next += SAMPLE_MS;
		}
		if (wait_for_room(s->fd, next < end ? next : end) && send_some(s, UINT64_MAX) < 0)
			give_up("send");
	}
	take_sample(s);
	shutdown(s->fd, SHUT_WR);
}

static int send_bytes(struct source *s, uint32_t bytes)
{
	uint64_t end = s->sent + bytes;

	while (s->sent < end) {
		int k = send_some(s, end - s->sent);

		if (k < 0)
			return -1;
		if (k == 0)
			wait_for_room(s->fd, now_ms() + 1000);
	}
	return 0;
}

static void wait_for_end(int fd)
{
	char byte;

	while (read(fd, &byte, 1) > 0)
		;
}

static void answer(int fd)
{
	static struct source s;
	struct request r;

	s.fd = fd;
	while (recv(fd, &r, sizeof(r), MSG_WAITALL) == sizeof(r)) {
		if (r.ms) {
			send_for(&s, r.ms);
			wait_for_end(fd);
			break;
		}
		if (send_bytes(&s, r.bytes))
			give_up("send");
	}
	take_sample(&s);
	tell(&s);
}

void serve(const char *host, const char *port, const char *algorithm)
{
	int listener = listen_on(host, port);

	use_algorithm(listener, algorithm);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept_one(listener);

		if (fork() == 0) {
			close(listener);
			answer(fd);
			_exit(0);
		}
		close(fd);
	}
}

void push(const char *host, const char *port, const char *algorithm, long ms)
{
	static struct source s;

	s.fd = connect_to(host, port);
	use_algorithm(s.fd, algorithm);
	send_for(&s, ms);
	wait_for_end(s.fd);
	take_sample(&s);
	tell(&s);
}
