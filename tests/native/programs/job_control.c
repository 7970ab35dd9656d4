/* Job control: who is stopped by which signal, orphaned groups, terminals in the background (setpgid(2), termios(3), POSIX 2.4 and 11.1). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t told[65];
static int master, words[2];

static void note(int number)
{
    told[number]++;
}

static void handle(int number, int flags)
{
    CHECK(sigaction(number, &(struct sigaction){.sa_handler = note, .sa_flags = flags}, NULL) == 0);
}

/* Between a look and pause() the signal could come, and would be awaited for ever. */
static void await(int number)
{
    sigset_t blocked, before;
    sigemptyset(&blocked), sigaddset(&blocked, number);
    CHECK(sigprocmask(SIG_BLOCK, &blocked, &before) == 0);
    while (!told[number]) {
        sigsuspend(&before);
    }
    CHECK(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
}

static void say(char word)
{
    CHECK(write(words[1], &word, 1) == 1);
}

static void hear(char word)
{
    char heard;
    CHECK(read(words[0], &heard, 1) == 1 && heard == word);
}

static void stopped_by(pid_t child, int number)
{
    int status;
    CHECK(waitpid(child, &status, WUNTRACED) == child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == number);
}

static void goes_on(pid_t child)
{
    CHECK(kill(child, SIGCONT) == 0);
}

static void ends_with(pid_t child, int code)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

static const int STOPS[] = {SIGTSTP, SIGTTIN, SIGTTOU};

/* A session of its own is an orphaned group; a child's group in the session of its parent is none. */
static void who_is_stopped(int leads_session)
{
    pid_t child = fork();
    if (child == 0) {
        CHECK(leads_session ? setsid() > 0 : setpgid(0, 0) == 0);
        for (int at = 0; at < 3; at++) {
            raise(STOPS[at]);
            handle(STOPS[at], 0);
            raise(STOPS[at]);
            CHECK(told[STOPS[at]] == 1);
        }
        raise(SIGSTOP);
        _exit(3);
    }
    for (int at = 0; at < 3 && !leads_session; at++) {
        stopped_by(child, STOPS[at]);
        goes_on(child);
    }
    stopped_by(child, SIGSTOP);
    goes_on(child);
    ends_with(child, 3);
}

/* The last one who could continue a stopped group ends: as its member, or as the parent of one. */
static void group_is_orphaned(int parent_is_member)
{
    pid_t leader = fork();
    if (leader == 0) {
        CHECK(setsid() > 0);
        pid_t shell = fork();
        if (shell == 0) {
            CHECK(setpgid(0, 0) == 0);
            pid_t job = fork();
            if (job == 0) {
                CHECK(parent_is_member || setpgid(0, 0) == 0);
                handle(SIGHUP, 0), handle(SIGCONT, 0);
                say('j');
                raise(SIGTSTP);
                await(SIGHUP);
                CHECK(told[SIGCONT] == 1);
                say('h');
                _exit(0);
            }
            stopped_by(job, SIGTSTP);
            say('s');
            pause();
        }
        hear('j'), hear('s');
        CHECK(kill(shell, SIGKILL) == 0 && waitpid(shell, NULL, 0) == shell);
        if (!parent_is_member) { /* this process is no parent of the job, whatever session it leads */
            hear('h');
        }
        _exit(4);
    }
    ends_with(leader, 4);
    if (parent_is_member) {
        hear('h');
    }
    CHECK(wait(NULL) > 0); /* the job: this process reaps */
}

static int open_terminal(void)
{
    int slave = open(ptsname(master), O_RDWR);
    CHECK(slave >= 0 && tcgetpgrp(slave) == getpgrp());
    return slave;
}

/* What a background group does with its session's terminal. */
static void use(int slave, char what)
{
    struct termios settings;
    char byte, old[18]; /* struct termio */
    switch (what) {
    case 'r':
        CHECK(read(slave, &byte, 1) == 1 && byte == 'k');
        break;
    case 'w':
        CHECK(write(slave, "w", 1) == 1);
        break;
    case 's':
        CHECK(tcgetattr(slave, &settings) == 0 && tcsetattr(slave, TCSANOW, &settings) == 0);
        break;
    case 'a':
        CHECK(ioctl(slave, TCGETA, old) == 0 && ioctl(slave, TCSETA, old) == 0);
        break;
    case 'g':
        CHECK(tcsetpgrp(slave, getpgrp()) == 0);
        break;
    case 'f':
        CHECK(tcflush(slave, TCOFLUSH) == 0);
        break;
    default:
        CHECK(tcflow(slave, TCOON) == 0);
    }
}

static const struct {
    char what;
    int number;
} USES[] = {{'r', SIGTTIN}, {'w', SIGTTOU}, {'s', SIGTTOU}, {'a', SIGTTOU}, {'g', SIGTTOU}, {'f', SIGTTOU}, {'o', SIGTTOU}};

static void set_output_stop(int slave, int is_on)
{
    struct termios settings;
    CHECK(tcgetattr(slave, &settings) == 0);
    settings.c_lflag = is_on ? settings.c_lflag | TOSTOP : settings.c_lflag & ~(tcflag_t)TOSTOP;
    CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
}

static void background_is_stopped(int slave)
{
    for (size_t at = 0; at < sizeof USES / sizeof *USES; at++) {
        pid_t child = fork();
        if (child == 0) {
            CHECK(setpgid(0, 0) == 0);
            use(slave, USES[at].what);
            _exit(5);
        }
        stopped_by(child, USES[at].number);
        CHECK(tcgetpgrp(slave) == getpgrp());
        goes_on(child); /* still in the background: stopped again */
        stopped_by(child, USES[at].number);
        CHECK(tcsetpgrp(slave, child) == 0);
        CHECK(USES[at].what != 'r' || write(master, "k\n", 2) == 2);
        goes_on(child);
        ends_with(child, 5);
        signal(SIGTTOU, SIG_IGN); /* a shell takes its terminal back so */
        CHECK(tcsetpgrp(slave, getpgrp()) == 0 && tcgetpgrp(slave) == getpgrp());
        tcflush(slave, TCIFLUSH);
        signal(SIGTTOU, SIG_DFL);
    }
}

static void background_does_not_care(int slave)
{
    sigset_t blocked;
    pid_t child = fork();
    if (child == 0) {
        CHECK(setpgid(0, 0) == 0);
        char byte;
        signal(SIGTTIN, SIG_IGN);
        FAILS(read(slave, &byte, 1), EIO);
        signal(SIGTTIN, SIG_DFL);
        sigemptyset(&blocked), sigaddset(&blocked, SIGTTIN), sigaddset(&blocked, SIGTTOU);
        CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
        FAILS(read(slave, &byte, 1), EIO);
        for (size_t at = 1; at < sizeof USES / sizeof *USES; at++) {
            if (USES[at].what != 'g') {
                use(slave, USES[at].what);
            }
        }
        CHECK(sigprocmask(SIG_UNBLOCK, &blocked, NULL) == 0);
        handle(SIGTTIN, 0);
        FAILS(read(slave, &byte, 1), EINTR);
        handle(SIGTTOU, 0);
        FAILS(write(slave, "w", 1), EINTR);
        FAILS(tcsetpgrp(slave, getpgrp()), EINTR);
        CHECK(told[SIGTTIN] == 1 && told[SIGTTOU] == 2);
        _exit(6);
    }
    ends_with(child, 6);
}

/* Nobody could continue it: its parent, which led it, has ended, and who got it is in another session. */
static void orphans_in_the_background(int slave)
{
    pid_t parent = fork();
    if (parent == 0) {
        CHECK(setpgid(0, 0) == 0);
        pid_t child = fork();
        if (child == 0) {
            while (getppid() == getpgrp()) {
                usleep(1000);
            }
            char byte;
            FAILS(read(slave, &byte, 1), EIO);
            FAILS(write(slave, "w", 1), EIO);
            FAILS(tcsetpgrp(slave, getpgrp()), ENOTTY);
            raise(SIGTSTP);
            say('o');
            _exit(0);
        }
        _exit(7);
    }
    ends_with(parent, 7);
    hear('o');
}

static void keys_stop_the_foreground(int slave)
{
    pid_t child = fork();
    if (child == 0) {
        CHECK(setpgid(0, 0) == 0 && signal(SIGTTOU, SIG_IGN) != SIG_ERR && tcsetpgrp(slave, getpgrp()) == 0);
        signal(SIGTTOU, SIG_DFL);
        say('f');
        pause();
        _exit(8);
    }
    hear('f');
    CHECK(write(master, "\032", 1) == 1);
    stopped_by(child, SIGTSTP);
    goes_on(child);
    CHECK(write(master, "\003", 1) == 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    signal(SIGTTOU, SIG_IGN);
    CHECK(tcsetpgrp(slave, getpgrp()) == 0);
    signal(SIGTTOU, SIG_DFL);
}

/* A session on a terminal, whose end its foreground group is told of. */
static void terminals(void)
{
    master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    pid_t leader = fork();
    if (leader == 0) {
        CHECK(setsid() > 0);
        int slave = open_terminal();
        set_output_stop(slave, 1);
        background_is_stopped(slave);
        background_does_not_care(slave);
        orphans_in_the_background(slave);
        set_output_stop(slave, 0);
        keys_stop_the_foreground(slave);
        pid_t job = fork();
        if (job == 0) {
            CHECK(setpgid(0, 0) == 0);
            use(slave, 'w'); /* without TOSTOP */
            handle(SIGHUP, 0);
            signal(SIGTTOU, SIG_IGN);
            CHECK(tcsetpgrp(slave, getpgrp()) == 0);
            say('r');
            await(SIGHUP);
            FAILS(open("/dev/tty", O_RDWR), ENXIO);
            say('e');
            _exit(0);
        }
        hear('r');
        _exit(9);
    }
    ends_with(leader, 9);
    hear('e');
    while (wait(NULL) > 0) {
    }
    CHECK(close(master) == 0);
}

int main(void)
{
    CHECK(pipe(words) == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    if (getsid(0) != getpid()) {
        CHECK(setsid() == getpid());
    }
    who_is_stopped(0);
    who_is_stopped(1);
    group_is_orphaned(0);
    group_is_orphaned(1);
    terminals();
    puts("job control ok");
}
