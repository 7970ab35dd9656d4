#include "fs/epoll.h"

#include "fs/poller.h"

#define EPOLLEXCLUSIVE (1U << 28)
#define EPOLLWAKEUP (1U << 29)
#define EPOLLONESHOT (1U << 30)
#define EPOLLET (1U << 31)
#define CONTROL_BITS (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)
#define NESTING_MAX 4U /* EP_MAX_NESTS: an epoll in another, and so on */

struct item {
    struct item *next, *previous;
    struct file *file; /* not counted */
    int descriptor;
    uint32_t events; /* wanted, with control bits; no event bits: disabled by EPOLLONESHOT */
    uint64_t data;
    bool reported;    /* by the scan whose result counts */
    bool seen_valid;  /* edge-triggered: `seen` holds */
    uint32_t changes; /* of the file's sources, when it was scanned */
    uint32_t seen;    /* of the file's sources, when it was reported last */
};

struct epoll {
    struct event_source source; /* changes when items are added or changed */
    struct item *first, *last;
    struct epoll *next, *previous; /* all there are */
};

/* One lock for all: nested epolls and closing files need no order of locks. */
static struct mutex lock;
static struct epoll *all;

static const struct file_operations operations;

static void epoll_unused(struct event_source *source)
{
    release(CONTAINER_OF(source, struct epoll, source), sizeof(struct epoll));
}

static void append(struct epoll *epoll, struct item *item)
{
    item->next = NULL;
    item->previous = epoll->last;
    *(epoll->last != NULL ? &epoll->last->next : &epoll->first) = item;
    epoll->last = item;
}

static void take_out(struct epoll *epoll, struct item *item)
{
    *(item->previous != NULL ? &item->previous->next : &epoll->first) = item->next;
    *(item->next != NULL ? &item->next->previous : &epoll->last) = item->previous;
}

static uint32_t poll_items(
    struct epoll *epoll, struct poller *poller, struct epoll_event *events, size_t room, uint32_t depth);

/* The events of one item that are to be reported now. */
static uint32_t poll_item(struct item *item, struct poller *poller, uint32_t depth)
{
    if ((item->events & ~CONTROL_BITS) == 0) {
        return 0;
    }
    uint32_t events;
    if (item->file->operations == &operations) {
        events = depth <= NESTING_MAX && poll_items(item->file->state, poller, NULL, 1, depth + 1) > 0
                     ? POLLIN | POLLRDNORM
                     : 0;
        item->changes = item->seen + 1;
    } else {
        events = file_poll(item->file, item->events & ~CONTROL_BITS & 0xFFFF, poller);
        item->changes = poller_changes(poller);
    }
    events &= item->events | POLLERR | POLLHUP;
    bool old_news = (item->events & EPOLLET) && item->seen_valid && item->changes == item->seen;
    return old_news && item->changes != 0 ? 0 : events; /* 0: the host's, which count no changes */
}

/* Number of items with events; with `events`, they are listed and marked. */
static uint32_t poll_items(
    struct epoll *epoll, struct poller *poller, struct epoll_event *events, size_t room, uint32_t depth)
{
    uint32_t count = 0;
    poller_watch(poller, &epoll->source);
    for (struct item *item = epoll->first; item != NULL; item = item->next) {
        uint32_t found = count < room ? poll_item(item, poller, depth) : 0;
        if (events != NULL) {
            item->reported = found != 0;
        }
        if (found != 0) {
            if (events != NULL) {
                events[count] = (struct epoll_event){.events = found, .data = item->data};
            }
            count++;
        }
    }
    return count;
}

struct request {
    struct epoll *epoll;
    struct epoll_event *events;
    size_t room;
};

static int64_t scan(void *context, struct poller *poller)
{
    const struct request *request = context;
    mutex_lock(&lock);
    uint32_t count = poll_items(request->epoll, poller, request->events, request->room, 0);
    mutex_unlock(&lock);
    return count;
}

/* The scan's result counts: edges are used up, one-shot items go to sleep, and who was served goes to the end
 * of the line. */
static void settle(struct epoll *epoll)
{
    struct item *last = epoll->last;
    for (struct item *item = epoll->first, *next; item != NULL; item = next) {
        next = item == last ? NULL : item->next;
        if (!item->reported) {
            continue;
        }
        item->reported = false;
        item->seen = item->changes;
        item->seen_valid = true;
        if (item->events & EPOLLONESHOT) {
            item->events &= CONTROL_BITS;
        }
        take_out(epoll, item);
        append(epoll, item);
    }
}

int64_t epoll_wait_events(struct file *file, struct epoll_event *events, size_t count, uint64_t timeout_ns)
{
    if (file->operations != &operations) {
        return -EINVAL;
    }
    struct request request = {.epoll = file->state, .events = events, .room = count};
    int64_t result = poll_until(scan, &request, timeout_ns);
    if (result > 0) {
        mutex_lock(&lock);
        settle(request.epoll);
        mutex_unlock(&lock);
    }
    return result;
}

static uint32_t epoll_poll(struct file *file, struct poller *poller)
{
    mutex_lock(&lock);
    uint32_t count = poll_items(file->state, poller, NULL, 1, 1);
    mutex_unlock(&lock);
    return count > 0 ? POLLIN | POLLRDNORM : 0;
}

static void remove_item(struct epoll *epoll, struct item *item)
{
    take_out(epoll, item);
    release(item, sizeof(struct item));
}

