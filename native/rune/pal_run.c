#define _GNU_SOURCE
#include "pal_run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json_edit.h"

#define FOLDER "rune-pal" /* enclavize/rune/pal_plan.py */
#define EMPTY "rune-pal-empty"
#define STATUS "status" /* native/runelet_pal/status.h */
#define MAX_ID 0xFFFFFFFEU

/* Where a range of a user namespace begins, and how many ids it has; what is not there is 0. */
struct range {
    long long inside, outside, size;
};

int open_pal_run(const struct container_place *place)
{
    int bundle = open(place->bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (bundle < 0)
        return -1;
    int folder = openat(bundle, FOLDER, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    close(bundle);
    return folder;
}

static bool read_number(struct json object, const char *name, long long *number)
{
    struct json value;
    enum json_result found = json_spelled(object, name, &value);
    *number = found == JSON_FOUND ? json_number(value) : 0;
    return found != JSON_INVALID && *number >= 0 && *number <= MAX_ID;
}

/* OCI runtime-spec, config-linux.md, "User namespace mappings": what an id of the container is on the host. */
static bool map_id(struct json config, const char *mappings, long long *id)
{
    struct json list, item;
    enum json_result found = json_at(config, json_literal(mappings), &list);
    if (found == JSON_FOUND && *list.at != '[')
        return false;
    while (found == JSON_FOUND && (found = json_element(&list, &item)) == JSON_FOUND) {
        struct range range;
        if (*item.at != '{' || !read_number(item, "containerID", &range.inside) || !read_number(item, "hostID", &range.outside) ||
            !read_number(item, "size", &range.size))
            return false;
        if (range.inside <= *id && *id - range.inside < range.size) {
            *id += range.outside - range.inside;
            return *id <= MAX_ID;
        }
    }
    return found == JSON_ABSENT;
}

static bool find_owner(struct json config, uid_t *user, gid_t *group)
{
    struct json process_user;
    long long uid = 0, gid = 0;
    enum json_result found = json_at(config, json_literal("[\"process\",\"user\"]"), &process_user);
    if (found == JSON_INVALID || (found == JSON_FOUND && (*process_user.at != '{' || !read_number(process_user, "uid", &uid) ||
                                                          !read_number(process_user, "gid", &gid))))
        return false;
    if (!map_id(config, "[\"linux\",\"uidMappings\"]", &uid) || !map_id(config, "[\"linux\",\"gidMappings\"]", &gid))
        return false;
    *user = (uid_t)uid;
    *group = (gid_t)gid;
    return true;
}

/* An empty one, whatever has its name: the container's user may have put a link there. */
static int make_file(int folder, const char *name, mode_t mode)
{
    int file = unlinkat(folder, name, 0) == 0 || errno == ENOENT ? openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode) : -1;
    if (file < 0 || fchmod(file, mode) == 0)
        return file;
    close(file);
    return -1;
}

/* Without privileges an id of another is a subordinate one, which is this user's, too. */
static bool give(int file, uid_t user, gid_t group, mode_t for_all)
{
    if (geteuid() == 0)
        return fchown(file, user, group) == 0;
    return (user == geteuid() && group == getegid()) || fchmod(file, for_all) == 0;
}

bool make_pal_run(int bundle, struct json config)
{
    uid_t user;
    gid_t group;
    if (!find_owner(config, &user, &group)) {
        errno = EINVAL;
        return false;
    }
    int empty = make_file(bundle, EMPTY, 0444);
    if (empty < 0 || close(empty) != 0 || (mkdirat(bundle, FOLDER, 0700) != 0 && errno != EEXIST))
        return false;
    int folder = openat(bundle, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int status = folder < 0 ? -1 : make_file(folder, STATUS, 0600);
    bool done = status >= 0 && give(folder, user, group, 0777) && give(status, user, group, 0666);
    int error = errno;
    if (status >= 0)
        close(status);
    if (folder >= 0)
        close(folder);
    errno = error;
    return done;
}
