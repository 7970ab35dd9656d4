/* Between the files of the core. */
#ifndef LIAR_CORE_CALLS_H
#define LIAR_CORE_CALLS_H

#include "core.h"

#include "boundary/ocall.h"
#include "ocalls.h"

/* What changes by itself, so it is put back before memory is compared. */
extern uint64_t random_state, next_page;
uint64_t random_below(uint64_t limit);

/* The end of the enclave, with a message: the host did what it must not be able to. */
_Noreturn void stop(const char *text);
void need(bool condition, const char *text);

/* One OCALL. */
struct subject {
    enum ocall number;
    uint8_t *to;    /* in the arena */
    size_t room;    /* what is asked for */
    size_t changed; /* bytes from `to` on that the answer may change */
    int64_t most;   /* of the result */
    int64_t result;
};

/* Of a struct subject: makes its OCALL, as drawn, and fills in what has come of it. -> 0 */
int64_t make_ocall(void *argument);

#endif
