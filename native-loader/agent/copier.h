/* SPDX-License-Identifier: MIT */
/*
 * A thread for what takes long of one namespace: comparing a large table of routes with its copy.
 * Others are served meanwhile. What is handed over is the copier's until it comes back; so the
 * agent's thread does not touch its routes, and a namespace that keeps changing waits after each
 * comparison for a multiple of the time that it took.
 */
#ifndef TCPX_COPIER_H
#define TCPX_COPIER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct namespace;
struct served;

struct copier {
	pthread_t thread;
	bool running; /* else the calling thread does it itself */
	int jobs[2];  /* pipes of pointers to namespaces */
	int copied[2];
};

/* 0 or -errno; copier_close() in both cases. */
int copier_start(struct served *s);
/* Nothing is handed over any more. */
void copier_close(struct served *s);
/* Its routes need a comparison: now, or when its pause is over. */
void copier_take(struct served *s, struct namespace *n);
/* Its pause is over. */
void copier_resume(struct served *s, struct namespace *n);
/* Until its routes are the agent's thread's again. */
void copier_wait(struct served *s, struct namespace *n);
/* Takes one back. The number of changes that were followed, or -errno. */
int copier_back(struct served *s);

#endif
