#include "fs/notify.h"

#include "fs/dnotify.h"
#include "fs/open_name.h"

/* What those who watch a directory hear of things in it. */
#define EVENTS_OF_CHILDREN (IN_ACCESS | IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_CLOSE_NOWRITE | IN_OPEN)

static bool somebody_watches(void)
{
    return inotify_is_used() || dnotify_is_used();
}

static void tell(const struct inode *watched, const struct happening *happening)
{
    inotify_tell(watched, happening);
    dnotify_tell(watched, happening);
}

static uint32_t kind_of(const struct inode *inode)
{
    return is_directory(inode) ? IN_ISDIR : 0;
}

void notify_inode(const struct inode *inode, uint32_t event)
{
    if (somebody_watches()) {
        const struct happening happening = {.event = event | kind_of(inode)};
        tell(inode, &happening);
    }
}

static void tell_name(const struct inode *directory, struct name name, uint32_t event, uint32_t cookie)
{
    const struct happening happening = {.event = event, .name = name, .cookie = cookie};
    tell(directory, &happening);
}

void notify_name(const struct inode *directory, struct name name, uint32_t event)
{
    if (somebody_watches()) {
        tell_name(directory, name, event, 0);
    }
}

/* First the directory that it lies in, then itself. */
static void tell_at(const struct inode *inode, const struct location *location, uint32_t event)
{
    if (location->parent && (event & EVENTS_OF_CHILDREN)) {
        const struct happening happening = {
            .event = event | kind_of(inode),
            .name = {.bytes = location->name, .length = location->length},
            .removed = location->removed,
        };
        tell(location->parent, &happening);
    }
    const struct happening happening = {.event = event | kind_of(inode), .removed = location->removed};
    tell(inode, &happening);
}

/* `as_path`: a name that was removed is told as such. */
static void tell_under_name(const struct inode *inode, const struct open_name *name, uint32_t event, bool as_path)
{
    struct location location;
    if (is_directory(inode)) {
        location_of_directory(inode, &location);
    } else {
        location_of_name(name, &location);
    }
    location.removed &= as_path;
    tell_at(inode, &location, event);
    location_release(&location);
}

void notify_file(struct file *file, uint32_t event)
{
    if (somebody_watches()) {
        tell_under_name(file->inode, file->name, event, true);
    }
}

void notify_file_changed(struct file *file, uint32_t event)
{
    if (somebody_watches()) {
        tell_under_name(file->inode, file->name, event, false);
    }
}

void notify_opened(struct file *file)
{
    file->announced = true;
    notify_file(file, IN_OPEN);
}

void notify_place(const struct place *place, uint32_t event)
{
    if (!somebody_watches() || event == 0) {
        return;
    }
    if (!place->parent || is_directory(place->inode)) {
        tell_under_name(place->inode, place->opened, event, false);
        return;
    }
    struct location location = {.parent = place->parent, .length = place->name_length};
    memcpy(location.name, place->name, place->name_length);
    tell_at(place->inode, &location, event);
}

/* fsnotify_change(): one of the times alone looks like reading or writing. */
uint32_t notify_attributes(uint32_t which)
{
    uint32_t times = which & (ATTRIBUTE_ATIME | ATTRIBUTE_MTIME);
    uint32_t event = which & (ATTRIBUTE_MODE | ATTRIBUTE_UID | ATTRIBUTE_GID) ? IN_ATTRIB : 0;
    switch (times) {
    case ATTRIBUTE_ATIME | ATTRIBUTE_MTIME:
        return event | IN_ATTRIB;
    case ATTRIBUTE_ATIME:
        return event | IN_ACCESS;
    case ATTRIBUTE_MTIME:
        return event | IN_MODIFY;
    default:
        return event;
    }
}

void notify_end(const struct inode *inode)
{
    if (somebody_watches()) {
        notify_inode(inode, IN_DELETE_SELF);
        inotify_end(inode);
    }
}

/* A directory entry that is in use goes when it no longer is (dentry_unlink_inode() of Linux): see free_file(). */
static void end_unless_used(const struct inode *inode, bool last, bool was_open)
{
    if (last && !was_open && __atomic_load_n(&inode->pins, __ATOMIC_ACQUIRE) == 0) {
        notify_end(inode);
    }
}

void notify_removed(const struct place *place, bool last)
{
    bool was_open = open_names_removed(place->parent, place_name(place));
    if (!somebody_watches()) {
        return;
    }
    if (!is_directory(place->inode)) {
        notify_inode(place->inode, IN_ATTRIB); /* its number of links */
    }
    end_unless_used(place->inode, last, was_open);
    tell_name(place->parent, place_name(place), IN_DELETE | kind_of(place->inode), 0);
}

static void tell_moved(const struct place *old, const struct place *new)
{
    static uint32_t last_cookie;
    uint32_t cookie = __atomic_add_fetch(&last_cookie, 1, __ATOMIC_RELAXED), kind = kind_of(old->inode);
    tell_name(old->parent, place_name(old), IN_MOVED_FROM | kind, cookie);
    tell_name(new->parent, place_name(new), IN_MOVED_TO | kind, cookie);
    if (old->parent == new->parent) {
        dnotify_tell(old->parent, &(struct happening){.event = DNOTIFY_RENAMED});
    }
}

void notify_moved(const struct place *old, const struct place *new, struct inode *replaced, bool last)
{
    bool was_open = open_names_moved(old->parent, place_name(old), new->parent, place_name(new));
    if (!somebody_watches()) {
        return;
    }
    tell_moved(old, new);
    if (replaced) {
        notify_inode(replaced, IN_ATTRIB);
    }
    notify_inode(old->inode, IN_MOVE_SELF);
    if (replaced) {
        end_unless_used(replaced, last, was_open);
    }
}

void notify_exchanged(const struct place *one, const struct place *other)
{
    open_names_exchanged(one->parent, place_name(one), other->parent, place_name(other));
    if (somebody_watches()) {
        tell_moved(one, other);
        notify_inode(one->inode, IN_MOVE_SELF);
        tell_moved(other, one);
        notify_inode(other->inode, IN_MOVE_SELF);
    }
}
