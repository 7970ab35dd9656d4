/* Each call with each pointer that leads nowhere on each kind of file in each state: what is said of it, and what is left of what was there. What is
 * printed natively is printed inside. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#define PAGE 4096L
#define FOLDER "/tmp/pointers.d"
#define LENGTH 16 /* of transfers */

static char good[PAGE]; /* what the other arguments point to */
static int other;       /* the other end, or -1 */

/* --- Kinds of files, each in a state: a descriptor --- */

static void fill(int file)
{
    static char zeros[PAGE];
    while (write(file, zeros, sizeof zeros) > 0) {
    }
}

static int pipe_end(int end, int contents)
{
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    CHECK(contents == 0 || write(ends[1], "abcdefgh", 8) == 8);
    other = ends[1 - end];
    return ends[end];
}

static int pipe_empty(void)
{
    return pipe_end(0, 0);
}

static int pipe_with_data(void)
{
    return pipe_end(0, 1);
}

static int pipe_to_write(void)
{
    return pipe_end(1, 0);
}

static int pipe_full(void)
{
    int file = pipe_end(1, 0);
    fill(file);
    return file;
}

static int without_other(int file)
{
    CHECK(close(other) == 0);
    other = -1;
    return file;
}

static int pipe_at_end(void)
{
    return without_other(pipe_end(0, 0));
}

static int pipe_broken(void)
{
    return without_other(pipe_end(1, 0));
}

static int unix_pair(int type, int contents)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends) == 0);
    CHECK(contents == 0 || write(ends[1], "abcdefgh", 8) == 8);
    other = ends[1];
    return ends[0];
}

static int stream_empty(void)
{
    return unix_pair(SOCK_STREAM, 0);
}

static int stream_with_data(void)
{
    return unix_pair(SOCK_STREAM, 1);
}

static int stream_full(void)
{
    int file = unix_pair(SOCK_STREAM, 0);
    fill(file);
    return file;
}

static int stream_at_end(void)
{
    return without_other(unix_pair(SOCK_STREAM, 0));
}

static int datagram_empty(void)
{
    return unix_pair(SOCK_DGRAM, 0);
}

static int datagram_waiting(void)
{
    return unix_pair(SOCK_DGRAM, 1);
}

static int packet_empty(void)
{
    return unix_pair(SOCK_SEQPACKET, 0);
}

static int packet_waiting(void)
{
    return unix_pair(SOCK_SEQPACKET, 1);
}

static int packet_at_end(void)
{
    return without_other(unix_pair(SOCK_SEQPACKET, 0));
}

static int unix_alone(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
}

static int unix_listener(int connections)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0pointers"};
    int file = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(file >= 0 && bind(file, (void *)&name, 12) == 0 && listen(file, 1) == 0);
    if (connections > 0) {
        other = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(connect(other, (void *)&name, 12) == 0);
    }
    return file;
}

static int unix_listening(void)
{
    return unix_listener(0);
}

static int unix_connected_to(void)
{
    return unix_listener(1);
}

static void awaited(int file)
{
    struct pollfd item = {.fd = file, .events = POLLIN};
    CHECK(poll(&item, 1, -1) == 1);
}

static int inet_name(int file, struct sockaddr_in *name)
{
    socklen_t length = sizeof *name;
    *name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(file, (void *)name, sizeof *name) == 0 && getsockname(file, (void *)name, &length) == 0);
    return file;
}

static int tcp_listener(int connections)
{
    struct sockaddr_in name;
    int file = inet_name(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), &name);
    CHECK(listen(file, 4) == 0);
    if (connections > 0) {
        other = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(connect(other, (void *)&name, sizeof name) == 0);
        awaited(file);
    }
    return file;
}

static int tcp_alone(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
}

static int tcp_listening(void)
{
    return tcp_listener(0);
}

static int tcp_connected_to(void)
{
    return tcp_listener(1);
}

static int tcp_end(int contents)
{
    int listener = tcp_listener(1);
    int file = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    CHECK(file >= 0 && close(listener) == 0);
    if (contents > 0) {
        CHECK(write(other, "abcdefgh", 8) == 8);
        awaited(file);
    }
    return file;
}

static int tcp_empty(void)
{
    return tcp_end(0);
}

static int tcp_with_data(void)
{
    return tcp_end(1);
}

static int tcp_at_end(void)
{
    int file = without_other(tcp_end(0));
    awaited(file);
    return file;
}

static int udp_empty(void)
{
    struct sockaddr_in name;
    int file = inet_name(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), &name);
    other = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(connect(other, (void *)&name, sizeof name) == 0);
    return file;
}

