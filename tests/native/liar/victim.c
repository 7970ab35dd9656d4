/*
 * A program that makes the LibOS need its host for everything, and believes nothing that it is told: every error is fine, but no byte may be
 * changed that a call does not give, no byte of a measured file may be another, and time does not go back. Ends with 99 when it finds anything of
 * that kind.
 *
 *     victim            everything
 *     victim illegal    instructions that an enclave may not execute
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define STATUS_FOUND 99
#define PAGE 4096UL
#define MARGIN 4096UL
#define ROOM 65536UL
#define CANARY 0xA5

static unsigned char arena[MARGIN + ROOM + MARGIN];
static unsigned char constants[4096] = {1};
static struct timespec latest;

static void need(int condition, const char *text)
{
    if (!condition) {
        ssize_t written = write(2, text, strlen(text));
        (void)written;
        _exit(STATUS_FOUND);
    }
}

/* A buffer that is looked after. */

static unsigned char *buffer(void)
{
    memset(arena, CANARY, sizeof arena);
    return arena + MARGIN;
}

static void look_after(long result, unsigned long room)
{
    unsigned long used = result > 0 ? (unsigned long)result : 0;
    need(result <= (long)room, "more than was asked for");
    for (unsigned long at = 0; at < sizeof arena; at++) {
        need(arena[at] == CANARY || (at >= MARGIN && at < MARGIN + used), "a byte that was not asked for");
    }
}

static void look_at_memory(void)
{
    for (unsigned at = 1; at < sizeof constants; at++) {
        need(constants[at] == (unsigned char)(at * 7), "the program's own memory");
    }
}

/* /measured holds this at each offset. */
static unsigned char measured(unsigned long offset)
{
    return (unsigned char)(offset * 31 + offset / 4096 * 17 + offset / 251);
}

static void on_fault(int signal)
{
    (void)signal;
    _exit(0); /* SIGBUS: the host keeps a mapped page back */
}

static void read_measured_files(void)
{
    struct stat stat;
    int file = open("/measured", O_RDONLY);
    if (file < 0) {
        return;
    }
    need(fstat(file, &stat) != 0 || stat.st_size == 600000, "the size of a measured file");
    for (unsigned long offset = 0; offset < 600000; offset += 97331) {
        unsigned char *to = buffer();
        unsigned long room = offset % 3 == 0 ? ROOM : 5000;
        long got = pread(file, to, room, (off_t)offset);
        need(got <= (long)room, "more than was asked for");
        for (long at = 0; at < got; at++) {
            need(to[at] == measured(offset + (unsigned long)at), "a byte of a measured file");
        }
        for (unsigned long at = room; at < ROOM + MARGIN; at++) {
            need(to[at] == CANARY, "a byte behind a measured file's");
        }
    }
    const unsigned char *mapped = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, file, 5 * PAGE);
    if (mapped != MAP_FAILED) {
        for (unsigned long at = 0; at < 3 * PAGE; at += 509) {
            need(mapped[at] == measured(5 * PAGE + at), "a byte of a mapped file");
        }
        munmap((void *)mapped, 3 * PAGE);
    }
    close(file);
    file = open("/small", O_RDONLY);
    long got = read(file, buffer(), ROOM);
    look_after(got, ROOM);
    need(got <= 0 || (got == 5 && memcmp(arena + MARGIN, "small", 5) == 0), "a small file");
    close(file);
}

static void list(int directory)
{
    struct entry { /* linux_dirent64 */
        uint64_t inode, offset;
        uint16_t size;
        uint8_t type;
        char name[];
    };
    unsigned char *to = buffer();
    long got = syscall(SYS_getdents64, directory, to, 1024);
    look_after(got, 1024);
    for (long at = 0; at < got;) {
        const struct entry *entry = (const struct entry *)(to + at);
        need(entry->size >= 24 && entry->size <= got - at, "a directory entry's size");
        need(memchr(entry->name, 0, entry->size - 19u) != NULL, "a directory entry's name");
        need(strchr(entry->name, '/') == NULL, "a directory entry with a slash");
        at += entry->size;
    }
}

/* What is appended goes wherever the host says that the end is; a mapping of the file is looked through for it. */
static void append(const char *path)
{
    int file = open(path, O_RDWR | O_APPEND);
    need(write(file, constants, 600) <= 600, "more appended than given");
    fallocate(file, 0, 100, 9000);
    void *mapping = mmap(NULL, 8192, PROT_READ, MAP_SHARED, file, 0);
    need(write(file, constants, 200) <= 200, "more appended than given");
    fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 5000);
    if (mapping != MAP_FAILED) {
        munmap(mapping, 8192);
    }
    close(file);
}

