/*
 * What rune makes of a configuration by a plan, for a container whose root file system is /.
 *
 * Input: a plan and a configuration, each behind its size in 4 bytes, little-endian. Output: the changed configuration, likewise;
 * no bytes if the plan does not fit.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "plan.h"

/* In memory of its own, so that the sanitizer sees each byte behind it. */
static struct json take(void)
{
    uint8_t head[4];
    if (fread(head, sizeof(head), 1, stdin) != 1)
        exit(EXIT_SUCCESS);
    size_t size = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    char *bytes = malloc(size ? size : 1);
    if (!bytes || fread(bytes, 1, size, stdin) != size)
        exit(EXIT_FAILURE);
    return (struct json){bytes, bytes + size};
}

static void give(struct json text)
{
    size_t size = (size_t)(text.end - text.at);
    const uint8_t head[4] = {size & 255, size >> 8 & 255, size >> 16 & 255, size >> 24 & 255};
    fwrite(head, sizeof(head), 1, stdout);
    fwrite(text.at, 1, size, stdout);
}

int main(void)
{
    struct place place = {.bundle = "/", .rootfs = "", .enclave = "/.enclave", .folder = open("/", O_PATH | O_DIRECTORY)};
    for (;;) {
        struct json text = take();
        struct plan plan;
        struct text changed = {0};
        place.config = take();
        bool done = read_plan(text, &plan) && plan_fits(&plan, place.config) && apply_plan(&plan, &place, &changed);
        give(done ? text_json(&changed) : (struct json){"", ""});
        free((void *)text.at);
        free((void *)place.config.at);
        free(changed.at);
    }
}
