/* pty(7), termios(3): both ends of a pseudoterminal. Prints what each end hears, so that both sides can be compared. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int master, slave;
static char path[64];
static volatile sig_atomic_t signals[65];

static void note(int signal)
{
    signals[signal]++;
}

static void show(const char *what, int fd)
{
    char bytes[9000];
    struct pollfd look = {.fd = fd, .events = POLLIN};
    (void)poll(&look, 1, fd == slave ? 50 : 20);
    ssize_t size = read(fd, bytes, sizeof bytes);
    while (fd == master && size > 0 && poll(&look, 1, 20) == 1 && (look.revents & POLLIN)) {
        ssize_t more = read(fd, bytes + size, sizeof bytes - (size_t)size); /* it comes in pieces */
        size += more > 0 ? more : 0;
    }
    if (size < 0) {
        printf("%s: errno %d\n", what, errno);
        return;
    }
    printf("%s: %zd \"", what, size);
    for (ssize_t at = 0; at < size && at < 200; at++) {
        unsigned char byte = (unsigned char)bytes[at];
        printf(byte >= ' ' && byte < 127 && byte != '\\' ? "%c" : "\\%03o", byte);
    }
    puts("\"");
}

static void type(const char *text)
{
    CHECK(write(master, text, strlen(text)) == (ssize_t)strlen(text));
    usleep(10000); /* natively a worker passes it on */
}

static void print(const char *text)
{
    CHECK(write(slave, text, strlen(text)) == (ssize_t)strlen(text));
    usleep(10000);
}

static void open_pair(void)
{
    struct stat status;
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
    CHECK(master >= 0);
    CHECK(ptsname_r(master, path, sizeof path) == 0);
    CHECK(open(path, O_RDWR | O_NOCTTY) == -1 && errno == EIO);
    CHECK(grantpt(master) == 0 && unlockpt(master) == 0);
    slave = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    CHECK(slave >= 0 && isatty(slave) && isatty(master) && strcmp(ttyname(slave), path) == 0);
    CHECK(fstat(slave, &status) == 0 && S_ISCHR(status.st_mode) && (status.st_rdev >> 8) == 136);
    CHECK(chmod(path, 0600) == 0 && fstat(slave, &status) == 0 && (status.st_mode & 0777) == 0600);
    CHECK(lseek(master, 0, SEEK_CUR) == -1 && errno == ESPIPE);
}

static void close_pair(void)
{
    CHECK(close(slave) == 0 && close(master) == 0);
}

static void show_settings(const struct termios *settings)
{
    printf("%o %o %o %o:", settings->c_iflag, settings->c_oflag, settings->c_cflag & ~HUPCL, settings->c_lflag);
    for (int at = 0; at < 17; at++) {
        printf(" %d", settings->c_cc[at]);
    }
    puts("");
}

static void lines(void)
{
    struct termios settings;
    int waiting;
    open_pair();
    CHECK(tcgetattr(slave, &settings) == 0);
    show_settings(&settings);
    CHECK(cfgetospeed(&settings) == B38400);
    show("nothing", slave);
    show("nothing", master);
    type("half");
    CHECK(ioctl(slave, FIONREAD, &waiting) == 0 && waiting == 0);
    show("half a line", slave);
    show("echo", master);
    type(" and half\nnext\n");
    CHECK(ioctl(slave, FIONREAD, &waiting) == 0 && waiting == 19);
    show("line", slave);
    show("line", slave);
    show("echo", master);
    print("out\nput\ttab\n");
    show("output", master);
    type("wrong\177\177\177ight word\027line\n");
    show("edited", slave);
    show("echo", master);
    type("kill this\025tab\t\177\t\177x\001\177y\n");
    show("killed", slave);
    show("echo", master);
    type("literal \026\003\026\177 reprint\022ed\n");
    show("literal", slave);
    show("echo", master);
    type("eof\004\004x\n");
    show("eof", slave);
    show("eof alone", slave);
    show("after eof", slave);
    show("echo", master);
    type("cr\rnul\n");
    show("cr", slave);
    show("cr", slave);
    show("echo", master);
    char small[4];
    type("longer\n");
    CHECK(read(slave, small, 4) == 4);
    show("rest", slave);
    show("echo", master);
    type("stop\023\n");
    show("stopped", slave);
    type("\021");
    print("go on\n");
    show("echo", master);
    close_pair();
}

