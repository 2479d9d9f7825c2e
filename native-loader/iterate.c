// SPDX-License-Identifier: MIT
/* Runs a BPF iterator in a network namespace and reads what it says. */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "bridge.h"

#define OWN_NETNS "/proc/thread-self/ns/net"

/* -ENOTRECOVERABLE: the thread could not return to where it was. */
static int create_in(const char *netns_path, int link)
{
	int back, there, fd;

	there = open(netns_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (there < 0)
		return -errno;
	back = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	fd = back < 0 || setns(there, CLONE_NEWNET) ? -errno : 0;
	close(there);
	if (!fd) {
		fd = bpf_iter_create(link);
		if (setns(back, CLONE_NEWNET)) {
			if (fd >= 0)
				close(fd);
			fd = -ENOTRECOVERABLE;
		}
	}
	if (back >= 0)
		close(back);
	return fd;
}

/* The kernel says EAGAIN after a million sockets that said nothing. */
static int read_all(int fd, char *out, int cap)
{
	char more;
	int got = 0;
	ssize_t n;

	for (;;) {
		n = got < cap ? read(fd, out + got, (size_t)(cap - got)) : read(fd, &more, 1);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : got;
		if (got == cap)
			return -ENOSPC;
		got += (int)n;
	}
}

int tcpx_iterate(int prog_fd, const char *netns_path, void *out, int cap)
{
	int link, fd, got;

	if (cap < 0 || (cap && !out))
		return -EINVAL;
	link = bpf_link_create(prog_fd, 0, BPF_TRACE_ITER, NULL);
	if (link < 0)
		return link;
	fd = netns_path ? create_in(netns_path, link) : bpf_iter_create(link);
	close(link);
	if (fd < 0)
		return fd;
	got = read_all(fd, out, cap);
	close(fd);
	return got;
}
