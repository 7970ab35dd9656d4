#define _GNU_SOURCE
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle.h"
#include "file.h"
#include "json.h"
#include "path.h"
#include "runc_state.h"
#include "state_root.h"

#define MARK_NAME "org.enclavize.tee" /* enclavize/rune/spec.py writes this annotation */
#define MARK_VALUE "1"
#define BUNDLE_LABEL "bundle="
#define STATE "state.json of the container"
#define ANSWER "the answer of runc state"

static bool is_mark(struct json label)
{
    char text[sizeof(MARK_NAME "=" MARK_VALUE)];
    return json_string(label, text, sizeof(text)) && strcmp(text, MARK_NAME "=" MARK_VALUE) == 0;
}

/* The container's root file system, as `object` names it: a container of a plain runc has no annotation. */
static struct verdict judge_rootfs(struct json object, const char *what)
{
    struct json value;
    char path[4096];
    switch (json_member(object, "rootfs", &value)) {
    case JSON_ABSENT:
        return VERDICT_ORDINARY;
    case JSON_FOUND:
        if (json_string(value, path, sizeof(path)) && *path == '/')
            return rootfs_kind(AT_FDCWD, path);
        break;
    case JSON_INVALID:
        break;
    }
    return VERDICT_UNKNOWN(what, EINVAL);
}

/* runc, libcontainer.BaseState: annotations are among the labels of the configuration. */
static struct verdict judge_state(struct json state)
{
    struct json config, labels, label;
    enum json_result found = json_member(state, "config", &config);
    if (found == JSON_FOUND)
        found = json_member(config, "labels", &labels);
    else if (found == JSON_ABSENT)
        return VERDICT_UNKNOWN(STATE, EINVAL);
    if (found == JSON_FOUND && *labels.at == '[') {
        while ((found = json_element(&labels, &label)) == JSON_FOUND) {
            if (is_mark(label))
                return VERDICT_TEE;
        }
    }
    return found == JSON_INVALID ? VERDICT_UNKNOWN(STATE, EINVAL) : judge_rootfs(config, STATE);
}

/* OCI runtime-spec, state: annotations are a map. */
static struct verdict judge_answer(struct json answer)
{
    struct json annotations, value;
    char text[sizeof(MARK_VALUE)];
    enum json_result found = json_member(answer, "annotations", &annotations);
    if (found == JSON_FOUND && *annotations.at == '{') {
        found = json_key(annotations, MARK_NAME, &value);
        if (found == JSON_FOUND && json_string(value, text, sizeof(text)) && strcmp(text, MARK_VALUE) == 0)
            return VERDICT_TEE;
    }
    return found == JSON_INVALID ? VERDICT_UNKNOWN(ANSWER, EINVAL) : judge_rootfs(answer, ANSWER);
}

static struct verdict ask_runc(const struct command_line *line)
{
    struct json answer;
    switch (ask_runc_state(line, &answer)) {
    case STATE_FOUND:
        return judge_answer(answer);
    case STATE_UNKNOWN_CONTAINER:
        return VERDICT_ORDINARY; /* runc says so, in its own words */
    case STATE_FAILED:
        break;
    }
    return VERDICT_UNKNOWN(ANSWER, errno);
}

/* What another user can write, another user can forge. */
static bool is_own(int file)
{
    struct stat status;
    if (fstat(file, &status) != 0)
        return false;
    if (status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0)
        return true;
    errno = EPERM;
    return false;
}

/* The folder of the container's state, where its path means the same to runc and to the kernel; -1 with errno 0 if it is not there. */
static int open_state_folder(const struct command_line *line)
{
    char root[2048], path[4096];
    bool known = line->root ? (size_t)snprintf(root, sizeof(root), "%s", *line->root ? line->root : ".") < sizeof(root)
                            : default_state_root(root, sizeof(root));
    errno = 0;
    if (!known || goes_up(root) || strchr(line->id, '/') || goes_up(line->id) || !*line->id)
        return -1;
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", root, line->id) >= sizeof(path))
        return -1;
    int folder = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 && errno == ENOENT)
        errno = 0;
    return folder;
}

/* The container's state.json; -1 with errno 0 if it is not there. */
static int open_state(const struct command_line *line)
{
    int folder = open_state_folder(line);
    if (folder < 0)
        return -1;
    int file = is_own(folder) ? openat(folder, "state.json", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    int error = errno;
    close(folder);
    errno = error == ENOENT ? 0 : error;
    return file;
}

struct verdict container_kind(const struct command_line *line)
{
    struct json state;
    if (!line->id)
        return VERDICT_ORDINARY; /* runc says that an argument is missing */
    int file = open_state(line);
    if (file < 0)
        return errno == 0 ? ask_runc(line) : VERDICT_UNKNOWN(STATE, errno);
    struct verdict verdict = is_own(file) && map_descriptor(file, &state) ? judge_state(state) : VERDICT_UNKNOWN(STATE, errno ? errno : EINVAL);
    close(file);
    return verdict;
}

/* runc, specconv.CreateLibcontainerConfig(): the bundle is among the labels, too. */
static bool find_bundle(struct json state, char bundle[PATH_MAX])
{
    struct json config, labels, label;
    char text[PATH_MAX + sizeof(BUNDLE_LABEL)];
    if (json_member(state, "config", &config) != JSON_FOUND || json_member(config, "labels", &labels) != JSON_FOUND || *labels.at != '[')
        return false;
    while (json_element(&labels, &label) == JSON_FOUND) {
        if (json_string(label, text, sizeof(text)) && strncmp(text, BUNDLE_LABEL, strlen(BUNDLE_LABEL)) == 0 &&
            text[strlen(BUNDLE_LABEL)] == '/') {
            memcpy(bundle, text + strlen(BUNDLE_LABEL), strlen(text) - strlen(BUNDLE_LABEL) + 1);
            return true;
        }
    }
    return false;
}

/* runc, libcontainer.State: by controller, or one without a name where there is one hierarchy (version 2). */
static void find_misc_group(struct json state, char path[PATH_MAX])
{
    struct json paths, value;
    path[0] = 0;
    if (json_member(state, "cgroup_paths", &paths) != JSON_FOUND || *paths.at != '{' ||
        (json_key(paths, "", &value) != JSON_FOUND && json_key(paths, "misc", &value) != JSON_FOUND))
        return;
    if (!json_string(value, path, PATH_MAX) || *path != '/')
        path[0] = 0;
}

bool find_container(const struct command_line *line, struct container_place *place)
{
    struct json state, value;
    int file = line->id ? open_state(line) : -1;
    if (file < 0)
        return false;
    bool found = is_own(file) && map_descriptor(file, &state) && find_bundle(state, place->bundle) &&
                 json_member(state, "init_process_pid", &value) == JSON_FOUND && json_number(value) > 0 && json_number(value) <= INT_MAX;
    if (found) {
        place->pid = (pid_t)json_number(value);
        find_misc_group(state, place->misc_group);
    }
    close(file);
    return found;
}
