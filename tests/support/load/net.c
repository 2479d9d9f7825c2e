// SPDX-License-Identifier: MIT
/* Sockets, the clock, and how the program ends. */
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void give_up(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* One write per line: lines of several processes do not mix. */
void say(const char *fmt, ...)
{
	char *line = NULL;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&line, fmt, args);
	va_end(args);
	if (n < 0 || write(STDOUT_FILENO, line, n) != n)
		give_up("stdout");
	free(line);
}

static socklen_t parse(const char *host, const char *port, union addr *a)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, host, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(atoi(port));
		return sizeof(a->v4);
	}
	if (inet_pton(AF_INET6, host, &a->v6.sin6_addr) != 1)
		errno = EINVAL, give_up(host);
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = htons(atoi(port));
	return sizeof(a->v6);
}

static int one = 1;

int listen_on(const char *host, const char *port)
{
	union addr a;
	socklen_t len = parse(host, port, &a);
	int fd = socket(a.sa.sa_family, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, &a.sa, len) || listen(fd, 512))
		give_up("listen");
	say("{\"listening\":true}\n");
	return fd;
}

int accept_one(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		give_up("accept");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

int connect_to(const char *host, const char *port)
{
	union addr a;
	socklen_t len = parse(host, port, &a);
	int fd = socket(a.sa.sa_family, SOCK_STREAM, 0);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fd < 0 || connect(fd, &a.sa, len))
		give_up("connect");
	return fd;
}

void use_algorithm(int fd, const char *name)
{
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name)))
		give_up(name);
}
