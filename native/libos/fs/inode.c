#include "fs/inode.h"

#include "fs/access_list.h"
#include "fs/notify.h"
#include "fs/open_name.h"
#include "time/time.h"

static struct mutex lock;

void namespace_lock(void)
{
    mutex_lock(&lock);
}

void namespace_unlock(void)
{
    mutex_unlock(&lock);
}

struct inode *inode_get(struct inode *inode)
{
    __atomic_fetch_add(&inode->references, 1, __ATOMIC_RELAXED);
    return inode;
}

void inode_put(struct inode *inode)
{
    if (inode && __atomic_sub_fetch(&inode->references, 1, __ATOMIC_ACQ_REL) == 0) {
        inode->operations->unused(inode);
    }
}

void inode_pin(struct inode *inode)
{
    __atomic_fetch_add(&inode->pins, 1, __ATOMIC_RELAXED);
}

void inode_unpin(struct inode *inode)
{
    if (inode && __atomic_sub_fetch(&inode->pins, 1, __ATOMIC_ACQ_REL) == 0 &&
        __atomic_load_n(&inode->links, __ATOMIC_RELAXED) == 0) {
        notify_end(inode);
    }
}

/* Guards parent and name of directories against those who do not hold the namespace lock. */
static struct mutex place_lock;

void location_of_directory(const struct inode *directory, struct location *location)
{
    *location = (struct location){0};
    mutex_lock(&place_lock);
    if (directory->parent) {
        location->parent = inode_get(directory->parent);
        location->length = directory->name_length;
        location->removed = directory->links == 0;
        memcpy(location->name, directory->name, directory->name_length);
    }
    mutex_unlock(&place_lock);
}

int64_t inode_place(struct inode *directory, struct inode *parent, struct name name)
{
    char *copy = NULL;
    if (parent) {
        copy = allocate(name.length + 1);
        if (!copy) {
            return -ENOMEM;
        }
        memcpy(copy, name.bytes, name.length);
        inode_get(parent);
    }
    mutex_lock(&place_lock);
    char *old_name = directory->name;
    size_t old_length = directory->name_length;
    struct inode *old_parent = directory->parent;
    directory->parent = parent;
    directory->name = copy;
    directory->name_length = parent ? name.length : 0;
    mutex_unlock(&place_lock);
    release(old_name, old_length + 1);
    inode_put(old_parent);
    return 0;
}

void inode_take_attributes(struct inode *inode, const struct attributes *attributes)
{
    uint32_t which = attributes->which;
    if (which & ATTRIBUTE_MODE) {
        inode->mode = (inode->mode & S_IFMT) | (attributes->mode & PERMISSION_BITS);
    }
    if (which & ATTRIBUTE_UID) {
        inode->uid = attributes->uid;
    }
    if (which & ATTRIBUTE_GID) {
        inode->gid = attributes->gid;
    }
    if (which & ATTRIBUTE_ATIME) {
        inode->atime = attributes->atime;
    }
    if (which & ATTRIBUTE_MTIME) {
        inode->mtime = attributes->mtime;
    }
    inode->ctime = time_now();
}

struct timespec time_now(void)
{
    return timespec_of(clock_now_ns(CLOCK_REALTIME));
}

uint64_t new_inode_number(void)
{
    static uint64_t last = 1ULL << 40; /* above every nid of the image */
    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

/* check_acl() of Linux: 1 if there is no list. */
static int64_t list_access(const struct inode *inode, uint32_t wanted)
{
    const struct access_list *list = NULL;
    int64_t result = inode->operations->access_list ? inode->operations->access_list(inode, ACCESS_LIST, &list) : 0;
    if (result == 0) {
        result = list ? access_list_permits(list, inode, wanted) : 1;
    }
    return result;
}

/* generic_permission() of Linux: who has CAP_DAC_OVERRIDE may do all, but execute a file only
 * if somebody may. */
int64_t inode_access(const struct inode *inode, uint32_t wanted)
{
    if ((wanted & MAY_WRITE) != 0 && inode->file_system->read_only &&
        (is_regular(inode) || is_directory(inode) || is_link(inode))) {
        return -EROFS;
    }
    if (is_capable(CAP_DAC_OVERRIDE)) {
        bool allowed = (wanted & MAY_EXECUTE) == 0 || is_directory(inode) || (inode->mode & 0111) != 0;
        return allowed ? 0 : -EACCES;
    }
    bool owns = inode->uid == credentials()->user.file_system;
    if (!owns && (inode->mode & 0070) != 0) { /* with an empty mask Linux does not look at the list */
        int64_t result = list_access(inode, wanted);
        if (result <= 0) {
            return result;
        }
    }
    uint32_t shift = owns ? 6 : is_in_group(inode->gid) ? 3 : 0;
    return (wanted & ~(inode->mode >> shift) & 7) == 0 ? 0 : -EACCES;
}

bool is_owner(const struct inode *inode)
{
    return credentials()->user.file_system == inode->uid || is_capable(CAP_FOWNER);
}

/* Blocks of 512 bytes as ext4 counts them; a short symbolic link lies in its inode. */
uint64_t inode_blocks(struct inode *inode)
{
    if (is_regular(inode) && inode->operations->block_count) {
        return inode->operations->block_count(inode);
    }
    bool fast_link = is_link(inode) && inode->size < 60;
    bool has_blocks = is_regular(inode) || is_directory(inode) || (is_link(inode) && !fast_link);
    return has_blocks ? (inode->size + BLOCK_SIZE - 1) / BLOCK_SIZE * (BLOCK_SIZE / 512) : 0;
}
