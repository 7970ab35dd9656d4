#include "fs/call_support.h"

/* struct stat of x86-64 (Linux, arch/x86/include/uapi/asm/stat.h). */
struct user_stat {
    uint64_t device;
    uint64_t inode;
    uint64_t links;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t padding;
    uint64_t rdev;
    int64_t size;
    int64_t block_size;
    int64_t blocks;
    struct timespec atime, mtime, ctime;
    int64_t unused[3];
};
_Static_assert(sizeof(struct user_stat) == 144, "struct stat of x86-64");

static void fill_stat(struct inode *inode, struct user_stat *stat)
{
    *stat = (struct user_stat){
        .device = inode->file_system->device,
        .inode = inode->number,
        .links = inode->links,
        .mode = inode->mode,
        .uid = inode->uid,
        .gid = inode->gid,
        .rdev = inode->rdev,
        .size = (int64_t)inode->size,
        .block_size = BLOCK_SIZE,
        .blocks = (int64_t)inode_blocks(inode),
        .atime = inode->atime,
        .mtime = inode->mtime,
        .ctime = inode->ctime,
    };
}

static int64_t refresh(struct inode *inode)
{
    return inode->operations->refresh ? inode->operations->refresh(inode) : 0;
}

/* Copies the status while the lock is held; gives it to the application afterwards. */
static int64_t stat_path(int64_t descriptor, user_address path, uint32_t walk, user_address to)
{
    struct place place;
    struct user_stat stat;
    int64_t result = at_begin(descriptor, path, walk, &place);
    if (result < 0) {
        return result;
    }
    fill_stat(place.inode, &stat);
    at_end(&place);
    return copy_to_user(to, &stat, sizeof(stat));
}

int64_t sys_stat(const struct arguments *arguments)
{
    return stat_path(AT_FDCWD, arguments->at[0], WALK_FOLLOW, arguments->at[1]);
}

int64_t sys_lstat(const struct arguments *arguments)
{
    return stat_path(AT_FDCWD, arguments->at[0], 0, arguments->at[1]);
}

int64_t sys_newfstatat(const struct arguments *arguments)
{
    uint64_t flags = (uint32_t)arguments->at[3];
    if ((flags & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)) != 0) {
        return -EINVAL;
    }
    return stat_path((int64_t)arguments->at[0], arguments->at[1], walk_flags(flags), arguments->at[2]);
}

int64_t sys_fstat(const struct arguments *arguments)
{
    struct user_stat stat;
    struct file *file = file_or_path_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    namespace_lock();
    int64_t result = refresh(file->inode);
    fill_stat(file->inode, &stat);
    namespace_unlock();
    file_put(file);
    return result < 0 ? result : copy_to_user(arguments->at[1], &stat, sizeof(stat));
}

struct statx_timestamp {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};

/* struct statx (Linux, include/uapi/linux/stat.h). */
struct user_statx {
    uint32_t mask;
    uint32_t block_size;
    uint64_t attributes;
    uint32_t links;
    uint32_t uid;
    uint32_t gid;
    uint16_t mode;
    uint16_t padding;
    uint64_t inode;
    uint64_t size;
    uint64_t blocks;
    uint64_t attributes_mask;
    struct statx_timestamp atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor;
    uint32_t device_major, device_minor;
    uint64_t mount;
    uint64_t unused[13];
};
_Static_assert(sizeof(struct user_statx) == 256, "struct statx");

#define STATX_BASIC_STATS 0x7FFU
#define STATX_BTIME 0x800U
#define STATX_MNT_ID 0x1000U
#define STATX_ATTR_MOUNT_ROOT 0x2000U
#define STATX_RESERVED 0x80000000U

static struct statx_timestamp timestamp(struct timespec time)
{
    return (struct statx_timestamp){.seconds = time.seconds, .nanoseconds = (uint32_t)time.nanoseconds};
}

/* new_decode_dev() of Linux. */
static uint32_t major_of(uint64_t device)
{
    return (uint32_t)((device >> 8) & 0xFFF);
}

static uint32_t minor_of(uint64_t device)
{
    return (uint32_t)((device & 0xFF) | ((device >> 12) & 0xFFF00));
}

int64_t sys_statx(const struct arguments *arguments)
{
    struct place place;
    uint64_t flags = (uint32_t)arguments->at[2];
    if ((flags & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)) !=
            0 ||
        (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE || (arguments->at[3] & STATX_RESERVED) != 0) {
        return -EINVAL;
    }
    int64_t result = at_begin((int64_t)arguments->at[0], arguments->at[1], walk_flags(flags), &place);
    if (result < 0) {
        return result;
    }
    struct inode *inode = place.inode;
    bool knows_birth = inode->btime.seconds != 0;
    uint64_t mount = mount_number(inode, place.parent);
    struct user_statx statx = {
        .mask = STATX_BASIC_STATS | (mount != 0 ? STATX_MNT_ID : 0) | (knows_birth ? STATX_BTIME : 0),
        .attributes = (mount_at_root(inode) ? STATX_ATTR_MOUNT_ROOT : 0) | (inode->kept_flags & FS_NODUMP_FL),
        .attributes_mask = STATX_ATTR_MOUNT_ROOT | (inode->operations->keeps_flags ? FS_NEVER_CHANGED | FS_NODUMP_FL : 0),
        .block_size = BLOCK_SIZE,
        .links = inode->links,
        .uid = inode->uid,
        .gid = inode->gid,
        .mode = (uint16_t)inode->mode,
        .inode = inode->number,
        .size = inode->size,
        .blocks = inode_blocks(inode),
        .atime = timestamp(inode->atime),
        .btime = timestamp(inode->btime),
        .ctime = timestamp(inode->ctime),
        .mtime = timestamp(inode->mtime),
        .mount = mount,
        .rdev_major = major_of(inode->rdev),
        .rdev_minor = minor_of(inode->rdev),
        .device_major = major_of(inode->file_system->device),
        .device_minor = minor_of(inode->file_system->device),
    };
    at_end(&place);
    return copy_to_user(arguments->at[4], &statx, sizeof(statx));
}

