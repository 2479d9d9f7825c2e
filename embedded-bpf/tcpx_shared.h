/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Every struct and enum that the BPF programs and user space share, by program. The TypeScript twin
 * (layout.generated.ts) is generated from the BTF of the compiled object; `bun run check` fails
 * when the two differ.
 */
#ifndef TCPX_SHARED_H
#define TCPX_SHARED_H

#include "shared/config.h"
#include "shared/conn.h"
#include "shared/list.h"
#include "shared/live.h"
#include "shared/rule.h"
#include "shared/slots.h"
#include "shared/thin.h"
#include "shared/watch.h"

#endif
