// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <linux/fib_rules.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "netlink.h"

#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif
#ifndef NLM_F_DUMP_INTR
#define NLM_F_DUMP_INTR 0x10
#endif

#define ROOM (1 << 20) /* bytes of receive buffer: the errors of a whole batch fit */

static int set(int fd, int level, int name, const void *value, socklen_t len)
{
	return syscall(SYS_setsockopt, fd, level, name, value, len) ? -errno : 0;
}

/* Connected to the kernel: af_netlink.c refuses what anybody else sends to it alone. */
static int prepare(int fd)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	struct timeval wait = {.tv_sec = NL_WAIT_S};
	int one = 1, room = ROOM, err;

	set(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	set(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	err = set(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	if (!err)
		err = set(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (err)
		return err;
	if (syscall(SYS_bind, fd, &address, sizeof(address)) ||
	    syscall(SYS_connect, fd, &address, sizeof(address)))
		return -errno;
	return 0;
}

int nl_open_of(int protocol)
{
	int fd = (int)syscall(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	int err;

	if (fd < 0)
		return -errno;
	err = prepare(fd);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int nl_open(void)
{
	return nl_open_of(NETLINK_ROUTE);
}

int nl_put(struct nl_request *m, int type, const void *data, size_t len)
{
	size_t at = NLMSG_ALIGN(m->h.nlmsg_len);
	struct rtattr *a = (struct rtattr *)((unsigned char *)m + at);

	if (at + RTA_SPACE(len) > NL_MESSAGE)
		return -EMSGSIZE;
	a->rta_type = (unsigned short)type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	/* Messages are compared byte by byte. */
	memset((unsigned char *)RTA_DATA(a) + len, 0, RTA_SPACE(len) - RTA_LENGTH(len));
	m->h.nlmsg_len = (uint32_t)(at + RTA_SPACE(len));
	return 0;
}

int nl_put_u32(struct nl_request *m, int type, uint32_t value)
{
	return nl_put(m, type, &value, sizeof(value));
}

void nl_attributes(const struct rtattr *at, size_t len, const struct rtattr **by_type, int n)
{
	int left = (int)len, type;

	memset(by_type, 0, (size_t)n * sizeof(*by_type));
	for (; RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		type = at->rta_type & NLA_TYPE_MASK;
		if (type < n)
			by_type[type] = at;
	}
}

uint32_t nl_u32(const struct rtattr *a, uint32_t otherwise)
{
	uint32_t value;

	if (!a || RTA_PAYLOAD(a) < sizeof(value))
		return otherwise;
	memcpy(&value, RTA_DATA(a), sizeof(value));
	return value;
}

uint8_t nl_u8(const struct rtattr *a, uint8_t otherwise)
{
	return a && RTA_PAYLOAD(a) >= 1 ? *(const uint8_t *)RTA_DATA(a) : otherwise;
}

int nl_transmit(int fd, const void *bytes, size_t len)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	long n;

	do
		n = syscall(SYS_sendto, fd, bytes, len, 0, &kernel, sizeof(kernel));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

long nl_receive(int fd, void *bytes, size_t room, int flags)
{
	struct sockaddr_nl from = {0};
	socklen_t len;
	long n;

	do {
		len = sizeof(from);
		n = syscall(SYS_recvfrom, fd, bytes, room, flags | MSG_TRUNC, &from, &len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN && !(flags & MSG_DONTWAIT) ? -ETIMEDOUT : -errno;
	if (len != sizeof(from) || from.nl_family != AF_NETLINK || from.nl_pid)
		return 0; /* the owner of the namespace may send to groups */
	return (size_t)n > room ? -EMSGSIZE : n;
}

int nl_verdict(const struct nlmsghdr *h)
{
	int error = 0;

	if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
		memcpy(&error, NLMSG_DATA(h), sizeof(error));
	return error > 0 ? -EPROTO : error;
}

bool nl_late(time_t *end)
{
	struct timespec now;

	/* a system call, which the guard may make, too */
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	if (!*end)
		*end = now.tv_sec + NL_WHOLE_S;
	return now.tv_sec > *end;
}

struct dump {
	uint32_t sequence;
	nl_each each;
	void *context;
	int err;
	bool torn, done;
};

/* One read of a dump: messages of it, and maybe its end. */
static void take(struct dump *d, const struct nlmsghdr *h, long n)
{
	for (; NLMSG_OK(h, n) && !d->done; h = NLMSG_NEXT(h, n)) {
		if (h->nlmsg_seq != d->sequence)
			continue;
		d->torn |= h->nlmsg_flags & NLM_F_DUMP_INTR;
		d->done = h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
		if (!d->err)
			d->err = d->done ? nl_verdict(h) : d->each(h, d->context);
	}
}

int nl_dump(int fd, const struct nlmsghdr *request, nl_each each, void *context)
{
	_Alignas(struct nlmsghdr) unsigned char bytes[NL_READ];
	struct dump d = {.sequence = request->nlmsg_seq, .each = each, .context = context};
	int err = nl_transmit(fd, request, request->nlmsg_len);
	time_t end = 0;
	long n;

	if (err)
		return err;
	while (!d.done) {
		n = nl_receive(fd, bytes, sizeof(bytes), 0);
		if (n < 0)
			return (int)n;
		take(&d, (void *)bytes, n);
		if (!d.done && nl_late(&end))
			return -ETIMEDOUT;
	}
	return d.err ? d.err : (d.torn ? -EINTR : 0);
}

uint32_t nl_sequence(uint32_t count)
{
	static uint32_t sequence;

	return __atomic_fetch_add(&sequence, count, __ATOMIC_RELAXED);
}

int nl_dump_routes(int fd, int family, uint32_t table, nl_each each, void *context)
{
	struct {
		struct nlmsghdr h;
		struct rtmsg r;
		struct rtattr a;
		uint32_t table;
	} ask = {
		.h = {.nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETROUTE},
		.r = {.rtm_family = (unsigned char)family},
		.a = {.rta_type = RTA_TABLE, .rta_len = RTA_LENGTH(sizeof(table))},
		.table = table,
	};
	int err;

	ask.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	ask.h.nlmsg_seq = nl_sequence(1);
	err = nl_dump(fd, &ask.h, each, context);
	return err == -ENOENT ? 0 : err;
}

int nl_dump_rules(int fd, int family, nl_each each, void *context)
{
	struct {
		struct nlmsghdr h;
		struct fib_rule_hdr r;
	} ask = {
		.h = {.nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETRULE},
		.r = {.family = (unsigned char)family},
	};

	ask.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	ask.h.nlmsg_seq = nl_sequence(1);
	return nl_dump(fd, &ask.h, each, context);
}

int nl_dump_all_routes(int fd, int family, int type, nl_each each, void *context)
{
	struct {
		struct nlmsghdr h;
		struct rtmsg r;
	} ask = {
		.h = {.nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETROUTE},
		.r = {.rtm_family = (unsigned char)family, .rtm_type = (unsigned char)type},
	};

	ask.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	ask.h.nlmsg_seq = nl_sequence(1);
	return nl_dump(fd, &ask.h, each, context);
}
