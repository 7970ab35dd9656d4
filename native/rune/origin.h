/* Which folder of which file system a path is: what stays the same however often it is mounted again. */
#ifndef RUNE_ORIGIN_H
#define RUNE_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "mountinfo.h"

/* Find the origin of an open folder, whose path is absolute and has no links: its mount, and its path in that file system. */
bool find_origin(int folder, const char *path, struct mount *mount, char *below, size_t size);

#endif
