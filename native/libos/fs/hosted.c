#include "fs/hosted.h"

#include "fs/epoll.h"
#include "fs/poller.h"

#define FIRST_CAPACITY 64U
#define CAPACITY_MAX 0x100000U

struct item *hosted_item(const struct hosted *hosted, int host_fd)
{
    return host_fd >= 0 && (uint32_t)host_fd < hosted->capacity ? hosted->items[host_fd] : NULL;
}

static bool make_room(struct hosted *hosted, uint32_t host_fd)
{
    uint32_t capacity = hosted->capacity == 0 ? FIRST_CAPACITY : hosted->capacity;
    while (capacity <= host_fd && capacity < CAPACITY_MAX) {
        capacity *= 2;
    }
    if (capacity <= host_fd) {
        return false;
    }
    if (capacity > hosted->capacity) {
        struct item **items = allocate(capacity * sizeof(struct item *));
        if (!items) {
            return false;
        }
        if (hosted->items) {
            memcpy(items, hosted->items, hosted->capacity * sizeof(struct item *));
        }
        release(hosted->items, hosted->capacity * sizeof(struct item *));
        hosted->items = items;
        hosted->capacity = capacity;
    }
    return true;
}

int64_t hosted_add(struct hosted *hosted, struct item *item, int host_fd, uint32_t events)
{
    if (hosted->host_fd == 0) {
        int created = host_events_create();
        if (created < 0) {
            return created;
        }
        hosted->host_fd = created;
    }
    if (!make_room(hosted, (uint32_t)host_fd)) {
        return -ENOMEM;
    }
    int64_t result = host_events_change(hosted->host_fd, EPOLL_CTL_ADD, host_fd, events);
    if (result == 0) {
        hosted->items[host_fd] = item;
        hosted->count++;
        hosted->quiet.is_known = false;
    }
    return result;
}

int64_t hosted_change(struct hosted *hosted, int host_fd, uint32_t events)
{
    int64_t result = host_events_change(hosted->host_fd, EPOLL_CTL_MOD, host_fd, events);
    hosted->quiet.is_known &= result != 0;
    return result;
}

void hosted_note(struct hosted *hosted, bool is_quiet, uint64_t activity)
{
    quiet_note(&hosted->quiet, is_quiet, activity);
    hosted->level_count = 0;
}

/* Of anything but data to read, nobody knows when it is served. */
void hosted_note_level(struct hosted *hosted, int host_fd, uint32_t events)
{
    if (hosted->level_count == HOSTED_LEVELS || (events & ~(POLLIN | POLLRDNORM)) != 0) {
        hosted->quiet.is_known = false;
        return;
    }
    hosted->levels[hosted->level_count++] = host_fd;
}

bool hosted_is_quiet(struct hosted *hosted)
{
    return quiet_use(&hosted->quiet);
}

void hosted_remove(struct hosted *hosted, int host_fd, bool is_closing)
{
    if (!is_closing) {
        host_events_change(hosted->host_fd, EPOLL_CTL_DEL, host_fd, 0);
    }
    hosted->items[host_fd] = NULL;
    hosted->count--;
}

void hosted_close(struct hosted *hosted)
{
    if (hosted->host_fd != 0) {
        host_close(hosted->host_fd);
    }
    release(hosted->items, hosted->capacity * sizeof(struct item *));
}
