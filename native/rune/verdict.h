/* What rune finds out about a bundle or a container. */
#ifndef RUNE_VERDICT_H
#define RUNE_VERDICT_H

enum kind {
    KIND_ORDINARY,
    KIND_TEE,
    KIND_UNKNOWN, /* cannot be told: must not run */
};

struct verdict {
    enum kind kind;
    const char *reason; /* of KIND_UNKNOWN: what is wrong with what was looked at */
    int error;          /* of KIND_UNKNOWN: the errno that belongs to it, or 0 */
};

#define VERDICT_ORDINARY ((struct verdict){KIND_ORDINARY, 0, 0})
#define VERDICT_TEE ((struct verdict){KIND_TEE, 0, 0})
#define VERDICT_UNKNOWN(reason, error) ((struct verdict){KIND_UNKNOWN, reason, error})

#endif
