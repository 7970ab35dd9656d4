/* Calls that change attributes: mode, owner, times. */
#include "fs/call_support.h"
#include "fs/notify.h"
#include "fs/seal.h"
#include "process/process.h"

#define EXECUTE_BITS 0111U

/* What is changed: by an open file, or by where a path led. */
struct target {
    struct inode *inode;
    struct file *file;
    const struct place *place;
};

static struct target of_file(struct file *file)
{
    return (struct target){.inode = file->inode, .file = file};
}

static struct target of_place(const struct place *place)
{
    return (struct target){.inode = place->inode, .place = place};
}

static int64_t change(const struct target *target, const struct attributes *attributes)
{
    struct inode *inode = target->inode;
    if (!inode->operations->change) {
        return inode->file_system->read_only ? -EROFS : -EPERM;
    }
    int64_t result = inode->file_system->read_only ? -EROFS : inode->operations->change(inode, attributes);
    uint32_t event = notify_attributes(attributes->which);
    if (result == 0 && event != 0) {
        if (target->file) {
            notify_file_changed(target->file, event);
        } else {
            notify_place(target->place, event);
        }
    }
    return result;
}

static int64_t change_mode(struct target target, uint32_t mode)
{
    struct inode *inode = target.inode;
    if (!is_owner(inode)) {
        return -EPERM;
    }
    if (is_link(inode)) {
        return -EOPNOTSUPP;
    }
    if (is_sealed(inode, F_SEAL_EXEC) && ((mode ^ inode->mode) & EXECUTE_BITS) != 0) {
        return -EPERM;
    }
    bool keeps_group = is_in_group(inode->gid) || is_capable(CAP_FSETID);
    struct attributes attributes = {
        .which = ATTRIBUTE_MODE, .mode = mode & PERMISSION_BITS & ~(keeps_group ? 0 : S_ISGID)};
    return change(&target, &attributes);
}

static int64_t change_mode_path(int64_t descriptor, user_address path, uint32_t mode, uint32_t walk)
{
    struct place place;
    int64_t result = at_begin(descriptor, path, walk, &place);
    if (result == 0) {
        result = change_mode(of_place(&place), mode);
        at_end(&place);
    }
    return result;
}

int64_t sys_chmod(const struct arguments *arguments)
{
    return change_mode_path(AT_FDCWD, arguments->at[0], (uint32_t)arguments->at[1], WALK_FOLLOW);
}

int64_t sys_fchmodat(const struct arguments *arguments)
{
    return change_mode_path((int64_t)arguments->at[0], arguments->at[1], (uint32_t)arguments->at[2], WALK_FOLLOW);
}

