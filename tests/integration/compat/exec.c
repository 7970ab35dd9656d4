#include <unistd.h>

int main(void)
{
    execl("/bin/hello", "hello", (char *)0);
    return 1;
}
