#define _GNU_SOURCE
#include "bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "json.h"
#include "path.h"

#define DESCRIPTION_FOLDER ".enclave"
#define DESCRIPTION_FILE "enclave.json"

static bool is_absent(int error)
{
    return error == ENOENT || error == ENOTDIR;
}

/* Steps that follow no link are what openat2() with RESOLVE_IN_ROOT and RESOLVE_NO_SYMLINKS would do, on any kernel. */
struct verdict rootfs_kind(int directory, const char *path)
{
    struct stat status;
    int rootfs = openat(directory, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rootfs < 0)
        return is_absent(errno) ? VERDICT_ORDINARY : VERDICT_UNKNOWN("the root file system", errno);
    int folder = openat(rootfs, DESCRIPTION_FOLDER, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int found = folder < 0 ? -1 : fstatat(folder, DESCRIPTION_FILE, &status, AT_SYMLINK_NOFOLLOW);
    int error = errno;
    if (folder >= 0)
        close(folder);
    close(rootfs);
    if (found == 0)
        return S_ISREG(status.st_mode) ? VERDICT_TEE : VERDICT_ORDINARY;
    if (is_absent(error) || error == ELOOP)
        return VERDICT_ORDINARY;
    return VERDICT_UNKNOWN(DESCRIPTION_FOLDER "/" DESCRIPTION_FILE " in the root file system", error);
}

struct verdict bundle_kind(const char *bundle)
{
    struct json config, root, value;
    char path[4096];
    int directory = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) /* runc says what is wrong with one that is not there */
        return is_absent(errno) ? VERDICT_ORDINARY : VERDICT_UNKNOWN("the bundle", errno);
    if (!map_file(directory, "config.json", &config))
        return errno == 0 ? VERDICT_ORDINARY : VERDICT_UNKNOWN("config.json of the bundle", errno);
    enum json_result found = json_member(config, "root", &root);
    if (found == JSON_FOUND)
        found = json_member(root, "path", &value);
    if (found == JSON_ABSENT)
        return VERDICT_ORDINARY;
    if (found == JSON_INVALID || !json_string(value, path, sizeof(path)) || goes_up(path))
        return VERDICT_UNKNOWN("root.path in config.json of the bundle", EINVAL);
    struct verdict verdict = rootfs_kind(directory, *path ? path : "."); /* runc joins it to the bundle's path */
    close(directory);
    return verdict;
}
