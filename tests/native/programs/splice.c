/* splice(2), tee(2), vmsplice(2), sendfile(2), copy_file_range(2): what moves, and what is refused in which order. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char data[200000], got[200000];

static int one[2], two[2], file;

static void open_all(void)
{
    CHECK(pipe(one) == 0 && pipe(two) == 0);
    file = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    if (file < 0) {
        file = memfd_create("file", 0);
    }
    CHECK(file >= 0 && pwrite(file, data, sizeof data, 0) == sizeof data);
}

static void close_all(void)
{
    close(one[0]), close(one[1]), close(two[0]), close(two[1]), close(file);
}

static void moving(void)
{
    loff_t offset = 1000;
    open_all();
    CHECK(splice(file, &offset, one[1], NULL, 5000, 0) == 5000 && offset == 6000);
    CHECK(lseek(file, 0, SEEK_CUR) == 0);
    CHECK(tee(one[0], two[1], 4000, 0) == 4000);
    CHECK(read(two[0], got, sizeof got) == 4000 && memcmp(got, data + 1000, 4000) == 0);
    CHECK(splice(one[0], NULL, two[1], NULL, 100, 0) == 100);
    CHECK(read(two[0], got, sizeof got) == 100 && memcmp(got, data + 1000, 100) == 0);
    offset = 300000;
    CHECK(splice(one[0], NULL, file, &offset, 10000, SPLICE_F_MOVE | SPLICE_F_MORE) == 4900 && offset == 304900);
    CHECK(pread(file, got, 4900, 300000) == 4900 && memcmp(got, data + 1100, 4900) == 0);
    CHECK(splice(file, NULL, one[1], NULL, 3000, 0) == 3000 && lseek(file, 0, SEEK_CUR) == 3000);
    CHECK(read(one[0], got, sizeof got) == 3000 && memcmp(got, data, 3000) == 0);
    CHECK(splice(one[0], NULL, two[1], NULL, 100, SPLICE_F_NONBLOCK) == -1 && errno == EAGAIN);
    int event = eventfd(0, 0); /* it would wait for data, or for an event */
    CHECK(splice(one[0], NULL, event, NULL, 8, 0) == -1 && errno == EINVAL);
    CHECK(splice(event, NULL, one[1], NULL, 8, 0) == -1 && errno == EINVAL && close(event) == 0);
    CHECK(tee(one[0], two[1], 100, SPLICE_F_NONBLOCK) == -1 && errno == EAGAIN);
    offset = 400000;
    CHECK(splice(file, &offset, one[1], NULL, 3000, 0) == 0);
    offset = 0;
    CHECK(splice(file, &offset, one[1], NULL, 100000, 0) == 65536);
    CHECK(splice(file, &offset, one[1], NULL, 100, SPLICE_F_NONBLOCK) == -1 && errno == EAGAIN);
    CHECK(splice(one[0], NULL, two[1], NULL, 100000, 0) == 65536);
    CHECK(splice(one[0], NULL, two[1], NULL, 1, SPLICE_F_NONBLOCK) == -1 && errno == EAGAIN);
    CHECK(close(one[1]) == 0);
    CHECK(read(two[0], got, sizeof got) == 65536 && memcmp(got, data, 65536) == 0);
    CHECK(splice(one[0], NULL, two[1], NULL, 1, 0) == 0 && tee(one[0], two[1], 1, 0) == 0);
    close_all();
}

static void refusals(void)
{
    loff_t offset = 0, negative = -1;
    open_all();
    CHECK(splice(-1, NULL, -1, NULL, 0, 99) == 0);
    CHECK(splice(file, NULL, one[1], NULL, 1, 0x10) == -1 && errno == EINVAL);
    CHECK(splice(-1, NULL, one[1], NULL, 1, 0) == -1 && errno == EBADF);
    CHECK(splice(one[0], &offset, file, NULL, 1, 0) == -1 && errno == ESPIPE);
    CHECK(splice(file, NULL, one[1], &offset, 1, 0) == -1 && errno == ESPIPE);
    CHECK(splice(file, (loff_t *)8, one[1], NULL, 1, 0) == -1 && errno == EFAULT);
    CHECK(splice(file, &negative, one[1], NULL, 1, 0) == -1 && errno == EINVAL);
    CHECK(splice(file, NULL, file, NULL, 1, 0) == -1 && errno == EINVAL);
    CHECK(splice(one[0], NULL, one[1], NULL, 1, 0) == -1 && errno == EINVAL);
    CHECK(splice(one[1], NULL, two[1], NULL, 1, 0) == -1 && errno == EBADF);
    CHECK(splice(file, NULL, one[0], NULL, 1, 0) == -1 && errno == EBADF);
    CHECK(write(one[1], "x", 1) == 1 && fcntl(file, F_SETFL, O_APPEND) == 0);
    CHECK(splice(one[0], NULL, file, NULL, 1, 0) == -1 && errno == EINVAL && fcntl(file, F_SETFL, 0) == 0);
    CHECK(tee(file, one[1], 1, 0) == -1 && errno == EINVAL);
    CHECK(tee(one[0], one[1], 1, 0) == -1 && errno == EINVAL);
    CHECK(tee(one[0], two[1], 0, 99) == -1 && errno == EINVAL && tee(one[0], two[1], 0, 0) == 0);
    CHECK(tee(one[1], two[1], 1, 0) == -1 && errno == EBADF);
    CHECK(close(two[0]) == 0 && tee(one[0], two[1], 1, 0) == -1 && errno == EPIPE);
    CHECK(splice(file, &offset, two[1], NULL, 1, 0) == -1 && errno == EPIPE && offset == 0);
    close_all();
}

