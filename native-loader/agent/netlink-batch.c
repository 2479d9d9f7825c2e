// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>

#include "netlink.h"

void nl_batch_start(struct nl_batch *b, int fd, void (*failed)(void *, uint32_t, int),
		    void *context)
{
	b->fd = fd;
	b->failed = failed;
	b->context = context;
	b->base = nl_sequence(1 << 24);
	b->count = b->sent = b->judged = 0;
	b->used = b->last = 0;
}

int nl_batch_add(struct nl_batch *b, const struct nlmsghdr *m, int type, int flags)
{
	size_t len = NLMSG_ALIGN(m->nlmsg_len);
	struct nlmsghdr *h;
	int err;

	if (m->nlmsg_len < sizeof(*m) || len > NL_MESSAGE)
		return -EMSGSIZE;
	if (b->used + len > NL_BATCH) {
		err = nl_batch_flush(b);
		if (err)
			return err;
	}
	h = (struct nlmsghdr *)(b->bytes + b->used);
	memcpy(h, m, m->nlmsg_len);
	h->nlmsg_type = (uint16_t)type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = b->base + ++b->count;
	h->nlmsg_pid = 0;
	b->last = b->used;
	b->used += len;
	return 0;
}

/* The kernel answers in the order of the requests, each once at the most. */
static void judge(struct nl_batch *b, const struct nlmsghdr *h)
{
	uint32_t number = h->nlmsg_seq - b->base;

	/* Left from something that ended early. */
	if (h->nlmsg_type != NLMSG_ERROR || number <= b->judged || number > b->count)
		return;
	b->judged = number;
	if (nl_verdict(h) && b->failed)
		b->failed(b->context, number - 1, nl_verdict(h));
	if (number == b->count)
		b->sent = b->count;
}

int nl_batch_flush(struct nl_batch *b)
{
	_Alignas(struct nlmsghdr) unsigned char bytes[4096];
	const struct nlmsghdr *h;
	time_t end = 0;
	int err;
	long n;

	if (!b->used)
		return 0;
	((struct nlmsghdr *)(b->bytes + b->last))->nlmsg_flags |= NLM_F_ACK;
	err = nl_transmit(b->fd, b->bytes, b->used);
	b->used = 0;
	while (!err && b->sent != b->count) {
		n = nl_receive(b->fd, bytes, sizeof(bytes), 0);
		if (n < 0)
			return (int)n;
		for (h = (void *)bytes; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
			judge(b, h);
		if (b->sent != b->count && nl_late(&end))
			return -ETIMEDOUT;
	}
	return err;
}

static void only_error(void *context, uint32_t number, int error)
{
	(void)number;
	*(int *)context = error;
}

int nl_call(int fd, struct nl_request *m)
{
	struct nl_batch b;
	int error = 0, err;

	nl_batch_start(&b, fd, only_error, &error);
	err = nl_batch_add(&b, &m->h, m->h.nlmsg_type, m->h.nlmsg_flags);
	if (!err)
		err = nl_batch_flush(&b);
	return err ? err : error;
}
