/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Generated from extensions.def by `bun run build`. Do not edit. */
/* clang-format off */

#ifndef TCPX_EXTENSIONS_GENERATED_H
#define TCPX_EXTENSIONS_GENERATED_H

enum tcpx_ext {
	TCPX_EXT_UTO = 0,
	TCPX_EXT_CC_REQUEST = 1,
	TCPX_EXT_IW = 2,
	TCPX_EXT_ACK = 3,
};

/* Does something for each extension, in the order of their priority: DO(ID, name, ...). */
#define TCPX_EACH(DO, ...) \
	DO(UTO, uto, ##__VA_ARGS__) \
	DO(CC_REQUEST, cc_request, ##__VA_ARGS__) \
	DO(IW, iw, ##__VA_ARGS__) \
	DO(ACK, ack, ##__VA_ARGS__)

#include "ext/uto.h"
#include "ext/cc_request.h"
#include "ext/iw.h"
#include "ext/ack.h"

/* By their ids: a place in the registry may change, a place in a record must not. */
struct tcpx_states {
	struct tcpx_uto_conn uto;
	struct tcpx_cc_request_conn cc_request;
	struct tcpx_iw_conn iw;
	struct tcpx_ack_conn ack;
};

#endif

/* The programs' part: see tcpx_slice.h. */
#if defined(TCPX_SLICES) && !defined(TCPX_SLICES_INCLUDED)
#define TCPX_SLICES_INCLUDED
#include "ext/uto.bpf.h"
#include "ext/cc_request.bpf.h"
#include "ext/iw.bpf.h"
#include "ext/ack.bpf.h"
#endif

#if defined(TCPX_LIVE_SLICES) && !defined(TCPX_LIVE_SLICES_INCLUDED)
#define TCPX_LIVE_SLICES_INCLUDED
#include "ext/uto_live.bpf.h"
#include "ext/cc_request_live.bpf.h"
static const struct tcpx_live_extension iw_live_extension = {};
#include "ext/ack_live.bpf.h"
#endif

#if defined(TCPX_LIST_SLICES) && !defined(TCPX_LIST_SLICES_INCLUDED)
#define TCPX_LIST_SLICES_INCLUDED
static __always_inline void uto_list(struct tcpx_uto_conn *state, void *tp) {}
static __always_inline void cc_request_list(struct tcpx_cc_request_conn *state, void *tp) {}
static __always_inline void iw_list(struct tcpx_iw_conn *state, void *tp) {}
static __always_inline void ack_list(struct tcpx_ack_conn *state, void *tp) {}
#endif