static void modes(void)
{
    struct termios settings, changed;
    open_pair();
    CHECK(tcgetattr(slave, &settings) == 0);
    changed = settings;
    changed.c_lflag &= ~(tcflag_t)ECHO;
    CHECK(tcsetattr(slave, TCSANOW, &changed) == 0);
    type("secret\n");
    show("no echo", slave);
    show("no echo", master);
    changed.c_lflag |= ECHONL;
    changed.c_oflag &= ~(tcflag_t)OPOST;
    CHECK(tcsetattr(slave, TCSADRAIN, &changed) == 0);
    type("x\n");
    print("raw\n");
    show("raw output", master);
    show("line", slave);
    changed = settings;
    changed.c_iflag |= INLCR | ISTRIP;
    changed.c_iflag &= ~(tcflag_t)ICRNL;
    changed.c_oflag |= OCRNL | XTABS | OLCUC;
    changed.c_oflag &= ~(tcflag_t)ONLCR;
    changed.c_cc[VEOL] = ';';
    CHECK(tcsetattr(slave, TCSANOW, &changed) == 0);
    type("a\nb\rc\341;");
    show("translated", slave);
    print("to\tupper\rline\n");
    show("translated", master);
    changed = settings;
    changed.c_lflag &= ~(tcflag_t)(ECHOE | ECHOK | ECHOCTL | ECHOKE);
    CHECK(tcsetattr(slave, TCSANOW, &changed) == 0);
    type("ab\177c\025\001d\n");
    show("plain echo", slave);
    show("plain echo", master);
    CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
    type("typed ahead");
    cfmakeraw(&changed);
    changed.c_lflag = changed.c_iflag = 0;
    changed.c_cc[VMIN] = 1;
    changed.c_cc[VTIME] = 0;
    CHECK(tcsetattr(slave, TCSANOW, &changed) == 0);
    show("typed ahead", slave);
    show("echo", master);
    type("raw\003\n\r\177");
    show("raw", slave);
    show("raw", master);
    changed.c_cc[VMIN] = 0;
    CHECK(tcsetattr(slave, TCSANOW, &changed) == 0);
    show("min 0", slave);
    type("flushed");
    CHECK(tcflush(slave, TCIFLUSH) == 0);
    show("flushed", slave);
    type("flushed, too");
    CHECK(tcsetattr(slave, TCSAFLUSH, &settings) == 0);
    show("flushed", slave);
    close_pair();
}

static void *type_late(void *argument)
{
    usleep(20000);
    CHECK(write(master, argument, strlen(argument)) > 0);
    return argument;
}

static void waiting(void)
{
    struct termios settings;
    pthread_t thread;
    struct pollfd look = {.events = POLLIN | POLLOUT};
    char *late = (char[]){"late\n"};
    open_pair();
    look.fd = slave;
    CHECK(poll(&look, 1, 0) == 1 && look.revents == POLLOUT);
    CHECK(fcntl(slave, F_SETFL, 0) == 0 && pthread_create(&thread, NULL, type_late, late) == 0);
    show("late", slave);
    CHECK(pthread_join(thread, NULL) == 0);
    type("x");
    CHECK(poll(&look, 1, 0) == 1 && look.revents == POLLOUT);
    type("\n");
    CHECK(poll(&look, 1, 0) == 1 && look.revents == (POLLOUT | POLLIN));
    show("line", slave);
    CHECK(tcgetattr(slave, &settings) == 0);
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = 3;
    settings.c_cc[VTIME] = 1;
    CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
    type("ab");
    show("two after a while", slave);
    type("abcd");
    show("four", slave);
    settings.c_cc[VMIN] = 0;
    CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
    show("nothing after a while", slave);
    settings.c_cc[VMIN] = 3;
    settings.c_cc[VTIME] = 0;
    CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
    type("ab");
    CHECK(poll(&look, 1, 0) == 1 && look.revents == POLLOUT);
    type("c");
    CHECK(poll(&look, 1, 0) == 1 && look.revents == (POLLOUT | POLLIN));
    show("three", slave);
    close_pair();
}

static void windows(void)
{
    struct winsize size = {0};
    open_pair();
    CHECK(ioctl(slave, TIOCGWINSZ, &size) == 0 && size.ws_row == 0 && size.ws_col == 0);
    size = (struct winsize){.ws_row = 24, .ws_col = 80};
    CHECK(ioctl(master, TIOCSWINSZ, &size) == 0);
    size = (struct winsize){0};
    CHECK(ioctl(slave, TIOCGWINSZ, &size) == 0 && size.ws_row == 24 && size.ws_col == 80);
    CHECK(ioctl(slave, TIOCGPTN, &size) == -1 && errno == ENOTTY);
    CHECK(ioctl(slave, 0x5499, 0) == -1 && errno == ENOTTY);
    close_pair();
}