static void use_attributes(const char *path)
{
    setxattr(path, "user.one", constants, 100, 0);
    look_after(getxattr(path, "user.one", buffer(), 200), 200);
    look_after(listxattr(path, (char *)buffer(), 300), 300);
    removexattr(path, "user.one");
}

/* Whatever the host says that its name is. */
static void meet(const char *name)
{
    mkfifo(name, 0600);
    int reader = open(name, O_RDONLY | O_NONBLOCK), writer = open(name, O_WRONLY | O_NONBLOCK);
    need(write(writer, constants, 100) <= 100, "more written than given");
    look_after(read(reader, buffer(), 40), 40);
    close(writer);
    close(reader);
    unlink(name);
}

static void use_volume(const char *volume)
{
    struct stat stat;
    const struct timespec times[2] = {{1, 2}, {3, 4}};
    if (chdir(volume) != 0) {
        return;
    }
    mkdir("d", 0700);
    int file = open("d/f", O_RDWR | O_CREAT, 0600);
    need(file == -1 || file > 2, "a descriptor of the standard streams");
    need(write(file, constants, 1000) <= 1000, "more written than given");
    need(pwrite(file, constants, 300, 5000) <= 300, "more written than given");
    fsync(file);
    fdatasync(file);
    sync();
    need(fstat(file, &stat) <= 0, "fstat");
    look_after(pread(file, buffer(), 700, 100), 700);
    lseek(file, 0, SEEK_SET);
    look_after(read(file, buffer(), 9000), 9000);
    look_after(read(file, buffer(), 1), 1);
    if (ftruncate(file, 100) == 0) {
        lseek(file, 0, SEEK_END);
    }
    close(file);
    append("d/f");
    use_attributes("d/f");
    meet("d/p");
    symlink("f", "d/l");
    look_after(readlink("d/l", (char *)buffer(), 40), 40);
    look_after(readlink("d/l", (char *)buffer(), 1), 1);
    lstat("d/l", &stat);
    rename("d/f", "d/g");
    chmod("d/g", 0640);
    link("d/g", "d/h");
    chown("d/h", getuid(), getgid());
    unlink("d/h");
    utimensat(AT_FDCWD, "d/g", times, 0);
    int directory = open("d", O_RDONLY | O_DIRECTORY);
    list(directory);
    list(directory);
    close(directory);
    unlink("d/l");
    unlink("d/g");
    rmdir("d");
    chdir("/");
}

static void use_streams(void)
{
    struct winsize size;
    struct stat stat;
    struct pollfd polled[3] = {{.fd = 0, .events = POLLIN}, {.fd = 1, .events = POLLOUT}, {.fd = 77, .events = POLLIN}};
    ioctl(0, TIOCGWINSZ, &size);
    isatty(1);
    need(fstat(0, &stat) <= 0 && fstat(1, &stat) <= 0, "fstat");
    int ready = poll(polled, 3, 10);
    need(ready <= 3 && polled[0].fd == 0 && polled[0].events == POLLIN && polled[2].fd == 77, "poll");
    need((polled[0].revents & ~(POLLIN | POLLERR | POLLHUP | POLLNVAL)) == 0, "revents");
    look_after(read(0, buffer(), 100), 100);
    need(write(1, "text\n", 5) <= 5, "more written than given");
}

/* A name of IPv4 of the size that was told, or less than that was found. */
static void need_name(int result, const struct sockaddr_in *name, socklen_t size)
{
    need(result != 0 || (size == sizeof(*name) && name->sin_family == AF_INET), "a name that is none");
}

static void transfer(int from, int to)
{
    struct pollfd polled = {.fd = to, .events = POLLIN};
    need(send(from, constants, 100, MSG_NOSIGNAL) <= 100, "more sent than given");
    need(poll(&polled, 1, 100) <= 1 && (polled.revents & ~(POLLIN | POLLERR | POLLHUP | POLLNVAL)) == 0, "revents");
    look_after(recv(to, buffer(), 60, 0), 60);
    look_after(recv(to, buffer(), 9000, 0), 9000);
    look_after(recv(to, buffer(), 9000, 0), 9000);
}