static void memory(void)
{
    open_all();
    struct iovec pieces[3] = {{data, 3000}, {data, 0}, {data + 3000, 70000}};
    CHECK(vmsplice(one[1], pieces, 3, SPLICE_F_NONBLOCK) > 5000);
    CHECK(read(one[0], got, 5000) == 5000 && memcmp(got, data, 5000) == 0);
    struct iovec to = {got, 1000};
    CHECK(vmsplice(one[0], &to, 1, 0) == 1000 && memcmp(got, data + 5000, 1000) == 0);
    CHECK(vmsplice(file, &to, 1, 0) == -1 && errno == EBADF);
    CHECK(vmsplice(one[1], &to, 1, 0x20) == -1 && errno == EINVAL);
    CHECK(vmsplice(one[1], &to, 2000, 0) == -1 && errno == EINVAL);
    CHECK(vmsplice(one[1], NULL, 0, 0) == 0);
    to.iov_base = (void *)8;
    CHECK(vmsplice(two[1], &to, 1, 0) == -1 && errno == EFAULT);
    close_all();
}

static void sending(void)
{
    off_t offset = 10;
    open_all();
    int other = memfd_create("other", 0);
    CHECK(sendfile(other, file, &offset, 50) == 50 && offset == 60 && lseek(file, 0, SEEK_CUR) == 0);
    CHECK(lseek(other, 0, SEEK_CUR) == 50 && pread(other, got, 99, 0) == 50 && memcmp(got, data + 10, 50) == 0);
    off_t *locked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *locked = 5;
    CHECK(mprotect(locked, 4096, PROT_READ) == 0);
    CHECK(sendfile(other, file, locked, 5) == -1 && errno == EFAULT && lseek(other, 0, SEEK_CUR) == 55);
    CHECK(sendfile(-1, -1, (off_t *)8, 5) == -1 && errno == EFAULT);
    CHECK(sendfile(-1, file, &offset, 5) == -1 && errno == EBADF && offset == 60);
    CHECK(sendfile(other, one[0], NULL, 5) == -1 && errno == EINVAL);
    offset = -1;
    CHECK(sendfile(other, file, &offset, 5) == -1 && errno == EINVAL);
    CHECK(sendfile(one[1], file, NULL, 5) == 5 && read(one[0], got, 9) == 5 && lseek(file, 0, SEEK_CUR) == 5);
    CHECK(close(other) == 0);
    close_all();
}

static ssize_t copy(int in, loff_t *in_offset, int out, loff_t *out_offset, size_t length, unsigned flags)
{
    return syscall(SYS_copy_file_range, in, in_offset, out, out_offset, length, flags);
}

static void copying(void)
{
    loff_t in = 100, out = 0;
    open_all();
    int other = open("/dev/shm/copied", O_CREAT | O_RDWR, 0600), append = open("/dev/shm/copied", O_RDWR | O_APPEND);
    int root = open("/dev/shm", O_RDONLY | O_DIRECTORY), reader = open("/dev/shm/copied", O_RDONLY);
    CHECK(unlink("/dev/shm/copied") == 0 && other >= 0 && append >= 0 && root >= 0);
    int source = open("/dev/shm/source", O_CREAT | O_RDWR, 0600);
    CHECK(source >= 0 && unlink("/dev/shm/source") == 0 && write(source, data, 5000) == 5000);
    CHECK(copy(source, &in, other, &out, 10000, 0) == 4900 && in == 5000 && out == 4900);
    CHECK(pread(other, got, 9999, 0) == 4900 && memcmp(got, data + 100, 4900) == 0);
    CHECK(copy(source, &in, other, &out, 100, 0) == 0);
    CHECK(copy(source, &in, other, &out, 100, 1) == -1 && errno == EINVAL);
    CHECK(copy(-1, &in, other, &out, 100, 0) == -1 && errno == EBADF);
    CHECK(copy(source, &in, append, &out, 100, 0) == -1 && errno == EBADF);
    CHECK(copy(source, &in, reader, &out, 100, 0) == -1 && errno == EBADF);
    CHECK(copy(root, &in, other, &out, 100, 0) == -1 && errno == EISDIR);
    CHECK(copy(one[0], NULL, other, &out, 100, 0) == -1 && errno == EINVAL);
    in = 0, out = 50;
    CHECK(copy(source, &in, source, &out, 100, 0) == -1 && errno == EINVAL);
    out = 100;
    CHECK(copy(source, &in, source, &out, 100, 0) == 100 && in == 100 && out == 200);
    close_all();
    close(other), close(append), close(root), close(reader), close(source);
}

static void *drain(void *argument)
{
    usleep(20000);
    CHECK(read(one[0], got, sizeof got) > 0);
    return argument;
}

static void waiting(void)
{
    pthread_t thread;
    loff_t offset = 0;
    open_all();
    CHECK(splice(file, &offset, one[1], NULL, 65536, 0) == 65536);
    CHECK(pthread_create(&thread, NULL, drain, NULL) == 0);
    CHECK(splice(file, &offset, one[1], NULL, 4096, 0) == 4096 && offset == 69632);
    CHECK(pthread_join(thread, NULL) == 0);
    close_all();
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    for (size_t at = 0; at < sizeof data; at++) {
        data[at] = (char)(at * 31 + at / 256);
    }
    moving();
    refusals();
    memory();
    sending();
    copying();
    waiting();
    puts("splice ok");
}
