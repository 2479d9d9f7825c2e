/* SPDX-License-Identifier: MIT */
/* libbpf's messages, for the rest of the bridge. */
#ifndef TCPX_LOG_H
#define TCPX_LOG_H

#include <stddef.h>

/* The last line of them, without the name of the library. */
void log_last_line(char *out, size_t size);

#endif
