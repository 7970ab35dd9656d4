/* What is asked of open files by ioctl(2) and fcntl(2): sizes, clones, flags of files, direct access; packets and exclusive use of terminals. */
#define _GNU_SOURCE
#include "docker_rights.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>

#define FOLDER "/tmp/requests"
#define FIOQSIZE_ 0x5460
#define FICLONE_ 0x40049409
#define GETFLAGS 0x80086601
#define SETFLAGS 0x40086602
#define FSGETXATTR 0x801C581F
#define TIOCGEXCL_ 0x80045440
#define TIOCGPKT_ 0x80045438
enum { IMMUTABLE = 0x10, NODUMP = 0x40, NOATIME = 0x80, COMPRESSED = 4 };

static int make(const char *path, int flags)
{
    int descriptor = open(path, O_RDWR | O_CREAT | flags, 0600);
    CHECK(descriptor >= 0);
    return descriptor;
}

static void sizes(void)
{
    int file = make(FOLDER "/file", 0), folder = open(FOLDER, O_RDONLY), ends[2];
    struct stat status;
    int64_t bytes = -1;
    CHECK(write(file, "some", 4) == 4 && fstat(file, &status) == 0);
    CHECK(ioctl(file, FIOQSIZE_, &bytes) == 0 && bytes == status.st_blocks * 512);
    CHECK(ioctl(folder, FIOQSIZE_, &bytes) == 0 && bytes >= 0);
    FAILS(ioctl(file, FIOQSIZE_, NULL), EFAULT);
    CHECK(pipe(ends) == 0);
    FAILS(ioctl(ends[0], FIOQSIZE_, &bytes), ENOTTY);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(folder) == 0 && close(file) == 0);
}

