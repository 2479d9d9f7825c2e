/* SPDX-License-Identifier: MIT */
/*
 * Processes that outlive tcpx: a copy of a process with many threads, of which only one was
 * copied. Locks may be held for ever, so nothing but system calls and the stack.
 */
#ifndef TCPX_GUARD_PROCESS_H
#define TCPX_GUARD_PROCESS_H

#define GUARD_SIGNALS 8 /* bytes of the kernel's signal set */

/* Runs child(context) in a process of its own, which ends when it returns. Init waits for it, and
 * nobody else ever sees its end. All signals are blocked there. Returns 0 or -errno.
 */
int guard_launch(void (*child)(const void *), const void *context);
void guard_close_from(unsigned int first);
/* Gives back the memory that a child shares with its parent and has no use for. */
void guard_forget(void);

#endif
