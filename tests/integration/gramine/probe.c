/* Tells what a program sees in its enclave. The first argument says what. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t received;

static void note(int number)
{
    received = number;
}

static int show(int argc, char **argv)
{
    char cwd[4096] = "";
    char *result = getcwd(cwd, sizeof(cwd));
    printf("name %s\ncwd %s\nids %d %d\n", argv[0], result ? cwd : "", (int)getuid(), (int)getgid());
    for (int i = 2; i < argc; i++)
        printf("argument %s\n", argv[i]);
    printf("LINES %s\nTOKEN %s\n", getenv("LINES") ? getenv("LINES") : "-", getenv("TOKEN") ? getenv("TOKEN") : "-");
    return 0;
}

static int print_files(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        char line[4096];
        FILE *file = fopen(argv[i], "r");
        if (!file || !fgets(line, sizeof(line), file)) {
            printf("%s: %s\n", argv[i], strerror(errno));
            return 1;
        }
        fputs(line, stdout);
        fclose(file);
    }
    return 0;
}

static int write_files(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "w");
        if (!file || fputs("written\n", file) < 0 || fclose(file) != 0) {
            printf("%s: %s\n", argv[i], strerror(errno));
            return 1;
        }
    }
    return print_files(argc, argv);
}

static int wait_for_signal(void)
{
    signal(SIGTERM, note);
    puts("ready");
    fflush(stdout);
    while (!received)
        usleep(10000);
    printf("signal %d\n", (int)received);
    return 3;
}

int main(int argc, char **argv)
{
    const char *action = argc > 1 ? argv[1] : "";
    if (strcmp(action, "show") == 0)
        return show(argc, argv);
    if (strcmp(action, "cat") == 0)
        return print_files(argc, argv);
    if (strcmp(action, "write") == 0)
        return write_files(argc, argv);
    if (strcmp(action, "wait") == 0)
        return wait_for_signal();
    if (strcmp(action, "crash") == 0)
        raise(SIGSEGV);
    return argc > 2 ? atoi(argv[2]) : 9;
}
