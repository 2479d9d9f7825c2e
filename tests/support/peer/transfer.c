// SPDX-License-Identifier: MIT
/* Bytes in both directions, and waiting for the end of a connection. */
#include "peer.h"
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 65536
#define FNV_START 2166136261u

/* Content check: the sender and the receiver report the same hash of the same bytes. */
static uint32_t hash(uint32_t h, const unsigned char *p, size_t n)
{
	while (n--)
		h = (h ^ *p++) * 16777619u;
	return h;
}

static int send_all(int fd, const unsigned char *buf, size_t n, long deadline)
{
	while (n) {
		ssize_t k = send(fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (k < 0) {
			if (errno != EAGAIN || wait_for(fd, POLLOUT, deadline) < 0)
				return -1;
			continue;
		}
		buf += k;
		n -= k;
	}
	return 0;
}

static int recv_all(int fd, unsigned char *buf, size_t n, long deadline)
{
	while (n) {
		ssize_t k = recv(fd, buf, n, MSG_DONTWAIT);

		if (k == 0)
			return errno = ENODATA, -1; /* the peer closed too early */
		if (k < 0) {
			if (errno != EAGAIN || wait_for(fd, POLLIN, deadline) < 0)
				return -1;
			continue;
		}
		buf += k;
		n -= k;
	}
	return 0;
}

/* send FD N [ms], recv FD N [ms]: exactly N bytes */
void do_transfer(struct call *c)
{
	long n = num(c, 2, 0), deadline = now_us() + num(c, 3, WAIT_MS) * 1000, sent = 0;
	int fd = num(c, 1, -1), sending = *c->arg[0] == 's';
	unsigned char *buf = malloc(CHUNK);
	uint32_t h = FNV_START;

	for (; sent < n; sent += CHUNK) {
		size_t part = n - sent < CHUNK ? n - sent : CHUNK;

		for (size_t i = 0; sending && i < part; i++)
			buf[i] = (sent + i) * 7 + (sent >> 16);
		if ((sending ? send_all(fd, buf, part, deadline)
			     : recv_all(fd, buf, part, deadline)) < 0)
			break;
		h = hash(h, buf, part);
	}
	if (sent < n)
		fail(c, errno);
	else
		answer(c, "ok %ld %08x", n, h);
	free(buf);
}

/* exchange FD COUNT SIZE [ms]: request and response, COUNT times; answers the microseconds */
void do_exchange(struct call *c)
{
	long count = num(c, 2, 1), size = num(c, 3, 1), start = now_us();
	long deadline = start + num(c, 4, WAIT_MS) * 1000;
	unsigned char *out = calloc(2, size ? size : 1), *in = out + size;
	int fd = num(c, 1, -1), bad = 0;

	for (long i = 0; i < count && !bad; i++) {
		memset(out, (int)i, size);
		bad = send_all(fd, out, size, deadline) || recv_all(fd, in, size, deadline);
		if (!bad && memcmp(in, out, size)) {
			errno = EBADMSG;
			bad = 1;
		}
	}
	if (bad)
		fail(c, errno);
	else
		answer(c, "ok %ld %ld", count, now_us() - start);
	free(out);
}

struct pump {
	int fd, echo;
};

static void *pump_thread(void *arg)
{
	struct pump p = *(struct pump *)arg;
	unsigned char *buf = malloc(CHUNK);
	ssize_t n;

	free(arg);
	while ((n = recv(p.fd, buf, CHUNK, 0)) > 0)
		if (p.echo && send(p.fd, buf, n, MSG_NOSIGNAL) != n)
			break;
	free(buf);
	return NULL;
}

/* echo FD: sends everything back; sink FD: swallows everything. Both go on in the background. */
void do_pump(struct call *c)
{
	struct pump *p = malloc(sizeof(*p));
	pthread_t t;

	p->fd = num(c, 1, -1);
	p->echo = *c->arg[0] == 'e';
	pthread_create(&t, NULL, pump_thread, p);
	pthread_detach(t);
	answer(c, "ok");
}

/* waiterr FD MS: until the socket has an error or the peer closed; "ok ERRNO MS WHY" */
void do_waiterr(struct call *c)
{
	int fd = num(c, 1, -1), err = 0, got;
	socklen_t len = sizeof(err);
	long start = now_us();

	got = wait_for(fd, POLLRDHUP, start + num(c, 2, WAIT_MS) * 1000);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	answer(c, "ok %d %ld %s", err, (now_us() - start) / 1000,
	       got < 0 ? "timeout" : (err ? "error" : "closed"));
}

/* sendfastopen FD ADDR PORT N: the data goes with the SYN when there is a cookie */
void do_fastopen(struct call *c)
{
	struct timeval limit = {.tv_sec = WAIT_MS / 1000};
	union addr a;
	socklen_t len = parse(c->arg[2], num(c, 3, 0), &a);
	unsigned char buf[1400];
	long n = num(c, 4, 1);
	int fd = num(c, 1, -1);

	if (!len || n < 0 || n > (long)sizeof(buf))
		return fail(c, EINVAL);
	for (long i = 0; i < n; i++)
		buf[i] = i * 7;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	result(c, sendto(fd, buf, n, MSG_FASTOPEN | MSG_NOSIGNAL, &a.sa, len));
}
