// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>

#include "input.h"

static const uint8_t *at, *end;

void input_start(const uint8_t *bytes, size_t n)
{
	at = bytes;
	end = bytes + n;
}

size_t input_left(void)
{
	return (size_t)(end - at);
}

uint8_t input_u8(void)
{
	return at == end ? 0 : *at++;
}

uint16_t input_u16(void)
{
	uint16_t high = input_u8();

	return (uint16_t)(high << 8 | input_u8());
}

uint32_t input_u32(void)
{
	uint32_t high = input_u16();

	return high << 16 | input_u16();
}

const uint8_t *input_place(void)
{
	return at;
}

void input_return(const uint8_t *place)
{
	at = place;
}

void found(const char *says, const char *file, int line)
{
	fprintf(stderr, "FOUND: %s (%s:%d)\n", says, file, line);
	abort();
}
