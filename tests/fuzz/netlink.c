// SPDX-License-Identifier: MIT
/* The kernel's end of a netlink socket: it remembers what was asked, and answers by the script. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "grammar.h"
#include "host.h"
#include "input.h"

#define READS_MOST 100000   /* of one call, which may be about many namespaces */
#define TOLD_MOST (1 << 19) /* bytes; then all is HONEST: a run must not take seconds */

/* What comes again and again: a place in the script, from which it is read each time. */
static const uint8_t *again, *ever;
static uint8_t again_left;
static size_t reads, told;
static bool strangers_silent, met_strangers;
static _Alignas(struct nlmsghdr) uint8_t bytes[NETLINK_READ];

void netlink_reset(void)
{
	again = ever = NULL;
	again_left = 0;
	reads = told = 0;
	met_strangers = false;
	messages_reset();
}

void host_calls(void)
{
	reads = 0;
}

void host_silence_strangers(bool silent)
{
	strangers_silent = silent;
}

bool host_met_strangers(void)
{
	return met_strangers;
}

long netlink_sent(int fd, const void *sent, size_t n)
{
	struct asked *a = asked(fd);
	const struct nlmsghdr *h = sent;

	sent_judge(sent, n);
	a->first = h->nlmsg_seq;
	a->dump = h->nlmsg_type == RTM_GETROUTE || h->nlmsg_type == RTM_GETRULE ||
		  h->nlmsg_type == RTM_GETNEXTHOP;
	a->family = *(const uint8_t *)NLMSG_DATA(h);
	for (long left = (long)n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
		a->last = h->nlmsg_seq;
	return (long)n;
}

static long tell(const struct asked *a)
{
	struct {
		struct nlmsghdr h;
		int error;
		struct nlmsghdr of;
	} answer = {.h = {.nlmsg_type = NLMSG_ERROR, .nlmsg_seq = a->last}};

	if (a->news)
		return -EAGAIN;
	if (a->dump)
		answer.h.nlmsg_type = NLMSG_DONE;
	answer.h.nlmsg_len = sizeof(answer);
	memcpy(bytes, &answer, sizeof(answer));
	return sizeof(answer);
}

static long foreign(const struct asked *a, struct sockaddr_nl *from, uint32_t pid)
{
	long n;

	from->nl_pid = pid;
	n = (long)messages_read(a, bytes, sizeof(bytes));
	told += (size_t)n;
	if (!pid)
		return n;
	met_strangers = true;
	if (!strangers_silent)
		return n;
	memset(bytes, 0, sizeof(struct nlmsghdr));
	((struct nlmsghdr *)bytes)->nlmsg_len = sizeof(struct nlmsghdr);
	return sizeof(struct nlmsghdr);
}

static long odd(const struct asked *a, struct sockaddr_nl *from, unsigned int *from_len)
{
	long n;

	if (input_u8() & 1)
		from->nl_family = AF_UNIX;
	else
		*from_len = sizeof(from->nl_family);
	n = foreign(a, from, 1); /* whoever that is, it is not the kernel */
	from->nl_pid = 0;
	return n;
}

static long read_one(const struct asked *a, struct sockaddr_nl *from, unsigned int *from_len)
{
	static const int errors[] = {EINTR, ENOBUFS, EAGAIN, ENOMEM, ECONNREFUSED, EPERM};
	const uint8_t *place = input_place();
	uint8_t what = input_u8() % READINGS;

	switch (what) {
	case KERNEL:
		return foreign(a, from, 0);
	case STRANGER:
		return foreign(a, from, 1U + input_u8());
	case ODD_SENDER:
		return odd(a, from, from_len);
	case FLOOD:
		ever = place;
		clock_advance(1);
		return foreign(a, from, 1U + input_u8());
	case FAIL_EVER:
		ever = place;
		/* EINTR for ever nobody could mend */
		return -errors[1 + input_u8() % 5];
	case FAIL:
		return -errors[input_u8() % 6];
	case LATER:
		clock_advance(input_u8());
		return read_one(a, from, from_len);
	default:
		return tell(a);
	}
}

/* What others take from the input goes on where it was. */
static long read_again(const uint8_t *place, const struct asked *a, struct sockaddr_nl *from,
		       unsigned int *from_len)
{
	const uint8_t *back = input_place();
	long n;

	input_return(place);
	n = read_one(a, from, from_len);
	input_return(back);
	return n;
}

static long read_next(const struct asked *a, struct sockaddr_nl *from, unsigned int *from_len)
{
	const uint8_t *place = input_place();

	if (told > TOLD_MOST)
		return tell(a);
	if (ever)
		return read_again(ever, a, from, from_len);
	if (again_left) {
		again_left--;
		return read_again(again, a, from, from_len);
	}
	if (input_u8() == REPEAT) {
		again_left = input_u8();
		again = input_place();
	} else {
		input_return(place);
	}
	return read_one(a, from, from_len);
}

long netlink_read(int fd, void *out, size_t room, struct sockaddr_nl *from, unsigned int *from_len)
{
	long n;

	require(reads++ < READS_MOST, "a loop without an end");
	*from = (struct sockaddr_nl){.nl_family = AF_NETLINK};
	*from_len = sizeof(*from);
	n = read_next(asked(fd), from, from_len);
	if (n < 0)
		return n;
	poison_lift(out, room);
	memcpy(out, bytes, (size_t)n < room ? (size_t)n : room);
	if ((size_t)n < room)
		poison((uint8_t *)out + n, room - (size_t)n);
	return n;
}
