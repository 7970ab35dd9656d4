/* served PORT TEXT: asks the server beside it until it answers, and says so. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TRIES = 3000, PAUSE = 100000 }; /* microseconds: for five minutes */

int main(int count, char **words)
{
    if (count < 3)
        return 2;
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1]))};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < TRIES; i++, usleep(PAUSE)) {
        int peer = socket(AF_INET, SOCK_STREAM, 0);
        char answer[256] = {0};
        if (connect(peer, (struct sockaddr *)&place, sizeof place) == 0 &&
            write(peer, words[2], strlen(words[2])) > 0 && write(peer, "\r\n\r\n", 4) == 4 &&
            read(peer, answer, sizeof answer - 1) > 0) {
            printf("served: %.20s\n", answer);
            return 0;
        }
        close(peer);
    }
    return 1;
}
