/* Epolls in epolls: ep_loop_check() of Linux. */
#include "fs/epoll_items.h"

/* How many epolls lie one in the other below this one; more than NESTING_MAX: too many, or `outer` is one of them. */
static uint32_t depth_below(const struct epoll *epoll, const struct epoll *outer)
{
    uint32_t depth = 0;
    if (epoll == outer) {
        return NESTING_MAX + 1;
    }
    const struct item *item = epoll->nested == 0 ? NULL : items_next(epoll, NULL);
    for (; item && depth <= NESTING_MAX; item = items_next(epoll, item)) {
        const struct epoll *inner = epoll_of(item->file);
        uint32_t found = inner ? depth_below(inner, outer) + 1 : 0;
        depth = found > depth ? found : depth;
    }
    return depth;
}

static uint32_t depth_above(const struct epoll *inner)
{
    uint32_t depth = 0;
    for (const struct item *item = inner->file->items; item; item = item->next_of_file) {
        uint32_t found = depth_above(item->epoll) + 1;
        depth = found > depth ? found : depth;
    }
    return depth;
}

bool nesting_is_refused(const struct epoll *outer, const struct epoll *inner)
{
    uint32_t below = depth_below(inner, outer);
    return below > NESTING_MAX || below + 1 + depth_above(outer) > NESTING_MAX;
}
