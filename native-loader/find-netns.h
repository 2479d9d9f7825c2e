/* SPDX-License-Identifier: MIT */
#ifndef TCPX_FIND_NETNS_H
#define TCPX_FIND_NETNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NETNS_FOREIGN "the network namespace belongs to another user namespace"
#define OWN_USERNS "/proc/thread-self/ns/user"

/* Opens a file that stands for a network namespace; -EINVAL: it does not. */
int open_netns(const char *path, uint32_t *inode);
/*
 * Does it belong to the user namespace of these numbers? In one that does not, somebody without
 * rights on this host may be root.
 */
bool netns_owned_by(int fd, dev_t dev, ino_t inode);
/* The same of the calling thread's network namespace and the user namespace that it is in. */
bool netns_is_own(void);
/* A descriptor of the network namespace with this inode number; -ENOENT: of no process and not in
 * /run/netns.
 */
int find_netns(uint32_t inode);

#endif
