/* What a bundle and a container are: ordinary, or made from a TEE image. */
#ifndef RUNE_BUNDLE_H
#define RUNE_BUNDLE_H

#include "command_line.h"

enum kind {
    KIND_ORDINARY,
    KIND_TEE,
    KIND_UNKNOWN, /* cannot be told: must not run */
};

struct verdict {
    enum kind kind;
    const char *reason; /* of KIND_UNKNOWN: what could not be read; errno says why, or is 0 */
};

/* A bundle is TEE if <rootfs>/.enclave/enclave.json is a regular file that no symbolic link leads to. */
struct verdict bundle_kind(const char *bundle);

/* A container is TEE if the runtime part of rune left its annotation when it was created; runc keeps it in state.json. */
struct verdict container_kind(const struct command_line *line);

#endif
