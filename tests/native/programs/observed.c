/* Does what test_programs.py looks for in its trace and its profile. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    char text[8];
    open("/missing", O_RDWR | O_CLOEXEC);
    int file = open("/tmp/new", O_RDWR | O_CREAT | O_EXCL, 0640);
    if (write(file, "a line\n\0\377\"\\", 11) != 11 || pread(file, text, 5, 2) != 5) {
        return 1;
    }
    close(file);
    close(77);
    mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 100; i++) {
        getppid();
    }
    return 0;
}
