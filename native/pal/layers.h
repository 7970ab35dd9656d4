/*
 * The image's layers as uncompressed archives, where the container's root has these instead of the files in them. Which file is where is written in the
 * format of rootfs/data_index.py. Who wrote it is nobody to be trusted: the enclave verifies what it reads, and here no offset is believed.
 */
#ifndef ENCLAVIZE_PAL_LAYERS_H
#define ENCLAVIZE_PAL_LAYERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct layer_index {
    const uint8_t *bytes;
    size_t size;
};

/* Where the content of a file is. */
struct layer_range {
    uint32_t layer;
    uint64_t offset;
    uint64_t size;
};

/* Finds a file by its path, canonical and relative. false: it is not there, or the index is damaged. */
bool layer_index_find(const struct layer_index *index, const char *path, struct layer_range *range);

/* Opens what is in the folder. 0, or a negative errno told to fail(). */
int layers_open(const char *folder);
void layers_close(void);
bool layers_are_there(void);
/* A descriptor of its own for the layer that has the file, or a negative errno. */
int layers_open_file(const char *path, struct layer_range *range);

#endif
