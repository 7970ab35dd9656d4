#include "fs/open_name.h"
#include "fs/pty.h"

#define MAJOR_OF_SLAVES 136U /* Linux, Documentation/admin-guide/devices.txt */
#define GROUP_TTY 5U

static const struct inode_operations slave_operations;
static const struct file_system file_system = {.type = "devpts", .magic = 0x1CD1, .device = 0x32};

/* Guards the list. */
static struct mutex lock;
static struct pty *all;
static struct inode root;

static struct pty *pty_of_inode(struct inode *inode)
{
    return CONTAINER_OF(inode, struct pty, inode);
}

static struct pty *find_locked(int32_t number)
{
    struct pty *pty = all;
    while (pty && pty->number != number) {
        pty = pty->next;
    }
    return pty;
}

uint32_t devpts_count(void)
{
    uint32_t count = 0;
    mutex_lock(&lock);
    for (const struct pty *pty = all; pty; pty = pty->next) {
        count++;
    }
    mutex_unlock(&lock);
    return count;
}

static void source_unused(struct pty *pty)
{
    if (__atomic_sub_fetch(&pty->sources, 1, __ATOMIC_ACQ_REL) == 0) {
        release(pty, sizeof(struct pty));
    }
}

static void master_unused(struct event_source *source)
{
    source_unused(CONTAINER_OF(source, struct pty, master));
}

static void slave_unused(struct event_source *source)
{
    source_unused(CONTAINER_OF(source, struct pty, slave));
}

static void pty_unused(struct inode *inode)
{
    struct pty *pty = pty_of_inode(inode);
    event_source_put(&pty->master);
    event_source_put(&pty->slave);
}

static void number_it_locked(struct pty *pty)
{
    while (find_locked(pty->number)) {
        pty->number++;
    }
    pty->next = all;
    all = pty;
}

int64_t devpts_open_master(struct file *file)
{
    struct pty *pty = allocate(sizeof(struct pty));
    if (!pty) {
        return -ENOMEM;
    }
    pty->sources = 2;
    pty->master = (struct event_source){.references = 1, .unused = master_unused};
    pty->slave = (struct event_source){.references = 1, .unused = slave_unused};
    pty->locked = true;
    line_start(&pty->line);
    struct inode *inode = &pty->inode;
    inode->operations = &slave_operations;
    inode->file_system = &file_system;
    inode->references = 1;
    inode->mode = S_IFCHR | 0620;
    inode->uid = credentials()->user.file_system;
    inode->gid = GROUP_TTY;
    inode->links = 1;
    inode->atime = inode->mtime = inode->ctime = time_now();
    mutex_lock(&lock);
    number_it_locked(pty);
    bool allowed = pty->number < PTYS_MAX;
    mutex_unlock(&lock);
    inode->number = (uint64_t)pty->number + 3; /* as in Linux */
    inode->rdev = MAJOR_OF_SLAVES << 8 | (pty->number & 0xFF) | (uint64_t)(pty->number & ~0xFF) << 12;
    if (!allowed) {
        devpts_remove(pty);
        inode_put(inode);
        return -ENOSPC;
    }
    pty_open_master(pty, file);
    return 0;
}

void devpts_remove(struct pty *pty)
{
    mutex_lock(&lock);
    struct pty **link = &all;
    while (*link != pty) {
        link = &(*link)->next;
    }
    *link = pty->next;
    pty->inode.links = 0;
    mutex_unlock(&lock);
}

static int32_t number_of(struct name name)
{
    int32_t number = 0;
    bool is_number = name.length > 0 && name.length <= 4 && (name.length == 1 || name.bytes[0] != '0');
    for (size_t at = 0; at < name.length && is_number; at++) {
        is_number = name.bytes[at] >= '0' && name.bytes[at] <= '9';
        number = number * 10 + (name.bytes[at] - '0');
    }
    return is_number ? number : -1;
}

static int64_t devpts_lookup(struct inode *directory, struct name name, struct inode **found)
{
    (void)directory;
    mutex_lock(&lock);
    struct pty *pty = find_locked(number_of(name));
    if (pty) {
        *found = inode_get(&pty->inode);
    }
    mutex_unlock(&lock);
    return pty ? 0 : -ENOENT;
}

/* Cookies are numbers and one. */
static int64_t devpts_list(struct inode *directory, uint64_t cookie, entry_sink *sink, void *context)
{
    (void)directory;
    for (int32_t number = (int32_t)cookie; number < PTYS_MAX; number++) {
        char text[16];
        mutex_lock(&lock);
        bool is_there = find_locked(number) != NULL;
        mutex_unlock(&lock);
        struct name name = {.bytes = text, .length = format_text(text, sizeof(text), "%d", (int)number)};
        if (is_there && !sink(context, name, (uint64_t)number + 3, S_IFCHR, (uint64_t)number + 1)) {
            break;
        }
    }
    return 0;
}

static int64_t slave_open(struct inode *inode, struct file *file)
{
    return pty_open_slave(pty_of_inode(inode), file);
}

static int64_t slave_change(struct inode *inode, const struct attributes *attributes)
{
    inode_take_attributes(inode, attributes);
    return 0;
}

static int64_t root_open(struct inode *inode, struct file *file)
{
    (void)inode, (void)file;
    return 0;
}

static void root_unused(struct inode *inode)
{
    (void)inode; /* static */
}

static const struct inode_operations slave_operations = {
    .open = slave_open, .change = slave_change, .unused = pty_unused};
static const struct inode_operations root_operations = {
    .lookup = devpts_lookup, .list = devpts_list, .change = slave_change, .open = root_open, .unused = root_unused};

int64_t devpts_create(struct inode **created)
{
    root.operations = &root_operations;
    root.file_system = &file_system;
    root.references = 1;
    root.mode = S_IFDIR | 0755;
    root.links = 2;
    root.number = 1;
    root.atime = root.mtime = root.ctime = time_now();
    *created = &root;
    return 0;
}

int64_t devpts_open_peer(struct pty *pty, uint32_t flags, struct file **file)
{
    char text[16];
    struct name name = {.bytes = text, .length = format_text(text, sizeof(text), "%d", (int)pty->number)};
    namespace_lock();
    int64_t result = file_create(&pty->inode, flags, file);
    if (result == 0) {
        (*file)->name = open_name_of(&root, name);
    }
    namespace_unlock();
    return result;
}
