// SPDX-License-Identifier: MIT
/* A local setting: the pacing rate. */
#include "tcpx_ext.h"

#define SOL_SOCKET 1
#define SO_MAX_PACING_RATE 47
#define UNLIMITED -1

TCPX_HOOK(established)
{
	if (tcpx_active(TCPX_LOCAL) && !tcpx_has_outcome() &&
	    tcpx_apply(SOL_SOCKET, SO_MAX_PACING_RATE, tcpx_value(TCPX_LOCAL, 0)) == 0)
		tcpx_set_word(0, 1);
	return 0;
}

TCPX_HOOK(live_set)
{
	if (tcpx_apply(SOL_SOCKET, SO_MAX_PACING_RATE, tcpx_value(TCPX_LOCAL, 0)) == 0)
		tcpx_set_word(0, 1);
	return 0;
}

TCPX_HOOK(live_undo)
{
	if (tcpx_word(0))
		tcpx_setsockopt(SOL_SOCKET, SO_MAX_PACING_RATE, UNLIMITED);
	tcpx_set_word(0, 0);
	return 0;
}

TCPX_HOOK(again)
{
	if (tcpx_word(0))
		tcpx_setsockopt(SOL_SOCKET, SO_MAX_PACING_RATE, UNLIMITED);
	return 0;
}
