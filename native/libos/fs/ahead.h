/* What the host has read ahead, on its way inside (struct host_ahead). */
#ifndef ENCLAVIZE_FS_AHEAD_H
#define ENCLAVIZE_FS_AHEAD_H

#include "boundary/boundary.h"

/* Room for a piece; NULL: there is none. */
struct host_ahead *ahead_take(void);
void ahead_give(struct host_ahead *ahead); /* NULL is fine */

/* A piece has come, and whoever looks finds it. */
void ahead_arrived(void);
/* How many have come, counted without end. */
uint32_t ahead_count(void);
/* The host has found nothing for the caller, who had looked inside when this many had come: was that because it had read something ahead since? Waits until
 * that has come. True: look again. */
bool ahead_await(uint32_t seen);

#endif
