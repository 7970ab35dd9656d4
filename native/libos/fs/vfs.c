#include "fs/fs.h"

#include "fs/attestation.h"
#include "fs/buffer.h"
#include "fs/console.h"
#include "fs/device.h"
#include "fs/executable.h"
#include "fs/host_file.h"
#include "fs/open.h"
#include "fs/pidfd.h"
#include "fs/proc.h"
#include "fs/pty.h"
#include "fs/process_files.h"
#include "fs/stream.h"
#include "fs/tree.h"
#include "fs/tree_file.h"
#include "fs/volume.h"
#include "signal/signal.h"

/* Walks like mkdir -p and lays `root` over the last name. */
static int64_t mount_on(struct inode *start, const char *path, struct inode *root)
{
    struct place place = {.parent = NULL, .inode = inode_get(start)};
    int64_t result = 0;
    while (result == 0) {
        path += *path == '/';
        struct name name = {.bytes = path};
        while (name.bytes[name.length] != '\0' && name.bytes[name.length] != '/') {
            name.length++;
        }
        path += name.length;
        if (*path == '\0') {
            result = mount_add(place.inode, name, root);
            break;
        }
        struct inode *next;
        result = place.inode->operations->lookup(place.inode, name, &next);
        if (result == -ENOENT && place.inode->operations->create) {
            struct creation directory = {.mode = S_IFDIR | 0755};
            result = place.inode->operations->create(place.inode, name, &directory, &next);
        }
        if (result == 0) {
            inode_put(place.inode);
            place.inode = next;
            result = is_directory(next) ? 0 : -ENOTDIR;
        }
    }
    inode_put(place.inode);
    return result;
}

/* A synthetic file system looks from outside like the directory it covers: listings of the root stay those of
 * the image. */
static int64_t mount_synthetic(const char *name, struct inode *root)
{
    struct inode *covered;
    struct name text = {.bytes = name, .length = strlen(name)};
    if (root_directory->operations->lookup(root_directory, text, &covered) == 0) {
        if (is_directory(covered)) {
            root->mode = covered->mode;
            root->uid = covered->uid;
            root->gid = covered->gid;
            root->links = covered->links;
            root->size = covered->size;
            root->mtime = root->ctime = root->atime = covered->mtime;
        }
        inode_put(covered);
    }
    return mount_add(root_directory, text, root);
}

static int64_t mount_all(const struct configuration *measured)
{
    struct inode *proc, *sys, *dev, *shm, *pts, *attestation;
    int64_t result;
    if ((result = proc_create(&proc)) < 0 || (result = mount_synthetic("proc", proc)) < 0 ||
        (result = sys_create(&sys)) < 0 || (result = mount_synthetic("sys", sys)) < 0 ||
        (result = device_create_directory(&dev)) < 0 || (result = mount_synthetic("dev", dev)) < 0 ||
        (result = tree_create(&memory_file_system, S_ISVTX | 0777, &shm)) < 0 ||
        (result = mount_on(dev, "shm", shm)) < 0 || (result = devpts_create(&pts)) < 0 ||
        (result = mount_on(dev, "pts", pts)) < 0 || (result = attestation_create(&attestation)) < 0 ||
        (result = mount_on(dev, "attestation", attestation)) < 0) {
        return result;
    }
    if (measured->policy & POLICY_ALLOW_HOST_NETWORK_FILES) {
        host_files_mount(mount_on);
    }
    for (struct span span = span_first(&measured->volumes); span.start;
        span = span_next(&measured->volumes, span)) {
        char path[PATH_LENGTH_MAX];
        struct inode *volume;
        if (span.size < 2 || span.size >= sizeof(path) || span.start[0] != '/') {
            return -EINVAL;
        }
        memcpy(path, span.start, span.size);
        path[span.size] = '\0';
        /* A file among the devices, Kubernetes' termination log: engines that are no kubelet have none. */
        bool is_device = strncmp(path, "/dev/", 5) == 0;
        result = volume_create(path + 1, span.flags, &volume);
        if (is_device && result == -ENOENT) {
            continue;
        }
        if (result < 0 || (result = mount_on(is_device ? dev : root_directory, is_device ? path + 4 : path, volume)) < 0) {
            return result;
        }
    }
    return 0;
}

