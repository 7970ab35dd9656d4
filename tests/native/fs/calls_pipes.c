/* Descriptors, pipes and socket pairs. */
#include "calls.h"

void test_descriptors(void)
{
    int64_t one = open_file("/etc/hosts", O_CLOEXEC, 0);
    CHECK(CALL_LIBOS(fcntl, (uint64_t)one, 1), 1);
    int64_t two = CALL_LIBOS(dup, (uint64_t)one);
    CHECK(CALL_LIBOS(fcntl, (uint64_t)two, 1), 0);
    CHECK(CALL_LIBOS(lseek, (uint64_t)one, 7, 0), 7);
    CHECK(CALL_LIBOS(lseek, (uint64_t)two, 0, 1), 7); /* one open file, one position */
    CHECK(CALL_LIBOS(dup2, (uint64_t)one, 200), 200);
    CHECK(CALL_LIBOS(dup2, (uint64_t)one, (uint64_t)one), one);
    CHECK(CALL_LIBOS(dup3, (uint64_t)one, (uint64_t)one, 0), -EINVAL);
    CHECK(CALL_LIBOS(dup2, 199, 5), -EBADF);
    CHECK(CALL_LIBOS(dup2, (uint64_t)one, 1 << 20), -EBADF);
    CHECK(CALL_LIBOS(fcntl, (uint64_t)one, 0, 100), 100);
    CHECK(CALL_LIBOS(fcntl, (uint64_t)one, 3), 0100000);
    CHECK(CALL_LIBOS(close_range, 100, 300, 0), 0);
    CHECK(CALL_LIBOS(fcntl, 200, 1), -EBADF);
    close_file(one);
    CHECK(close_file(two), 0);
    int64_t last = -1;
    uint32_t count = 0;
    for (int64_t at; (at = open_file("/etc", 0, 0)) >= 0; count++) {
        last = at;
    }
    CHECK(last, 1023);
    CHECK(open_file("/etc", 0, 0), -EMFILE);
    CHECK(CALL_LIBOS(close_range, 3, (uint64_t)-1, 0), 0);
    int64_t memory = CALL_LIBOS(memfd_create, USER("name"), 0);
    CHECK(write_file(memory, "abc"), 3);
    int64_t copy = open_file("/tmp/copy", O_CREAT | O_RDWR | O_TRUNC, 0600);
    CHECK(CALL_LIBOS(lseek, (uint64_t)memory, 0, 0), 0);
    CHECK(CALL_LIBOS(sendfile, (uint64_t)copy, (uint64_t)memory, 0, 100), 3);
    CHECK(content_is("/tmp/copy", "abc"), 1);
    uint64_t offset = 1;
    CHECK(CALL_LIBOS(copy_file_range, (uint64_t)memory, USER(&offset), (uint64_t)copy, 0, 100, 0), -EXDEV);
    CHECK(CALL_LIBOS(sendfile, (uint64_t)copy, (uint64_t)memory, USER(&offset), 100), 2);
    CHECK(offset, 3);
    CHECK(content_is("/tmp/copy", "abcbc"), 1);
    close_file(memory);
    close_file(copy);
    CHECK(CALL_LIBOS(socket, 2, 1, 0), -EACCES); /* no network is measured */
}

