// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* The same for one extension that tcpx does not ship, which is linked to it: ext-slot/live.bpf.h.
 */
#define TCPX_LIVE_SLOTS
#include "live.bpf.c"
