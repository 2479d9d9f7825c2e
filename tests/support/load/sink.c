// SPDX-License-Identifier: MIT
/* The reading side: the one whose acknowledgments are measured. */
#include "load.h"
#include <errno.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct sink {
	int fd;
	uint64_t got; /* on this connection */
	int differs;
};

/* 0 at the end of the connection */
static ssize_t read_some(struct sink *s, size_t most)
{
	static unsigned char buf[1 << 18];
	ssize_t n = read(s->fd, buf, most < sizeof(buf) ? most : sizeof(buf));

	if (n < 0)
		give_up("read");
	if (!s->differs)
		s->differs = pattern_differs(s->got, buf, n);
	s->got += n;
	return n;
}

/* Reads to the end; what has come within `ms` is told apart from what was still on its way. */
static void read_all(struct sink *s, long ms)
{
	long start = now_ms();
	uint64_t in_time = 0;

	while (read_some(s, SIZE_MAX) > 0)
		if (now_ms() - start <= ms)
			in_time = s->got;
	close(s->fd);
	say("{\"at\":%ld,\"received\":%llu,\"inTime\":%llu,\"intact\":%s}\n", start,
	    (unsigned long long)s->got, (unsigned long long)in_time, s->differs ? "false" : "true");
}

static void ask(int fd, struct request r)
{
	if (write(fd, &r, sizeof(r)) != sizeof(r))
		give_up("write");
}

void bulk(const char *host, const char *port, long ms)
{
	struct sink s = {.fd = connect_to(host, port)};

	ask(s.fd, (struct request){.ms = ms});
	read_all(&s, ms);
}

void collect(const char *host, const char *port, long ms)
{
	struct sink s = {.fd = accept_one(listen_on(host, port))};

	read_all(&s, ms);
}

static double now_exact_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* Payload of a full segment on this connection, bytes. */
static long segment_of(int fd)
{
	int mss = 0;
	socklen_t len = sizeof(mss);

	if (getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, &len) || mss <= 0)
		give_up("TCP_MAXSEG");
	return mss;
}

static long size_of(const struct requests *what, int fd, long i)
{
	long mss;

	if (!what->whole_segments)
		return what->bytes;
	mss = segment_of(fd);
	if (what->bytes / mss < 8)
		errno = EINVAL, give_up("too few segments");
	return (what->bytes / mss - i % 8) * mss;
}

/* Ends the connection and waits for the other side to do so, outside of any measured time. */
static void end(struct sink *s)
{
	shutdown(s->fd, SHUT_WR);
	if (read_some(s, 1) != 0)
		errno = EPROTO, give_up("more than was asked for");
	close(s->fd);
	s->fd = -1;
}

static double fetch_one(const struct requests *what, struct sink *s, long i)
{
	double start = now_exact_ms();
	long left;

	if (s->fd < 0)
		*s = (struct sink){.fd = connect_to(what->host, what->port), .differs = s->differs};
	left = size_of(what, s->fd, i);
	ask(s->fd, (struct request){.bytes = left});
	while (left > 0) {
		ssize_t n = read_some(s, left);

		if (n == 0)
			errno = EPIPE, give_up("the response ended early");
		left -= n;
	}
	return now_exact_ms() - start;
}

void fetch(const struct requests *what)
{
	struct sink s = {.fd = -1};
	uint64_t total = 0;
	char *text = calloc(what->count + 1, 16);
	int n = 0;

	for (long i = 0; i < what->count; i++) {
		uint64_t before = what->on_new_connections ? 0 : s.got;
		double ms = fetch_one(what, &s, i);

		total += s.got - before;
		n += sprintf(text + n, "%s%.3f", i ? "," : "", ms);
		usleep(what->think_ms * 1000);
		if (what->on_new_connections)
			end(&s);
	}
	if (s.fd >= 0)
		end(&s);
	say("{\"received\":%llu,\"intact\":%s,\"times\":[%s]}\n", (unsigned long long)total,
	    s.differs ? "false" : "true", text);
	free(text);
}
