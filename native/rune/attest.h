/* `rune attest ID`: a local report of a running enclave. */
#ifndef RUNE_ATTEST_H
#define RUNE_ATTEST_H

#include "command_line.h"

/* Returns the exit code. */
int attest(const struct command_line *line);

#endif
