#include "fs/tree_file.h"

#include "fs/buffer.h"
#include "fs/tree.h"

#define PAGES_SIZE_MAX (1ULL << 40) /* bytes: largest file in memory */

/* The data path: names of the image from the root down. */
static int64_t data_path(const struct node *node, char *path, size_t *start)
{
    size_t at = PATH_BUFFER_SIZE - 1;
    path[at] = '\0';
    for (const struct node *step = node; step->lower_parent; step = step->lower_parent) {
        size_t slash = step == node ? 0 : 1;
        if (step->lower_name_length + slash > at) {
            return -ENAMETOOLONG;
        }
        if (slash) {
            path[--at] = '/';
        }
        at -= step->lower_name_length;
        memcpy(path + at, step->lower_name, step->lower_name_length);
    }
    *start = at;
    return 0;
}

static int64_t create_host_data(struct node *node)
{
    struct verity_file verity;
    char *path = buffer_take(&path_buffers);
    if (!path) {
        return -ENOMEM;
    }
    size_t start = 0;
    int64_t result = erofs_host_data(&node->lower, &verity, path);
    if (result == 0 && path[0] == '\0') {
        result = data_path(node, path, &start);
    }
    if (result == 0) {
        node->data = data_create(&verity, path + start, strlen(path + start));
        result = !node->data ? -ENOMEM : 0;
    }
    buffer_give(&path_buffers, path);
    return result;
}

static bool is_on_host(const struct node *node)
{
    return node->has_lower && node->lower.layout == EROFS_CHUNK_BASED;
}

static int64_t lower_read(struct node *node, uint64_t offset, void *to, size_t length)
{
    return is_on_host(node) ? data_read(node->data, offset, to, length)
                            : erofs_read(&node->lower, offset, to, length);
}

static uint64_t size_of(const struct node *node)
{
    return __atomic_load_n(&node->inode.size, __ATOMIC_ACQUIRE);
}

/* What shows at `offset` of a page that was not written: the image's content, then zeros. */
static int64_t read_below(struct node *node, uint64_t offset, uint8_t *to, size_t length)
{
    size_t from_image = 0;
    if (offset < node->lower_size) {
        from_image = node->lower_size - offset < length ? (size_t)(node->lower_size - offset) : length;
        int64_t result = lower_read(node, offset, to, from_image);
        if (result < 0) {
            return result;
        }
        if ((size_t)result != from_image) {
            return -EIO;
        }
    }
    memset(to + from_image, 0, length - from_image);
    return 0;
}

/* With the content locked for reading. */
static int64_t read_written(struct node *node, uint64_t offset, uint8_t *to, size_t length)
{
    uint64_t size = size_of(node);
    if (offset >= size) {
        return 0;
    }
    if (length > size - offset) {
        length = (size_t)(size - offset);
    }
    for (size_t done = 0; done < length;) {
        size_t start = (offset + done) % PAGE_SIZE;
        size_t part = PAGE_SIZE - start < length - done ? PAGE_SIZE - start : length - done;
        const uint8_t *page = object_page(&node->content, (offset + done) / PAGE_SIZE);
        if (page) {
            memcpy(to + done, page + start, part);
        } else {
            int64_t result = read_below(node, offset + done, to + done, part);
            if (result < 0) {
                return result;
            }
        }
        done += part;
    }
    return (int64_t)length;
}

static int64_t lock_range(struct node *node, uint64_t offset, uint64_t length, bool writes)
{
    uint64_t end = length < PAGES_SIZE_MAX && offset < PAGES_SIZE_MAX ? offset + length : PAGES_SIZE_MAX;
    return object_lock_pages(
        &node->content, offset / PAGE_SIZE, (end + PAGE_SIZE - 1) / PAGE_SIZE, writes);
}

/* Files that nobody has written are read without a lock, by any number of threads. */
static int64_t tree_file_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    struct node *node = node_of(file->inode);
    int64_t result;
    if (!__atomic_load_n(&node->written, __ATOMIC_ACQUIRE)) {
        result = node->has_lower ? lower_read(node, *offset, to, length) : 0;
    } else if ((result = lock_range(node, *offset, length, false)) == 0) {
        result = read_written(node, *offset, to, length);
        object_unlock(&node->content);
    }
    *offset += result > 0 ? (uint64_t)result : 0;
    return result;
}

