/* Whether an ordinary container asks for an enclave: it would run without one, and nobody would notice. */
#ifndef RUNE_REQUEST_H
#define RUNE_REQUEST_H

#include <stdbool.h>

#define REQUEST_SIZE 128

enum request {
    REQUEST_NONE,
    REQUEST_SANDBOX, /* of a pod: the engine's own program, whatever the node's settings say of ordinary containers */
    REQUEST_ENCLAVE, /* `name` is the variable or annotation that asks */
    REQUEST_UNKNOWN, /* config.json cannot be read so that it can be told */
};

/* A sandbox may have the annotations of its pod, which are not for it. */
enum request bundle_request(const char *bundle, char name[REQUEST_SIZE]);

#endif