static void use_epoll(int fd, int other)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.u64 = 0x1234567890}, found[4];
    int epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    event.data.u64++;
    epoll_ctl(epoll, EPOLL_CTL_ADD, other, &event);
    epoll_ctl(epoll, EPOLL_CTL_MOD, other, &event);
    int count = epoll_wait(epoll, found, 4, 100);
    need(count <= 4, "more events than there is room for");
    need(count < 2 || fd == other || found[0].data.u64 != found[1].data.u64, "a file that one wait tells of twice");
    need(count <= 2, "more events than files");
    for (int at = 0; at < count; at++) {
        need(event.data.u64 - found[at].data.u64 <= 1 && (found[at].events & ~(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0, "an event that nobody asked for");
    }
    epoll_ctl(epoll, EPOLL_CTL_DEL, other, NULL);
    close(epoll);
}

static void receive_datagram(int fd, int flags)
{
    unsigned char control[64];
    struct sockaddr_in name;
    struct iovec part = {buffer(), 200};
    struct msghdr header = {.msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    long got = recvmsg(fd, &header, flags);
    look_after(got, 200);
    need(got < 0 || (header.msg_namelen <= sizeof(name) && header.msg_controllen <= sizeof(control)), "a message with more than there is room for");
    need(got < 0 || (header.msg_flags & ~(MSG_TRUNC | MSG_CTRUNC | MSG_OOB | MSG_EOR | flags)) == 0, "flags that are not a message's");
    for (struct cmsghdr *at = got < 0 ? NULL : CMSG_FIRSTHDR(&header); at != NULL; at = CMSG_NXTHDR(&header, at)) {
        need(at->cmsg_len >= sizeof(*at) && at->cmsg_len <= sizeof(control), "a control message's size");
        need(at->cmsg_type != IP_RECVERR || at->cmsg_len == CMSG_LEN(32), "an error of another size");
    }
}

static void use_datagrams(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1;
    bind(fd, (struct sockaddr *)&name, sizeof(name));
    need_name(getsockname(fd, (struct sockaddr *)&name, &size), &name, size);
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    need(sendto(fd, constants, 300, 0, (struct sockaddr *)&name, sizeof(name)) <= 300, "more sent than given");
    receive_datagram(fd, 0);
    close(fd);
    /* Now nobody is there, and the kernel keeps an error. */
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
    sendto(fd, constants, 100, 0, (struct sockaddr *)&name, sizeof(name));
    receive_datagram(fd, MSG_ERRQUEUE);
    close(fd);
}

static void use_sockets(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer;
    socklen_t size = sizeof(name), peer_size = sizeof(peer);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1, error;
    int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    need((listener == -1 || listener > 2) && (client == -1 || client > 2), "a descriptor of the standard streams");
    bind(listener, (struct sockaddr *)&name, sizeof(name));
    listen(listener, 4);
    need_name(getsockname(listener, (struct sockaddr *)&name, &size), &name, size);
    connect(client, (struct sockaddr *)&name, sizeof(name));
    struct pollfd polled = {.fd = listener, .events = POLLIN};
    poll(&polled, 1, 100);
    int server = accept4(listener, (struct sockaddr *)&peer, &peer_size, SOCK_NONBLOCK);
    need_name(server < 0, &peer, peer_size);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    size = sizeof(error);
    int result = getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &size);
    need(result != 0 || (size <= sizeof(error) && error >= 0 && error <= 133), "an error that does not exist");
    size = 104;
    result = getsockopt(client, IPPROTO_TCP, TCP_INFO, buffer(), &size);
    look_after(result == 0 ? (long)size : -1, 104);
    transfer(client, server);
    use_epoll(server, client);
    shutdown(client, SHUT_WR);
    look_after(recv(server, buffer(), 100, 0), 100);
    int early = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    need(sendto(early, constants, 100, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&name, sizeof(name)) <= 100, "more sent than given");
    close(early);
    close(server);
    close(client);
    close(listener);
    use_datagrams();
}

static void look_at_clock(void)
{
    struct timespec now = {0}, real;
    clock_gettime(CLOCK_REALTIME, &real);
    if (clock_gettime(CLOCK_MONOTONIC, &now) == 0) {
        need(now.tv_sec > latest.tv_sec || (now.tv_sec == latest.tv_sec && now.tv_nsec >= latest.tv_nsec), "time went back");
        need(now.tv_nsec >= 0 && now.tv_nsec < 1000000000, "a time that is none");
        latest = now;
    }
    nanosleep(&(struct timespec){0, 1000}, NULL);
    for (int often = 0; often < 50; often++) { /* the host does not hear of one now and then */
        syscall(SYS_sched_yield);
    }
}

static void use_memory(void)
{
    unsigned char *pages = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return;
    }
    for (unsigned long at = 0; at < 32 * PAGE; at++) {
        need(pages[at] == 0, "new memory is not zero");
    }
    memset(pages, 0x77, 32 * PAGE);
    if (mprotect(pages, 8 * PAGE, PROT_READ) == 0 && mprotect(pages, 8 * PAGE, PROT_READ | PROT_WRITE) == 0) {
        pages[PAGE] = 0x78;
    }
    munmap(pages + 16 * PAGE, 4 * PAGE);
    for (unsigned long at = 0; at < 16 * PAGE; at++) {
        need(pages[at] == 0x77 || at == PAGE, "memory has changed");
    }
    munmap(pages, 32 * PAGE);
    unsigned char *large = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (large != MAP_FAILED) {
        need(large[1 << 20] == 0 && large[50 << 20] == 0, "new memory is not zero");
        munmap(large, 64 << 20);
    }
}

