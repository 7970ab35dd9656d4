#include "fs/epoll.h"

#include "fs/buffer.h"
#include "fs/hosted.h"
#include "fs/poller.h"

#define EPOLLEXCLUSIVE (1U << 28)
#define EPOLLWAKEUP (1U << 29)
#define EPOLLONESHOT (1U << 30)
#define CONTROL_BITS (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)
#define NESTING_MAX 4U /* EP_MAX_NESTS: an epoll in another, and so on */
#define HOSTED_ROOM (PATH_BUFFER_SIZE / (uint32_t)sizeof(struct host_event)) /* events that the host tells at once */

struct item {
    struct item *next, *previous;
    struct file *file; /* not counted */
    int descriptor;
    int host_fd; /* the host's epoll watches it; -1: it is watched here */
    uint32_t events; /* wanted, with control bits; no event bits: disabled by EPOLLONESHOT */
    uint64_t data;
    bool reported;    /* by the scan whose result counts */
    bool seen_valid;  /* edge-triggered: `seen` holds */
    uint32_t changes; /* of the file's sources, when it was scanned */
    uint32_t seen;    /* of the file's sources, when it was reported last */
};

/*
 * What is all the host's (sockets) an epoll of the host's watches, which knows of edges and of one-shot by itself; the rest is looked at here. So a
 * wait costs as much as there is to tell, whatever the number of connections.
 */
struct epoll {
    struct event_source source; /* changes when items are added or changed */
    struct item *first, *last;  /* watched here */
    struct hosted hosted;
    bool prefers_host; /* where there is room for one event only, both sides take turns */
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

/* The events that the host has told, as the application asked for them. What it says of files that are not watched is nothing. */
static uint32_t list_hosted(const struct hosted *hosted, struct poller_events *told, struct epoll_event *events)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at < told->count; at++) {
        const struct item *item = hosted_item(hosted, told->found[at].fd);
        uint32_t found = item == NULL ? 0 : told->found[at].events & (item->events | POLLERR | POLLHUP) & ~CONTROL_BITS;
        if (found != 0) {
            events[count++] = (struct epoll_event){.events = found, .data = item->data};
        }
    }
    told->count = count == 0 ? 0 : told->count;
    return count;
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
    if (events == NULL && epoll->hosted.count > 0) {
        count = poller_watch_host_events(poller, epoll->hosted.host_fd, POLLIN) != 0;
    }
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
    struct poller_events told;
    bool leaves_host_alone;
};

/* Neither side may leave the other without room for ever: what is watched here comes first, but for one place. */
static uint32_t scan_both(struct request *request, struct poller *poller)
{
    struct epoll *epoll = request->epoll;
    struct poller_events *told = &request->told;
    uint32_t room = (uint32_t)request->room;
    told->host_fd = epoll->hosted.host_fd;
    if (room == 1 && epoll->prefers_host && told->count == 0) {
        int count = host_events_wait(told->host_fd, told->found, 1, 0);
        told->count = count < 0 ? 0 : (uint32_t)count;
    }
    uint32_t count = list_hosted(&epoll->hosted, told, request->events);
    uint32_t left = count > 0 ? room - count : room > 1 ? room - 1 : 1;
    uint32_t here = poll_items(epoll, poller, request->events + count, left, 0);
    told->room = room - here < HOSTED_ROOM ? room - here : HOSTED_ROOM;
    if (told->room > 0 && count == 0) {
        poller_watch_events(poller, told);
        count = list_hosted(&epoll->hosted, told, request->events + here);
    }
    epoll->prefers_host = here > 0;
    return count + here;
}