static int udp_waiting(void)
{
    int file = udp_empty();
    CHECK(write(other, "abcdefgh", 8) == 8);
    awaited(file);
    return file;
}

static int event_zero(void)
{
    return eventfd(0, EFD_NONBLOCK);
}

static int event_counted(void)
{
    return eventfd(5, EFD_NONBLOCK);
}

static int event_full(void)
{
    int file = eventfd(0, EFD_NONBLOCK);
    CHECK(eventfd_write(file, 0xFFFFFFFFFFFFFFFEUL) == 0);
    return file;
}

static int timer_idle(void)
{
    return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
}

static int timer_expired(void)
{
    static const struct itimerspec at_once = {.it_value.tv_nsec = 1};
    int file = timer_idle();
    CHECK(timerfd_settime(file, 0, &at_once, NULL) == 0);
    awaited(file);
    return file;
}

static int signals_none(void)
{
    sigset_t set;
    struct timespec none = {0};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    while (sigtimedwait(&set, NULL, &none) > 0) {
    }
    return signalfd(-1, &set, SFD_NONBLOCK);
}

static int signals_waiting(void)
{
    int file = signals_none();
    CHECK(kill(getpid(), SIGUSR1) == 0);
    return file;
}

static int watches_quiet(void)
{
    int file = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(file, FOLDER, IN_OPEN | IN_ONLYDIR) == 1);
    return file;
}

static int watches_told(void)
{
    int file = watches_quiet();
    CHECK(close(open(FOLDER, O_RDONLY)) == 0);
    return file;
}

static int pty_master(void)
{
    int file = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    CHECK(file >= 0 && unlockpt(file) == 0);
    other = open(ptsname(file), O_RDWR | O_NOCTTY | O_NONBLOCK);
    CHECK(other >= 0);
    return file;
}

static int pty_master_with_data(void)
{
    int file = pty_master();
    CHECK(write(other, "abcdefgh", 8) == 8);
    return file;
}

static int pty_slave(void)
{
    int master = pty_master(), slave = other;
    other = master;
    return slave;
}

static int pty_slave_with_data(void)
{
    int file = pty_slave();
    CHECK(write(other, "abcdefg\n", 8) == 8);
    return file;
}

static int epoll_idle(void)
{
    return epoll_create1(0);
}

static int epoll_ready(void)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT};
    int file = epoll_idle();
    other = eventfd(5, 0);
    CHECK(epoll_ctl(file, EPOLL_CTL_ADD, other, &event) == 0);
    return file;
}

static int file_with_data(void)
{
    CHECK(unlink(FOLDER "/content") == 0 || errno == ENOENT);
    int file = open(FOLDER "/content", O_RDWR | O_CREAT | O_EXCL, 0600); /* cutting one is what disks are waited for */
    CHECK(file >= 0 && write(file, "abcdefgh", 8) == 8 && lseek(file, 0, SEEK_SET) == 0);
    return file;
}

static int file_at_end(void)
{
    int file = file_with_data();
    CHECK(lseek(file, 8, SEEK_SET) == 8);
    return file;
}

static int file_to_read(void)
{
    CHECK(close(file_with_data()) == 0);
    return open(FOLDER "/content", O_RDONLY);
}

static int file_to_write(void)
{
    CHECK(close(file_with_data()) == 0);
    return open(FOLDER "/content", O_WRONLY);
}

static int name_only(void)
{
    CHECK(close(file_with_data()) == 0);
    return open(FOLDER "/content", O_PATH);
}

static int memory_file(void)
{
    return memfd_create("pointers", 0);
}

static int folder(void)
{
    return open(FOLDER, O_RDONLY | O_DIRECTORY);
}

static int null_device(void)
{
    return open("/dev/null", O_RDWR);
}

static int zero_device(void)
{
    return open("/dev/zero", O_RDWR);
}

static int random_device(void)
{
    return open("/dev/urandom", O_RDWR);
}

static int generated(void)
{
    return open("/proc/sys/kernel/ostype", O_RDONLY);
}

static int closed(void)
{
    return -1;
}

