// SPDX-License-Identifier: MIT
/* For LD_PRELOAD: the process's files in /proc are root's, as those of a program with capabilities
 * of its own (setcap).
 */
#include <sys/prctl.h>

__attribute__((constructor)) static void hide(void)
{
	prctl(PR_SET_DUMPABLE, 0);
}
