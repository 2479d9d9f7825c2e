/* SPDX-License-Identifier: MIT */
#ifndef TCPX_FUZZ_PACKET_H
#define TCPX_FUZZ_PACKET_H

#include <sys/socket.h>

#include "../../embedded-bpf/tcpx_shared.h"

/* What is sent is an ACK, and it is what the record says. */
void packet_judge(const struct msghdr *msg, const struct tcpx_held *held);

#endif
