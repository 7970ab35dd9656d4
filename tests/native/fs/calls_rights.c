/* Who may do what, and what attributes say. */
#include "calls.h"

/* Lists of the image (tests/support/sample_tree.py): 1000 may read, 1001 nothing, others read. */
static void test_lists_of_the_image(void)
{
    static const char path[] = "/etc/listed", access[] = "system.posix_acl_access";
    uint8_t value[64] = {0};
    become(1000, 1000, 50);
    CHECK(close_file(open_file(path, O_RDONLY, 0)), 0);
    CHECK(open_file(path, O_WRONLY, 0), -EACCES);
    CHECK(open_file("/listed/badly/x", O_RDONLY, 0), -EIO);
    CHECK(CALL_LIBOS(setxattr, USER(path), USER(access), 0, 0, 0), -EPERM);
    become(1001, 1001, 0);
    CHECK(open_file(path, O_RDONLY, 0), -EACCES);
    become(1002, 1002, 50);
    CHECK(close_file(open_file(path, O_RDONLY, 0)), 0);
    become(0, 0, 0);
    CHECK(CALL_LIBOS(getxattr, USER(path), USER(access), USER(value), sizeof(value)), 4 + 6 * 8);
    CHECK(value[4 + 4 * 8 + 2], 6); /* the mask */
    CHECK(CALL_LIBOS(getxattr, USER("/listed/badly"), USER(access), USER(value), sizeof(value)), -EIO);
    CHECK(CALL_LIBOS(chmod, USER(path), 0600), 0);
    CHECK(CALL_LIBOS(getxattr, USER(path), USER(access), USER(value), sizeof(value)), 4 + 6 * 8);
    CHECK(value[4 + 4 * 8 + 2], 0);
    become(1000, 1000, 50);
    CHECK(open_file(path, O_RDONLY, 0), -EACCES);
    become(0, 0, 0);
    CHECK(CALL_LIBOS(removexattr, USER(path), USER(access)), 0);
    CHECK(CALL_LIBOS(getxattr, USER(path), USER(access), USER(value), sizeof(value)), -ENODATA);
    CHECK(CALL_LIBOS(listxattr, USER(path), USER(value), sizeof(value)), sizeof("user.note"));
    CHECK(close_file(open_file("/listed/new", O_CREAT | O_WRONLY, 0666)), 0);
    CHECK(stat_file("/listed/new"), 0);
    CHECK(status.mode, 0100664); /* without the umask */
    become(1001, 1001, 0);
    CHECK(open_file("/listed/new", O_RDONLY, 0), -EACCES);
    become(0, 0, 0);
}

static void execute_much(void *context)
{
    bool *done = context;
    become(1000, 1000, 50);
    for (int round = 0; round < 2000; round++) {
        struct file *file;
        if (process_upcalls.open_executable(AT_FDCWD, "/etc/listed", 0, &file) != -EACCES) {
            __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
        }
    }
    __atomic_store_n(done, true, __ATOMIC_RELEASE);
}

void test_changed_lists(void)
{
    static const struct {
        uint32_t version;
        struct {
            uint16_t tag, rights;
            uint32_t id;
        } entries[5];
    } list = {2, {{1, 6, UINT32_MAX}, {2, 4, 1000}, {4, 4, UINT32_MAX}, {16, 6, UINT32_MAX}, {32, 4, UINT32_MAX}}};
    bool done = false;
    CHECK(CALL_LIBOS(chmod, USER("/etc/listed"), 0664), 0);
    struct shim_thread *thread = shim_thread_start(execute_much, &done);
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        CHECK(CALL_LIBOS(setxattr, USER("/etc/listed"), USER("system.posix_acl_access"), USER(&list), sizeof(list), 0), 0);
    }
    shim_thread_join(thread);
}