static bool is_measured(struct file *file)
{
    return tree_file_is_measured(file->inode);
}

static int64_t read_measured(struct file *file, void *buffer, size_t length, uint64_t offset)
{
    return tree_file_read_measured(file->inode, buffer, length, offset);
}

static int64_t read_at(struct file *file, void *buffer, size_t length, uint64_t offset)
{
    if (!file->operations->read) {
        return -EINVAL;
    }
    uint8_t *bounce = buffer_take(&data_buffers);
    if (!bounce) {
        return -ENOMEM;
    }
    size_t done = 0;
    int64_t result = 0;
    while (done < length) {
        size_t part = length - done < EXCHANGE_DATA_SIZE ? length - done : EXCHANGE_DATA_SIZE;
        result = file->operations->read(file, bounce, part, &offset);
        if (result <= 0) {
            break;
        }
        memcpy((uint8_t *)buffer + done, bounce, (size_t)result);
        done += (size_t)result;
    }
    buffer_give(&data_buffers, bounce);
    return result < 0 ? result : (int64_t)done;
}

/* Goes where `path` leads, and makes a directory there if there is nothing. The namespace lock is held. */
static int64_t enter(const char *path)
{
    struct place place;
    int64_t result = path_walk(NULL, path, WALK_FOLLOW | WALK_MAY_MISS, &place);
    if (result < 0) {
        return result;
    }
    if (!place.inode && (result = may_create(&place)) == 0) {
        struct creation directory = {.mode = S_IFDIR | 0755};
        result =
            place.parent->operations->create(place.parent, place_name(&place), &directory, &place.inode);
    }
    if (result == 0) {
        result = is_directory(place.inode) ? inode_access(place.inode, MAY_EXECUTE) : -ENOTDIR;
    }
    if (result == 0) {
        set_working_directory(place.inode);
    }
    place_release(&place);
    return result;
}

int64_t fs_enter_directory(char *path)
{
    struct credentials user;
    int64_t result = 0;
    namespace_lock();
    credentials_lend_root(&user);
    for (char *end = path; result == 0; end++) {
        char kept = *end;
        if (end > path && (kept == '/' || kept == '\0')) {
            *end = '\0';
            result = enter(path);
            *end = kept;
        }
        if (kept == '\0') {
            break;
        }
    }
    credentials_take_back(&user);
    namespace_unlock();
    return result;
}

/* Of a command from outside. */
static int64_t open_streams(const int32_t streams[3])
{
    int64_t result = stream_open_all(streams);
    char path[PATH_LENGTH_MAX];
    configuration_directory(path, sizeof(path));
    return result < 0 ? result : fs_enter_directory(path);
}

int64_t fs_start(const struct configuration *measured)
{
    file_upcalls = (struct file_upcalls){
        .get = file_get,
        .put = file_put,
        .of_descriptor = opened_file_of_descriptor,
        .describe = file_describe,
        .read_at = read_at,
        .is_measured = is_measured,
        .read_measured = read_measured,
        .object_of = file_object_of,
        .check_mapping = file_check_mapping,
        .punch_hole = file_punch_hole,
    };
    process_upcalls.open_executable = open_executable;
    process_files_start();
    process_upcalls.open_streams = open_streams;
    signal_upcalls.foreground_group = console_group_of_session;
    process_upcalls.path_of_file = file_path;
    process_upcalls.process_of_descriptor = process_of_pidfd;
    process_upcalls.process_ended = pidfd_process_ended;
    process_upcalls.make_descriptor = pidfd_create;
    process_upcalls.close_descriptor = descriptor_close;
    if (!measured->has_rootfs) {
        return -EINVAL;
    }
    int64_t result = erofs_start(measured->rootfs_size, measured->rootfs_digest);
    if (result < 0) {
        return result;
    }
    verity_set_limit(measured->verity_size);
    namespace_lock();
    result = tree_open_image(&root_directory);
    if (result == 0) {
        result = files_create_first();
        result = result == 0 ? mount_all(measured) : result;
    }
    namespace_unlock();
    return result < 0 ? result : stream_open_all((const int32_t[]){0, 1, 2});
}
