/* SPDX-License-Identifier: MIT */
/* The bytes of an input, one after the other; behind its end they are zeros. */
#ifndef TCPX_FUZZ_INPUT_H
#define TCPX_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void input_start(const uint8_t *bytes, size_t n);
size_t input_left(void);
uint8_t input_u8(void);
uint16_t input_u16(void); /* the high byte first */
uint32_t input_u32(void);
/* To come back to. */
const uint8_t *input_place(void);
void input_return(const uint8_t *place);

/* Ends the run with a message, as a finding. */
#define require(what, says)                                                                        \
	do {                                                                                       \
		if (!(what))                                                                       \
			found(says, __FILE__, __LINE__);                                           \
	} while (0)
_Noreturn void found(const char *says, const char *file, int line);

#endif
