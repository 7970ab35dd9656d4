/* `events` of a TEE container: runc's, with its enclave page cache among the statistics, where the kernel counts it. */
#ifndef RUNE_EVENTS_H
#define RUNE_EVENTS_H

#include <stdbool.h>
#include <stdio.h>

#include "command_line.h"
#include "container.h"

/* Whether there is something to add to runc's events. */
bool finds_epc(const struct command_line *line, struct container_place *place);

/* Copy events, adding to each with statistics data.sgx_epc: {"usage", "max" where there is a limit, "failcnt"}, as runc writes hugetlb. */
void copy_events(const struct container_place *place, FILE *in);

#endif
