/* Creating a TEE container: config.json of the bundle is changed as a plan says, before rune becomes runc. */
#ifndef RUNE_TEE_H
#define RUNE_TEE_H

#include <stdbool.h>

#include "command_line.h"

/* Change it. `tree` is the folder that holds .enclave for an image that the node has converted; NULL: it is in the container's root.
 * False after an error was reported: the container must not run. */
bool prepare_tee_bundle(const struct command_line *line, char **argv, const char *tree);

#endif
