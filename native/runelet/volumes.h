/* The volumes that the measured configuration names, read from the enclave's file. For messages only: nothing is trusted. */
#ifndef RUNELET_VOLUMES_H
#define RUNELET_VOLUMES_H

#include <stdbool.h>
#include <stddef.h>

struct volumes {
    char *configuration; /* its records, or NULL */
    size_t size;
};

struct volumes read_volumes(const char *instance);
bool is_volume(const struct volumes *volumes, const char *path); /* a volume, or below one */
void free_volumes(struct volumes *volumes);

#endif