static int64_t scan(void *context, struct poller *poller)
{
    struct request *request = context;
    mutex_lock(&lock);
    uint32_t count = request->epoll->hosted.count > 0 && !request->leaves_host_alone
                         ? scan_both(request, poller)
                         : poll_items(request->epoll, poller, request->events, request->room, 0);
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

static void note_told(struct epoll *epoll, const struct poller_events *told)
{
    hosted_note(&epoll->hosted, told->is_quiet, told->activity);
    for (uint32_t at = 0; at < told->count; at++) {
        const struct item *item = hosted_item(&epoll->hosted, told->found[at].fd);
        if (item != NULL && (item->events & EPOLLET) == 0) {
            hosted_note_level(&epoll->hosted, told->found[at].fd, told->found[at].events);
        }
    }
}

/* Each is asked: who does not know it lets the host look from now on. */
static bool levels_are_served(const struct hosted *hosted)
{
    bool is_served = true;
    for (uint32_t at = 0; at < hosted->level_count; at++) {
        struct item *item = hosted_item(hosted, hosted->levels[at]);
        is_served &= item == NULL || (item->file->operations->is_read_up != NULL && item->file->operations->is_read_up(item->file));
    }
    return is_served;
}

int64_t epoll_wait_events(struct file *file, struct epoll_event *events, size_t count, uint64_t timeout_ns)
{
    if (file->operations != &operations) {
        return -EINVAL;
    }
    struct request request = {.epoll = file->state, .events = events, .room = count};
    request.told.found = buffer_take(&path_buffers);
    if (request.told.found == NULL) {
        return -ENOMEM;
    }
    if (timeout_ns == 0) {
        mutex_lock(&lock);
        request.leaves_host_alone = hosted_is_quiet(&request.epoll->hosted) && levels_are_served(&request.epoll->hosted);
        mutex_unlock(&lock);
    }
    int64_t result = poll_until(scan, &request, timeout_ns);
    if (result > 0 || request.told.is_asked) {
        mutex_lock(&lock);
        settle(request.epoll);
        note_told(request.epoll, &request.told);
        mutex_unlock(&lock);
    }
    buffer_give(&path_buffers, request.told.found);
    return result;
}

static uint32_t epoll_poll(struct file *file, struct poller *poller)
{
    mutex_lock(&lock);
    uint32_t count = poll_items(file->state, poller, NULL, 1, 1);
    mutex_unlock(&lock);
    return count > 0 ? POLLIN | POLLRDNORM : 0;
}

static void remove_item(struct epoll *epoll, struct item *item, bool is_closing)
{
    if (item->host_fd >= 0) {
        hosted_remove(&epoll->hosted, item->host_fd, is_closing);
    } else {
        take_out(epoll, item);
    }
    release(item, sizeof(struct item));
}

static void epoll_release(struct file *file)
{
    struct epoll *epoll = file->state;
    mutex_lock(&lock);
    while (epoll->first != NULL) {
        remove_item(epoll, epoll->first, true);
    }
    for (uint32_t host_fd = 0; host_fd < epoll->hosted.capacity; host_fd++) {
        release(epoll->hosted.items[host_fd], sizeof(struct item));
    }
    hosted_close(&epoll->hosted);
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

static int host_descriptor_of(const struct file *file)
{
    return file->operations->host_descriptor == NULL ? -1 : file->operations->host_descriptor(file);
}

static struct item *find(struct epoll *epoll, int descriptor, const struct file *file)
{
    struct item *item = hosted_item(&epoll->hosted, host_descriptor_of(file));
    if (item != NULL && item->descriptor == descriptor && item->file == file) {
        return item;
    }
    item = epoll->first;
    while (item != NULL && (item->descriptor != descriptor || item->file != file)) {
        item = item->next;
    }
    return item;
}

static bool is_hosted(struct epoll *epoll, int descriptor, const struct file *file)
{
    const struct item *item = find(epoll, descriptor, file);
    return item != NULL && item->host_fd >= 0;
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

/* The host knows one item of a file. Another one, of a second descriptor, is watched here. */
static int64_t add_item(struct epoll *epoll, int descriptor, struct file *file, const struct epoll_event *event)
{
    struct item *item = allocate(sizeof(struct item));
    int64_t result = 0;
    if (item == NULL) {
        return -ENOMEM;
    }
    item->file = file;
    item->descriptor = descriptor;
    item->host_fd = host_descriptor_of(file);
    set_item(item, event);
    if (item->host_fd >= 0 && hosted_item(&epoll->hosted, item->host_fd) == NULL) {
        result = hosted_add(&epoll->hosted, item, item->host_fd, event->events & ~EPOLLWAKEUP);
    } else {
        item->host_fd = -1;
        append(epoll, item);
    }
    if (result < 0) {
        release(item, sizeof(struct item));
        return result;
    }
    __atomic_store_n(&file->watched, true, __ATOMIC_RELEASE);
    return 0;
}

static int64_t change_item(struct epoll *epoll, struct item *item, const struct epoll_event *event)
{
    int64_t result = item->host_fd < 0 ? 0 : hosted_change(&epoll->hosted, item->host_fd, event->events & ~EPOLLWAKEUP);
    if (result == 0) {
        set_item(item, event);
    }
    return result;
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
        return add_item(epoll, descriptor, file, event);
    case EPOLL_CTL_MOD:
        if (item == NULL) {
            return -ENOENT;
        }
        return change_item(epoll, item, event);
    case EPOLL_CTL_DEL:
        if (item == NULL) {
            return -ENOENT;
        }
        remove_item(epoll, item, false);
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
    bool is_told = is_hosted(epoll, descriptor, file);
    int64_t result = change_locked(epoll, operation, descriptor, file, event);
    /* Who waits is told by the host, if he asks it: from the first file that it watches on. */
    is_told = (is_told || is_hosted(epoll, descriptor, file)) && epoll->hosted.count > 1;
    mutex_unlock(&lock);
    if (result == 0 && !is_told) {
        event_source_changed(&epoll->source);
    }
    return result;
}

void epoll_forget(struct file *file)
{
    int host_fd = host_descriptor_of(file);
    mutex_lock(&lock);
    for (struct epoll *epoll = all; epoll != NULL; epoll = epoll->next) {
        struct item *hosted = hosted_item(&epoll->hosted, host_fd);
        if (hosted != NULL && hosted->file == file) {
            remove_item(epoll, hosted, true);
        }
        for (struct item *item = epoll->first, *next; item != NULL; item = next) {
            next = item->next;
            if (item->file == file) {
                remove_item(epoll, item, true);
            }
        }
    }
    mutex_unlock(&lock);
}
