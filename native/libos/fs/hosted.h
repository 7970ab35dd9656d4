/* The part of an epoll that an epoll of the host's watches: files whose readiness is all the host's. */
#ifndef ENCLAVIZE_FS_HOSTED_H
#define ENCLAVIZE_FS_HOSTED_H

#include "boundary/boundary.h"

struct item;

#define HOSTED_LEVELS 8U

/* All-zero: nothing is watched, and the host has no epoll yet. */
struct hosted {
    int host_fd; /* the host's epoll */
    uint32_t count;
    uint32_t capacity;
    struct item **items; /* by the host's descriptor */
    struct quiet quiet;  /* all that there was has been told */
    uint32_t level_count;
    int levels[HOSTED_LEVELS]; /* what of it can be read until it is served: the host's descriptors */
};

/* After the host was asked: did it tell all that it had? Levels that it told are noted then. */
void hosted_note(struct hosted *hosted, bool is_quiet, uint64_t activity);
void hosted_note_level(struct hosted *hosted, int host_fd, uint32_t events);
/* Is there nothing that a program which does not wait could know of, once the noted levels are served? */
bool hosted_is_quiet(struct hosted *hosted);

/* The item of a descriptor of the host's, or NULL. Any number may be asked for: it comes from the host. */
struct item *hosted_item(const struct hosted *hosted, int host_fd);

/* -ENOMEM, or what the host says. `events` are those of epoll_ctl(2). */
int64_t hosted_add(struct hosted *hosted, struct item *item, int host_fd, uint32_t events);
int64_t hosted_change(struct hosted *hosted, int host_fd, uint32_t events);
/* `is_closing`: the descriptor will be closed, so that the host forgets it by itself. */
void hosted_remove(struct hosted *hosted, int host_fd, bool is_closing);

void hosted_close(struct hosted *hosted);

#endif