void test_pipes(void)
{
    static char bytes[70000];
    make_pipe(O_NONBLOCK);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 10), -EAGAIN);
    CHECK(CALL_LIBOS(write, (uint64_t)pipe_ends[1], USER(bytes), sizeof(bytes)), 65536);
    CHECK(write_file(pipe_ends[1], "x"), -EAGAIN);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 100), 100);
    /* up to PIPE_BUF all or nothing */
    CHECK(CALL_LIBOS(write, (uint64_t)pipe_ends[1], USER(bytes), 101), -EAGAIN);
    CHECK(CALL_LIBOS(lseek, (uint64_t)pipe_ends[0], 0, 0), -ESPIPE);
    close_file(pipe_ends[0]);
    CHECK(write_file(pipe_ends[1], "x"), -EPIPE);
    CHECK(signal_sent, SIGPIPE);
    close_file(pipe_ends[1]);

    make_pipe(0);
    struct shim_thread *thread = shim_thread_start(write_later, NULL);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 10), 4);
    shim_thread_join(thread);
    thread = shim_thread_start(close_later, &pipe_ends[1]);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 10), 0);
    shim_thread_join(thread);
    close_file(pipe_ends[0]);

    CHECK(CALL_LIBOS(mknod, USER("/tmp/fifo"), 0010600, 0), 0);
    int64_t writer = open_file("/tmp/fifo", O_WRONLY | O_NONBLOCK, 0);
    CHECK(writer, -ENXIO);
    int64_t reader = open_file("/tmp/fifo", O_RDONLY | O_NONBLOCK, 0);
    writer = open_file("/tmp/fifo", O_WRONLY, 0);
    CHECK(write_file(writer, "abc"), 3);
    CHECK(CALL_LIBOS(read, (uint64_t)reader, USER(bytes), 10), 3);
    close_file(writer);
    CHECK(CALL_LIBOS(read, (uint64_t)reader, USER(bytes), 10), 0);
    close_file(reader);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/fifo")), 0);
    CHECK(CALL_LIBOS(mknod, USER("/tmp/device"), 0020600, 0x103), 0);
    become(1, 1, 1);
    CHECK(CALL_LIBOS(mknod, USER("/tmp/other-device"), 0020600, 0x103), -EPERM);
    CHECK(CALL_LIBOS(mknod, USER("/tmp/whiteout"), 0020600, 0), 0);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/whiteout")), 0);
    become(0, 0, 0);
}

