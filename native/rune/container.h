/* What a container is: ordinary, or made from a TEE image. */
#ifndef RUNE_CONTAINER_H
#define RUNE_CONTAINER_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "command_line.h"
#include "verdict.h"

/* A container is TEE if rune left its annotation when it was created, or if its root file system is that of a TEE image. runc keeps
 * both in state.json. Where that file is not found, runc itself is asked: only a container that it does not know is ordinary then. */
struct verdict container_kind(const struct command_line *line);

struct container_place {
    char bundle[PATH_MAX];
    pid_t pid; /* of its first process */
    char misc_group[PATH_MAX]; /* its folder in the hierarchy that has the misc controller; empty: runc has none for it */
};

/* Find where a container is, by runc's state.json. False if there is no such file, or it is not what runc writes. */
bool find_container(const struct command_line *line, struct container_place *place);

#endif
