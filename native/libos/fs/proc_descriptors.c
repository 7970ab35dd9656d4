/* /proc/PID/fd and fdinfo. */
#include "fs/proc_content.h"

#include "fs/call_support.h"
#include "fs/descriptor.h"
#include "fs/open_name.h"

/* A decimal number without leading zeros, or -1. */
int64_t proc_number_of(struct name name)
{
    int64_t number = 0;
    for (size_t at = 0; at < name.length; at++) {
        if (name.bytes[at] < '0' || name.bytes[at] > '9' || name.length > 9 ||
            (at == 0 && name.bytes[0] == '0' && name.length > 1)) {
            return -1;
        }
        number = number * 10 + (name.bytes[at] - '0');
    }
    return name.length > 0 ? number : -1;
}

struct name proc_name_of_number(char buffer[16], int64_t number)
{
    size_t length = format_text(buffer, 16, "%d", (int)number);
    return (struct name){.bytes = buffer, .length = length};
}

static struct file *file_of(const struct proc_entry *entry)
{
    bool closes;
    return descriptor_file_of(&entry->subject, entry->descriptor, &closes);
}

static int64_t descriptor_target(const struct proc_entry *entry, char *to, size_t size)
{
    struct file *file = file_of(entry);
    int64_t result = file ? file_path_locked(file, to, size) : -ENOENT;
    file_put(file);
    return result;
}

/* A magic link to whatever is open there. */
static int64_t descriptor_jump(const struct proc_entry *entry, struct inode **target, struct open_name **name)
{
    struct file *file = file_of(entry);
    if (!file) {
        return -ENOENT;
    }
    *target = inode_get(file->inode);
    *name = file->name ? open_name_get(file->name) : NULL;
    file_put(file);
    return 0;
}

/* What lies in no mount of the tree, as a pipe, has a number above all of theirs. */
static uint64_t mount_of(const struct file *file)
{
    struct location location;
    namespace_lock();
    location_of_name(file->name, &location);
    uint64_t mount = mount_number(file->inode, location.parent);
    namespace_unlock();
    location_release(&location);
    return mount != 0 ? mount : MOUNT_NUMBER_MAX + file->inode->file_system->device;
}

static int64_t descriptor_info(struct text *text, const struct proc_entry *entry)
{
    bool closes;
    struct file *file = descriptor_file_of(&entry->subject, entry->descriptor, &closes);
    if (!file) {
        return -ENOENT;
    }
    text_add(text, "pos:\t%llu\nflags:\t0%o\nmnt_id:\t%llu\nino:\t%llu\n", (unsigned long long)file->position,
        file_status_flags(file) | (closes ? O_CLOEXEC : 0), (unsigned long long)mount_of(file), (unsigned long long)file->inode->number);
    if (file->operations->tell) {
        file->operations->tell(file, text);
    }
    file_put(file);
    return 0;
}

static const struct proc_row link_row = {
    .path = "fd/N", .mode = S_IFLNK | 0700, .target = descriptor_target, .jump = descriptor_jump, .is_private = true};
static const struct proc_row info_row = {.path = "fdinfo/N", .mode = S_IFREG | 0444, .content = descriptor_info, .is_private = true};

/* tid_fd_update_inode() of Linux: the link's own rights tell how the file is open. */
static uint32_t mode_of_link(const struct file *file)
{
    return (is_readable(file) ? 0500 : 0) | (is_writable(file) ? 0300 : 0);
}

static int64_t find(struct proc_entry *folder, const struct proc_row *row, struct name name, struct inode **found)
{
    int64_t descriptor = proc_number_of(name);
    bool closes;
    struct file *file = descriptor >= 0 ? descriptor_file_of(&folder->subject, descriptor, &closes) : NULL;
    if (!file) {
        return -ENOENT;
    }
    int64_t result = proc_entry_create(&folder->subject, folder->table, row, (int32_t)descriptor, &folder->inode, name, found);
    if (result == 0 && row == &link_row) {
        (*found)->mode = S_IFLNK | mode_of_link(file);
        (*found)->size = 64;
    }
    file_put(file);
    return result;
}

int64_t proc_descriptor_lookup(struct proc_entry *folder, struct name name, struct inode **found)
{
    return find(folder, &link_row, name, found);
}

int64_t proc_descriptor_info_lookup(struct proc_entry *folder, struct name name, struct inode **found)
{
    return find(folder, &info_row, name, found);
}

static int64_t list(const struct proc_entry *folder, const struct proc_row *row, uint64_t cookie, entry_sink *sink, void *context)
{
    char text[16];
    const struct subject *subject = &folder->subject;
    for (int64_t at = descriptor_next_of(subject, (int64_t)(cookie - PROC_COOKIE_BASE)); at >= 0; at = descriptor_next_of(subject, at + 1)) {
        uint64_t number = proc_entry_number(subject, folder->table, row, (int32_t)at);
        if (!sink(context, proc_name_of_number(text, at), number, row->mode & S_IFMT, PROC_COOKIE_BASE + (uint64_t)at + 1)) {
            break;
        }
    }
    return 0;
}

int64_t proc_descriptor_list(const struct proc_entry *folder, uint64_t cookie, entry_sink *sink, void *context)
{
    return list(folder, &link_row, cookie, sink, context);
}

int64_t proc_descriptor_info_list(const struct proc_entry *folder, uint64_t cookie, entry_sink *sink, void *context)
{
    return list(folder, &info_row, cookie, sink, context);
}
