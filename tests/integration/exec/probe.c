/*
 * What a command from outside sees and does:
 *   hold              print "ready"; end with 0 at SIGTERM
 *   show [WORD...]    print arguments, environment, working directory, ids
 *   exit N            end with N
 *   exists PATH       end with 0 if it does, else with 1
 *   cat               standard input to standard output
 *   both              a line each to standard output and standard error
 *   signals           print "ready", then each signal that comes; end with 0 at SIGUSR2
 *   sleep N           N seconds
 *   family            start two children that sleep, print "ready", sleep
 *   leave             start a child that sleeps a second and then prints "late", end
 *   size              print the terminal's size, and again at SIGWINCH; end with 0 at SIGINT
 *   foreground        put a child into the foreground, say so; it prints "ready" and then the signals that come; end with its exit code
 *   tty               write a line to /dev/tty
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int show(char **words)
{
    char directory[4096];
    for (; *words; words++)
        printf("argument %s\n", *words);
    for (char **variable = environ; *variable; variable++)
        printf("environment %s\n", *variable);
    printf("directory %s\n", getcwd(directory, sizeof(directory)));
    printf("user %d:%d\n", getuid(), getgid());
    printf("parent %d\nleads %d %d\n", getppid(), getsid(0) == getpid(), getpgrp() == getpid());
    return 0;
}

static int cat(void)
{
    static char buffer[65536];
    ssize_t size;
    while ((size = read(0, buffer, sizeof(buffer))) > 0) {
        for (ssize_t done = 0, written; done < size; done += written) {
            written = write(1, buffer + done, (size_t)(size - done));
            if (written < 0)
                return 1;
        }
    }
    return size < 0;
}

static int signals(int last)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    puts("ready");
    fflush(stdout);
    for (int number; (number = sigwaitinfo(&all, NULL)) != last;) {
        printf("signal %d\n", number);
        fflush(stdout);
    }
    return 0;
}

static pid_t start(const char *word, const char *argument, short flags)
{
    pid_t child;
    char *arguments[] = {"/probe", (char *)word, (char *)argument, NULL};
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, flags);
    return posix_spawn(&child, "/probe", NULL, &attributes, arguments, environ) == 0 ? child : -1;
}

static int family(void)
{
    if (start("sleep", "1000", 0) < 0 || start("sleep", "1000", POSIX_SPAWN_SETPGROUP) < 0)
        return 1;
    puts("ready");
    fflush(stdout);
    sleep(1000);
    return 0;
}

static void show_size(int number)
{
    struct winsize size = {0};
    (void)number;
    ioctl(0, TIOCGWINSZ, &size);
    dprintf(1, "size %d %d\n", size.ws_row, size.ws_col);
}

static int size(void)
{
    sigset_t none, stop;
    sigemptyset(&none);
    sigemptyset(&stop);
    sigaddset(&stop, SIGWINCH);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    signal(SIGWINCH, show_size);
    show_size(0);
    for (;;)
        sigsuspend(&none);
}

static int foreground(void)
{
    int status;
    signal(SIGTTOU, SIG_IGN);
    pid_t child = start("signals", NULL, POSIX_SPAWN_SETPGROUP);
    if (child < 0 || tcsetpgrp(0, child) != 0 || tcgetpgrp(0) != child)
        return 1;
    signal(SIGINT, SIG_DFL); /* would end this one */
    puts("foreground");
    fflush(stdout);
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static int terminal(void)
{
    int file = open("/dev/tty", O_RDWR);
    return file < 0 || dprintf(file, "terminal\n") < 0;
}

int main(int argc, char **argv)
{
    const char *action = argc > 1 ? argv[1] : "", *word = argc > 2 ? argv[2] : "";
    if (strcmp(action, "hold") == 0)
        return signals(SIGTERM);
    if (strcmp(action, "show") == 0)
        return show(argv + 2);
    if (strcmp(action, "exit") == 0)
        return atoi(word);
    if (strcmp(action, "exists") == 0)
        return access(word, F_OK) != 0;
    if (strcmp(action, "cat") == 0)
        return cat();
    if (strcmp(action, "both") == 0)
        return puts("out") < 0 || fputs("err\n", stderr) < 0;
    if (strcmp(action, "signals") == 0)
        return signals(SIGUSR2);
    if (strcmp(action, "sleep") == 0)
        return (int)sleep((unsigned)atoi(word));
    if (strcmp(action, "family") == 0)
        return family();
    if (strcmp(action, "late") == 0)
        return (int)sleep(1) || puts("late") < 0;
    if (strcmp(action, "leave") == 0)
        return start("late", NULL, 0) < 0;
    if (strcmp(action, "size") == 0)
        return size();
    if (strcmp(action, "foreground") == 0)
        return foreground();
    if (strcmp(action, "tty") == 0)
        return terminal();
    return 99;
}