void test_socket_pairs(void)
{
    static char bytes[70000];
    int32_t ends[2], value, size = 4;
    uint64_t one, other;
    CHECK(CALL_LIBOS(socketpair, INET, STREAM, 0, USER(ends)), -EOPNOTSUPP);
    CHECK(CALL_LIBOS(socketpair, UNIX, RELIABLE, 0, USER(ends)), -ESOCKTNOSUPPORT);
    CHECK(CALL_LIBOS(socketpair, UNIX, STREAM, 7, USER(ends)), -EPROTONOSUPPORT);
    CHECK(CALL_LIBOS(socketpair, UNIX, STREAM, 0, 8), -EFAULT);

    make_socket_pair(O_NONBLOCK);
    one = (uint64_t)pipe_ends[0], other = (uint64_t)pipe_ends[1];
    CHECK(polled(pipe_ends[0]), 4);
    CHECK(CALL_LIBOS(recvfrom, one, USER(bytes), 10, 0, 0, 0), -EAGAIN);
    CHECK(CALL_LIBOS(sendto, one, USER("to the other"), 12, 0, 0, 0), 12);
    CHECK(CALL_LIBOS(sendto, other, USER("back"), 4, NOSIGNAL, 0, 0), 4);
    CHECK(polled(pipe_ends[0]), 5);
    CHECK(CALL_LIBOS(recvfrom, one, USER(bytes), 10, PEEK, 0, 0), 4);
    CHECK(CALL_LIBOS(read, one, USER(bytes), 10), 4);
    CHECK(memcmp(bytes, "back", 4), 0);
    CHECK(CALL_LIBOS(recvfrom, other, USER(bytes), sizeof(bytes), DONTWAIT, 0, 0), 12);
    CHECK(memcmp(bytes, "to the other", 12), 0);
    value = 32768; /* and twice as much in truth */
    CHECK(CALL_LIBOS(setsockopt, one, 1, 7, USER(&value), 4), 0);
    CHECK(CALL_LIBOS(sendto, one, USER(bytes), sizeof(bytes), 0, 0, 0), 65536);
    CHECK(polled(pipe_ends[0]), 0);
    CHECK(CALL_LIBOS(sendto, one, USER(bytes), 1, 0, 0, 0), -EAGAIN);
    CHECK(CALL_LIBOS(sendto, one, USER(bytes), 1, 0, USER(bytes), 2), -EISCONN);
    CHECK(CALL_LIBOS(sendto, one, USER(bytes), 1, 1, 0, 0), -EOPNOTSUPP);
    CHECK(CALL_LIBOS(sendto, one, 8, 10, 0, 0, 0), -EFAULT);
    CHECK(CALL_LIBOS(lseek, one, 0, 0), -ESPIPE);

    CHECK(CALL_LIBOS(getsockopt, one, 1, 3, USER(&value), USER(&size)), 0);
    CHECK(value, STREAM);
    size = -1;
    CHECK(CALL_LIBOS(getsockopt, one, 1, 3, USER(&value), USER(&size)), -EINVAL);
    size = 4;
    CHECK(CALL_LIBOS(getsockopt, one, 6, 1, USER(&value), USER(&size)), -EOPNOTSUPP);
    CHECK(CALL_LIBOS(getsockopt, one, 1, 99, USER(&value), USER(&size)), -ENOPROTOOPT);
    CHECK(CALL_LIBOS(setsockopt, one, 1, 7, USER(&value), 4), 0);
    CHECK(CALL_LIBOS(setsockopt, one, 1, 99, USER(&value), 4), -ENOPROTOOPT);
    size = 16;
    CHECK(CALL_LIBOS(getpeername, one, USER(bytes), USER(&size)), 0);
    CHECK(size, 2);
    CHECK(bytes[0], UNIX);

    /* what is on the way still arrives */
    CHECK(CALL_LIBOS(shutdown, one, 3), -EINVAL);
    CHECK(CALL_LIBOS(shutdown, one, 1), 0);
    CHECK(CALL_LIBOS(shutdown, one, 1), 0);
    signal_sent = 0;
    CHECK(CALL_LIBOS(sendto, one, USER(bytes), 1, NOSIGNAL, 0, 0), -EPIPE);
    CHECK(signal_sent, 0);
    CHECK(CALL_LIBOS(recvfrom, other, USER(bytes), sizeof(bytes), 0, 0, 0) > 0, 1);
    while (CALL_LIBOS(recvfrom, other, USER(bytes), sizeof(bytes), 0, 0, 0) > 0) {
    }
    CHECK(CALL_LIBOS(recvfrom, other, USER(bytes), 1, 0, 0, 0), 0);
    CHECK(polled(pipe_ends[1]), 0x2005);
    CHECK(CALL_LIBOS(sendto, other, USER("last"), 4, 0, 0, 0), 4);
    close_file(pipe_ends[1]);
    CHECK(CALL_LIBOS(recvfrom, one, USER(bytes), 10, 0, 0, 0), 4);
    CHECK(CALL_LIBOS(recvfrom, one, USER(bytes), 10, 0, 0, 0), 0);
    CHECK(polled(pipe_ends[0]), 0x2015);
    CHECK(write_file(pipe_ends[0], "x"), -EPIPE);
    CHECK(signal_sent, SIGPIPE);
    close_file(pipe_ends[0]);

    make_socket_pair(0);
    struct shim_thread *thread = shim_thread_start(write_later, NULL);
    CHECK(CALL_LIBOS(recvfrom, (uint64_t)pipe_ends[0], USER(bytes), 10, 0, 0, 0), 4);
    shim_thread_join(thread);
    thread = shim_thread_start(close_later, &pipe_ends[1]);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 10), 0);
    shim_thread_join(thread);
    CHECK(CALL_LIBOS(shutdown, (uint64_t)open_file("/dev/zero", O_RDWR, 0), 1), -ENOTSOCK);
    CHECK(CALL_LIBOS(shutdown, 999, 1), -EBADF);
    close_file(pipe_ends[0]);
}
