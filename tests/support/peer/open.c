// SPDX-License-Identifier: MIT
/* Sockets: opening, connecting, accepting, closing. */
#include "peer.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define MPTCP 262

static int open_socket(const char *kind)
{
	int family = strchr(kind, '6') ? AF_INET6 : AF_INET;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, strstr(kind, "mptcp") ? MPTCP : 0);
	int one = 1;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return fd;
}

static int connect_fd(int fd, const char *host, long port, long ms)
{
	int flags = fcntl(fd, F_GETFL), err = 0;
	socklen_t size = sizeof(err), len;
	union addr a;

	len = parse(host, port, &a);
	if (!len)
		return errno = EINVAL, -1;
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	if (connect(fd, &a.sa, len) < 0) {
		err = errno;
		if (err == EINPROGRESS) {
			err = ETIME; /* ours, told apart from the kernel's ETIMEDOUT */
			if (wait_for(fd, POLLOUT, now_us() + ms * 1000) >= 0)
				getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size);
		}
	}
	fcntl(fd, F_SETFL, flags);
	errno = err;
	return err ? -1 : 0;
}

void do_socket(struct call *c)
{
	result(c, open_socket(c->arg[0]));
}

void do_connect(struct call *c)
{
	int fd = open_socket(c->arg[0]), err;

	if (fd >= 0 && connect_fd(fd, c->arg[1], num(c, 2, 0), num(c, 3, WAIT_MS)) < 0) {
		err = errno;
		close(fd);
		errno = err;
		fd = -1;
	}
	result(c, fd);
}

void do_connectfd(struct call *c)
{
	result(c, connect_fd(num(c, 1, -1), c->arg[2], num(c, 3, 0), num(c, 4, WAIT_MS)));
}

void do_disconnect(struct call *c)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};

	result(c, connect(num(c, 1, -1), &none, sizeof(none)));
}

static int bind_fd(int fd, const char *host, long port)
{
	union addr a;
	socklen_t len = parse(host, port, &a);

	if (!len)
		return errno = EINVAL, -1;
	return bind(fd, &a.sa, len);
}

static long port_of(int fd)
{
	union addr a;
	socklen_t len = sizeof(a);

	return getsockname(fd, &a.sa, &len) < 0 ? -1 : ntohs(a.v4.sin_port);
}

void do_bind(struct call *c)
{
	int fd = num(c, 1, -1);

	result(c, bind_fd(fd, c->arg[2], num(c, 3, 0)) < 0 ? -1 : port_of(fd));
}

void do_listenfd(struct call *c)
{
	int fd = num(c, 1, -1);

	result(c, listen(fd, num(c, 2, 128)) < 0 ? -1 : port_of(fd));
}

void do_listen(struct call *c)
{
	int fd = open_socket(c->arg[0]), only = num(c, 3, 1);

	if (fd >= 0 && strchr(c->arg[0], '6'))
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	if (fd < 0 || bind_fd(fd, c->arg[1], num(c, 2, 0)) < 0 || listen(fd, 128) < 0) {
		fail(c, errno);
		close(fd);
		return;
	}
	answer(c, "ok %d %ld", fd, port_of(fd));
}

void do_accept(struct call *c)
{
	int fd = num(c, 1, -1), got;
	union addr a;
	socklen_t len = sizeof(a);
	char buf[64];

	if (wait_for(fd, POLLIN, now_us() + num(c, 2, WAIT_MS) * 1000) < 0)
		return fail(c, errno);
	got = accept4(fd, &a.sa, &len, SOCK_CLOEXEC);
	if (got < 0)
		return fail(c, errno);
	answer(c, "ok %d %s", got, show(&a, buf));
}

void do_name(struct call *c)
{
	int fd = num(c, 1, -1);
	union addr a;
	socklen_t len = sizeof(a);
	char buf[64];

	if ((*c->arg[0] == 's' ? getsockname : getpeername)(fd, &a.sa, &len) < 0)
		return fail(c, errno);
	answer(c, "ok %s", show(&a, buf));
}

/* close FD, reset FD (an RST instead of a FIN) */
void do_close(struct call *c)
{
	struct linger now = {.l_onoff = 1};
	int fd = num(c, 1, -1);

	if (*c->arg[0] == 'r')
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	/* A thread that reads this socket would hold it open; a listener is only unblocked. */
	if (*c->arg[0] == 'c')
		shutdown(fd, SHUT_RDWR);
	result(c, close(fd));
}

void do_shutdown(struct call *c)
{
	result(c, shutdown(num(c, 1, -1), num(c, 2, SHUT_WR)));
}