bool tree_file_is_measured(const struct inode *inode)
{
    if (inode->file_system != &root_file_system || (inode->mode & S_IFMT) != S_IFREG) {
        return false;
    }
    const struct node *node = CONTAINER_OF(inode, struct node, inode);
    return is_on_host(node) && node->data && !__atomic_load_n(&node->written, __ATOMIC_ACQUIRE);
}

int64_t tree_file_read_measured(struct inode *inode, void *to, size_t length, uint64_t offset)
{
    return data_read(node_of(inode)->data, offset, to, length);
}

/* The page to write to, filled with what shows there unless all of it is overwritten. */
static int64_t page_for_writing(struct node *node, uint64_t index, bool whole, uint8_t **found)
{
    *found = object_page_to_change(&node->content, index);
    if (*found) {
        return 0;
    }
    if (!whole && index * PAGE_SIZE < node->lower_size) {
        uint8_t *content = buffer_take(&path_buffers);
        if (!content) {
            return -ENOSPC;
        }
        int64_t result = read_below(node, index * PAGE_SIZE, content, PAGE_SIZE);
        if (result == 0 && (*found = object_create_page(&node->content, index))) {
            memcpy(*found, content, PAGE_SIZE);
        }
        buffer_give(&path_buffers, content);
        if (result < 0) {
            return result;
        }
    } else {
        *found = object_create_page(&node->content, index);
    }
    return !*found ? -ENOSPC : 0;
}

static void mark_written(struct node *node)
{
    node->changed = true;
    __atomic_store_n(&node->written, true, __ATOMIC_RELEASE);
}

static int64_t write_locked(struct node *node, const uint8_t *from, size_t length, uint64_t offset)
{
    size_t done = 0;
    int64_t result = 0;
    while (done < length) {
        size_t start = (offset + done) % PAGE_SIZE;
        size_t part = PAGE_SIZE - start < length - done ? PAGE_SIZE - start : length - done;
        uint8_t *page;
        result = page_for_writing(node, (offset + done) / PAGE_SIZE, part == PAGE_SIZE, &page);
        if (result < 0) {
            break;
        }
        memcpy(page + start, from + done, part);
        done += part;
    }
    if (offset + done > node->inode.size) {
        __atomic_store_n(&node->inode.size, offset + done, __ATOMIC_RELEASE);
    }
    return done > 0 ? (int64_t)done : result;
}

/* Locks the content for a write there. With O_APPEND that is the end of the file, which is known for sure only under the lock. */
static int64_t lock_to_write(struct node *node, bool appends, size_t length, uint64_t *offset)
{
    for (;;) {
        *offset = appends ? size_of(node) : *offset;
        if (*offset > PAGES_SIZE_MAX || length > PAGES_SIZE_MAX - *offset) {
            return -EFBIG;
        }
        int64_t result = lock_range(node, *offset, length, true);
        if (result < 0) {
            return -ENOSPC;
        }
        if (!appends || *offset == size_of(node)) {
            return 0;
        }
        object_unlock(&node->content);
    }
}

static int64_t tree_file_write(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    struct node *node = node_of(file->inode);
    if (length == 0) {
        return 0;
    }
    struct timespec now = time_now();
    int64_t result = lock_to_write(node, (file->flags & O_APPEND) != 0, length, offset);
    if (result == 0) {
        mark_written(node);
        result = write_locked(node, from, length, *offset);
        node->inode.mtime = node->inode.ctime = now;
        object_unlock(&node->content);
    }
    *offset += result > 0 ? (uint64_t)result : 0;
    return result;
}