static void epoll_release(struct file *file)
{
    struct epoll *epoll = file->state;
    mutex_lock(&lock);
    while (epoll->first != NULL) {
        remove_item(epoll, epoll->first);
    }
    *(epoll->previous != NULL ? &epoll->previous->next : &all) = epoll->next;
    if (epoll->next != NULL) {
        epoll->next->previous = epoll->previous;
    }
    mutex_unlock(&lock);
    event_source_put(&epoll->source);
}

static const struct file_operations operations = {
    .poll = epoll_poll, .release = epoll_release, .stream = true};

int64_t epoll_create_file(uint32_t flags, struct file **file)
{
    struct epoll *epoll = allocate(sizeof(struct epoll));
    if (epoll == NULL) {
        return -ENOMEM;
    }
    epoll->source.references = 1;
    epoll->source.unused = epoll_unused;
    int64_t result =
        file_create_anonymous(&operations, "anon_inode:[eventpoll]", 0600, O_RDWR | flags, epoll, file);
    if (result < 0) {
        epoll_unused(&epoll->source);
        return result;
    }
    mutex_lock(&lock);
    epoll->next = all;
    if (all != NULL) {
        all->previous = epoll;
    }
    all = epoll;
    mutex_unlock(&lock);
    return 0;
}

static struct item *find(struct epoll *epoll, int descriptor, const struct file *file)
{
    struct item *item = epoll->first;
    while (item != NULL && (item->descriptor != descriptor || item->file != file)) {
        item = item->next;
    }
    return item;
}

static const struct epoll *epoll_of(const struct item *item)
{
    return item->file->operations == &operations ? item->file->state : NULL;
}

/* How many epolls lie one in the other below this one; more than NESTING_MAX: too many, or `outer` is one of them. */
static uint32_t depth_below(const struct epoll *epoll, const struct epoll *outer)
{
    uint32_t depth = 0;
    if (epoll == outer) {
        return NESTING_MAX + 1;
    }
    for (const struct item *item = epoll->first; item != NULL && depth <= NESTING_MAX; item = item->next) {
        const struct epoll *inner = epoll_of(item);
        uint32_t found = inner != NULL ? depth_below(inner, outer) + 1 : 0;
        depth = found > depth ? found : depth;
    }
    return depth;
}

static bool watches(const struct epoll *epoll, const struct epoll *inner)
{
    const struct item *item = epoll->first;
    while (item != NULL && epoll_of(item) != inner) {
        item = item->next;
    }
    return item != NULL;
}

static uint32_t depth_above(const struct epoll *inner)
{
    uint32_t depth = 0;
    for (const struct epoll *epoll = all; epoll != NULL; epoll = epoll->next) {
        uint32_t found = watches(epoll, inner) ? depth_above(epoll) + 1 : 0;
        depth = found > depth ? found : depth;
    }
    return depth;
}

/* ep_loop_check() of Linux: would watching `inner` let an epoll watch itself, or nest too deep? */
static bool makes_loop(const struct epoll *outer, const struct epoll *inner)
{
    uint32_t below = depth_below(inner, outer);
    return below > NESTING_MAX || below + 1 + depth_above(outer) > NESTING_MAX;
}

static void set_item(struct item *item, const struct epoll_event *event)
{
    item->events = event->events;
    item->data = event->data;
    item->seen_valid = false;
}

static int64_t change_locked(struct epoll *epoll, enum epoll_operation operation, int descriptor,
    struct file *file, const struct epoll_event *event)
{
    struct item *item = find(epoll, descriptor, file);
    switch (operation) {
    case EPOLL_CTL_ADD:
        if (item != NULL) {
            return -EEXIST;
        }
        if (file->operations == &operations && makes_loop(epoll, file->state)) {
            return -ELOOP;
        }
        item = allocate(sizeof(struct item));
        if (item == NULL) {
            return -ENOMEM;
        }
        item->file = file;
        item->descriptor = descriptor;
        set_item(item, event);
        append(epoll, item);
        __atomic_store_n(&file->watched, true, __ATOMIC_RELEASE);
        return 0;
    case EPOLL_CTL_MOD:
        if (item == NULL) {
            return -ENOENT;
        }
        set_item(item, event);
        return 0;
    case EPOLL_CTL_DEL:
        if (item == NULL) {
            return -ENOENT;
        }
        remove_item(epoll, item);
        return 0;
    default:
        return -EINVAL;
    }
}

int64_t epoll_change(struct file *epoll_file, enum epoll_operation operation, int descriptor,
    struct file *file, const struct epoll_event *event)
{
    if (epoll_file->operations != &operations || epoll_file == file) {
        return -EINVAL;
    }
    if (file->operations->poll == NULL) {
        return -EPERM; /* always ready: regular files, directories, /dev/null */
    }
    struct epoll *epoll = epoll_file->state;
    mutex_lock(&lock);
    int64_t result = change_locked(epoll, operation, descriptor, file, event);
    mutex_unlock(&lock);
    if (result == 0) {
        event_source_changed(&epoll->source);
    }
    return result;
}

void epoll_forget(struct file *file)
{
    mutex_lock(&lock);
    for (struct epoll *epoll = all; epoll != NULL; epoll = epoll->next) {
        for (struct item *item = epoll->first, *next; item != NULL; item = next) {
            next = item->next;
            if (item->file == file) {
                remove_item(epoll, item);
            }
        }
    }
    mutex_unlock(&lock);
}
