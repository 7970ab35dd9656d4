/*
 * One operation, so many times, for counting what it costs.
 *
 *     transitions start | heap MIB | thread COUNT | spawn COUNT | file PATH PAGES | serve COUNT
 *
 * serve: prints its port, then answers so many requests of one connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL

static void need(int condition, const char *what)
{
    if (!condition) {
        perror(what);
        exit(1);
    }
}

static void heap(unsigned long mebibytes)
{
    unsigned long size = mebibytes << 20;
    volatile char *memory = malloc(size); /* else the compiler leaves the stores out */
    need(memory != NULL, "malloc");
    for (unsigned long at = 0; at < size; at += PAGE) {
        memory[at] = 1;
    }
}

static void *nothing(void *unused)
{
    return unused;
}

static void threads(unsigned long count)
{
    pthread_t thread;
    for (; count > 0; count--) {
        need(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0, "pthread");
    }
}

static void spawn(const char *self, unsigned long count)
{
    int status;
    for (; count > 0; count--) {
        pid_t child = fork();
        need(child >= 0, "fork");
        if (child == 0) {
            execl(self, self, "nothing", NULL);
            _exit(1);
        }
        need(waitpid(child, &status, 0) == child && status == 0, "child");
    }
}

static void touch_file(const char *path, unsigned long pages)
{
    int file = open(path, O_RDONLY);
    const volatile char *mapped = mmap(NULL, pages * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    need(mapped != MAP_FAILED, path);
    for (unsigned long page = 0; page < pages; page++) {
        (void)mapped[page * PAGE];
    }
}

static void serve(unsigned long count)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    char request[4096];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    need(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0, "listen");
    need(getsockname(listener, (struct sockaddr *)&address, &size) == 0, "getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    int connection = accept(listener, NULL, NULL);
    need(connection >= 0, "accept");
    for (; count > 0; count--) {
        need(read(connection, request, sizeof request) > 0, "read");
        need(write(connection, answer, sizeof answer - 1) == sizeof answer - 1, "write");
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    unsigned long count = argc > 2 ? strtoul(argv[argc - 1], NULL, 10) : 0;
    if (strcmp(what, "start") == 0) {
        puts("hello");
    } else if (strcmp(what, "heap") == 0) {
        heap(count);
    } else if (strcmp(what, "thread") == 0) {
        threads(count);
    } else if (strcmp(what, "spawn") == 0) {
        spawn(argv[0], count);
    } else if (strcmp(what, "file") == 0 && argc > 3) {
        touch_file(argv[2], count);
    } else if (strcmp(what, "serve") == 0) {
        serve(count);
    } else {
        return strcmp(what, "nothing") != 0;
    }
    return 0;
}
