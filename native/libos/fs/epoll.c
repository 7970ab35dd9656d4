#include "fs/epoll_items.h"

#include "fs/ahead.h"
#include "fs/buffer.h"

#define HOSTED_ROOM (PATH_BUFFER_SIZE / (uint32_t)sizeof(struct host_event)) /* events that the host tells at once */

/* One lock for all: nested epolls and closing files need no order of locks. */
static struct mutex lock;

static const struct file_operations operations;

struct epoll *epoll_of(const struct file *file)
{
    return file->operations == &operations ? file->state : NULL;
}

static void epoll_unused(struct event_source *source)
{
    release(CONTAINER_OF(source, struct epoll, source), sizeof(struct epoll));
}

/* The events that the host has told, as the application asked for them. What it says of files that are not watched is nothing, and of one that was
 * told already, it is no second event: programs let go of what an event is about, and one wait of Linux tells of a file once. */
static uint32_t list_hosted(struct epoll *epoll, struct poller_events *told, struct epoll_event *events)
{
    uint32_t count = 0;
    bool is_news = false;
    for (uint32_t at = 0; at < told->count; at++) {
        struct item *item = hosted_item(&epoll->hosted, told->found[at].fd);
        uint32_t found = !item ? 0 : told->found[at].events & (item->events | POLLERR | POLLHUP) & ~CONTROL_BITS;
        if (found == 0 || item->told_in == epoll->scans) {
            continue;
        }
        is_news = true;
        item->told_in = epoll->scans;
        item->is_spent = (item->events & EPOLLONESHOT) != 0;
        if (item->found) {
            item->found->events |= found;
        } else {
            found |= item_has_ahead(item) ? (POLLIN | POLLRDNORM) & item->events : 0;
            ready_remove(item); /* until note_told() */
            events[count++] = (struct epoll_event){.events = found, .data = item->data};
        }
    }
    told->count = is_news ? told->count : 0;
    return count;
}

struct request {
    struct epoll *epoll;
    struct epoll_event *events;
    size_t room;
    struct poller_events told;
    bool leaves_host_alone;
};

/* Where there is no room for the host to tell of them, it is asked what else holds of those whose data it has handed over. */
static void ask_for_rest(const struct epoll *epoll)
{
    for (struct item *item = epoll->kept; item; item = item->next_kept) {
        uint32_t rest = item->events & ~(CONTROL_BITS | POLLIN | POLLRDNORM | POLLERR | POLLHUP);
        struct host_poll asked = {.fd = item->host_fd, .events = (uint16_t)rest};
        if (item->host_fd >= 0 && item->found && rest != 0 && host_poll(&asked, 1, 0) > 0) {
            item->found->events |= asked.revents & item->events;
        }
    }
}

/* Neither side may leave the other without room for ever: what is watched here comes first, but for one place. */
static uint32_t scan_both(struct request *request, struct poller *poller)
{
    struct epoll *epoll = request->epoll;
    struct poller_events *told = &request->told;
    uint32_t room = (uint32_t)request->room;
    told->host_fd = epoll->hosted.host_fd;
    if (room == 1 && epoll->prefers_host && told->count == 0) {
        int count = host_events_wait(told->host_fd, told->found, 1, 0, NULL);
        told->count = count < 0 ? 0 : (uint32_t)count;
    }
    uint32_t count = list_hosted(epoll, told, request->events);
    uint32_t left = count > 0 ? room - count : room > 1 ? room - 1 : 1;
    uint32_t here = ready_poll(epoll, poller, request->events + count, left, 0);
    told->room = room - here < HOSTED_ROOM ? room - here : HOSTED_ROOM;
    if (told->room > 0 && count == 0) {
        poller_watch_events(poller, told);
        count = list_hosted(epoll, told, request->events + here);
    } else if (told->room == 0) {
        ask_for_rest(epoll);
    }
    if (poller_counts(poller)) {
        epoll->prefers_host = here > 0;
    }
    return count + here;
}

static int64_t scan(void *context, struct poller *poller)
{
    struct request *request = context;
    mutex_lock(&lock);
    request->epoll->scans++;
    uint32_t count = request->epoll->hosted.count > 0 && !request->leaves_host_alone
                         ? scan_both(request, poller)
                         : ready_poll(request->epoll, poller, request->events, request->room, 0);
    ready_settle(request->epoll, poller_counts(poller));
    mutex_unlock(&lock);
    return count;
}

