// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The program of scopes with rules for extensions that tcpx does not ship: the same, with slots for
 * them. What is linked into it: tcpx_ext.h.
 */
#define TCPX_WITH_SLOTS
#include "tcpx.bpf.c"
