#include <string.h>

#include "layers.h"

#define MAGIC "enclavize data 1"

struct header {
    char magic[16];
    uint64_t count;
};

struct record {
    uint64_t path;
    uint64_t offset;
    uint64_t size;
    uint32_t layer;
    uint16_t path_size;
    uint16_t unused;
};

static struct record record_at(const struct layer_index *index, uint64_t number)
{
    struct record record;
    memcpy(&record, index->bytes + sizeof(struct header) + number * sizeof(record), sizeof(record));
    return record;
}

/* How many records there are, 0 for what is no index. */
static uint64_t count_of(const struct layer_index *index)
{
    struct header header;
    if (index->size < sizeof(header)) {
        return 0;
    }
    memcpy(&header, index->bytes, sizeof(header));
    bool fits = header.count <= (index->size - sizeof(header)) / sizeof(struct record);
    return fits && memcmp(header.magic, MAGIC, sizeof(header.magic)) == 0 ? header.count : 0;
}

/* The order of paths is that of their bytes. */
static int compare(const char *path, size_t size, const uint8_t *other, size_t other_size)
{
    int order = memcmp(path, other, size < other_size ? size : other_size);
    return order ? order : (size > other_size) - (size < other_size);
}

bool layer_index_find(const struct layer_index *index, const char *path, struct layer_range *range)
{
    size_t size = strlen(path);
    uint64_t first = 0, end = count_of(index);
    while (first < end) {
        uint64_t middle = first + (end - first) / 2;
        struct record record = record_at(index, middle);
        if (record.path > index->size || record.path_size > index->size - record.path) {
            return false;
        }
        int order = compare(path, size, index->bytes + record.path, record.path_size);
        if (order == 0) {
            *range = (struct layer_range){.layer = record.layer, .offset = record.offset, .size = record.size};
            return record.offset <= INT64_MAX && record.size <= INT64_MAX - record.offset;
        }
        if (order < 0) {
            end = middle;
        } else {
            first = middle + 1;
        }
    }
    return false;
}