/* The content is locked whole. */
static void set_size(struct node *node, uint64_t size)
{
    if (size < node->inode.size) {
        object_drop(&node->content, (size + PAGE_SIZE - 1) / PAGE_SIZE, OBJECT_PAGES_MAX);
        uint8_t *last = size % PAGE_SIZE != 0 ? object_page_to_change(&node->content, size / PAGE_SIZE) : NULL;
        if (last) {
            memset(last + size % PAGE_SIZE, 0, PAGE_SIZE - size % PAGE_SIZE);
        }
        node->lower_size = size < node->lower_size ? size : node->lower_size;
    }
    __atomic_store_n(&node->inode.size, size, __ATOMIC_RELEASE);
}

int64_t tree_file_truncate(struct node *node, uint64_t size)
{
    if (size > PAGES_SIZE_MAX) {
        return -EFBIG;
    }
    struct timespec now = time_now();
    object_lock_whole(&node->content);
    mark_written(node);
    set_size(node, size);
    node->inode.mtime = node->inode.ctime = now;
    object_unlock(&node->content);
    return 0;
}

/* The content is locked whole. What the image has is there. */
static int64_t reserve(struct node *node, uint64_t offset, uint64_t length)
{
    uint64_t lower_end = (node->lower_size + PAGE_SIZE - 1) / PAGE_SIZE, first = offset / PAGE_SIZE;
    uint64_t end = (offset + length + PAGE_SIZE - 1) / PAGE_SIZE;
    uint64_t committed, limit;
    pages_count(&committed, &limit);
    if (end - first > limit) {
        return -ENOSPC; /* not page by page until nobody has any */
    }
    for (uint64_t page = first > lower_end ? first : lower_end; page < end; page++) {
        if (!object_page(&node->content, page) && !object_reserve_page(&node->content, page)) {
            object_drop_reserved(&node->content, first, end); /* all or nothing (shmem_fallocate() of Linux) */
            return -ENOSPC;
        }
    }
    return 0;
}

