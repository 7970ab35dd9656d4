/* sync() and syncfs() reach what is stored on volumes, in mappings too. The folder is an argument; a byte of standard input ends the program. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    char byte;
    CHECK(count == 2 && chdir(arguments[1]) == 0);
    int file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600), folder = open(".", O_RDONLY | O_DIRECTORY);
    int memory = memfd_create("memory", 0), path = open("file", O_PATH);
    CHECK(file >= 0 && folder >= 0 && memory >= 0 && path >= 0 && ftruncate(file, 4096) == 0);
    char *view = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(view != MAP_FAILED);
    strcpy(view, "by sync");
    sync();
    puts("synced");
    CHECK(fflush(stdout) == 0 && read(STDIN_FILENO, &byte, 1) == 1);
    strcpy(view, "by syncfs");
    CHECK(syncfs(file) == 0 && syncfs(folder) == 0 && syncfs(memory) == 0);
    FAILS(syncfs(path), EBADF);
    FAILS(syncfs(-1), EBADF);
    puts("synced");
    CHECK(fflush(stdout) == 0 && read(STDIN_FILENO, &byte, 1) == 1);
    return 0;
}
