/*
 * Who has opened one file appends beside others, and what they write does not mix; signals cut nothing short; streams are read in one go.
 *
 * appenders FOLDER COUNT: lines that each writer writes; with a LETTER as well: it is one writer of a file that is there, beside others who were started so.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define WRITERS 3
#define HALF 8
#define LARGE 700001L /* more than what goes to the host at once */
#define LARGE_COUNT 4

static const char path[] = "appended";
static long count;

static void append_lines(char letter)
{
    int file = open(path, O_WRONLY | O_APPEND);
    char line[2 * HALF];
    memset(line, letter, sizeof line);
    line[2 * HALF - 1] = '\n';
    struct iovec halves[] = {{line, HALF}, {line + HALF, HALF}};
    CHECK(file >= 0);
    for (long at = 0; at < count; at++) {
        CHECK(writev(file, halves, 2) == 2 * HALF);
    }
    CHECK(close(file) == 0);
}

static void append_large(char letter)
{
    int file = open(path, O_WRONLY | O_APPEND);
    char *line = malloc(LARGE);
    CHECK(file >= 0 && line != NULL);
    memset(line, letter, LARGE);
    line[LARGE - 1] = '\n';
    for (long at = 0; at < LARGE_COUNT; at++) {
        CHECK(write(file, line, LARGE) == LARGE);
    }
    free(line);
    CHECK(close(file) == 0);
}

static void empty_file(void)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0 && close(file) == 0);
}

static void check_lines(long length, long lines)
{
    char *line = malloc((size_t)length);
    int file = open(path, O_RDONLY);
    CHECK(line != NULL && file >= 0);
    for (long at = 0; at < lines; at++) {
        CHECK(read(file, line, (size_t)length) == length && line[length - 1] == '\n');
        CHECK(memcmp(line, line + 1, (size_t)length - 2) == 0); /* of one letter */
    }
    CHECK(read(file, line, 1) == 0 && close(file) == 0);
    free(line);
}

static void (*append)(char letter);

static void *run_writer(void *letter)
{
    append(*(const char *)letter);
    return NULL;
}

static void by_threads(void)
{
    static char letters[WRITERS] = "abc";
    pthread_t threads[WRITERS];
    empty_file();
    for (int at = 0; at < WRITERS; at++) {
        CHECK(pthread_create(&threads[at], NULL, run_writer, &letters[at]) == 0);
    }
    for (int at = 0; at < WRITERS; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
}

static void by_processes(void)
{
    empty_file();
    for (int at = 0; at < WRITERS; at++) {
        if (fork() == 0) {
            append((char)('a' + at));
            _exit(0);
        }
    }
    for (int at = 0, status; at < WRITERS; at++) {
        CHECK(wait(&status) > 0 && status == 0);
    }
}

static void together(void)
{
    static const struct {
        void (*append)(char letter);
        long length;
    } kinds[] = {{append_lines, 2 * HALF}, {append_large, LARGE}};
    for (int at = 0; at < 2; at++) {
        long lines = WRITERS * (at == 0 ? count : LARGE_COUNT);
        append = kinds[at].append;
        by_threads();
        check_lines(kinds[at].length, lines);
        by_processes();
        check_lines(kinds[at].length, lines);
    }
}

static volatile sig_atomic_t alarms;

static void note_alarm(int signal)
{
    (void)signal;
    alarms++;
}

/* signal(7): no handler interrupts a file. */
static void under_signals(void)
{
    struct sigaction action = {.sa_handler = note_alarm}; /* without SA_RESTART */
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    char *data = calloc(1, LARGE);
    CHECK(data != NULL && sigaction(SIGALRM, &action, NULL) == 0);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    while (alarms < 50) {
        CHECK(pwrite(file, data, LARGE, 0) == LARGE && pread(file, data, LARGE, 0) == LARGE);
    }
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0 && close(file) == 0);
    free(data);
}

static long read_parts(int descriptor)
{
    char first[4], rest[60];
    struct iovec parts[] = {{first, 0}, {first, sizeof first}, {rest, sizeof rest}};
    long result = readv(descriptor, parts, 3);
    CHECK(result < 8 || (memcmp(first, "1234", 4) == 0 && memcmp(rest, "5678", 4) == 0));
    return result;
}

static void streams(void)
{
    static const char text[] = "12345678";
    char word[8];
    int ends[2], event = eventfd(5, 0), master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(pipe(ends) == 0 && write(ends[1], text, 8) == 8 && read_parts(ends[0]) == 8);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && write(ends[1], text, 8) == 8 && read_parts(ends[0]) == 8);
    struct iovec halves[] = {{word, 4}, {word + 4, 4}};
    CHECK(event >= 0 && readv(event, halves, 2) == 8 && word[0] == 5);
    CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    struct termios raw;
    CHECK(slave >= 0 && tcgetattr(slave, &raw) == 0);
    cfmakeraw(&raw);
    CHECK(tcsetattr(slave, TCSANOW, &raw) == 0 && write(slave, text, 8) == 8 && read_parts(master) == 8);
    CHECK(write(master, text, 8) == 8 && read_parts(slave) == 8);
}

int main(int argc, char **argv)
{
    CHECK(argc >= 3 && chdir(argv[1]) == 0);
    count = atol(argv[2]);
    if (argc > 3) {
        append_lines(argv[3][0]);
        return 0;
    }
    together();
    under_signals();
    CHECK(unlink(path) == 0);
    streams();
    puts("transfers ok");
    return 0;
}
