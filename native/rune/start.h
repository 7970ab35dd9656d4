/* `rune start` of a container whose PAL is somebody else's: it is started when its enclave runs, and failed when that has failed. */
#ifndef RUNE_START_H
#define RUNE_START_H

#include <stdbool.h>

#include "command_line.h"

struct started {
    int status;  /* the file in which the runelet says how it went */
    int process; /* pidfd_open(2) */
};

/* Look before runc starts it. False if there is nothing to wait for. */
bool begin_start(const struct command_line *line, struct started *started);

/* Wait for the runelet's word, or for its end. False after the cause was reported. */
bool enclave_runs(const struct command_line *line, const struct started *started);

#endif