static void note_told(struct epoll *epoll, const struct poller_events *told)
{
    hosted_note(&epoll->hosted, told->is_quiet, told->activity);
    for (uint32_t at = 0; at < told->count; at++) {
        struct item *item = hosted_item(&epoll->hosted, told->found[at].fd);
        if (item && (item->events & EPOLLET) == 0) {
            hosted_note_level(&epoll->hosted, told->found[at].fd, told->found[at].events);
            if (item_has_ahead(item)) {
                ready_changed(&item->subscriber);
            }
        }
    }
}

/* Each is asked: who does not know it lets the host look from now on. */
static bool levels_are_served(const struct hosted *hosted)
{
    bool is_served = true;
    for (uint32_t at = 0; at < hosted->level_count; at++) {
        struct item *item = hosted_item(hosted, hosted->levels[at]);
        is_served &= !item || (item->file->operations->is_read_up && item->file->operations->is_read_up(item->file));
    }
    return is_served;
}

int64_t epoll_wait_events(struct file *file, struct epoll_event *events, size_t count, uint64_t timeout_ns)
{
    if (!epoll_of(file)) {
        return -EINVAL;
    }
    struct request request = {.epoll = epoll_of(file), .events = events, .room = count};
    request.told.found = buffer_take(&path_buffers);
    if (!request.told.found) {
        return -ENOMEM;
    }
    request.told.ahead = ahead_take();
    if (timeout_ns == 0) {
        mutex_lock(&lock);
        request.leaves_host_alone = hosted_is_quiet(&request.epoll->hosted) && levels_are_served(&request.epoll->hosted);
        mutex_unlock(&lock);
    }
    int64_t result = poll_until(scan, &request, timeout_ns);
    if (result > 0 || request.told.is_asked) {
        mutex_lock(&lock);
        note_told(request.epoll, &request.told);
        mutex_unlock(&lock);
    }
    ahead_give(request.told.ahead);
    buffer_give(&path_buffers, request.told.found);
    return result;
}

size_t epoll_watched(const struct file *file)
{
    const struct epoll *epoll = epoll_of(file);
    mutex_lock(&lock);
    size_t count = !epoll ? 0 : epoll->count;
    mutex_unlock(&lock);
    return count;
}

static uint32_t epoll_poll(struct file *file, struct poller *poller)
{
    mutex_lock(&lock);
    uint32_t count = ready_poll(file->state, poller, NULL, 1, 1);
    mutex_unlock(&lock);
    return count > 0 ? POLLIN | POLLRDNORM : 0;
}

/* `is_closing`: the file, or the epoll. */
static void remove_item(struct item *item, bool is_closing)
{
    if (item->host_fd >= 0) {
        hosted_remove(&item->epoll->hosted, item->host_fd, is_closing);
    }
    subscriber_leave(&item->subscriber);
    ready_remove(item);
    items_remove(item);
    release(item, sizeof(struct item));
}

static void epoll_release(struct file *file)
{
    struct epoll *epoll = file->state;
    mutex_lock(&lock);
    for (struct item *item = items_next(epoll, NULL), *next; item; item = next) {
        next = items_next(epoll, item);
        remove_item(item, true);
    }
    release(epoll->buckets, epoll->capacity * sizeof(struct item *));
    hosted_close(&epoll->hosted);
    mutex_unlock(&lock);
    event_source_put(&epoll->source);
}

static const struct file_operations operations = {
    .poll = epoll_poll, .release = epoll_release, .stream = true, .stands = true};

