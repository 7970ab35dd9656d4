#include "fs/synthetic.h"
#include "process/process.h"

struct entry {
    struct inode inode;
    const struct synthetic_row *row;
    struct entry *parent, *sibling, *children;
    struct name name; /* the last component of the row's path */
    uint64_t cookie;
};

#define TABLE_COOKIE_END (1ULL << 32) /* cookies above belong to the row's list() */

static const struct inode_operations operations;

static struct entry *entry_of(struct inode *inode)
{
    return CONTAINER_OF(inode, struct entry, inode);
}

char *text_reserve(struct text *text, size_t length)
{
    if (length > text->size - text->used) {
        size_t size = text->size == 0 ? PAGE_SIZE : text->size;
        while (size - text->used < length) {
            size *= 2;
        }
        char *bytes = !text->bytes ? allocate(size) : reallocate(text->bytes, text->size, size);
        if (!bytes) {
            text->failed = true;
            return NULL;
        }
        text->bytes = bytes;
        text->size = size;
    }
    return text->bytes + text->used;
}

void text_add_bytes(struct text *text, const void *bytes, size_t length)
{
    char *to = text_reserve(text, length);
    if (to) {
        memcpy(to, bytes, length);
        text->used += length;
    }
}

void text_add(struct text *text, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    size_t length = format_text_list(line, sizeof(line), format, arguments);
    va_end(arguments);
    text_add_bytes(text, line, length < sizeof(line) ? length : sizeof(line) - 1);
}

struct text_file {
    const struct text_source *source;
    struct mutex lock;
    struct text text;
};

static int64_t text_file_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    struct text_file *opened = file->state;
    struct text *text = &opened->text;
    int64_t result = 0;
    mutex_lock(&opened->lock);
    if (*offset == 0) {
        text->used = 0;
        text->failed = false;
        result = opened->source->make(file->inode, text);
        result = result == 0 && text->failed ? -ENOMEM : result;
        text->used = result < 0 ? 0 : text->used;
    }
    if (result == 0 && *offset < text->used) {
        size_t left = text->used - (size_t)*offset;
        size_t part = left < length ? left : length;
        memcpy(to, text->bytes + *offset, part);
        *offset += part;
        result = (int64_t)part;
    }
    mutex_unlock(&opened->lock);
    return result;
}

static int64_t text_file_write(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    const struct text_file *opened = file->state;
    int64_t result = opened->source->write ? opened->source->write(file->inode, from, length) : -EINVAL;
    *offset += result == 0 ? length : 0;
    return result == 0 ? (int64_t)length : result;
}

static void text_file_release(struct file *file)
{
    struct text_file *opened = file->state;
    release(opened->text.bytes, opened->text.size);
    release(opened, sizeof(struct text_file));
}

static const struct file_operations text_file_operations = {
    .read = text_file_read,
    .write = text_file_write,
    .release = text_file_release,
    .generated = true,
};

int64_t text_file_open(struct file *file, const struct text_source *source)
{
    struct text_file *opened = allocate(sizeof(struct text_file));
    if (!opened) {
        return -ENOMEM;
    }
    opened->source = source;
    file->state = opened;
    file->operations = &text_file_operations;
    return 0;
}

static int64_t make_content(struct inode *inode, struct text *text)
{
    const struct synthetic_row *row = entry_of(inode)->row;
    if (row->content) {
        row->content(text);
    } else {
        text_add_bytes(text, row->fixed, strlen(row->fixed));
    }
    return 0;
}

static const struct text_source content_source = {.make = make_content};

static int64_t synthetic_open(struct inode *inode, struct file *file)
{
    const struct blob *blob = entry_of(inode)->row->blob;
    if (is_directory(inode)) {
        return 0;
    }
    return blob ? blob_open(file, blob) : text_file_open(file, &content_source);
}

static int64_t synthetic_lookup(struct inode *directory, struct name name, struct inode **found)
{
    const struct entry *parent = entry_of(directory);
    for (struct entry *child = parent->children; child; child = child->sibling) {
        if (name_equals(child->name, name)) {
            *found = inode_get(&child->inode);
            return 0;
        }
    }
    return parent->row->lookup ? parent->row->lookup(directory, name, found) : -ENOENT;
}