int64_t sys_fchmodat2(const struct arguments *arguments)
{
    uint64_t flags = (uint32_t)arguments->at[3];
    if ((flags & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    return change_mode_path((int64_t)arguments->at[0], arguments->at[1], (uint32_t)arguments->at[2], walk_flags(flags));
}

int64_t sys_fchmod(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    namespace_lock();
    int64_t result = change_mode(of_file(file), (uint32_t)arguments->at[1]);
    namespace_unlock();
    file_put(file);
    return result;
}

#define UNCHANGED UINT32_MAX

/* Only CAP_CHOWN gives files away; the owner may set a group that he is in. Set-id bits go, as in Linux. */
static int64_t change_owner(struct target target, uint32_t uid, uint32_t gid)
{
    struct inode *inode = target.inode;
    bool allowed = is_capable(CAP_CHOWN) ||
                   (inode->uid == credentials()->user.file_system && (uid == UNCHANGED || uid == inode->uid) &&
                       (gid == UNCHANGED || gid == inode->gid || is_in_group(gid)));
    if (!allowed) {
        return -EPERM;
    }
    struct attributes attributes = {.uid = uid, .gid = gid, .mode = inode->mode & PERMISSION_BITS};
    attributes.which |= uid != UNCHANGED ? ATTRIBUTE_UID : 0;
    attributes.which |= gid != UNCHANGED ? ATTRIBUTE_GID : 0;
    if (is_regular(inode) && (inode->mode & (S_ISUID | S_ISGID)) != 0) {
        attributes.which |= ATTRIBUTE_MODE;
        attributes.mode &= ~(S_ISUID | ((inode->mode & 010) ? S_ISGID : 0));
    }
    return change(&target, &attributes);
}

static int64_t change_owner_path(
    int64_t descriptor, user_address path, uint32_t uid, uint32_t gid, uint32_t walk)
{
    struct place place;
    int64_t result = at_begin(descriptor, path, walk, &place);
    if (result == 0) {
        result = change_owner(of_place(&place), uid, gid);
        at_end(&place);
    }
    return result;
}

int64_t sys_chown(const struct arguments *arguments)
{
    return change_owner_path(
        AT_FDCWD, arguments->at[0], (uint32_t)arguments->at[1], (uint32_t)arguments->at[2], WALK_FOLLOW);
}

int64_t sys_lchown(const struct arguments *arguments)
{
    return change_owner_path(
        AT_FDCWD, arguments->at[0], (uint32_t)arguments->at[1], (uint32_t)arguments->at[2], 0);
}

int64_t sys_fchownat(const struct arguments *arguments)
{
    uint64_t flags = (uint32_t)arguments->at[4];
    if ((flags & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    return change_owner_path((int64_t)arguments->at[0], arguments->at[1], (uint32_t)arguments->at[2],
        (uint32_t)arguments->at[3], walk_flags(flags));
}

int64_t sys_fchown(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    namespace_lock();
    int64_t result = change_owner(of_file(file), (uint32_t)arguments->at[1], (uint32_t)arguments->at[2]);
    namespace_unlock();
    file_put(file);
    return result;
}

#define UTIME_NOW 0x3FFFFFFF
#define UTIME_OMIT 0x3FFFFFFE

/* times: access, modification; NULL: now for both. */
static int64_t change_times(struct target target, const struct timespec *times)
{
    struct inode *inode = target.inode;
    struct timespec now = time_now();
    struct attributes attributes = {.which = ATTRIBUTE_ATIME | ATTRIBUTE_MTIME, .atime = now, .mtime = now};
    bool only_now = !times || (times[0].nanoseconds == UTIME_NOW && times[1].nanoseconds == UTIME_NOW);
    if (!is_owner(inode) && (!only_now || inode_access(inode, MAY_WRITE) < 0)) {
        return only_now ? -EACCES : -EPERM;
    }
    for (uint32_t at = 0; times && at < 2; at++) {
        if (times[at].nanoseconds == UTIME_OMIT) {
            attributes.which &= at == 0 ? ~(uint32_t)ATTRIBUTE_ATIME : ~(uint32_t)ATTRIBUTE_MTIME;
        } else if (times[at].nanoseconds != UTIME_NOW) {
            *(at == 0 ? &attributes.atime : &attributes.mtime) = times[at];
        }
    }
    return attributes.which == 0 ? 0 : change(&target, &attributes);
}

static bool time_is_valid(const struct timespec *time)
{
    return time->nanoseconds == UTIME_NOW || time->nanoseconds == UTIME_OMIT ||
           (time->nanoseconds >= 0 && time->nanoseconds < (int64_t)NS_PER_SECOND);
}

static int64_t change_times_path(
    int64_t descriptor, user_address path, const struct timespec *times, uint32_t walk)
{
    struct place place;
    if (times && (!time_is_valid(&times[0]) || !time_is_valid(&times[1]))) {
        return -EINVAL;
    }
    if (path == 0) { /* the descriptor itself: futimens */
        struct file *file = opened_file_of_descriptor((int32_t)descriptor);
        if (!file) {
            return -EBADF;
        }
        namespace_lock();
        int64_t result = change_times(of_file(file), times);
        namespace_unlock();
        file_put(file);
        return result;
    }
    int64_t result = at_begin(descriptor, path, walk, &place);
    if (result == 0) {
        result = change_times(of_place(&place), times);
        at_end(&place);
    }
    return result;
}

int64_t sys_utimensat(const struct arguments *arguments)
{
    struct timespec times[2];
    uint64_t flags = (uint32_t)arguments->at[3];
    if ((flags & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    if (arguments->at[1] == 0 && flags != 0) {
        return -EINVAL; /* a descriptor by itself takes no flags */
    }
    if (arguments->at[2] != 0 && copy_from_user(times, arguments->at[2], sizeof(times)) < 0) {
        return -EFAULT;
    }
    return change_times_path(
        (int64_t)arguments->at[0], arguments->at[1], arguments->at[2] != 0 ? times : NULL, walk_flags(flags));
}

static int64_t change_times_micro(int64_t descriptor, user_address path, user_address from)
{
    struct timeval values[2];
    struct timespec times[2];
    if (from == 0) {
        return change_times_path(descriptor, path, NULL, WALK_FOLLOW);
    }
    if (copy_from_user(values, from, sizeof(values)) < 0) {
        return -EFAULT;
    }
    for (uint32_t at = 0; at < 2; at++) {
        if (values[at].microseconds < 0 || values[at].microseconds >= 1000000) {
            return -EINVAL;
        }
        times[at] =
            (struct timespec){.seconds = values[at].seconds, .nanoseconds = values[at].microseconds * 1000};
    }
    return change_times_path(descriptor, path, times, WALK_FOLLOW);
}

int64_t sys_utimes(const struct arguments *arguments)
{
    return change_times_micro(AT_FDCWD, arguments->at[0], arguments->at[1]);
}

int64_t sys_futimesat(const struct arguments *arguments)
{
    return change_times_micro((int64_t)arguments->at[0], arguments->at[1], arguments->at[2]);
}

int64_t sys_utime(const struct arguments *arguments)
{
    int64_t seconds[2];
    if (arguments->at[1] == 0) {
        return change_times_path(AT_FDCWD, arguments->at[0], NULL, WALK_FOLLOW);
    }
    if (copy_from_user(seconds, arguments->at[1], sizeof(seconds)) < 0) {
        return -EFAULT;
    }
    struct timespec times[2] = {{.seconds = seconds[0]}, {.seconds = seconds[1]}};
    return change_times_path(AT_FDCWD, arguments->at[0], times, WALK_FOLLOW);
}

int64_t sys_umask(const struct arguments *arguments)
{
    return __atomic_exchange_n(&current_whereabouts()->mode_mask, (uint32_t)arguments->at[0] & 0777, __ATOMIC_RELAXED);
}