int64_t epoll_create_file(uint32_t flags, struct file **file)
{
    struct epoll *epoll = allocate(sizeof(struct epoll));
    if (!epoll) {
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
    epoll->file = *file;
    return 0;
}

static int host_descriptor_of(const struct file *file)
{
    return !file->operations->host_descriptor ? -1 : file->operations->host_descriptor(file);
}

/* Linux tells of errors and of the end, whoever asks for them or not. */
static void set_item(struct item *item, const struct epoll_event *event)
{
    item->events = event->events | POLLERR | POLLHUP;
    item->data = event->data;
    item->seen_valid = false;
    item->is_spent = false;
}

/* What the host has handed over it does not tell of. Positive: who waits has to look. */
static int64_t look_ahead(struct item *item)
{
    bool has_ahead = item_has_ahead(item);
    if (has_ahead) {
        ready_add(item);
    }
    return has_ahead;
}

/* The host knows one item of a file. Another one, of a second descriptor, is watched here. */
static int64_t begin_item(struct item *item, const struct epoll_event *event)
{
    struct hosted *hosted = &item->epoll->hosted;
    item->host_fd = host_descriptor_of(item->file);
    if (item->host_fd >= 0 && !hosted_item(hosted, item->host_fd)) {
        int64_t result = hosted_add(hosted, item, item->host_fd, event->events & ~EPOLLWAKEUP);
        return result < 0 ? result : look_ahead(item);
    }
    item->host_fd = -1;
    return ready_begin(item);
}

static int64_t add_item(struct epoll *epoll, int descriptor, struct file *file, const struct epoll_event *event)
{
    struct item *item = allocate(sizeof(struct item));
    if (!item) {
        return -ENOMEM;
    }
    item->epoll = epoll;
    item->file = file;
    item->descriptor = descriptor;
    item->subscriber.changed = ready_changed;
    set_item(item, event);
    if (!items_add(item)) {
        release(item, sizeof(struct item));
        return -ENOMEM;
    }
    int64_t result = begin_item(item, event);
    if (result < 0) {
        item->host_fd = -1; /* which does not know it */
        remove_item(item, false);
    }
    return result;
}

static int64_t change_item(struct item *item, const struct epoll_event *event)
{
    int64_t result = item->host_fd < 0 ? 0 : hosted_change(&item->epoll->hosted, item->host_fd, event->events & ~EPOLLWAKEUP);
    if (result == 0) {
        set_item(item, event);
    }
    return result < 0 ? result : item->host_fd >= 0 ? look_ahead(item) : ready_begin(item);
}

/* do_epoll_ctl() of Linux, before it looks for the item: EPOLLEXCLUSIVE is for what is added, and with little else. */
static bool is_wrongly_exclusive(enum epoll_operation operation, const struct file *file, uint32_t events)
{
    uint32_t others = EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLET | POLLIN | POLLOUT | POLLERR | POLLHUP;
    if ((events & EPOLLEXCLUSIVE) == 0 || operation == EPOLL_CTL_DEL) {
        return false;
    }
    return operation != EPOLL_CTL_ADD || epoll_of(file) || (events & ~others) != 0;
}

/* Positive: who waits has to look at the item. */
static int64_t change_locked(struct epoll *epoll, enum epoll_operation operation, int descriptor,
    struct file *file, const struct epoll_event *event)
{
    struct item *item = items_find(epoll, descriptor, file);
    switch (operation) {
    case EPOLL_CTL_ADD:
        if (item) {
            return -EEXIST;
        }
        if (epoll_of(file) && nesting_is_refused(epoll, epoll_of(file))) {
            return -ELOOP;
        }
        return add_item(epoll, descriptor, file, event);
    case EPOLL_CTL_MOD:
        if (!item) {
            return -ENOENT;
        }
        return (item->events & EPOLLEXCLUSIVE) ? -EINVAL : change_item(item, event);
    case EPOLL_CTL_DEL:
        if (!item) {
            return -ENOENT;
        }
        remove_item(item, false);
        return 0;
    default:
        return -EINVAL;
    }
}

int64_t epoll_change(struct file *epoll_file, enum epoll_operation operation, int descriptor,
    struct file *file, const struct epoll_event *event)
{
    struct epoll *epoll = epoll_of(epoll_file);
    if (!epoll || epoll_file == file) {
        return -EINVAL;
    }
    if (!file->operations->poll) {
        return -EPERM; /* always ready: regular files, directories, /dev/null */
    }
    if (is_wrongly_exclusive(operation, file, event->events)) {
        return -EINVAL;
    }
    mutex_lock(&lock);
    uint32_t hosted = epoll->hosted.count;
    int64_t result = change_locked(epoll, operation, descriptor, file, event);
    /* Who waits is told by the host, if he asks it: from the first file that it watches on. */
    bool must_look = result > 0 || (hosted == 0 && epoll->hosted.count > 0);
    mutex_unlock(&lock);
    if (must_look) {
        event_source_has_data(&epoll->source);
    }
    return result < 0 ? result : 0;
}

bool epoll_watches(const struct file *file)
{
    return __atomic_load_n(&file->items, __ATOMIC_RELAXED) != NULL;
}

void epoll_has_ahead(struct file *file, int events_fd)
{
    mutex_lock(&lock);
    for (struct item *item = file->items; item; item = item->next_of_file) {
        bool is_told = item->epoll->hosted.host_fd == events_fd && item->host_fd >= 0;
        if (!is_told) {
            ready_changed(&item->subscriber);
        }
    }
    mutex_unlock(&lock);
}

void epoll_forget(struct file *file)
{
    mutex_lock(&lock);
    while (file->items) {
        remove_item(file->items, true);
    }
    mutex_unlock(&lock);
}