/* The content is locked whole. Pages that hide nothing of the image are given back. */
static int64_t zero_range(struct node *node, uint64_t offset, uint64_t length)
{
    uint64_t end = length < node->inode.size - offset ? offset + length : node->inode.size;
    uint64_t alone = offset > node->lower_size ? offset : node->lower_size;
    uint64_t whole = (node->inode.size + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
    uint64_t last = offset + length < whole ? offset + length : whole; /* the last page goes if all of it is in the range */
    if ((alone + PAGE_SIZE - 1) / PAGE_SIZE < last / PAGE_SIZE) {
        object_drop(&node->content, (alone + PAGE_SIZE - 1) / PAGE_SIZE, last / PAGE_SIZE);
    }
    while (offset < end) {
        size_t start = offset % PAGE_SIZE;
        size_t part = PAGE_SIZE - start < end - offset ? PAGE_SIZE - start : (size_t)(end - offset);
        uint64_t index = offset / PAGE_SIZE;
        if (object_page(&node->content, index) || index * PAGE_SIZE < node->lower_size) {
            uint8_t *page;
            int64_t result = page_for_writing(node, index, part == PAGE_SIZE, &page);
            if (result < 0) {
                return result;
            }
            memset(page + start, 0, part);
        }
        offset += part;
    }
    return 0;
}


static int64_t tree_file_allocate(struct file *file, uint32_t mode, uint64_t offset, uint64_t length)
{
    struct node *node = node_of(file->inode);
    uint32_t what = mode & ~FALLOC_FL_KEEP_SIZE;
    bool keep = (mode & FALLOC_FL_KEEP_SIZE) != 0;
    if ((what != 0 && what != FALLOC_FL_PUNCH_HOLE && what != FALLOC_FL_ZERO_RANGE) ||
        (what == FALLOC_FL_PUNCH_HOLE && !keep)) {
        return -EOPNOTSUPP;
    }
    if (offset > PAGES_SIZE_MAX || length > PAGES_SIZE_MAX - offset) {
        return -EFBIG;
    }
    int64_t result = 0;
    struct timespec now = time_now();
    object_lock_whole(&node->content);
    mark_written(node);
    if (what != 0 && offset < node->inode.size) {
        result = zero_range(node, offset, length);
    }
    if (what == 0) {
        result = reserve(node, offset, length);
    }
    if (result == 0 && !keep && offset + length > node->inode.size) {
        set_size(node, offset + length);
    }
    node->inode.mtime = node->inode.ctime = now;
    object_unlock(&node->content);
    return result;
}

#define BLOCKS_PER_PAGE (PAGE_SIZE / 512)

/* Of a file of the image, as many as its size needs at most: pages that hide it are no further ones. */
uint64_t tree_file_block_count(struct inode *inode)
{
    struct node *node = node_of(inode);
    uint64_t size = size_of(node), lower = node->lower_size < size ? node->lower_size : size;
    uint64_t pages = (lower + PAGE_SIZE - 1) / PAGE_SIZE + object_page_count(&node->content);
    uint64_t whole = (size + PAGE_SIZE - 1) / PAGE_SIZE;
    return (lower > 0 && pages > whole ? whole : pages) * BLOCKS_PER_PAGE;
}

/* The file counts the node: the object's own counts decide nothing. */
static int64_t tree_file_object(struct file *file, struct shared_object **object)
{
    struct node *node = node_of(file->inode);
    if (is_writable(file)) {
        mutex_lock(&node->content.lock);
        mark_written(node); /* what is stored to the mapping must be found by read() */
        mutex_unlock(&node->content.lock);
    }
    object_get(&node->content);
    *object = &node->content;
    return 0;
}

/* The first page from `page` on that has data, or that has none. The content is locked. */
static uint64_t next_page(struct node *node, uint64_t page, bool hole)
{
    uint64_t lower_end = (node->lower_size + PAGE_SIZE - 1) / PAGE_SIZE;
    uint64_t next = page > lower_end ? page : lower_end; /* what the image shows is data */
    if (!hole) {
        return page < lower_end                                                   ? page
               : object_next_page(&node->content, &next, OBJECT_PAGES_MAX) ? next
                                                                                  : OBJECT_PAGES_MAX;
    }
    for (uint64_t found = next; object_next_page(&node->content, &found, next + 1); found = next) {
        next++;
    }
    return next;
}

static int64_t tree_file_seek(struct file *file, uint64_t offset, bool hole)
{
    struct node *node = node_of(file->inode);
    int64_t result = lock_range(node, 0, 0, false);
    if (result < 0) {
        return result;
    }
    uint64_t size = size_of(node), page = next_page(node, offset / PAGE_SIZE, hole);
    object_unlock(&node->content);
    uint64_t start = page == offset / PAGE_SIZE ? offset : page < OBJECT_PAGES_MAX ? page * PAGE_SIZE : size;
    if (start >= size) {
        return hole ? (int64_t)size : -ENXIO;
    }
    return (int64_t)start;
}

static const struct file_operations operations = {
    .read = tree_file_read,
    .write = tree_file_write,
    .allocate = tree_file_allocate,
    .seek = tree_file_seek,
    .object_of = tree_file_object,
};

static uint64_t content_size(struct shared_object *content, uint64_t wanted)
{
    (void)wanted;
    return size_of(CONTAINER_OF(content, struct node, content));
}

static int64_t content_read(struct shared_object *content, uint64_t offset, uint8_t *to, size_t length)
{
    return read_below(CONTAINER_OF(content, struct node, content), offset, to, length);
}

/* Of a file in memory; the image's content shows through. */
static const struct object_operations layered_content = {.size = content_size, .read = content_read};
static const struct object_operations plain_content = {.size = content_size};

void tree_file_start(struct node *node)
{
    object_start(&node->content, node->has_lower ? &layered_content : &plain_content);
}

int64_t tree_file_open(struct node *node, struct file *file)
{
    file->operations = &operations;
    if (!is_on_host(node) || node->lower_size == 0) {
        return 0;
    }
    int64_t result = !node->data ? create_host_data(node) : 0;
    /* A file that is opened to be replaced needs no data. */
    return result < 0 || (file->flags & O_TRUNC) ? result : data_open(node->data);
}

void tree_file_destroy(struct node *node)
{
    object_drop(&node->content, 0, OBJECT_PAGES_MAX);
    if (node->data) {
        data_destroy(node->data);
    }
}
