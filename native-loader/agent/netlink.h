/* SPDX-License-Identifier: MIT */
/*
 * rtnetlink with buffers on the stack and raw system calls only: the guard, forked from a
 * process with many threads, may use all of it.
 */
#ifndef TCPX_NETLINK_H
#define TCPX_NETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define NL_MESSAGE 8192 /* the longest request that we build, bytes */
#define NL_BATCH 16384	/* and how many bytes of them go to the kernel at a time */
#define NL_READ 32768	/* the kernel never fills more in one read of a dump */

struct nl_request {
	struct nlmsghdr h;
	unsigned char body[NL_MESSAGE - sizeof(struct nlmsghdr)];
};

/*
 * A socket that asks the kernel; its dumps can be restricted to one table. An fd or -errno.
 *
 * Whoever owns a network namespace may send to it. So it is connected to the kernel, which
 * refuses what others address to it, and nl_receive() drops what they send to a group. No call
 * waits longer than NL_WAIT_S for an answer.
 */
int nl_open(void);
/* The same of another protocol than NETLINK_ROUTE. */
int nl_open_of(int protocol);
#define NL_WAIT_S 5
#define NL_WHOLE_S 30 /* a whole dump, or the answers to a batch, take so long at most */
/* Appends an attribute; 0, or -EMSGSIZE when it does not fit into NL_MESSAGE. */
int nl_put(struct nl_request *m, int type, const void *data, size_t len);
int nl_put_u32(struct nl_request *m, int type, uint32_t value);
/* By type, 0 < type < n; what is unknown is left out. */
void nl_attributes(const struct rtattr *at, size_t len, const struct rtattr **by_type, int n);
uint32_t nl_u32(const struct rtattr *a, uint32_t otherwise);
uint8_t nl_u8(const struct rtattr *a, uint8_t otherwise);

/* The parts, for the other files of this folder: bytes out, bytes in, what NLMSG_ERROR or
 * NLMSG_DONE says, the first of so many unused sequence numbers.
 */
int nl_transmit(int fd, const void *bytes, size_t len);
/* Bytes of one message of the kernel's, 0 for one of somebody else, or -errno: -ETIMEDOUT when
 * none came in time, -EAGAIN when `flags` say not to wait, -EMSGSIZE when it is longer than room.
 */
long nl_receive(int fd, void *bytes, size_t room, int flags);
int nl_verdict(const struct nlmsghdr *h);
/* Whether NL_WHOLE_S have passed since the first call with this *end, which was 0. */
bool nl_late(time_t *end);
uint32_t nl_sequence(uint32_t count);

/* One request, and its answer: 0 or -errno. */
int nl_call(int fd, struct nl_request *m);

/* Returning an error ends the calls, not the reading. */
typedef int (*nl_each)(const struct nlmsghdr *h, void *context);
/* 0, the callback's error, -EINTR when what was dumped changed meanwhile, or -errno. After
 * -ETIMEDOUT the socket is of no use any more.
 */
int nl_dump(int fd, const struct nlmsghdr *request, nl_each each, void *context);
/* The routes of a table. 0 too when the kernel has no such table. */
int nl_dump_routes(int fd, int family, uint32_t table, nl_each each, void *context);
int nl_dump_rules(int fd, int family, nl_each each, void *context);
/* Routes of all tables whose type is this one, without what the kernel has cached. */
int nl_dump_all_routes(int fd, int family, int type, nl_each each, void *context);

/* Many requests in few system calls; the kernel answers only those that fail, and the last. */
struct nl_batch {
	int fd;
	void (*failed)(void *context, uint32_t number, int error); /* number: of the request */
	void *context;
	uint32_t base;	 /* sequence number before the first */
	uint32_t count;	 /* requests ever added */
	uint32_t sent;	 /* and sent */
	uint32_t judged; /* the last one that the kernel has said anything of */
	size_t used, last;
	unsigned char bytes[NL_BATCH];
};

void nl_batch_start(struct nl_batch *b, int fd, void (*failed)(void *, uint32_t, int),
		    void *context);
/* -EMSGSIZE: longer than NL_MESSAGE; nothing was added. */
int nl_batch_add(struct nl_batch *b, const struct nlmsghdr *m, int type, int flags);
int nl_batch_flush(struct nl_batch *b);

#endif
