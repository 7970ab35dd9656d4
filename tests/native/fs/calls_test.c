/*
 * The file system's calls against the sample tree: what POSIX and Linux promise, over a root that is measured
 * below and writable above.
 *
 * calls_test IMAGE VERITY DATA DIGEST VOLUME-ROOT
 */
#include "calls.h"

long lseek(int fd, long offset, int whence);
int open(const char *path, int flags, ...);

static struct configuration measured;

static void read_much(void *context)
{
    static const char *const paths[] = {"/bin/twin", "/sizes/3145733", "/sizes/524288"};
    uint8_t *expected = context;
    uint8_t *bytes = calloc(1, 70000);
    for (uint32_t round = 0; round < 300; round++) {
        int64_t descriptor = open_file(paths[round % 3], O_RDONLY, 0);
        uint64_t offset = round * 7919ULL % 200000;
        int64_t got =
            CALL_LIBOS(pread64, (uint64_t)descriptor, USER(bytes), 1 + round * 331ULL % 70000, offset);
        bool good = got > 0 && (round % 3 != 0 || memcmp(bytes, expected + offset, (size_t)got) == 0);
        if (!good) {
            __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
        }
        close_file(descriptor);
        struct stat_words own;
        CALL_LIBOS(lstat, USER("/many/-5"), USER(&own));
        make_file("/tmp/shared", "x");
    }
    free(bytes);
}

static void test_threads(void)
{
    static uint8_t twin[300000];
    struct shim_thread *threads[4];
    CHECK(CALL_LIBOS(read, (uint64_t)open_file("/bin/twin", 0, 0), USER(twin), sizeof(twin)), 300000);
    for (size_t at = 0; at < ARRAY_LENGTH(threads); at++) {
        threads[at] = shim_thread_start(read_much, twin);
    }
    for (size_t at = 0; at < ARRAY_LENGTH(threads); at++) {
        shim_thread_join(threads[at]);
    }
}

static uint64_t size_of(const char *path)
{
    return (uint64_t)lseek(open(path, 0), 0, 2);
}

int main(int count, char **arguments)
{
    int pipe(int descriptors[2]);
    int dup2(int old, int new);
    int close(int fd);
    int ends[2];
    if (count != 6) {
        return 2;
    }
    pipe(ends);
    dup2(ends[0], 0);
    close(ends[0]);
    shim_start(arguments[1], arguments[2], arguments[3], arguments[5]);
    measured.has_rootfs = true;
    measured.policy = POLICY_ALLOW_HOST_NETWORK_FILES;
    measured.rootfs_size = size_of(arguments[1]);
    measured.verity_size = size_of(arguments[2]);
    for (size_t at = 0; at < sizeof(measured.rootfs_digest); at++) {
        char byte[3] = {arguments[4][2 * at], arguments[4][2 * at + 1]};
        measured.rootfs_digest[at] = (uint8_t)strtoull(byte, NULL, 16);
    }
    CHECK(fs_start(&measured), 0);
    CHECK(content_is("/etc/hosts", "127.0.0.1 localhost\n10.0.0.7 db # comment\n"), 1);
    CHECK(content_is("/etc/hostname", "guest\n"), 1);
    CHECK(log_lines, 1); /* resolv.conf of the host is malformed */
    test_paths();
    test_reading();
    test_writing_over_the_image();
    test_links_and_names();
    test_permissions();
    test_attributes();
    test_descriptors();
    test_synthetic_files();
    test_pipes();
    test_socket_pairs();
    test_waiting();
    test_standard_input(ends[1]);
    test_volume();
    test_changed_lists();
    test_threads();
    process_upcalls.flush_files();
    printf("%d failures\n", failures);
    return failures != 0;
}
