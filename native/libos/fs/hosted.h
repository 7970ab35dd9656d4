/* The part of an epoll that an epoll of the host's watches: files whose readiness is all the host's. */
#ifndef ENCLAVIZE_FS_HOSTED_H
#define ENCLAVIZE_FS_HOSTED_H

#include "base/base.h"

struct item;

/* All-zero: nothing is watched, and the host has no epoll yet. */
struct hosted {
    int host_fd; /* the host's epoll */
    uint32_t count;
    uint32_t by_level; /* of them: not edge-triggered */
    uint32_t capacity;
    struct item **items; /* by the host's descriptor */
    bool is_quiet;       /* all that there was has been told, when host_activity() was this */
    uint64_t activity;
};

/* After the host was asked: did it tell all that it had? */
void hosted_note(struct hosted *hosted, bool is_quiet, uint64_t activity);
/* For one time: is there nothing that a program which does not wait could know of? Runtimes look twice before they wait. Only edges: a level holds
 * until it is served. */
bool hosted_is_quiet(struct hosted *hosted);

/* The item of a descriptor of the host's, or NULL. Any number may be asked for: it comes from the host. */
struct item *hosted_item(const struct hosted *hosted, int host_fd);

/* -ENOMEM, or what the host says. `events` are those of epoll_ctl(2). */
int64_t hosted_add(struct hosted *hosted, struct item *item, int host_fd, uint32_t events);
int64_t hosted_change(struct hosted *hosted, int host_fd, uint32_t old_events, uint32_t events);
/* `is_closing`: the descriptor will be closed, so that the host forgets it by itself. */
void hosted_remove(struct hosted *hosted, int host_fd, uint32_t events, bool is_closing);

void hosted_close(struct hosted *hosted);

#endif
