/* SPDX-License-Identifier: MIT */
/*
 * What the executable's first code (start.c) leaves for the bridge: how the process was when it
 * began, before the runtime changed it. Beside each other at the page that AT_ENTRY is in.
 */
#ifndef TCPX_STARTED_H
#define TCPX_STARTED_H

#include <stdint.h>

#define TCPX_START_MAGIC "tcpx start code"

struct tcpx_started {
	int32_t directory; /* descriptor of the working directory, which we had to leave; -1 */
	uint32_t closed;   /* of the descriptors 0 to 2, a bit each */
	uint32_t ignored;  /* of the signals below 64, a bit each: SIGPIPE, SIGXFSZ */
	uint32_t noted;
	uint64_t files[2]; /* RLIMIT_NOFILE: soft, hard */
};

/* scripts/lib/start-code.ts fills in the addresses. */
struct tcpx_start_head {
	char magic[16];
	uint64_t runtime; /* its entry point */
	uint64_t started; /* struct tcpx_started */
};

#endif
