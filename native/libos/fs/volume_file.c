#include "fs/volume_file.h"

#include "boundary/boundary.h"

struct host_descriptor {
    int fd;
    uint32_t references;
    uint32_t access; /* O_RDONLY, O_WRONLY or O_RDWR */
};

/* One for each file of the host that is open or mapped, whatever names it has. */
struct volume_content {
    struct shared_object object;
    struct mutex writing;
    struct volume_content *next; /* under contents_lock, like what follows */
    const struct file_system *file_system;
    uint64_t number;
    struct host_descriptor *source; /* of mappings; under the object's lock */
};

struct open_volume {
    struct volume_content *content;
    struct host_descriptor *descriptor;
};

static struct spinlock contents_lock;
static struct volume_content *contents;

static struct open_volume *state_of(const struct file *file)
{
    return file->state;
}

int host_descriptor_fd(const struct host_descriptor *descriptor)
{
    return descriptor->fd;
}

bool host_descriptor_writes(const struct host_descriptor *descriptor)
{
    return descriptor && descriptor->access != O_RDONLY;
}

static struct host_descriptor *get_descriptor(struct host_descriptor *descriptor)
{
    __atomic_add_fetch(&descriptor->references, 1, __ATOMIC_RELAXED);
    return descriptor;
}

struct host_descriptor *volume_file_descriptor(const struct file *file)
{
    return get_descriptor(state_of(file)->descriptor);
}

void host_descriptor_put(struct host_descriptor *descriptor)
{
    if (descriptor && __atomic_sub_fetch(&descriptor->references, 1, __ATOMIC_ACQ_REL) == 0) {
        host_close(descriptor->fd);
        release(descriptor, sizeof(*descriptor));
    }
}

static int64_t stat_size(int fd, uint64_t *size)
{
    struct host_stat stat;
    int result = host_stat(fd, &stat);
    if (result == 0) {
        *size = (int64_t)stat.size < 0 ? 0 : stat.size;
    }
    return result;
}

static struct volume_content *content_of(struct shared_object *object)
{
    return CONTAINER_OF(object, struct volume_content, object);
}

/* The file may have grown on the host's side. */
static uint64_t content_size(struct shared_object *object, uint64_t wanted)
{
    if (object->size < wanted && content_of(object)->source) {
        stat_size(content_of(object)->source->fd, &object->size);
    }
    return object->size;
}

static int64_t content_read(struct shared_object *object, uint64_t offset, uint8_t *to, size_t length)
{
    int64_t result = host_pread(content_of(object)->source->fd, to, length, offset);
    if (result < 0) {
        return -EIO;
    }
    memset(to + result, 0, length - (size_t)result);
    return 0;
}

static int64_t content_write(struct shared_object *object, uint64_t offset, const uint8_t *from, size_t length)
{
    return host_pwrite(content_of(object)->source->fd, from, length, offset);
}

static int64_t content_sync(struct shared_object *object)
{
    return host_sync(content_of(object)->source->fd);
}

static void content_unused(struct shared_object *object)
{
    struct volume_content *content = content_of(object), **link = &contents;
    spin_lock(&contents_lock);
    while (*link != content) {
        link = &(*link)->next;
    }
    *link = content->next;
    spin_unlock(&contents_lock);
    host_descriptor_put(content->source);
    object_drop(object, 0, OBJECT_PAGES_MAX);
    release(content, sizeof(*content));
}

static const struct object_operations content_operations = {
    .size = content_size,
    .read = content_read,
    .write = content_write,
    .sync = content_sync,
    .unused = content_unused,
};