struct user_statfs {
    int64_t type;
    int64_t block_size;
    uint64_t blocks, blocks_free, blocks_available;
    uint64_t files, files_free;
    int32_t id[2];
    int64_t name_length;
    int64_t fragment_size;
    int64_t flags;
    int64_t spare[4];
};
_Static_assert(sizeof(struct user_statfs) == 120, "struct statfs of x86-64");

#define ST_RDONLY 1
#define ST_NOEXEC 8

/* How much memory is left is nobody's business here: a fixed size, as a disk would have. */
#define STATFS_BLOCKS (1U << 20)

static int64_t statfs_of(const struct inode *inode, user_address to)
{
    const struct file_system *file_system = inode->file_system;
    uint64_t blocks = file_system->has_no_blocks ? 0 : STATFS_BLOCKS;
    struct user_statfs statfs = {
        .type = file_system->magic,
        .block_size = BLOCK_SIZE,
        .blocks = blocks,
        .blocks_free = blocks / 2,
        .blocks_available = blocks / 2,
        .files = blocks,
        .files_free = blocks / 2,
        .id = {(int32_t)file_system->device, 0},
        .name_length = NAME_LENGTH_MAX,
        .fragment_size = BLOCK_SIZE,
        .flags = (file_system->read_only ? ST_RDONLY : 0) | (file_system->forbids_exec ? ST_NOEXEC : 0),
    };
    return copy_to_user(to, &statfs, sizeof(statfs));
}

int64_t sys_statfs(const struct arguments *arguments)
{
    struct place place;
    int64_t result = at_begin(AT_FDCWD, arguments->at[0], WALK_FOLLOW, &place);
    if (result < 0) {
        return result;
    }
    struct inode *inode = inode_get(place.inode);
    at_end(&place);
    result = statfs_of(inode, arguments->at[1]);
    inode_put(inode);
    return result;
}

int64_t sys_fstatfs(const struct arguments *arguments)
{
    struct file *file = file_or_path_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    int64_t result = statfs_of(file->inode, arguments->at[1]);
    file_put(file);
    return result;
}

struct user_ustat {
    int32_t blocks_free, padding;
    uint64_t files_free;
    char name[6], pack[6];
    uint32_t padding_of_end;
};
_Static_assert(sizeof(struct user_ustat) == 32, "struct ustat of x86-64");

static const struct file_system *file_system_of(uint32_t device)
{
    const struct inode *root = root_directory;
    for (size_t at = 0; root; at++) {
        if (root->file_system->device == device) {
            return root->file_system;
        }
        root = mount_at(at);
    }
    return NULL;
}

int64_t sys_ustat(const struct arguments *arguments)
{
    const struct file_system *file_system = file_system_of((uint32_t)arguments->at[0]);
    if (!file_system) {
        return -EINVAL;
    }
    uint64_t blocks = file_system->has_no_blocks ? 0 : STATFS_BLOCKS;
    struct user_ustat ustat = {.blocks_free = (int32_t)(blocks / 2), .files_free = blocks / 2};
    return copy_to_user(arguments->at[1], &ustat, sizeof(ustat));
}

/* R_OK, W_OK, X_OK are 4, 2, 1, like MAY_* */
static int64_t may_access(const struct inode *inode, uint32_t wanted)
{
    if ((wanted & MAY_EXECUTE) != 0 && is_regular(inode) && inode->file_system->forbids_exec) {
        return -EACCES;
    }
    return wanted == 0 ? 0 : inode_access(inode, wanted);
}

static int64_t access_place(int64_t descriptor, user_address path, uint32_t wanted, uint64_t flags)
{
    struct place place;
    int64_t result = at_begin(descriptor, path, walk_flags(flags), &place);
    if (result == 0) {
        result = may_access(place.inode, wanted);
        at_end(&place);
    }
    return result;
}

static int64_t access_path(int64_t descriptor, user_address path, uint32_t wanted, uint64_t flags)
{
    if ((wanted & ~7U) != 0 || (flags & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    if ((flags & AT_EACCESS) != 0) {
        return access_place(descriptor, path, wanted, flags);
    }
    struct credentials acting;
    credentials_override_by_real(&acting);
    int64_t result = access_place(descriptor, path, wanted, flags);
    credentials_revert();
    return result;
}

int64_t sys_access(const struct arguments *arguments)
{
    return access_path(AT_FDCWD, arguments->at[0], (uint32_t)arguments->at[1], 0);
}

int64_t sys_faccessat(const struct arguments *arguments)
{
    return access_path((int64_t)arguments->at[0], arguments->at[1], (uint32_t)arguments->at[2], 0);
}

int64_t sys_faccessat2(const struct arguments *arguments)
{
    return access_path(
        (int64_t)arguments->at[0], arguments->at[1], (uint32_t)arguments->at[2], (uint32_t)arguments->at[3]);
}
