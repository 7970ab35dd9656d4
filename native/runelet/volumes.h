/* What the measured configuration names of what comes from outside, read from the enclave's file. For messages only: nothing is trusted. */
#ifndef RUNELET_VOLUMES_H
#define RUNELET_VOLUMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct volumes {
    char *configuration; /* its records, or NULL */
    size_t size;
};

struct volumes read_volumes(const char *instance);
bool is_volume(const struct volumes *volumes, const char *path); /* a volume, or below one */

/* The user and the working directory that the program has. False: this is not told here. */
bool measured_place(const struct volumes *volumes, uint32_t *uid, char *folder, size_t size);

/* Whether the program has a variable, "NAME=value", of this value, or takes it from outside. True also where this is not told. */
bool has_variable(const struct volumes *volumes, const char *variable);

void free_volumes(struct volumes *volumes);

#endif