/* One more count, unless the last one is just going. */
static bool get_content(struct volume_content *content)
{
    uint32_t count = __atomic_load_n(&content->object.references, __ATOMIC_RELAXED);
    while (count != 0) {
        if (__atomic_compare_exchange_n(&content->object.references, &count, count + 1, false, __ATOMIC_ACQ_REL,
                __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

/* With one more count, or NULL. */
static struct volume_content *find_content(const struct inode *inode)
{
    spin_lock(&contents_lock);
    struct volume_content *content = contents;
    while (content && (content->number != inode->number || content->file_system != inode->file_system ||
                                  !get_content(content))) {
        content = content->next;
    }
    spin_unlock(&contents_lock);
    return content;
}

/* The namespace lock is held: nobody else makes one for the same file. */
static struct volume_content *take_content(const struct inode *inode)
{
    struct volume_content *content = find_content(inode);
    if (!content && (content = allocate(sizeof(*content)))) {
        object_start(&content->object, &content_operations);
        content->file_system = inode->file_system;
        content->number = inode->number;
        spin_lock(&contents_lock);
        content->next = contents;
        contents = content;
        spin_unlock(&contents_lock);
    }
    return content;
}

static uint64_t end_page(uint64_t offset, uint64_t length)
{
    return length > (uint64_t)INT64_MAX - offset ? OBJECT_PAGES_MAX : PAGE_UP(offset + length) / PAGE_SIZE;
}

/* What pages in memory have of [offset, offset + length) goes to `to`, or is replaced from `from`. */
static void copy_pages(struct shared_object *object, uint64_t offset, size_t length, uint8_t *to, const uint8_t *from)
{
    for (size_t done = 0; done < length;) {
        size_t start = (offset + done) % PAGE_SIZE;
        size_t part = PAGE_SIZE - start < length - done ? PAGE_SIZE - start : length - done;
        uint8_t *page = object_page(object, (offset + done) / PAGE_SIZE);
        if (page && to) {
            memcpy(to + done, page + start, part);
        } else if (page) {
            memcpy(page + start, from + done, part);
        }
        done += part;
    }
}

static int64_t volume_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    struct shared_object *object = &state_of(file)->content->object;
    int fd = state_of(file)->descriptor->fd;
    int64_t result;
    if (__atomic_load_n(&object->mappings, __ATOMIC_SEQ_CST) == 0) {
        result = host_pread(fd, to, length, *offset);
    } else if ((result = object_lock_pages(object, *offset / PAGE_SIZE, end_page(*offset, length), false)) == 0) {
        result = host_pread(fd, to, length, *offset);
        copy_pages(object, *offset, result > 0 ? (size_t)result : 0, to, NULL);
        object_unlock(object);
    }
    *offset += result > 0 ? (uint64_t)result : 0;
    return result;
}

/* Locks the pages behind the end of the file, which is where nobody else can write then. */
static int64_t lock_end(struct shared_object *object, int fd, size_t length, uint64_t *end)
{
    int64_t result = object_lock_pages(object, 0, 0, true);
    for (uint64_t locked_from = UINT64_MAX; result == 0; locked_from = *end) {
        result = stat_size(fd, end);
        bool is_locked = __atomic_load_n(&object->mappings, __ATOMIC_SEQ_CST) == 0 || locked_from == *end;
        if (result == 0 && is_locked) {
            return 0;
        }
        object_unlock(object);
        if (result == 0) {
            result = object_lock_pages(object, *end / PAGE_SIZE, end_page(*end, length), true);
        }
    }
    return result;
}

/* Somebody outside has appended as well: the piece lies behind what was locked. Its pages, if any, are those of after the lock was free. */
static bool lock_elsewhere(struct shared_object *object, uint64_t offset, size_t length)
{
    object_unlock(object);
    if (__atomic_load_n(&object->mappings, __ATOMIC_SEQ_CST) != 0) {
        return object_lock_pages(object, offset / PAGE_SIZE, end_page(offset, length), true) == 0;
    }
    mutex_lock(&object->lock);
    return true;
}

/* The host finds the end, since others may append too, other enclaves among them; it says where that was. */
static int64_t append(struct shared_object *object, int fd, const void *from, size_t length, uint64_t *offset, bool *is_locked)
{
    uint64_t end;
    int64_t result = host_append(fd, from, length, &end);
    if (result > 0 && end - (uint64_t)result != *offset) {
        *offset = end - (uint64_t)result;
        *is_locked = lock_elsewhere(object, *offset, (size_t)result);
    }
    return result;
}

/* The host's file first: a page is changed only as far as that was. */
static int64_t volume_write(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    struct shared_object *object = &state_of(file)->content->object;
    int fd = state_of(file)->descriptor->fd;
    bool appends = (file->flags & O_APPEND) != 0, is_locked = true;
    int64_t result = appends
                         ? lock_end(object, fd, length, offset)
                         : object_lock_pages(object, *offset / PAGE_SIZE, end_page(*offset, length), true);
    if (result < 0) {
        return result;
    }
    result = appends ? append(object, fd, from, length, offset, &is_locked) : host_pwrite(fd, from, length, *offset);
    if (result > 0 && is_locked) {
        copy_pages(object, *offset, (size_t)result, NULL, from);
        object->size = object->size > *offset + (uint64_t)result ? object->size : *offset + (uint64_t)result;
    }
    *offset += result > 0 ? (uint64_t)result : 0;
    if (is_locked) {
        object_unlock(object);
    }
    if (result > 0 && *offset > __atomic_load_n(&file->inode->size, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&file->inode->size, *offset, __ATOMIC_RELEASE);
    }
    return result;
}

int64_t volume_file_truncate(struct inode *inode, int fd, uint64_t size)
{
    struct volume_content *content = find_content(inode);
    if (!content) {
        return host_truncate(fd, size);
    }
    struct shared_object *object = &content->object;
    object_lock_whole(object);
    int64_t result = host_truncate(fd, size);
    if (result == 0) {
        object_drop(object, PAGE_UP(size) / PAGE_SIZE, OBJECT_PAGES_MAX);
        uint8_t *last = size % PAGE_SIZE != 0 ? object_page_to_change(object, size / PAGE_SIZE) : NULL;
        if (last && size < object->size) {
            memset(last + size % PAGE_SIZE, 0, PAGE_SIZE - size % PAGE_SIZE);
        }
        object->size = size;
    }
    object_unlock(object);
    object_put(object);
    return result;
}

/* Zeros are the host's as well: whole pages come anew when they are touched. */
static void clear_pages(struct shared_object *object, uint64_t start, uint64_t end)
{
    uint64_t first = PAGE_UP(start) / PAGE_SIZE, last = end / PAGE_SIZE;
    if (first < last) {
        object_drop(object, first, last);
    }
    while (start < end) {
        uint64_t next = PAGE_DOWN(start) + PAGE_SIZE < end ? PAGE_DOWN(start) + PAGE_SIZE : end;
        bool is_whole = next - start == PAGE_SIZE;
        uint8_t *page = is_whole ? NULL : object_page_to_change(object, start / PAGE_SIZE);
        if (page) {
            memset(page + start % PAGE_SIZE, 0, next - start);
        }
        start = is_whole ? last * PAGE_SIZE : next;
    }
}

/* What moves the rest of a file would move it under its mappings. */
static int64_t volume_allocate(struct file *file, uint32_t mode, uint64_t offset, uint64_t length)
{
    struct shared_object *object = &state_of(file)->content->object;
    int fd = state_of(file)->descriptor->fd;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
        return -EOPNOTSUPP;
    }
    object_lock_whole(object);
    int64_t result = host_allocate(fd, mode, offset, length);
    if (result == 0 && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))) {
        clear_pages(object, offset, offset + length);
    }
    if (result == 0 && !(mode & FALLOC_FL_KEEP_SIZE)) {
        stat_size(fd, &object->size);
    }
    object_unlock(object);
    return result;
}

