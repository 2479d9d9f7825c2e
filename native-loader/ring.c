// SPDX-License-Identifier: MIT
/* Reading a BPF ring buffer from a program that comes by now and then. */
#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bridge.h"

struct ring {
	struct ring_buffer *buffer;
	char *out;
	size_t most;
	unsigned int taken, cap;
};

static int on_record(void *context, void *data, size_t size)
{
	struct ring *r = context;

	if (size > r->most)
		return 0;
	memcpy(r->out + r->taken, data, size);
	r->taken += (unsigned int)size;
	return r->cap - r->taken >= r->most ? 0 : -ENOSPC; /* ends the walk, behind this record */
}

int tcpx_ring_open(int map_fd, void **out)
{
	struct ring *r;

	if (!out)
		return -EINVAL;
	if (map_fd < 0)
		return -EBADF;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	errno = 0;
	r->buffer = ring_buffer__new(map_fd, on_record, r, NULL);
	if (!r->buffer) {
		int err = errno == EBADFD ? EBADF : errno ? errno : ENOMEM;

		free(r);
		return -err;
	}
	*out = r;
	return 0;
}

int tcpx_ring_take(void *ring, void *out, unsigned int most, unsigned int cap)
{
	struct ring *r = ring;
	int result;

	if (!r || !out || !most || cap > INT_MAX)
		return -EINVAL;
	if (cap < most)
		return 0;
	r->out = out;
	r->most = most;
	r->taken = 0;
	r->cap = cap;
	result = ring_buffer__consume(r->buffer);
	return result < 0 && cap - r->taken >= most ? result : (int)r->taken;
}

void tcpx_ring_close(void *ring)
{
	struct ring *r = ring;

	if (!r)
		return;
	ring_buffer__free(r->buffer);
	free(r);
}

int tcpx_writable(int fd)
{
	struct pollfd ask = {.fd = fd, .events = POLLOUT};

	if (poll(&ask, 1, 0) < 0)
		return errno == EINTR ? 0 : -errno;
	if (ask.revents & POLLNVAL)
		return -EBADF;
	if (ask.revents & (POLLERR | POLLHUP))
		return -EPIPE;
	return (ask.revents & POLLOUT) != 0;
}

int tcpx_write_now(int fd, const void *data, unsigned int size)
{
	unsigned int done = 0;

	if (!data || size > INT_MAX)
		return -EINVAL;
	while (done < size) {
		unsigned int left = size - done;
		ssize_t n = tcpx_writable(fd);

		if (n > 0) {
			n = write(fd, (const char *)data + done, left < PIPE_BUF ? left : PIPE_BUF);
			if (n < 0)
				n = errno == EINTR || errno == EAGAIN ? 0 : -errno;
		}
		if (n < 0 && !done)
			return (int)n;
		if (n <= 0)
			break;
		done += (unsigned int)n;
	}
	return (int)done;
}
