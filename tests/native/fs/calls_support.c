#include "calls.h"

int failures;
struct stat_words status;
int64_t pipe_ends[2];

void check(int line, const char *text, int64_t actual, int64_t expected)
{
    if (actual != expected) {
        printf("line %d: %s is %lld, not %lld\n", line, text, (long long)actual, (long long)expected);
        failures++;
    }
}

int64_t open_file(const char *path, uint64_t flags, uint64_t mode)
{
    return CALL_LIBOS(openat, AT, USER(path), flags, mode);
}

int64_t close_file(int64_t descriptor)
{
    return CALL_LIBOS(close, (uint64_t)descriptor);
}

int64_t write_file(int64_t descriptor, const char *text)
{
    return CALL_LIBOS(write, (uint64_t)descriptor, USER(text), strlen(text));
}

int64_t stat_file(const char *path)
{
    return CALL_LIBOS(lstat, USER(path), USER(&status));
}

bool content_is(const char *path, const char *expected)
{
    char content[4096] = {0};
    int64_t descriptor = open_file(path, O_RDONLY, 0);
    int64_t size = descriptor < 0
                       ? descriptor
                       : CALL_LIBOS(read, (uint64_t)descriptor, USER(content), sizeof(content) - 1);
    close_file(descriptor);
    return size == (int64_t)strlen(expected) && strcmp(content, expected) == 0;
}

int64_t make_file(const char *path, const char *content)
{
    int64_t descriptor = open_file(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    int64_t result = descriptor < 0 ? descriptor : write_file(descriptor, content);
    close_file(descriptor);
    return result;
}

int64_t count_names(const char *path, const char *wanted, bool *found)
{
    char records[600];
    int64_t descriptor = open_file(path, O_DIRECTORY, 0), count = 0, size;
    *found = false;
    while ((size = CALL_LIBOS(getdents64, (uint64_t)descriptor, USER(records), sizeof(records))) > 0) {
        for (int64_t at = 0; at < size; count++) {
            uint16_t length;
            memcpy(&length, records + at + 16, sizeof(length));
            *found |= strcmp(records + at + 19, wanted) == 0;
            at += length;
        }
    }
    close_file(descriptor);
    return size < 0 ? size : count;
}

void become(uint32_t uid, uint32_t gid, uint32_t group)
{
    struct credentials *who = &current_task()->credentials;
    who->user = (struct ids){uid, uid, uid, uid};
    who->group = (struct ids){gid, gid, gid, gid};
    who->groups[0] = group;
    who->group_count = group != 0;
    who->permitted = who->effective = uid == 0 ? CAPABILITIES_OF_ROOT : 0;
}

void write_later(void *context)
{
    (void)context;
    shim_sleep_ms(30);
    write_file(pipe_ends[1], "late");
}

void close_later(void *context)
{
    shim_sleep_ms(30);
    close_file(*(int64_t *)context);
}

void make_pipe(uint64_t flags)
{
    int32_t ends[2] = {-1, -1};
    CHECK(CALL_LIBOS(pipe2, USER(ends), flags), 0);
    pipe_ends[0] = ends[0];
    pipe_ends[1] = ends[1];
}

void make_socket_pair(uint64_t flags)
{
    int32_t ends[2] = {-1, -1};
    CHECK(CALL_LIBOS(socketpair, UNIX, STREAM | flags, 0, USER(ends)), 0);
    pipe_ends[0] = ends[0];
    pipe_ends[1] = ends[1];
}

uint16_t polled(int64_t descriptor)
{
    struct {
        int32_t descriptor;
        uint16_t events, revents;
    } entry = {.descriptor = (int32_t)descriptor, .events = 0x2005};
    CHECK(CALL_LIBOS(poll, USER(&entry), 1, 0) >= 0, 1);
    return entry.revents;
}
