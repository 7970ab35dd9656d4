/* Whether /.enclave of a root file system has exactly the files that were verified. */
#ifndef RUNE_ENCLAVE_TREE_H
#define RUNE_ENCLAVE_TREE_H

#include <stdbool.h>

#include "json.h"

/* `files`: paths with [permission bits, size, SHA-256 in hex]; `links`: paths with targets. Steps are taken by descriptor, and follow no link. */
bool tree_has_exactly(int folder, struct json files, struct json links);

#endif
