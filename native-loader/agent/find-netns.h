/* SPDX-License-Identifier: MIT */
#ifndef TCPX_FIND_NETNS_H
#define TCPX_FIND_NETNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NETNS_FOREIGN "the network namespace belongs to another user namespace"
#define WANTED_MOST 256 /* of one search */

/* Opens a file that stands for a network namespace; -EINVAL: it does not. */
int open_netns(const char *path, uint32_t *inode);

/* A user namespace. */
struct userns {
	dev_t dev;
	ino_t inode; /* 0: this kernel has none, so that all belongs to one */
};

/* The calling thread's. 0 or -errno. */
int own_userns(struct userns *out);
/*
 * Does a network namespace belong to it? In one that does not, somebody without rights on this host
 * may be root.
 */
bool netns_owned_by(int fd, const struct userns *owner);
/* The same of the calling thread's network namespace and the user namespace that it is in. */
bool netns_is_own(void);

struct wanted {
	uint32_t inode;
	int fd;	 /* -1: of no process, and not in /run/netns */
	int err; /* 0, or why it could not be looked for, or opened */
};

/* One walk through /proc and /run/netns for all of them. With `seen` it is called for every
 * namespace that was met; without, the walk ends when all are found.
 */
void find_netns(struct wanted *wanted, unsigned int n, void (*seen)(void *context, uint32_t inode),
		void *context);

#endif
