/* The node's daemon, which makes an enclave of an ordinary container's image (enclavize/node/protocol.py). */
#ifndef RUNE_NODE_H
#define RUNE_NODE_H

#include <limits.h>
#include <stdbool.h>

#include "command_line.h"

/* Wait until there is a tree: the folder that holds the .enclave of this container's image. False after an error was reported. */
bool ask_node(const struct command_line *line, char tree[PATH_MAX]);

#endif
