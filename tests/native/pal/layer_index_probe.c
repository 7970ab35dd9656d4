/* layer_index_probe INDEX...: looks in each index for the paths on standard input, a line each, and shows what it finds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layers.h"

#define PATHS_MAX 64
#define PATH_SIZE 512

static char paths[PATHS_MAX][PATH_SIZE];

static void look(const char *name, size_t count)
{
    FILE *file = fopen(name, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        exit(2);
    size_t size = (size_t)ftell(file);
    uint8_t *bytes = malloc(size ? size : 1); /* of exactly this size: what is read behind it is noticed */
    rewind(file);
    if (!bytes || fread(bytes, 1, size, file) != size)
        exit(2);
    fclose(file);
    const struct layer_index index = {.bytes = bytes, .size = size};
    for (size_t number = 0; number < count; number++) {
        struct layer_range range;
        if (layer_index_find(&index, paths[number], &range))
            printf("%" PRIu32 " %" PRIu64 " %" PRIu64 "\n", range.layer, range.offset, range.size);
        else
            printf("none\n");
    }
    free(bytes);
}

int main(int argc, char **argv)
{
    size_t count = 0;
    while (count < PATHS_MAX && fgets(paths[count], PATH_SIZE, stdin)) {
        paths[count][strcspn(paths[count], "\n")] = '\0';
        count++;
    }
    for (int number = 1; number < argc; number++)
        look(argv[number], count);
    return 0;
}
