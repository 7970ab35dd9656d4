/* What the vDSO has to know of the clock. */
#ifndef ENCLAVIZE_BOUNDARY_CLOCK_H
#define ENCLAVIZE_BOUNDARY_CLOCK_H

/* Offsets for assembly; clock.c checks them. struct exchange (abi.h): */
#define EXCHANGE_TIME_COUNTER 56
#define EXCHANGE_TIME_VALID_FOR 64
#define EXCHANGE_TIME_MULTIPLIER 72
#define EXCHANGE_TIME_CLOCKS 80

#define THREAD_EXCHANGE_OF_VDSO 32 /* struct thread, by GS */

/* struct clock_state */
#define CLOCK_STATE_COUNTER_IS_MISSING 0
#define CLOCK_STATE_LATEST 8

#define REALTIME_STEP 1000000 /* ns: what goes back by less is no step but uncertain */

#ifndef __ASSEMBLER__

#include "abi.h"

/* Shared with the vDSO, by which the application reads and writes it: all of it is trusted alike. */
struct clock_state {
    uint32_t counter_is_missing; /* RDTSC faults here */
    uint64_t latest[HOST_TIME_CLOCKS];
};
extern struct clock_state clock_state;

#endif
#endif
