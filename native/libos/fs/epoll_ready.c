/* Which of the items that are watched here have something to tell. */
#include "fs/epoll_items.h"

static void put(struct item *item, bool at_the_end)
{
    struct ready *ready = &item->epoll->ready;
    spin_lock(&ready->lock);
    if (!item->is_ready) {
        item->is_ready = true;
        item->previous_ready = at_the_end ? ready->last : NULL;
        item->next_ready = at_the_end ? NULL : ready->first;
        *(item->previous_ready ? &item->previous_ready->next_ready : &ready->first) = item;
        *(item->next_ready ? &item->next_ready->previous_ready : &ready->last) = item;
    }
    spin_unlock(&ready->lock);
}

void ready_add(struct item *item)
{
    put(item, true);
}

void ready_remove(struct item *item)
{
    struct ready *ready = &item->epoll->ready;
    spin_lock(&ready->lock);
    if (item->is_ready) {
        item->is_ready = false;
        *(item->previous_ready ? &item->previous_ready->next_ready : &ready->first) = item->next_ready;
        *(item->next_ready ? &item->next_ready->previous_ready : &ready->last) = item->previous_ready;
    }
    spin_unlock(&ready->lock);
}

/* Only the epolls' lock, which is held, lets anything be taken out: what is first stays there. */
static struct item *end_of(struct ready *ready, bool last)
{
    spin_lock(&ready->lock);
    struct item *item = last ? ready->last : ready->first;
    spin_unlock(&ready->lock);
    return item;
}

/* Each change is told, even if the item is ready: to epolls around this one it is an edge. */
void ready_changed(struct subscriber *subscriber)
{
    struct item *item = CONTAINER_OF(subscriber, struct item, subscriber);
    ready_add(item);
    event_source_has_data(&item->epoll->source);
}

static bool is_enabled(const struct item *item)
{
    return (item->events & ~CONTROL_BITS) != 0;
}

/* The events of one item that are to be reported now. */
static uint32_t poll_item(struct item *item, struct poller *poller, uint32_t depth)
{
    struct epoll *inner = epoll_of(item->file);
    struct subscriber *subscriber = &item->subscriber;
    uint32_t events;
    if (!is_enabled(item)) {
        return 0;
    }
    if (item->host_fd >= 0) { /* of all else, the host tells */
        return item_has_ahead(item) && !item->is_spent ? (POLLIN | POLLRDNORM) & item->events : 0;
    }
    struct subscriber *outer = poller_begin(poller, subscriber);
    if (!inner) {
        events = file_poll(item->file, item->events & ~CONTROL_BITS & 0xFFFF, poller);
    } else {
        events = depth <= NESTING_MAX && ready_poll(inner, poller, NULL, 1, depth + 1) > 0 ? POLLIN | POLLRDNORM : 0;
    }
    poller_end(poller, outer);
    if (inner && subscriber->must_be_asked) {
        subscriber->changes = 0;
    }
    events &= item->events | POLLERR | POLLHUP;
    bool old_news = (item->events & EPOLLET) && item->seen_valid && subscriber->changes == item->seen;
    return old_news && subscriber->changes != 0 ? 0 : events; /* 0: the host's, which count no changes */
}

/* An item leaves the list before it is looked at: what changes from then on puts it there again. */
uint32_t ready_poll(struct epoll *epoll, struct poller *poller, struct epoll_event *events, size_t room, uint32_t depth)
{
    uint32_t count = 0;
    poller_watch(poller, &epoll->source);
    if (!events && epoll->hosted.count > 0) {
        count = poller_watch_host_events(poller, epoll->hosted.host_fd, POLLIN) != 0;
    }
    struct item *last = end_of(&epoll->ready, true), *item = NULL;
    while (last && item != last && (!events || count < room)) {
        item = end_of(&epoll->ready, false);
        ready_remove(item);
        uint32_t found = poll_item(item, poller, depth);
        bool is_kept = found != 0 || (is_enabled(item) && item->subscriber.must_be_asked);
        if (is_kept && !events) {
            ready_add(item);
        } else if (is_kept) {
            item->found = found != 0 ? &events[count] : NULL;
            item->next_kept = epoll->kept;
            epoll->kept = item;
            events[count] = (struct epoll_event){.events = found, .data = item->data};
        }
        count += found != 0;
    }
    return count;
}

static void serve(struct item *item)
{
    item->seen = item->subscriber.changes;
    item->seen_valid = true;
    if ((item->events & EPOLLONESHOT) != 0) {
        item->events &= CONTROL_BITS;
    }
    bool stays = (item->events & EPOLLET) == 0 || item->subscriber.must_be_asked;
    if (stays && is_enabled(item)) {
        ready_add(item);
    }
}

void ready_settle(struct epoll *epoll, bool counts)
{
    struct item *found = NULL; /* the first one first */
    for (struct item *item = epoll->kept, *next; item; item = next) {
        next = item->next_kept;
        bool is_found = item->found != NULL;
        item->found = NULL;
        if (counts && is_found) {
            item->next_kept = found;
            found = item;
        } else {
            put(item, false);
        }
    }
    epoll->kept = NULL;
    for (; found; found = found->next_kept) {
        serve(found);
    }
}

static int64_t look(void *context, struct poller *poller)
{
    return poll_item(context, poller, 0);
}

int64_t ready_begin(struct item *item)
{
    int64_t events = poll_once(look, item);
    bool is_wanted = events > 0 || item->subscriber.must_be_asked;
    if (events >= 0 && is_wanted) {
        ready_add(item);
    }
    return events < 0 ? events : is_wanted;
}
