#define _GNU_SOURCE
#include "machine.h"

#include <signal.h>
#include <stddef.h>

_Static_assert(offsetof(struct host_thread, events_that_interrupt) == offsetof(struct host_thread, events) + 4, "interruptible.S");

const struct machine *machine = &simulated_machine;

extern const char interruptible_begin[], interruptible_end[], interruptible_abort[];

int machine_interrupt_signal(void)
{
    return SIGRTMAX - 2;
}

uint64_t interruptible_continuation(uint64_t rip)
{
    return rip >= (uint64_t)interruptible_begin && rip < (uint64_t)interruptible_end ? (uint64_t)interruptible_abort : rip;
}
