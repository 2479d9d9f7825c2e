// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* The listing of hosts on which connections have state of extensions in slots: the same, with what
 * these have behind each record. */
#define TCPX_WITH_SLOTS
#include "list.bpf.c"