/* As cp --reflink asks; no file system here shares blocks. */
static void clones(void)
{
    int from = make(FOLDER "/from", 0), to = make(FOLDER "/to", 0), appends = make(FOLDER "/to", O_APPEND), ends[2];
    int reads = open(FOLDER "/to", O_RDONLY), folder = open(FOLDER, O_RDONLY), memory = memfd_create("other", 0);
    CHECK(pipe(ends) == 0);
    FAILS(ioctl(to, FICLONE_, from), EOPNOTSUPP);
    FAILS(ioctl(reads, FICLONE_, from), EBADF);
    FAILS(ioctl(appends, FICLONE_, from), EBADF);
    FAILS(ioctl(to, FICLONE_, -1), EBADF);
    FAILS(ioctl(to, FICLONE_, folder), EISDIR);
    FAILS(ioctl(to, FICLONE_, memory), EXDEV);
    FAILS(ioctl(to, FICLONE_, ends[0]), EXDEV);
    FAILS(ioctl(ends[1], FICLONE_, ends[0]), EINVAL);
    CHECK(close(from) == 0 && close(to) == 0 && close(appends) == 0 && close(reads) == 0 && close(folder) == 0 && close(memory) == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void file_flags(void)
{
    int file = make(FOLDER "/flags", 0), folder = open(FOLDER, O_RDONLY), ends[2];
    unsigned flags = 0xFFFF, extended[7];
    CHECK(ioctl(file, GETFLAGS, &flags) == 0 && (flags & (IMMUTABLE | NODUMP | NOATIME)) == 0);
    flags = NODUMP | NOATIME;
    CHECK(ioctl(file, SETFLAGS, &flags) == 0);
    flags = 0;
    CHECK(ioctl(file, GETFLAGS, &flags) == 0 && (flags & (NODUMP | NOATIME)) == (NODUMP | NOATIME));
    CHECK(ioctl(file, FSGETXATTR, extended) == 0 && (extended[0] & 0xC0) == 0xC0);
    flags = IMMUTABLE;
    FAILS(ioctl(file, SETFLAGS, &flags), EPERM); /* without CAP_LINUX_IMMUTABLE */
    FAILS(ioctl(file, GETFLAGS, NULL), EFAULT);
    flags = NODUMP;
    CHECK(ioctl(folder, SETFLAGS, &flags) == 0);
    int inner = make(FOLDER "/heir", 0);
    flags = 0;
    CHECK(ioctl(inner, GETFLAGS, &flags) == 0 && (flags & (NODUMP | NOATIME)) == NODUMP);
    flags = 0;
    CHECK(ioctl(folder, SETFLAGS, &flags) == 0);
    CHECK(seteuid(1) == 0);
    FAILS(ioctl(file, SETFLAGS, &flags), EPERM);
    CHECK(seteuid(0) == 0 && pipe(ends) == 0);
    FAILS(ioctl(ends[0], GETFLAGS, &flags), ENOTTY);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(file) == 0 && close(inner) == 0 && close(folder) == 0);
}

/* What was not opened cannot be asked for direct access. */
static void direct(void)
{
    int memory = memfd_create("memory", 0), event = eventfd(0, 0);
    FAILS(fcntl(memory, F_SETFL, O_DIRECT), EINVAL);
    FAILS(fcntl(event, F_SETFL, O_DIRECT), EINVAL);
    CHECK(fcntl(memory, F_GETFL) == (O_RDWR | O_LARGEFILE));
    CHECK(close(memory) == 0 && close(event) == 0);
}

static int open_slave(int master)
{
    CHECK(grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
    return slave;
}

static void exclusive(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave = open_slave(master), value = -1;
    CHECK(ioctl(slave, TIOCGEXCL_, &value) == 0 && value == 0 && ioctl(slave, TIOCEXCL) == 0);
    CHECK(ioctl(slave, TIOCGEXCL_, &value) == 0 && value == 1 && ioctl(master, TIOCGEXCL_, &value) == 0 && value == 0);
    FAILS(open(ptsname(master), O_RDWR | O_NOCTTY), EBUSY);
    CHECK(close(slave) == 0);
    FAILS(open(ptsname(master), O_RDWR | O_NOCTTY), EBUSY); /* until the master is closed */
    CHECK(close(master) == 0);
    master = posix_openpt(O_RDWR | O_NOCTTY);
    slave = open_slave(master);
    CHECK(ioctl(slave, TIOCEXCL) == 0 && ioctl(slave, TIOCNXCL) == 0 && close(open_slave(master)) == 0);
    CHECK(ioctl(master, TIOCEXCL) == 0 && close(open_slave(master)) == 0); /* of the other end */
    CHECK(close(slave) == 0 && close(master) == 0);
}

static void expect_packet(int master, const char *packet, size_t length)
{
    char got[64] = {0};
    CHECK(read(master, got, sizeof got) == (ssize_t)length && memcmp(got, packet, length) == 0);
}

static void expect_news(int master, char news)
{
    struct pollfd entry = {.fd = master, .events = POLLIN | POLLPRI};
    CHECK(poll(&entry, 1, -1) == 1 && (entry.revents & POLLPRI));
    expect_packet(master, &news, 1);
    CHECK(poll(&entry, 1, 0) == 0);
}

/* As screen(1) and rlogind read what a program writes. */
static void packets(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave = open_slave(master), value = -1, on = 1, off = 0;
    struct termios settings, raw;
    CHECK(tcgetattr(slave, &settings) == 0);
    raw = settings;
    cfmakeraw(&raw);
    raw.c_iflag |= IXON;
    CHECK(tcsetattr(slave, TCSANOW, &raw) == 0);
    CHECK(ioctl(master, TIOCGPKT_, &value) == 0 && value == 0);
    FAILS(ioctl(slave, TIOCPKT, &on), ENOTTY);
    FAILS(ioctl(master, TIOCPKT, NULL), EFAULT);
    CHECK(ioctl(master, TIOCPKT, &on) == 0 && ioctl(master, TIOCGPKT_, &value) == 0 && value == 1);
    CHECK(write(slave, "data", 4) == 4);
    expect_packet(master, "\0data", 5);
    CHECK(tcflush(slave, TCIFLUSH) == 0);
    expect_news(master, TIOCPKT_FLUSHREAD);
    CHECK(tcflush(slave, TCOFLUSH) == 0);
    expect_news(master, TIOCPKT_FLUSHWRITE);
    CHECK(tcflow(slave, TCOOFF) == 0);
    expect_news(master, TIOCPKT_STOP);
    CHECK(tcflow(slave, TCOON) == 0);
    expect_news(master, TIOCPKT_START);
    CHECK(write(master, "\023", 1) == 1);
    expect_news(master, TIOCPKT_STOP);
    CHECK(write(master, "\021", 1) == 1);
    expect_news(master, TIOCPKT_START);
    CHECK(write(slave, "first", 5) == 5);
    raw.c_iflag &= ~(tcflag_t)IXON;
    CHECK(tcsetattr(slave, TCSANOW, &raw) == 0);
    struct pollfd entry = {.fd = master, .events = POLLIN | POLLPRI};
    CHECK(poll(&entry, 1, -1) == 1 && (entry.revents & POLLPRI));
    expect_packet(master, (const char[]){TIOCPKT_NOSTOP}, 1);
    expect_packet(master, "\0first", 6);
    CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
    expect_news(master, TIOCPKT_DOSTOP);
    CHECK(write(master, "\003", 1) == 1); /* echoed behind what it throws away */
    expect_packet(master, (const char[]){TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE}, 1);
    expect_packet(master, "\0^C", 3);
    CHECK(ioctl(master, TIOCPKT, &off) == 0 && write(slave, "plain", 5) == 5);
    expect_packet(master, "plain", 5);
    CHECK(close(slave) == 0 && close(master) == 0);
}

int main(void)
{
    keep_docker_rights();
    CHECK(mkdir(FOLDER, 0755) == 0 || errno == EEXIST);
    unlink(FOLDER "/flags");
    unlink(FOLDER "/heir");
    sizes();
    clones();
    file_flags();
    direct();
    exclusive();
    packets();
    puts("requests ok");
    return 0;
}
