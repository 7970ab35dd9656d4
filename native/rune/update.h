/* `update --sgx-epc LIMIT ID`, which is rune's own: runc's `update --resources FILE ID` with that limit for the misc controller. */
#ifndef RUNE_UPDATE_H
#define RUNE_UPDATE_H

#include "command_line.h"

/* runc's command line for it. NULL after an error was reported. */
char **epc_update(const struct command_line *line, char **argv);

#endif