static int64_t synthetic_list(struct inode *directory, uint64_t cookie, entry_sink *sink, void *context)
{
    const struct entry *parent = entry_of(directory);
    for (struct entry *child = parent->children; child && cookie < TABLE_COOKIE_END;
        child = child->sibling) {
        if (child->cookie > cookie &&
            !sink(context, child->name, child->inode.number, child->inode.mode & S_IFMT, child->cookie)) {
            return 0;
        }
    }
    if (!parent->row->list) {
        return 0;
    }
    return parent->row->list(cookie < TABLE_COOKIE_END ? TABLE_COOKIE_END : cookie, sink, context);
}

static int64_t synthetic_read_link(struct inode *link, char *to, size_t size)
{
    const struct synthetic_row *row = entry_of(link)->row;
    if (row->target) {
        return row->target(to, size);
    }
    size_t length = strlen(row->fixed) < size ? strlen(row->fixed) : size;
    memcpy(to, row->fixed, length);
    return (int64_t)length;
}

static void synthetic_unused(struct inode *inode)
{
    (void)inode; /* the tables' inodes stay */
}

static const struct inode_operations operations = {
    .lookup = synthetic_lookup,
    .list = synthetic_list,
    .read_link = synthetic_read_link,
    .open = synthetic_open,
    .unused = synthetic_unused,
};

static void fill_inode(struct inode *inode, const struct file_system *file_system, uint32_t mode)
{
    inode->file_system = file_system;
    inode->references = 1;
    inode->mode = mode;
    inode->links = (mode & S_IFMT) == S_IFDIR ? 2 : 1;
    inode->number = new_inode_number();
    inode->atime = inode->mtime = inode->ctime = time_now();
}

int64_t synthetic_create_inode(const struct file_system *file_system,
    const struct inode_operations *inode_operations, uint32_t mode, size_t size, struct inode **created)
{
    struct inode *inode = allocate(size);
    if (!inode) {
        return -ENOMEM;
    }
    inode->operations = inode_operations;
    fill_inode(inode, file_system, mode);
    inode->uid = credentials()->user.file_system;
    inode->gid = credentials()->group.file_system;
    *created = inode;
    return 0;
}

static struct entry *find_parent(struct entry *entries, size_t count, struct name path)
{
    for (size_t at = 0; at < count; at++) {
        struct name candidate = {.bytes = entries[at].row->path, .length = strlen(entries[at].row->path)};
        if (name_equals(candidate, path)) {
            return &entries[at];
        }
    }
    return NULL;
}

int64_t synthetic_create(const struct file_system *file_system, const struct synthetic_row *rows,
    size_t count, struct inode **root)
{
    struct entry *entries = allocate(count * sizeof(struct entry));
    if (!entries) {
        return -ENOMEM;
    }
    for (size_t at = 0; at < count; at++) {
        struct entry *entry = &entries[at];
        entry->row = &rows[at];
        entry->inode.operations = &operations;
        fill_inode(&entry->inode, file_system, rows[at].mode);
        if (at == 0) {
            continue;
        }
        size_t length = strlen(rows[at].path), slash = length;
        while (slash > 0 && rows[at].path[slash - 1] != '/') {
            slash--;
        }
        struct entry *parent =
            find_parent(entries, at, (struct name){rows[at].path, slash > 0 ? slash - 1 : 0});
        if (!parent) {
            return -EINVAL;
        }
        entry->name = (struct name){rows[at].path + slash, length - slash};
        entry->parent = parent;
        entry->cookie = at;
        struct entry **last = &parent->children;
        while (*last) {
            last = &(*last)->sibling;
        }
        *last = entry;
        if (is_directory(&entry->inode)) {
            parent->inode.links++;
            int64_t result = inode_place(&entry->inode, &parent->inode, entry->name);
            if (result < 0) {
                return result;
            }
        }
    }
    *root = &entries[0].inode;
    return 0;
}