static void session(void)
{
    pid_t group = 0;
    struct winsize size = {.ws_row = 25, .ws_col = 80};
    open_pair();
    CHECK(tcgetpgrp(slave) == -1 && errno == ENOTTY && tcgetsid(slave) == -1 && errno == ENOTTY);
    CHECK(open("/dev/tty", O_RDWR) == -1 && errno == ENXIO);
    int second = open(path, O_RDONLY | O_NONBLOCK); /* becomes the controlling terminal */
    CHECK(second >= 0 && tcgetpgrp(slave) == getpgrp() && tcgetsid(slave) == getpid());
    CHECK(ioctl(master, TIOCGPGRP, &group) == 0 && group == getpgrp());
    CHECK(tcsetpgrp(slave, getpgrp()) == 0 && tcsetpgrp(slave, 99999) == -1);
    int terminal = open("/dev/tty", O_RDWR | O_NONBLOCK);
    CHECK(terminal >= 0 && write(terminal, "x\n", 2) == 2 && close(terminal) == 0 && close(second) == 0);
    usleep(2000);
    show("through /dev/tty", master);
    signal(SIGINT, note), signal(SIGQUIT, note), signal(SIGTSTP, note), signal(SIGWINCH, note), signal(SIGHUP, note);
    signal(SIGCONT, note);
    /* Read one by one: the next signal may throw away what was echoed before. */
    type("lost\003");
    show("echo", master);
    type("\034");
    show("echo", master);
    type("\032");
    CHECK(signals[SIGINT] == 1 && signals[SIGQUIT] == 1 && signals[SIGTSTP] == 1);
    show("interrupted", slave);
    show("echo", master);
    CHECK(ioctl(master, TIOCSWINSZ, &size) == 0 && ioctl(master, TIOCSWINSZ, &size) == 0);
    usleep(1000);
    CHECK(signals[SIGWINCH] == 1);
    CHECK(ioctl(slave, TIOCNOTTY) == 0 && signals[SIGHUP] == 1 && signals[SIGCONT] == 1);
    CHECK(tcgetpgrp(slave) == -1 && open("/dev/tty", O_RDWR) == -1 && errno == ENXIO);
    CHECK(ioctl(slave, TIOCSCTTY, 0) == 0 && tcgetsid(slave) == getpid());
    CHECK(close(master) == 0);
    usleep(5000);
    CHECK(signals[SIGHUP] == 2 && close(slave) == 0);
}

static void hanging_up(void)
{
    struct pollfd look = {.events = POLLIN};
    struct stat status;
    open_pair();
    print("last words\n");
    CHECK(close(slave) == 0);
    usleep(2000);
    look.fd = master;
    CHECK(poll(&look, 1, 0) == 1 && look.revents == (POLLIN | POLLHUP));
    show("last words", master);
    CHECK(poll(&look, 1, 0) == 1 && look.revents == POLLHUP);
    show("nobody there", master);
    slave = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    CHECK(slave >= 0 && poll(&look, 1, 0) == 0);
    show("somebody there", master);
    int peer = ioctl(master, 0x5441, O_RDWR | O_NOCTTY); /* TIOCGPTPEER */
    CHECK(peer >= 0 && strcmp(ttyname(peer), path) == 0 && close(peer) == 0);
    CHECK(close(master) == 0);
    usleep(5000);
    CHECK(stat(path, &status) == -1 && errno == ENOENT);
    look.fd = slave;
    CHECK(poll(&look, 1, 0) == 1 && look.revents == (POLLIN | POLLERR | POLLHUP));
    show("hung up", slave);
    CHECK(write(slave, "x", 1) == -1 && errno == EIO && close(slave) == 0);
}

static void filling(void)
{
    char block[5000];
    size_t total = 0;
    open_pair();
    memset(block, 'b', sizeof block);
    for (ssize_t size; (size = write(slave, block, sizeof block)) > 0;) {
        total += (size_t)size;
    }
    CHECK(errno == EAGAIN && total >= 4096);
    for (ssize_t size; total > 0; total -= (size_t)size) {
        size = read(master, block, sizeof block);
        if (size < 0 && errno == EAGAIN) {
            usleep(1000); /* natively a worker passes it on */
            size = 0;
        }
        CHECK(size >= 0);
    }
    CHECK(write(master, block, 4500) == 4500 && write(master, "\n", 1) == 1);
    usleep(5000);
    CHECK(read(slave, block, sizeof block) == 4096 && block[4095] == '\n');
    close_pair();
}

