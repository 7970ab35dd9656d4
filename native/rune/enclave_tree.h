/* Whether a folder has exactly the files that were verified: /.enclave of a root file system, or copies of a PAL. */
#ifndef RUNE_ENCLAVE_TREE_H
#define RUNE_ENCLAVE_TREE_H

#include <stdbool.h>

#include "json.h"

/* `files`: paths with [permission bits, size, SHA-256 in hex]; `links`: paths with targets; `unlisted`: paths of folders with the names in
 * them that are looked at alone. Steps are taken by descriptor, and follow no link. */
bool tree_has_exactly(int folder, struct json files, struct json links, struct json unlisted);

#endif
