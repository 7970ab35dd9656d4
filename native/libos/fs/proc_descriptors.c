/* /proc/self/fd and fdinfo. */
#include "fs/proc_content.h"

#include "fs/call_support.h"
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

/* /proc/self/fd/N: a magic link to whatever is open there. */
struct descriptor_link {
    struct inode inode;
    int descriptor;
};

static int descriptor_of(struct inode *link)
{
    return CONTAINER_OF(link, struct descriptor_link, inode)->descriptor;
}

static int64_t descriptor_target(struct inode *link, char *to, size_t size)
{
    struct file *file = file_of_descriptor(descriptor_of(link));
    if (file == NULL) {
        return -ENOENT;
    }
    int64_t result = file_path_locked(file, to, size);
    file_put(file);
    return result;
}

static int64_t descriptor_jump(struct inode *link, struct inode **target, struct open_name **name)
{
    struct file *file = file_of_descriptor(descriptor_of(link));
    if (file == NULL) {
        return -ENOENT;
    }
    *target = inode_get(file->inode);
    *name = file->name != NULL ? open_name_get(file->name) : NULL;
    file_put(file);
    return 0;
}

static void descriptor_link_unused(struct inode *inode)
{
    release(CONTAINER_OF(inode, struct descriptor_link, inode), sizeof(struct descriptor_link));
}

static const struct inode_operations descriptor_operations = {
    .read_link = descriptor_target,
    .jump = descriptor_jump,
    .unused = descriptor_link_unused,
};

int64_t proc_descriptor_lookup(struct name name, struct inode **found)
{
    int64_t descriptor = proc_number_of(name);
    if (descriptor < 0 || descriptor_flags(descriptor) < 0) {
        return -ENOENT;
    }
    int64_t result = synthetic_create_inode(
        &proc_file_system, &descriptor_operations, S_IFLNK | 0700, sizeof(struct descriptor_link), found);
    if (result == 0) {
        CONTAINER_OF(*found, struct descriptor_link, inode)->descriptor = (int)descriptor;
        (*found)->size = 64;
    }
    return result;
}

static int64_t list_descriptors(uint64_t cookie, uint32_t type, entry_sink *sink, void *context)
{
    uint64_t base = cookie & ~0xFFFFFFFFULL;
    char text[16];
    for (int64_t at = descriptor_next((int64_t)(cookie - base)); at >= 0; at = descriptor_next(at + 1)) {
        if (!sink(context, proc_name_of_number(text, at), base + (uint64_t)at + 1, type,
                base + (uint64_t)at + 1)) {
            break;
        }
    }
    return 0;
}

int64_t proc_descriptor_list(uint64_t cookie, entry_sink *sink, void *context)
{
    return list_descriptors(cookie, S_IFLNK, sink, context);
}

/* /proc/self/fdinfo/N is made when it is opened: what the descriptor is then. */
struct descriptor_info {
    struct inode inode;
    int descriptor;
};

static int64_t info_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    const struct text *text = file->state;
    size_t left = *offset < text->used ? text->used - (size_t)*offset : 0;
    size_t part = left < length ? left : length;
    memcpy(to, text->bytes + *offset, part);
    *offset += part;
    return (int64_t)part;
}

static void info_release(struct file *file)
{
    struct text *text = file->state;
    release(text->bytes, text->size);
    release(text, sizeof(struct text));
}

static const struct file_operations info_file_operations = {.read = info_read, .release = info_release, .generated = true};

static void add_info(struct text *text, struct file *file, int descriptor)
{
    bool is_closed_on_exec = descriptor_flags(descriptor) > 0;
    text_add(text, "pos:\t%llu\nflags:\t0%o\nmnt_id:\t%u\nino:\t%llu\n", (unsigned long long)file->position,
        file_status_flags(file) | (is_closed_on_exec ? O_CLOEXEC : 0), file->inode->file_system->device,
        (unsigned long long)file->inode->number);
    if (file->operations->tell != NULL) {
        file->operations->tell(file, text);
    }
}

static int64_t info_open(struct inode *inode, struct file *file)
{
    int descriptor = CONTAINER_OF(inode, struct descriptor_info, inode)->descriptor;
    struct file *target = file_of_descriptor(descriptor);
    if (target == NULL) {
        return -ENOENT;
    }
    struct text *text = allocate(sizeof(struct text));
    if (text != NULL) {
        add_info(text, target, descriptor);
    }
    file_put(target);
    if (text == NULL || text->failed) {
        if (text != NULL) {
            release(text->bytes, text->size);
        }
        release(text, sizeof(struct text));
        return -ENOMEM;
    }
    file->state = text;
    file->operations = &info_file_operations;
    return 0;
}

static void info_unused(struct inode *inode)
{
    release(CONTAINER_OF(inode, struct descriptor_info, inode), sizeof(struct descriptor_info));
}

static const struct inode_operations info_operations = {.open = info_open, .unused = info_unused};

int64_t proc_descriptor_info_lookup(struct name name, struct inode **found)
{
    int64_t descriptor = proc_number_of(name);
    if (descriptor < 0 || descriptor_flags(descriptor) < 0) {
        return -ENOENT;
    }
    int64_t result = synthetic_create_inode(
        &proc_file_system, &info_operations, S_IFREG | 0444, sizeof(struct descriptor_info), found);
    if (result == 0) {
        CONTAINER_OF(*found, struct descriptor_info, inode)->descriptor = (int)descriptor;
    }
    return result;
}

int64_t proc_descriptor_info_list(uint64_t cookie, entry_sink *sink, void *context)
{
    return list_descriptors(cookie, S_IFREG, sink, context);
}
