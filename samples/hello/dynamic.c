#include <stdio.h>

int once(int value);
int twice(int value);

/* Two shared libraries, one of which needs the other. */
int main(void) {
    printf("once %d, twice %d\n", once(21), twice(21));
    return twice(0);
}
