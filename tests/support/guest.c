/* A program that shows what a container engine gives it: guest ACTION [ARGUMENT...] */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t received;

static void note(int signal)
{
    received = signal;
}

static int id(int argc, char **argv)
{
    char folder[256] = "", host[256] = "";
    printf("pid=%d uid=%d gid=%d cwd=%s\n", getpid(), getuid(), getgid(), getcwd(folder, sizeof(folder)));
    gethostname(host, sizeof(host));
    printf("host=%s\n", host);
    for (int i = 2; i < argc; i++)
        printf("argument %s\n", argv[i]);
    for (char **variable = environ; *variable; variable++)
        printf("variable %s\n", *variable);
    return 0;
}

/* Until SIGTERM; other signals are told. */
static int wait_for_signals(int argc, char **argv)
{
    static const int handled[] = {SIGTERM, SIGHUP, SIGUSR1};
    sigset_t all, none;
    (void)argc, (void)argv;
    sigfillset(&all);
    sigemptyset(&none);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (size_t i = 0; i < sizeof(handled) / sizeof(*handled); i++)
        signal(handled[i], note);
    puts("ready");
    while (received != SIGTERM) {
        sigsuspend(&none);
        printf("signal %d\n", (int)received);
    }
    return 0;
}

static int sleep_on(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[2], "ignore") == 0)
        signal(SIGTERM, SIG_IGN);
    puts("ready");
    for (;;)
        pause();
}

static int end(int argc, char **argv)
{
    fputs("ends\n", stderr);
    return argc > 2 ? atoi(argv[2]) : 0;
}

static int copy(int from, int to)
{
    char bytes[4096];
    ssize_t size;
    while ((size = read(from, bytes, sizeof(bytes))) > 0) {
        if (write(to, bytes, (size_t)size) != size)
            return 1;
    }
    return size < 0;
}

static int cat(int argc, char **argv)
{
    int file = argc > 2 ? open(argv[2], O_RDONLY) : STDIN_FILENO;
    if (file < 0)
        perror(argv[2]);
    return file < 0 || copy(file, STDOUT_FILENO);
}

static int put(int argc, char **argv)
{
    int file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0)
        perror(argv[2]);
    return file < 0 || dprintf(file, "%s\n", argc > 3 ? argv[3] : "") < 0 || close(file) != 0;
}

static int allocate(int argc, char **argv)
{
    (void)argc;
    for (int left = atoi(argv[2]); left > 0; left--) {
        char *bytes = malloc(1 << 20);
        if (!bytes)
            return 3;
        memset(bytes, 1, 1 << 20);
    }
    puts("allocated");
    return 0;
}

static int lines(int argc, char **argv)
{
    (void)argc;
    for (int i = 0; i < atoi(argv[2]); i++)
        printf("line %d\n", i);
    return 0;
}

static int crash(int argc, char **argv)
{
    (void)argc, (void)argv;
    return *(volatile int *)8;
}

static int give_up(int argc, char **argv)
{
    (void)argc, (void)argv;
    abort();
}

static int tell_terminal(int argc, char **argv)
{
    char line[256] = "";
    (void)argc, (void)argv;
    printf("terminal %d %d\n", isatty(0), isatty(1));
    if (fgets(line, sizeof(line), stdin))
        printf("read %s", line);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*action)(int argc, char **argv);
    } actions[] = {{"id", id},       {"wait", wait_for_signals}, {"sleep", sleep_on}, {"exit", end},
                   {"cat", cat},     {"put", put},               {"crash", crash},    {"abort", give_up},
                   {"lines", lines}, {"allocate", allocate},     {"terminal", tell_terminal}};
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(actions) / sizeof(*actions); i++) {
        if (strcmp(argv[1], actions[i].name) == 0)
            return actions[i].action(argc, argv);
    }
    fputs("guest: no such action\n", stderr);
    return 2;
}
