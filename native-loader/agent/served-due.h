/* SPDX-License-Identifier: MIT */
/* What is to be done with served namespaces as time goes by. Of the agent's thread only. */
#ifndef TCPX_SERVED_DUE_H
#define TCPX_SERVED_DUE_H

#include <stdint.h>

#include "served.h"

/* Does what is due. When to come again, as of now_ns(); 0: nothing is to come. */
uint64_t due_look(struct served *s, uint64_t now);
/* The earlier of both; 0 is never. */
uint64_t due_sooner(uint64_t at, uint64_t than);

#endif
