/* A Gramine instance on disk, as docs/gramine.md describes it, and what of it is started. */
#ifndef ENCLAVIZE_PAL_GRAMINE_INSTANCE_H
#define ENCLAVIZE_PAL_GRAMINE_INSTANCE_H

#include <linux/limits.h>
#include <stdbool.h>

#include "options.h"

struct instance {
    bool direct; /* without SGX */
    char loader[PATH_MAX];
    char libpal[PATH_MAX];
    char application[PATH_MAX]; /* the manifest's path up to its suffix */
    char defaults[PATH_MAX];
};

/* Chooses the mode and checks that all of its files are there. 0, or a negative errno told to fail(). */
int instance_open(struct instance *instance, const struct options *options);

#endif
