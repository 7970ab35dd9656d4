#include <stdio.h>
#include <stdlib.h>

/* Says where it is, then leaves with the code given as first argument (default 0). */
int main(int argc, char **argv) {
    char line[256] = "(no /etc/os-release)";
    FILE *release = fopen("/etc/os-release", "r");
    if (release) {
        if (fgets(line, sizeof line, release))
            for (char *c = line; *c; c++)
                if (*c == '\n')
                    *c = '\0';
        fclose(release);
    }
    printf("Hello from %s\n", line);
    return argc > 1 ? atoi(argv[1]) : 0;
}
