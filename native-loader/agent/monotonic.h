/* SPDX-License-Identifier: MIT */
#ifndef TCPX_MONOTONIC_H
#define TCPX_MONOTONIC_H

#include <stdint.h>

#define SECOND 1000000000ULL

uint64_t now_ns(void);

#endif