/* TIOCPKT (tty_ioctl(4)): what has happened comes before what was written. */
static void packets(void)
{
    int on = 1, is_on = 5, off = 0;
    struct termios settings;
    struct pollfd look = {.events = POLLIN | POLLPRI};
    char bytes[2];
    open_pair();
    look.fd = master;
    CHECK(ioctl(slave, TIOCPKT, &on) == -1 && errno == ENOTTY && ioctl(master, TIOCPKT, NULL) == -1 && errno == EFAULT);
    CHECK(ioctl(master, TIOCGPKT, &is_on) == 0 && is_on == 0);
    CHECK(tcflush(slave, TCIFLUSH) == 0); /* before it was on: never told */
    CHECK(ioctl(master, TIOCPKT, &on) == 0 && ioctl(master, TIOCGPKT, &is_on) == 0 && is_on == 1);
    show("nothing", master);
    print("data\n");
    CHECK(poll(&look, 1, 0) == 1 && look.revents == POLLIN);
    CHECK(read(master, bytes, 1) == 1 && bytes[0] == TIOCPKT_DATA && read(master, bytes, 2) == 2 && bytes[1] == 'd');
    show("the rest", master);
    CHECK(tcflush(slave, TCIFLUSH) == 0);
    CHECK(poll(&look, 1, 0) == 1 && look.revents == (POLLIN | POLLPRI));
    show("flushed input", master);
    CHECK(tcflush(slave, TCOFLUSH) == 0 && tcflow(slave, TCOOFF) == 0);
    show("flushed output, stopped", master);
    CHECK(tcflow(slave, TCOON) == 0 && tcflow(slave, TCOON) == 0);
    show("started", master);
    type("\023");
    show("stopped by ^S", master);
    type("\021");
    show("started by ^Q", master);
    CHECK(tcgetattr(slave, &settings) == 0);
    settings.c_iflag &= ~(tcflag_t)IXON;
    CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
    show("no flow control", master);
    settings.c_iflag |= IXON;
    CHECK(tcsetattr(master, TCSAFLUSH, &settings) == 0);
    show("flow control, flushed", master);
    CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
    show("as before", master);
    type("\003");
    CHECK(read(master, bytes, 2) == 1 && bytes[0] == (TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE));
    CHECK(ioctl(master, TIOCPKT, &off) == 0);
    print("plain\n");
    CHECK(tcflush(slave, TCIFLUSH) == 0 && poll(&look, 1, 0) == 1 && look.revents == POLLIN);
    close_pair();
}

/* The program again, as the leader of a session of its own. */
static int be_child(const char *terminal)
{
    int fd = open(terminal, O_RDWR);
    CHECK(fd >= 0 && getsid(0) == getpid() && tcgetpgrp(fd) == getpid() && tcgetsid(fd) == getpid());
    signal(SIGINT, note);
    CHECK(write(fd, "ready\n", 6) == 6);
    while (signals[SIGINT] == 0) {
        usleep(1000);
    }
    return 7;
}

static void sessions(void)
{
    posix_spawnattr_t attributes;
    int status, before = signals[SIGINT];
    pid_t child, group;
    open_pair();
    char *const arguments[] = {"ptys", "child", path, NULL};
    CHECK(posix_spawnattr_init(&attributes) == 0 && posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID) == 0);
    CHECK(posix_spawn(&child, "/proc/self/exe", NULL, &attributes, arguments, (char *[]){NULL}) == 0);
    struct pollfd look = {.fd = master, .events = POLLIN};
    CHECK(poll(&look, 1, -1) == 1);
    show("child", master);
    CHECK(ioctl(master, TIOCGPGRP, &group) == 0 && group == child && tcgetpgrp(slave) == -1 && errno == ENOTTY);
    CHECK(ioctl(slave, TIOCSCTTY, 0) == -1 && errno == EPERM);
    type("\003");
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    CHECK(signals[SIGINT] == before);
    close_pair();
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        return be_child(argv[2]);
    }
    if (getsid(0) != getpid()) {
        CHECK(setsid() == getpid());
    }
    lines();
    modes();
    waiting();
    windows();
    session();
    sessions();
    hanging_up();
    filling();
    packets();
    puts("ptys ok");
}
