// SPDX-License-Identifier: MIT
/* Arguments and answers of a command, addresses, and waiting. */
#include "peer.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void answer(struct call *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->out, sizeof(c->out), fmt, ap);
	va_end(ap);
}

void fail(struct call *c, int err)
{
	const char *name = strerrorname_np(err);

	answer(c, "err %d %s", err, name ? name : "unknown");
}

/* Answers "ok VALUE", or the errno when value is negative. */
void result(struct call *c, long value)
{
	if (value < 0)
		fail(c, errno);
	else
		answer(c, "ok %ld", value);
}

long num(struct call *c, int i, long otherwise)
{
	return i < c->argc ? strtol(c->arg[i], NULL, 0) : otherwise;
}

long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

int wait_for(int fd, short events, long deadline_us)
{
	struct pollfd p = {.fd = fd, .events = events};
	long left = deadline_us - now_us();
	int n = poll(&p, 1, left > 0 ? (int)((left + 999) / 1000) : 0);

	if (n == 0)
		errno = EAGAIN;
	return n > 0 ? p.revents : -1;
}

socklen_t parse(const char *host, long port, union addr *a)
{
	char bare[64] = "";
	const char *device = strchr(host, '%'); /* the scope of a link-local address */

	memset(a, 0, sizeof(*a));
	if (strchr(host, ':')) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(port);
		snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(host, "%"), host);
		if (device)
			a->v6.sin6_scope_id = if_nametoindex(device + 1);
		return inet_pton(AF_INET6, bare, &a->v6.sin6_addr) == 1 ? sizeof(a->v6) : 0;
	}
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons(port);
	return inet_pton(AF_INET, host, &a->v4.sin_addr) == 1 ? sizeof(a->v4) : 0;
}

const char *show(const union addr *a, char buf[64])
{
	char host[INET6_ADDRSTRLEN];
	const void *p = &a->v4.sin_addr;

	if (a->sa.sa_family == AF_INET6)
		p = &a->v6.sin6_addr;
	inet_ntop(a->sa.sa_family, p, host, sizeof(host));
	snprintf(buf, 64, "%s %d", host, ntohs(a->v4.sin_port));
	return buf;
}
