/* SPDX-License-Identifier: MIT */
#ifndef TCPX_FIND_NETNS_H
#define TCPX_FIND_NETNS_H

#include <stdint.h>

/* Opens a file that stands for a network namespace; -EINVAL: it does not. */
int open_netns(const char *path, uint32_t *inode);
/*
 * A descriptor of the network namespace with this inode number; -ENOENT: of no process and
 * not in /run/netns. `seen` is called for every namespace that was met.
 */
int find_netns(uint32_t inode, void (*seen)(void *context, uint32_t inode), void *context);

#endif