/* Another thread, which waits, is waited for and is interrupted. */

static uint32_t turn, signals;
static pthread_t main_thread;

static void on_signal(int signal)
{
    (void)signal;
    __atomic_fetch_add(&signals, 1, __ATOMIC_SEQ_CST);
}

static void wait_for(uint32_t value)
{
    uint32_t now;
    while ((now = __atomic_load_n(&turn, __ATOMIC_SEQ_CST)) < value) {
        syscall(SYS_futex, &turn, 0 /* FUTEX_WAIT */, now, NULL);
    }
}

static long wake(void)
{
    return syscall(SYS_futex, &turn, 1 /* FUTEX_WAKE */, 1);
}

/* When the other thread sleeps, if it is there; it has looked for a wake in vain by then, so that the host has to wake it. */
static void next_turn(uint32_t value)
{
    int patience = 100;
    do {
        usleep(2000);
    } while (wake() != 1 && --patience > 0);
    __atomic_store_n(&turn, value, __ATOMIC_SEQ_CST);
    wake();
}

static void *other(void *unused)
{
    next_turn(1);
    wait_for(2);
    while (__atomic_load_n(&signals, __ATOMIC_SEQ_CST) == 0) {
    }
    pthread_kill(main_thread, SIGUSR1);
    return unused;
}

static void look_at_clock_of(pthread_t thread)
{
    clockid_t clock;
    struct timespec used;
    if (pthread_getcpuclockid(thread, &clock) == 0 && clock_gettime(clock, &used) == 0) {
        need(used.tv_sec >= 0 && used.tv_nsec >= 0 && used.tv_nsec < 1000000000, "a time that is none");
    }
}

static void use_threads(void)
{
    pthread_t thread;
    main_thread = pthread_self();
    signal(SIGUSR1, on_signal);
    if (pthread_create(&thread, NULL, other, NULL) != 0) {
        return;
    }
    wait_for(1);
    look_at_clock_of(thread);
    next_turn(2);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, NULL);
}

/* With the trap flag set by itself, the program stops before the instruction; the host makes the fault of it that an enclave has there. */
#define STEP_INTO(code, ...)                                                                                               \
    __asm__ volatile("lea -128(%%rsp), %%rsp\n pushfq\n orq $0x100, (%%rsp)\n popfq\n nop\n" code "\n lea 128(%%rsp), %%rsp" __VA_ARGS__)

static void use_illegal_instructions(void)
{
    uint32_t a = 0, b, c = 0, d;
    STEP_INTO("cpuid", : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "cc", "memory");
    need(a == 0xD && b == 0x756E6547 && d == 0x49656E69 && c == 0x6C65746E, "CPUID: vendor");
    a = 1;
    c = 0;
    STEP_INTO("cpuid", : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "cc", "memory");
    need((d & 0x078BFBFF) == 0x078BFBFF && (c >> 26 & 3) == 3 && (c >> 31) == 0, "CPUID: features");
    a = 0xD;
    c = 0;
    STEP_INTO("cpuid", : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "cc", "memory");
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    need((a & ~low) == 0 && (a & 3) == 3 && b >= 576 && b <= 2688, "CPUID: components");
    STEP_INTO("rdtsc", : "=a"(a), "=d"(d) : : "cc", "memory");
    uint64_t first = (uint64_t)d << 32 | a;
    usleep(2000);
    STEP_INTO("rdtscp", : "=a"(a), "=d"(d), "=c"(c) : : "cc", "memory");
    uint64_t passed = ((uint64_t)d << 32 | a) - first;
    need(c == 0 && passed >= 1000000 && passed < 100000000000, "RDTSC: nanoseconds");
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "illegal") == 0) {
        use_illegal_instructions();
        return 0;
    }
    for (unsigned at = 1; at < sizeof constants; at++) {
        constants[at] = (unsigned char)(at * 7);
    }
    signal(SIGBUS, on_fault);
    look_at_clock();
    read_measured_files();
    use_volume("/volume");
    use_streams();
    use_sockets();
    use_memory();
    look_at_memory();
    look_at_clock();
    use_threads();
    look_at_memory();
    look_at_clock();
    return 0;
}