void test_permissions(void)
{
    become(1000, 1000, 50);
    CHECK(close_file(open_file("/etc/hosts", O_RDONLY, 0)), 0);
    CHECK(open_file("/etc/hosts", O_WRONLY, 0), -EACCES);
    CHECK(open_file("/etc/new", O_CREAT | O_WRONLY, 0644), -EACCES);
    CHECK(CALL_LIBOS(unlink, USER("/etc/hosts")), -EACCES);
    CHECK(CALL_LIBOS(chmod, USER("/etc/hosts"), 0777), -EPERM);
    CHECK(make_file("/tmp/mine", "m"), 1);
    CHECK(CALL_LIBOS(chmod, USER("/tmp/mine"), 0), 0);
    CHECK(open_file("/tmp/mine", O_RDONLY, 0), -EACCES);
    CHECK(CALL_LIBOS(access, USER("/tmp/mine"), 0), 0);
    CHECK(CALL_LIBOS(access, USER("/tmp/mine"), 4), -EACCES);
    CHECK(CALL_LIBOS(chown, USER("/tmp/mine"), 1, (uint64_t)-1), -EPERM);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/made")), -EPERM); /* sticky, another's */
    become(0, 0, 50);
    CHECK(CALL_LIBOS(mkdir, USER("/tmp/group"), 0), 0);
    CHECK(CALL_LIBOS(chmod, USER("/tmp/group"), 0070), 0);
    CHECK(CALL_LIBOS(chown, USER("/tmp/group"), 0, 50), 0);
    become(1000, 0, 50);
    CHECK(make_file("/tmp/group/x", "y"), 1);
    become(1000, 0, 51);
    CHECK(stat_file("/tmp/group/x"), -EACCES);
    become(0, 0, 0);
    CHECK(CALL_LIBOS(access, USER("/tmp/mine"), 4), 0);
    CHECK(CALL_LIBOS(access, USER("/tmp/mine"), 1), -EACCES);
    struct file *file;
    CHECK(process_upcalls.open_executable(AT_FDCWD, "/bin/twin", 0, &file), 0);
    struct file_facts facts;
    file_upcalls.describe(file, &facts);
    CHECK(facts.size, 300000);
    CHECK(file_upcalls.check_mapping(file, 5, 2), 0);
    CHECK(file_upcalls.check_mapping(file, 2, 1), -EACCES);
    static uint8_t bytes[300000];
    CHECK(file_upcalls.read_at(file, bytes, sizeof(bytes), 0), 300000);
    file_upcalls.put(file);
    CHECK(process_upcalls.open_executable(AT_FDCWD, "/etc/hosts", 0, &file), -EACCES);
    CHECK(process_upcalls.open_executable(AT_FDCWD, "/etc", 0, &file), -EACCES);
    CHECK(process_upcalls.open_executable(AT_FDCWD, "/nothing", 0, &file), -ENOENT);
    test_lists_of_the_image();
}

void test_attributes(void)
{
    struct timespec times[2] = {{.seconds = 11}, {.seconds = 22, .nanoseconds = 5}};
    CHECK(CALL_LIBOS(utimensat, AT, USER("/etc/hosts"), USER(times), 0), 0);
    CHECK(stat_file("/etc/hosts"), 0);
    CHECK(status.atime, 11);
    CHECK(status.mtime, 22);
    CHECK(status.mtime_ns, 5);
    times[0].nanoseconds = 0x3FFFFFFE;
    times[1].nanoseconds = -1;
    CHECK(CALL_LIBOS(utimensat, AT, USER("/etc/hosts"), USER(times), 0), -EINVAL);
    CHECK(CALL_LIBOS(utimensat, AT, USER("/etc/hosts"), 0, 0), 0);
    char value[64] = {0};
    CHECK(CALL_LIBOS(getxattr, USER("/etc/capable"), USER("user.note"), USER(value), sizeof(value)), 5);
    CHECK(strcmp(value, "hello"), 0);
    CHECK(CALL_LIBOS(getxattr, USER("/etc/capable"), USER("user.note"), USER(value), 4), -ERANGE);
    CHECK(CALL_LIBOS(getxattr, USER("/etc/capable"), USER("user.note"), 0, 0), 5);
    CHECK(CALL_LIBOS(getxattr, USER("/etc/capable"), USER("security.capability"), USER(value), sizeof(value)),
        20);
    CHECK(CALL_LIBOS(
              getxattr, USER("/etc/capable"), USER("trusted.overlay.metacopy"), USER(value), sizeof(value)),
        -ENODATA);
    CHECK(CALL_LIBOS(listxattr, USER("/etc/capable"), USER(value), sizeof(value)), 10 + 20);
    uint32_t words[64] = {0};
    CHECK(CALL_LIBOS(statx, AT, USER("/dev/disk"), 0, 0x7FF, USER(words)), -ENOENT);
    CHECK(CALL_LIBOS(statx, AT, USER("/bin/twin"), 0, 0x7FF, USER(words)), 0);
    CHECK(words[10], 300000); /* stx_size */
    CHECK(CALL_LIBOS(umask, 077), 022);
    CHECK(make_file("/tmp/masked", ""), 0);
    CHECK(stat_file("/tmp/masked"), 0);
    CHECK(status.mode, 0100600);
    CHECK(CALL_LIBOS(umask, 022), 077);
    uint64_t statfs[15];
    CHECK(CALL_LIBOS(statfs, USER("/"), USER(statfs)), 0);
    CHECK(statfs[1], 4096);
}
