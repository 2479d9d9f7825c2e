/* SPDX-License-Identifier: MIT */
#ifndef TCPX_SERVED_EFFECT_H
#define TCPX_SERVED_EFFECT_H

#include "served.h"

/* Lines for tcpx_agent_effect(): the length, whatever there is room and time for. */
int served_effect(struct served *s, char *out, int cap);

#endif