static const struct {
    const char *name;
    int (*make)(void);
} kinds[] = {
#define KIND(name) {#name, name}
    KIND(pipe_empty), KIND(pipe_with_data), KIND(pipe_to_write), KIND(pipe_full), KIND(pipe_at_end), KIND(pipe_broken),
    KIND(stream_empty), KIND(stream_with_data), KIND(stream_full), KIND(stream_at_end), KIND(datagram_empty), KIND(datagram_waiting),
    KIND(packet_empty), KIND(packet_waiting), KIND(packet_at_end), KIND(unix_alone), KIND(unix_listening), KIND(unix_connected_to),
    KIND(tcp_alone), KIND(tcp_listening), KIND(tcp_connected_to), KIND(tcp_empty), KIND(tcp_with_data), KIND(tcp_at_end),
    KIND(udp_empty), KIND(udp_waiting), KIND(event_zero), KIND(event_counted), KIND(event_full), KIND(timer_idle), KIND(timer_expired),
    KIND(signals_none), KIND(signals_waiting), KIND(watches_quiet), KIND(watches_told), KIND(pty_master), KIND(pty_master_with_data),
    KIND(pty_slave), KIND(pty_slave_with_data), KIND(epoll_idle), KIND(epoll_ready), KIND(file_with_data), KIND(file_at_end),
    KIND(file_to_read), KIND(file_to_write), KIND(name_only), KIND(memory_file), KIND(folder), KIND(null_device), KIND(zero_device),
    KIND(random_device), KIND(generated), KIND(closed),
};

/* --- Calls, each with one argument that is the pointer --- */

static long call_vector(long number, int file, void *base, size_t length)
{
    struct iovec vector[] = {{good, 2}, {base, length}};
    return syscall(number, file, vector, 2, 0, 0);
}

static struct msghdr header(struct iovec *vector)
{
    *vector = (struct iovec){good, LENGTH};
    return (struct msghdr){.msg_iov = vector, .msg_iovlen = 1};
}

#define FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
#define CALL(name, ...) \
    static long name(int file, void *at) \
    { \
        __VA_ARGS__; \
    }
#define MESSAGE(name, function, ...) \
    CALL(name, struct iovec vector; struct msghdr message = header(&vector); __VA_ARGS__; return syscall(function, file, &message, FLAGS))

