/* SPDX-License-Identifier: MIT */
/*
 * Does the routing of a network namespace treat held ACKs as the connections' own? Looked at once,
 * and followed: held-judge.h says what tells them apart. No call but held_path_open() and
 * held_path_handle() does more than read what they have found.
 */
#ifndef TCPX_HELD_PATH_H
#define TCPX_HELD_PATH_H

#include <stdbool.h>
#include <stdint.h>

struct held_path;

/* Of the calling thread's namespace; later calls may come from any. -errno: no sockets. */
int held_path_open(struct held_path **out);
/* NULL is fine. */
void held_path_close(struct held_path *p);
/* For epoll; readable when held_path_handle() has something to read. */
int held_path_fd(const struct held_path *p);
/* Reads what has changed, and looks anew where that is needed and due. */
void held_path_handle(struct held_path *p);
/* When held_path_handle() has to look anew; 0: when there is something to read. */
uint64_t held_path_due(const struct held_path *p);
/* Why a held ACK may leave another way, in one line; "": it does not. */
const char *held_path_why(const struct held_path *p);
/* Some rule looks at the mark. */
bool held_path_marks(const struct held_path *p);

#endif