static int64_t volume_sync(struct file *file)
{
    int64_t result = object_write_back(&state_of(file)->content->object, 0, OBJECT_PAGES_MAX);
    return result < 0 ? result : host_sync(state_of(file)->descriptor->fd);
}

/* Each name that is looked up has an inode of its own. */
static struct mutex *volume_writing(const struct file *file)
{
    return &state_of(file)->content->writing;
}

/* Mappings of the file may stay for long: others see it as it is now. */
static void volume_flush(struct file *file)
{
    struct shared_object *object = &state_of(file)->content->object;
    if (__atomic_load_n(&object->mappings, __ATOMIC_SEQ_CST) != 0) {
        object_write_back(object, 0, OBJECT_PAGES_MAX);
    }
}

/* Mappings read, and write if anyone may, by a descriptor of their own count. */
static int64_t volume_object(struct file *file, struct shared_object **object)
{
    const struct open_volume *open = state_of(file);
    struct volume_content *content = open->content;
    uint64_t size;
    int64_t result = stat_size(open->descriptor->fd, &size);
    if (result < 0) {
        return result;
    }
    mutex_lock(&content->object.lock);
    content->object.size = size;
    struct host_descriptor *old = content->source;
    bool is_better = !old || (open->descriptor->access == O_RDWR && old->access != O_RDWR);
    if (is_better) {
        content->source = get_descriptor(open->descriptor);
    }
    mutex_unlock(&content->object.lock);
    if (is_better) {
        host_descriptor_put(old);
    }
    object_get(&content->object);
    *object = &content->object;
    return 0;
}

static void volume_release(struct file *file)
{
    struct open_volume *open = state_of(file);
    host_descriptor_put(open->descriptor);
    object_put(&open->content->object);
    release(open, sizeof(*open));
}

static const struct file_operations file_operations = {
    .read = volume_read,
    .write = volume_write,
    .allocate = volume_allocate,
    .sync = volume_sync,
    .flush = volume_flush,
    .writing = volume_writing,
    .object_of = volume_object,
    .release = volume_release,
};

int64_t volume_file_open(struct file *file, int fd)
{
    struct open_volume *open = allocate(sizeof(*open));
    struct host_descriptor *descriptor = allocate(sizeof(*descriptor));
    struct volume_content *content = open && descriptor ? take_content(file->inode) : NULL;
    if (!content) {
        release(open, sizeof(*open));
        release(descriptor, sizeof(*descriptor));
        return -ENOMEM;
    }
    *descriptor = (struct host_descriptor){
        .fd = fd, .references = 1, .access = file->flags & O_ACCMODE};
    *open = (struct open_volume){.content = content, .descriptor = descriptor};
    file->state = open;
    file->operations = &file_operations;
    return 0;
}