CALL(reads, return syscall(SYS_read, file, at, LENGTH))
CALL(reads_little, return syscall(SYS_read, file, at, 4))
CALL(reads_eight, return syscall(SYS_read, file, at, 8))
CALL(reads_nothing, return syscall(SYS_read, file, at, 0))
CALL(reads_too_much, return syscall(SYS_read, file, at, -1L))
CALL(writes, return syscall(SYS_write, file, at, LENGTH))
CALL(writes_little, return syscall(SYS_write, file, at, 4))
CALL(writes_eight, return syscall(SYS_write, file, at, 8))
CALL(writes_nothing, return syscall(SYS_write, file, at, 0))
CALL(writes_too_much, return syscall(SYS_write, file, at, -1L))
CALL(reads_at, return syscall(SYS_pread64, file, at, LENGTH, 2L))
CALL(writes_at, return syscall(SYS_pwrite64, file, at, LENGTH, 2L))
CALL(reads_before, return syscall(SYS_pread64, file, at, LENGTH, -2L))
CALL(writes_before, return syscall(SYS_pwrite64, file, at, LENGTH, -2L))
CALL(reads_vector, return syscall(SYS_readv, file, at, 1))
CALL(writes_vector, return syscall(SYS_writev, file, at, 1))
CALL(reads_no_vector, return syscall(SYS_readv, file, at, 0))
CALL(writes_no_vector, return syscall(SYS_writev, file, at, 0))
CALL(reads_long_vector, return syscall(SYS_readv, file, at, 1025))
CALL(writes_long_vector, return syscall(SYS_writev, file, at, 1025))
CALL(reads_pieces, return call_vector(SYS_readv, file, at, LENGTH))
CALL(writes_pieces, return call_vector(SYS_writev, file, at, LENGTH))
CALL(reads_pieces_at, return call_vector(SYS_preadv, file, at, LENGTH))
CALL(writes_pieces_at, return call_vector(SYS_pwritev, file, at, LENGTH))
CALL(receives, return syscall(SYS_recvfrom, file, at, LENGTH, FLAGS, NULL, NULL))
CALL(receives_little, return syscall(SYS_recvfrom, file, at, 4, FLAGS, NULL, NULL))
CALL(peeks, return syscall(SYS_recvfrom, file, at, LENGTH, FLAGS | MSG_PEEK, NULL, NULL))
CALL(receives_urgent, return syscall(SYS_recvfrom, file, at, LENGTH, FLAGS | MSG_OOB, NULL, NULL))
CALL(receives_from, socklen_t length = 128; return syscall(SYS_recvfrom, file, good, LENGTH, FLAGS, at, &length))
CALL(receives_from_sized, return syscall(SYS_recvfrom, file, good, LENGTH, FLAGS, (void *)(good + 100), at))
CALL(sends, return syscall(SYS_sendto, file, at, LENGTH, FLAGS, NULL, 0))
CALL(sends_to, return syscall(SYS_sendto, file, good, LENGTH, FLAGS, at, 16))
CALL(sends_to_long, return syscall(SYS_sendto, file, good, LENGTH, FLAGS, at, 1000))
CALL(sends_to_negative, return syscall(SYS_sendto, file, good, LENGTH, FLAGS, at, -1))
CALL(sends_to_nothing, return syscall(SYS_sendto, file, good, LENGTH, FLAGS, at, 0))
CALL(receives_message, return syscall(SYS_recvmsg, file, at, FLAGS))
MESSAGE(receives_pieces, SYS_recvmsg, vector.iov_base = at)
MESSAGE(receives_vector, SYS_recvmsg, message.msg_iov = at)
MESSAGE(receives_name, SYS_recvmsg, message.msg_name = at; message.msg_namelen = 128)
MESSAGE(receives_control, SYS_recvmsg, message.msg_control = at; message.msg_controllen = 128)
CALL(sends_message, return syscall(SYS_sendmsg, file, at, FLAGS))
MESSAGE(sends_pieces, SYS_sendmsg, vector.iov_base = at)
MESSAGE(sends_vector, SYS_sendmsg, message.msg_iov = at)
MESSAGE(sends_name, SYS_sendmsg, message.msg_name = at; message.msg_namelen = 16)
MESSAGE(sends_control, SYS_sendmsg, message.msg_control = at; message.msg_controllen = 32)
MESSAGE(sends_long_control, SYS_sendmsg, message.msg_control = at; message.msg_controllen = 1 << 30)
CALL(receives_several, return syscall(SYS_recvmmsg, file, at, 1, FLAGS, NULL))
CALL(receives_until, struct mmsghdr one = {.msg_hdr = {0}}; return syscall(SYS_recvmmsg, file, &one, 1, FLAGS, at))
CALL(sends_several, return syscall(SYS_sendmmsg, file, at, 1, FLAGS))
CALL(names, socklen_t length = 128; return syscall(SYS_getsockname, file, at, &length))
CALL(names_sized, return syscall(SYS_getsockname, file, (void *)(good + 100), at))
CALL(names_peer, socklen_t length = 128; return syscall(SYS_getpeername, file, at, &length))
CALL(names_peer_sized, return syscall(SYS_getpeername, file, (void *)(good + 100), at))
CALL(accepts, socklen_t length = 128; return syscall(SYS_accept4, file, at, &length, SOCK_NONBLOCK) >= 0)
CALL(accepts_sized, return syscall(SYS_accept4, file, (void *)(good + 100), at, SOCK_NONBLOCK) >= 0)
CALL(binds, return syscall(SYS_bind, file, at, 16))
CALL(binds_long, return syscall(SYS_bind, file, at, 1000))
CALL(binds_negative, return syscall(SYS_bind, file, at, -1))
CALL(connects, return syscall(SYS_connect, file, at, 16))
CALL(connects_long, return syscall(SYS_connect, file, at, 1000))
CALL(gets_option, socklen_t length = 4; return syscall(SYS_getsockopt, file, SOL_SOCKET, SO_TYPE, at, &length))
CALL(gets_option_sized, return syscall(SYS_getsockopt, file, SOL_SOCKET, SO_TYPE, good + 100, at))
CALL(gets_timeout, socklen_t length = 16; return syscall(SYS_getsockopt, file, SOL_SOCKET, SO_RCVTIMEO, at, &length))
CALL(gets_peer, socklen_t length = 12; return syscall(SYS_getsockopt, file, SOL_SOCKET, SO_PEERCRED, at, &length))
CALL(gets_no_option, socklen_t length = 4; return syscall(SYS_getsockopt, file, SOL_SOCKET, 9999, at, &length))
CALL(gets_no_level, socklen_t length = 4; return syscall(SYS_getsockopt, file, 9999, 1, at, &length))
CALL(gets_no_level_sized, return syscall(SYS_getsockopt, file, 9999, 1, good + 100, at))
CALL(sets_option, return syscall(SYS_setsockopt, file, SOL_SOCKET, SO_KEEPALIVE, at, 4))
CALL(sets_option_short, return syscall(SYS_setsockopt, file, SOL_SOCKET, SO_KEEPALIVE, at, 2))
CALL(sets_option_negative, return syscall(SYS_setsockopt, file, SOL_SOCKET, SO_KEEPALIVE, at, -1))
CALL(sets_timeout, return syscall(SYS_setsockopt, file, SOL_SOCKET, SO_RCVTIMEO, at, 16))
CALL(sets_linger, return syscall(SYS_setsockopt, file, SOL_SOCKET, SO_LINGER, at, 8))
CALL(sets_no_option, return syscall(SYS_setsockopt, file, SOL_SOCKET, 9999, at, 4))
CALL(sets_no_level, return syscall(SYS_setsockopt, file, 9999, 1, at, 4))
CALL(sets_readers_option, return syscall(SYS_setsockopt, file, SOL_SOCKET, SO_TYPE, at, 4))
CALL(pairs, (void)file; return syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, at))
CALL(counts_bytes, return syscall(SYS_ioctl, file, FIONREAD, at))
CALL(counts_unsent, return syscall(SYS_ioctl, file, TIOCOUTQ, at))
CALL(sets_blocking, return syscall(SYS_ioctl, file, FIONBIO, at))
CALL(sets_asynchronous, return syscall(SYS_ioctl, file, FIOASYNC, at))
CALL(gets_terminal, return syscall(SYS_ioctl, file, TCGETS, at))
CALL(sets_terminal, return syscall(SYS_ioctl, file, TCSETS, at))
CALL(gets_window, return syscall(SYS_ioctl, file, TIOCGWINSZ, at))
CALL(sets_window, return syscall(SYS_ioctl, file, TIOCSWINSZ, at))
CALL(gets_lock, return syscall(SYS_fcntl, file, F_GETLK, at))
CALL(sets_lock, return syscall(SYS_fcntl, file, F_SETLK, at))
CALL(gets_description_lock, return syscall(SYS_fcntl, file, 36, at))
CALL(gets_owner, return syscall(SYS_fcntl, file, 16, at))
CALL(sets_owner, return syscall(SYS_fcntl, file, 15, at))
CALL(gets_hint, return syscall(SYS_fcntl, file, 1035, at))
CALL(sets_hint, return syscall(SYS_fcntl, file, 1036, at))
CALL(status, return syscall(SYS_fstat, file, at))
CALL(status_at, return syscall(SYS_newfstatat, file, at, good + 200, 0))
CALL(status_to, return syscall(SYS_newfstatat, file, "a", at, 0))
CALL(status_extended, return syscall(SYS_statx, file, at, 0, 0x7FF, good + 200))
CALL(status_extended_to, return syscall(SYS_statx, file, "a", 0, 0x7FF, at))
CALL(status_of_system, return syscall(SYS_fstatfs, file, at))
CALL(lists, return syscall(SYS_getdents64, file, at, 512))
CALL(lists_little, return syscall(SYS_getdents64, file, at, 4))
CALL(controls_poll, return syscall(SYS_epoll_ctl, file, EPOLL_CTL_ADD, other, at))
CALL(controls_poll_of_none, return syscall(SYS_epoll_ctl, file, EPOLL_CTL_ADD, -1, at))
CALL(deletes_from_poll, return syscall(SYS_epoll_ctl, file, EPOLL_CTL_DEL, other, at))
CALL(no_operation_of_poll, return syscall(SYS_epoll_ctl, file, 77, other, at))
CALL(waits, return syscall(SYS_epoll_wait, file, at, 1, 0))
CALL(waits_for_none, return syscall(SYS_epoll_wait, file, at, 0, 0))
CALL(waits_masked, return syscall(SYS_epoll_pwait, file, good + 200, 1, 0, at, 8))
CALL(waits_until, return !at ? 0 : syscall(SYS_epoll_pwait2, file, good + 200, 1, at, NULL, 8))
CALL(sets_timer, return syscall(SYS_timerfd_settime, file, 0, at, NULL))
CALL(sets_timer_wrongly, return syscall(SYS_timerfd_settime, file, 77, at, NULL))
CALL(sets_timer_old, struct itimerspec none = {0}; return syscall(SYS_timerfd_settime, file, 0, &none, at))
CALL(gets_timer, return syscall(SYS_timerfd_gettime, file, at))
CALL(sets_signals, return syscall(SYS_signalfd4, file, at, 8, 0))
CALL(sets_signals_sized, return syscall(SYS_signalfd4, file, at, 4, 0))
CALL(sets_signals_wrongly, return syscall(SYS_signalfd4, file, at, 8, 77))
CALL(watches, return syscall(SYS_inotify_add_watch, file, at, IN_OPEN))
CALL(watches_nothing, return syscall(SYS_inotify_add_watch, file, at, 0))
CALL(sends_file, return syscall(SYS_sendfile, 1 << 20, file, at, 0))
CALL(sends_file_at, return syscall(SYS_sendfile, file, file, at, LENGTH))
CALL(copies_range, return syscall(SYS_copy_file_range, file, at, file, NULL, LENGTH, 0))
CALL(splices, return syscall(SYS_splice, file, at, file, NULL, LENGTH, SPLICE_F_NONBLOCK))
CALL(splices_to, return syscall(SYS_splice, other, NULL, file, at, LENGTH, SPLICE_F_NONBLOCK))
CALL(gives_pages, return syscall(SYS_vmsplice, file, at, 1, SPLICE_F_NONBLOCK))
CALL(sets_times, return syscall(SYS_utimensat, file, NULL, at, 0))
CALL(sets_times_of, return syscall(SYS_utimensat, file, at, NULL, 0))
CALL(gets_attribute, return syscall(SYS_fgetxattr, file, at, good + 200, 10))
CALL(gets_attribute_to, return syscall(SYS_fgetxattr, file, "user.none", at, 10))
CALL(sets_attribute, return syscall(SYS_fsetxattr, file, at, good, 10, 0))
CALL(sets_attribute_from, return syscall(SYS_fsetxattr, file, "user.none", at, 10, 0))
CALL(sets_attribute_wrongly, return syscall(SYS_fsetxattr, file, at, good, 10, 77))
CALL(lists_attributes, return syscall(SYS_flistxattr, file, at, 100))
CALL(removes_attribute, return syscall(SYS_fremovexattr, file, at))
CALL(opens, return syscall(SYS_openat, file, at, O_RDONLY) >= 0)
CALL(opens_wrongly, return syscall(SYS_openat, file, at, O_DIRECTORY | O_CREAT, 0600) >= 0)
CALL(opens_by, return syscall(SYS_openat2, file, "a", at, 24) >= 0)
CALL(opens_by_sized, return syscall(SYS_openat2, file, "a", at, 8) >= 0)
CALL(reads_link, return syscall(SYS_readlinkat, file, at, good + 200, 10))
CALL(reads_link_to, return syscall(SYS_readlinkat, file, "link", at, 10))
CALL(reads_link_sized, return syscall(SYS_readlinkat, file, at, good + 200, 0))
CALL(may, return syscall(SYS_faccessat, file, at, R_OK))
CALL(may_wrongly, return syscall(SYS_faccessat, file, at, 77))
CALL(makes_folder, return syscall(SYS_mkdirat, file, at, 0700))
CALL(makes_node, return syscall(SYS_mknodat, file, at, S_IFIFO | 0700, 0))
CALL(makes_wrong_node, return syscall(SYS_mknodat, file, at, S_IFDIR | 0700, 0))
CALL(links, return syscall(SYS_linkat, file, at, file, "b", 0))
CALL(links_to, return syscall(SYS_linkat, file, "none", file, at, 0))
CALL(links_wrongly, return syscall(SYS_linkat, file, at, file, "b", 77))
CALL(links_softly, return syscall(SYS_symlinkat, at, file, "b"))
CALL(links_softly_to, return syscall(SYS_symlinkat, "b", file, at))
CALL(renames, return syscall(SYS_renameat2, file, at, file, "b", 0))
CALL(renames_to, return syscall(SYS_renameat2, file, "none", file, at, 0))
CALL(renames_wrongly, return syscall(SYS_renameat2, file, at, file, "b", 77))
CALL(removes, return syscall(SYS_unlinkat, file, at, 0))
CALL(removes_wrongly, return syscall(SYS_unlinkat, file, at, 77))
CALL(changes_mode, return syscall(SYS_fchmodat, file, at, 0600))
CALL(changes_owner, return syscall(SYS_fchownat, file, at, 0, 0, 0))
CALL(changes_owner_wrongly, return syscall(SYS_fchownat, file, at, 0, 0, 77))
CALL(names_handle, int mount; return syscall(SYS_name_to_handle_at, file, at, good + 200, &mount, 0))
CALL(names_handle_to, int mount; return syscall(SYS_name_to_handle_at, file, "a", at, &mount, 0))
CALL(sends_queued, return syscall(SYS_mq_timedsend, file, at, LENGTH, 0, NULL))
CALL(receives_queued, return syscall(SYS_mq_timedreceive, file, at, LENGTH, NULL, NULL))
CALL(signals_process, return syscall(SYS_pidfd_send_signal, file, 0, at, 0))
CALL(maps_nothing, (void)at; return syscall(SYS_mmap, NULL, 0, PROT_READ, MAP_PRIVATE, file, 0))
CALL(maps_far, (void)at; return syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0x7FFFFFFFFFFFF000L) < 0 ? -1 : 0)
CALL(maps_beyond, (void)at; return syscall(SYS_mmap, NULL, 8192, PROT_READ, MAP_PRIVATE, file, 0xFFFFFFFFFFFFF000L) < 0 ? -1 : 0)

