/* The kinds of file systems by their numbers: sysfs(2). */
#include "fs/call_support.h"
#include "fs/proc.h"

enum sysfs_option { INDEX_OF_NAME = 1, NAME_OF_INDEX = 2, COUNT = 3 };

/* The name that begins at or behind `line`, which is given back as the beginning of the next line; false: there is none. */
static bool next_kind(const char **line, struct name *kind)
{
    const char *begin = memchr(*line, '\t', strlen(*line));
    if (!begin) {
        return false;
    }
    begin++;
    const char *end = memchr(begin, '\n', strlen(begin));
    *kind = (struct name){.bytes = begin, .length = (size_t)(end - begin)};
    *line = end + 1;
    return true;
}

static int64_t index_of_name(user_address from)
{
    char *wanted;
    struct name kind;
    int64_t result = path_from_user(from, &wanted), index = 0;
    if (result < 0) {
        return result;
    }
    size_t length = strlen(wanted);
    result = -EINVAL;
    for (const char *line = proc_file_systems; result < 0 && next_kind(&line, &kind); index++) {
        result = kind.length == length && memcmp(kind.bytes, wanted, length) == 0 ? index : -EINVAL;
    }
    buffer_give(&path_buffers, wanted);
    return result;
}

static int64_t name_of_index(uint64_t wanted, user_address to)
{
    struct name kind;
    uint64_t index = 0;
    for (const char *line = proc_file_systems; next_kind(&line, &kind); index++) {
        if (index == wanted) {
            return copy_to_user(to, kind.bytes, kind.length) < 0 ? -EFAULT : copy_to_user(to + kind.length, "", 1);
        }
    }
    return -EINVAL;
}

int64_t sys_sysfs(const struct arguments *arguments)
{
    struct name kind;
    int64_t count = 0;
    switch ((int32_t)arguments->at[0]) {
    case INDEX_OF_NAME:
        return index_of_name(arguments->at[1]);
    case NAME_OF_INDEX:
        return name_of_index((uint32_t)arguments->at[1], arguments->at[2]);
    case COUNT:
        for (const char *line = proc_file_systems; next_kind(&line, &kind);) {
            count++;
        }
        return count;
    default:
        return -EINVAL;
    }
}
