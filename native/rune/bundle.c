#define _GNU_SOURCE
#include "bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"

#define DESCRIPTION_FOLDER ".enclave"
#define DESCRIPTION_FILE "enclave.json"
#define MARK "org.enclavize.tee=1" /* enclavize/rune/spec.py writes this annotation */
#define JSON_LIMIT (16 << 20)

static const struct verdict ordinary_verdict = {KIND_ORDINARY, NULL};
static const struct verdict tee_verdict = {KIND_TEE, NULL};

static struct verdict unknown(const char *reason, int error)
{
    errno = error;
    return (struct verdict){KIND_UNKNOWN, reason};
}

/* Map a whole regular file. False with errno 0: there is none, or it is empty. The mapping lives as long as rune, a millisecond. */
static bool map_file(int directory, const char *path, struct json *text)
{
    struct stat status;
    int file = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        errno = errno == ENOENT || errno == ENOTDIR ? 0 : errno;
        return false;
    }
    void *bytes = MAP_FAILED;
    if (fstat(file, &status) == 0) {
        if (!S_ISREG(status.st_mode) || status.st_size > JSON_LIMIT)
            errno = EFBIG;
        else if (status.st_size == 0)
            errno = 0;
        else
            bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    }
    int error = errno;
    close(file);
    errno = error;
    if (bytes == MAP_FAILED)
        return false;
    *text = (struct json){bytes, (const char *)bytes + status.st_size};
    return true;
}

/* Two steps that follow no link are what openat2() with RESOLVE_IN_ROOT and RESOLVE_NO_SYMLINKS would do, on any kernel. */
static struct verdict rootfs_kind(int rootfs)
{
    struct stat status;
    int folder = openat(rootfs, DESCRIPTION_FOLDER, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int found = folder < 0 ? -1 : fstatat(folder, DESCRIPTION_FILE, &status, AT_SYMLINK_NOFOLLOW);
    int error = errno;
    if (folder >= 0)
        close(folder);
    if (found == 0)
        return S_ISREG(status.st_mode) ? tee_verdict : ordinary_verdict;
    if (error == ENOENT || error == ENOTDIR || error == ELOOP)
        return ordinary_verdict;
    return unknown(DESCRIPTION_FOLDER "/" DESCRIPTION_FILE " in the rootfs", error);
}

struct verdict bundle_kind(const char *bundle)
{
    struct json config, root, value;
    char path[4096];
    int directory = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return ordinary_verdict; /* runc says what is wrong with it */
    if (!map_file(directory, "config.json", &config))
        return errno == 0 ? ordinary_verdict : unknown("config.json of the bundle", errno);
    enum json_result found = json_member(config, "root", &root);
    if (found == JSON_FOUND)
        found = json_member(root, "path", &value);
    if (found == JSON_ABSENT)
        return ordinary_verdict;
    if (found == JSON_INVALID || !json_string(value, path, sizeof(path)))
        return unknown("root.path in config.json of the bundle", EINVAL);
    int rootfs = openat(directory, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rootfs < 0)
        return errno == ENOENT || errno == ENOTDIR ? ordinary_verdict : unknown("the rootfs of the bundle", errno);
    struct verdict verdict = rootfs_kind(rootfs);
    close(rootfs);
    close(directory);
    return verdict;
}

/* runc's default for --root. */
static void default_root(char *path, size_t size)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (geteuid() != 0 && runtime && *runtime)
        snprintf(path, size, "%s/runc", runtime);
    else
        snprintf(path, size, "/run/runc");
}

struct verdict container_kind(const struct command_line *line)
{
    struct json state, config, labels, label;
    char root[2048], path[4096], text[sizeof(MARK) + 1];
    if (!line->id || strchr(line->id, '/'))
        return ordinary_verdict; /* runc refuses the name */
    if (line->root)
        snprintf(root, sizeof(root), "%s", line->root);
    else
        default_root(root, sizeof(root));
    snprintf(path, sizeof(path), "%s/%s/state.json", root, line->id);
    if (!map_file(AT_FDCWD, path, &state))
        return errno == 0 ? ordinary_verdict : unknown("state.json of the container", errno);
    enum json_result found = json_member(state, "config", &config);
    if (found == JSON_FOUND)
        found = json_member(config, "labels", &labels);
    if (found == JSON_INVALID)
        return unknown("state.json of the container", EINVAL);
    if (found == JSON_ABSENT || *labels.at != '[')
        return ordinary_verdict;
    while ((found = json_element(&labels, &label)) == JSON_FOUND) {
        if (json_string(label, text, sizeof(text)) && strcmp(text, MARK) == 0)
            return tee_verdict;
    }
    return found == JSON_ABSENT ? ordinary_verdict : unknown("state.json of the container", EINVAL);
}