static const struct {
    const char *name;
    long (*make)(int file, void *at);
} calls[] = {
#define OF(name) {#name, name}
    OF(reads), OF(reads_little), OF(reads_eight), OF(reads_nothing), OF(reads_too_much), OF(writes), OF(writes_little), OF(writes_eight),
    OF(writes_nothing), OF(writes_too_much), OF(reads_at), OF(writes_at), OF(reads_before), OF(writes_before), OF(reads_vector),
    OF(writes_vector), OF(reads_no_vector), OF(writes_no_vector), OF(reads_long_vector), OF(writes_long_vector), OF(reads_pieces),
    OF(writes_pieces), OF(reads_pieces_at), OF(writes_pieces_at), OF(receives), OF(receives_little), OF(peeks), OF(receives_urgent),
    OF(receives_from), OF(receives_from_sized), OF(sends), OF(sends_to), OF(sends_to_long), OF(sends_to_negative), OF(sends_to_nothing),
    OF(receives_message), OF(receives_pieces), OF(receives_vector), OF(receives_name), OF(receives_control), OF(sends_message),
    OF(sends_pieces), OF(sends_vector), OF(sends_name), OF(sends_control), OF(sends_long_control), OF(receives_several),
    OF(receives_until), OF(sends_several), OF(names), OF(names_sized), OF(names_peer), OF(names_peer_sized), OF(accepts),
    OF(accepts_sized), OF(binds), OF(binds_long), OF(binds_negative), OF(connects), OF(connects_long), OF(gets_option),
    OF(gets_option_sized), OF(gets_timeout), OF(gets_peer), OF(gets_no_option), OF(gets_no_level), OF(gets_no_level_sized),
    OF(sets_option), OF(sets_option_short), OF(sets_option_negative), OF(sets_timeout), OF(sets_linger), OF(sets_no_option),
    OF(sets_no_level), OF(sets_readers_option), OF(pairs), OF(counts_bytes), OF(counts_unsent), OF(sets_blocking),
    OF(sets_asynchronous), OF(gets_terminal), OF(sets_terminal), OF(gets_window), OF(sets_window), OF(gets_lock), OF(sets_lock),
    OF(gets_description_lock), OF(gets_owner), OF(sets_owner), OF(gets_hint), OF(sets_hint), OF(status), OF(status_at), OF(status_to),
    OF(status_extended), OF(status_extended_to), OF(status_of_system), OF(lists), OF(lists_little), OF(controls_poll),
    OF(controls_poll_of_none), OF(deletes_from_poll), OF(no_operation_of_poll), OF(waits), OF(waits_for_none), OF(waits_masked),
    OF(waits_until), OF(sets_timer), OF(sets_timer_wrongly), OF(sets_timer_old), OF(gets_timer), OF(sets_signals),
    OF(sets_signals_sized), OF(sets_signals_wrongly), OF(watches), OF(watches_nothing), OF(sends_file), OF(sends_file_at),
    OF(copies_range), OF(splices), OF(splices_to), OF(gives_pages), OF(sets_times), OF(sets_times_of), OF(gets_attribute),
    OF(gets_attribute_to), OF(sets_attribute), OF(sets_attribute_from), OF(sets_attribute_wrongly), OF(lists_attributes),
    OF(removes_attribute), OF(opens), OF(opens_wrongly), OF(opens_by), OF(opens_by_sized), OF(reads_link), OF(reads_link_to),
    OF(reads_link_sized), OF(may), OF(may_wrongly), OF(makes_folder), OF(makes_node), OF(makes_wrong_node), OF(links), OF(links_to),
    OF(links_wrongly), OF(links_softly), OF(links_softly_to), OF(renames), OF(renames_to), OF(renames_wrongly), OF(removes),
    OF(removes_wrongly), OF(changes_mode), OF(changes_owner), OF(changes_owner_wrongly), OF(names_handle), OF(names_handle_to),
    OF(sends_queued), OF(receives_queued), OF(signals_process), OF(maps_nothing), OF(maps_far), OF(maps_beyond),
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* What is not compared: the beginnings of a kind's and a call's name. */
static const struct {
    const char *kind, *call;
} apart[] = {
    /* Of a stream of bytes as many are given as there is room for, where Linux gives none of a piece that does not fit; of other streams nothing is
     * lost where there is no room at all. */
    {"pipe_with_data", "reads"}, {"stream_with_data", "reads"}, {"stream_with_data", "receives"}, {"stream_with_data", "peeks"},
    {"tcp_with_data", "reads"}, {"tcp_with_data", "receives"}, {"tcp_with_data", "peeks"}, {"event_", "reads"}, {"timer_", "reads"},
    {"pty_", "reads"}, {"pty_", "writes"}, {"watches_told", "reads"}, {"watches_", "reads_nothing"}, {"generated", "reads"},
    /* Kernels differ. */
    {"epoll_", "counts_"}, {"epoll_", "gets_"}, {"epoll_", "sets_"}, {"event_", "writes"}, {"", "waits_for_none"}, {"", "names_handle_to"},
    /* What Linux sends from memory that cannot be read: what is told of the socket first. */
    {"stream_full", "writes"}, {"stream_full", "sends"}, {"packet_at_end", "writes"}, {"packet_at_end", "sends"}, {"udp_", "writes"},
    {"udp_", "sends"}, {"tcp_", "sends_control"},
    /* Options and attributes that are not there. */
    {"", "gets_no_level"}, {"", "sets_no_level"}, {"tcp_", "gets_peer"}, {"udp_", "gets_peer"}, {"", "receives_urgent"}, {"", "lists_attributes"},
    /* Devices that do not look at what they are given; what nobody may change; offsets of a call that fails. */
    {"null_device", "writes"}, {"zero_device", "writes"}, {"random_device", "writes"}, {"null_device", "sends_file_at"}, {"generated", "sets_"},
    {"file_at_end", "copies_range"}, {"memory_file", "writes_at"}, {"signals_waiting", "waits_masked"},
    /* The other end answers what is sent to it after its end when it likes. */
    {"tcp_at_end", "writes"}, {"tcp_at_end", "sends"}, {"tcp_at_end", "splices"},
};

static bool begins(const char *name, const char *beginning)
{
    return strncmp(name, beginning, strlen(beginning)) == 0;
}

static bool is_compared(const char *kind, const char *call)
{
    for (size_t at = 0; at < COUNT(apart); at++) {
        if (begins(kind, apart[at].kind) && begins(call, apart[at].call)) {
            return false;
        }
    }
    /* To close a descriptor of inotify takes Linux 10 ms. */
    return !begins(kind, "watches_") || begins(call, "reads") || begins(call, "watches");
}

/* What is there to read after the call, and whether there still is. */
static void say_rest(int file)
{
    struct pollfd item = {.fd = file, .events = POLLIN | POLLOUT | POLLPRI};
    char rest[64];
    int ready = poll(&item, 1, 0);
    long left = ready == 1 && (item.revents & POLLIN) != 0 ? read(file, rest, sizeof rest) : -1;
    printf(" ready %x left %ld", ready < 0 ? 0 : item.revents, left);
}

static void try(size_t kind, size_t call, const char *pointer, void *at)
{
    other = -1;
    errno = 0;
    int file = kinds[kind].make();
    int highest = dup(0);
    CHECK(close(highest) == 0);
    errno = 0;
    long result = calls[call].make(file, at);
    printf("%s %s(%s): %ld, %d", kinds[kind].name, calls[call].name, pointer, result, errno);
    if (file >= 0) {
        say_rest(file);
    }
    printf("\n");
    while (highest < 64) { /* what was accepted or opened */
        close(highest++);
    }
    if (other >= 0) {
        close(other);
    }
    if (file >= 0) {
        close(file);
    }
}

static void prepare(void)
{
    CHECK(mkdir(FOLDER, 0700) == 0 || errno == EEXIST);
    int file = open(FOLDER "/a", O_CREAT | O_RDWR, 0600);
    CHECK(file >= 0 && close(file) == 0);
    CHECK(symlink("a", FOLDER "/link") == 0 || errno == EEXIST);
    CHECK(chdir(FOLDER) == 0);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGIO, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
}

int main(void)
{
    char *memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && mprotect(memory, PAGE, PROT_READ) == 0 && munmap(memory + 2 * PAGE, PAGE) == 0);
    const struct {
        const char *name;
        void *at;
    } pointers[] = {{"none", NULL}, {"kernel", (void *)-PAGE}, {"last", memory + 2 * PAGE - 4}, {"read", memory}};
    prepare();
    for (size_t kind = 0; kind < COUNT(kinds); kind++) {
        for (size_t call = 0; call < COUNT(calls); call++) {
            for (size_t pointer = 0; pointer < COUNT(pointers) && is_compared(kinds[kind].name, calls[call].name); pointer++) {
                memset(memory + PAGE, 0, PAGE);
                memset(good, 0, sizeof good);
                try(kind, call, pointers[pointer].name, pointers[pointer].at);
            }
        }
    }
    CHECK(unlink("a") == 0 && unlink("link") == 0 && unlink("content") == 0 && rmdir(FOLDER) == 0);
    return 0;
}
