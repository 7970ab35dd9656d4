/* Hundreds of sockets that are connected, looked at and closed in all orders: each stays itself. */
#include "check.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKETS 600

static int sockets[SOCKETS];

static void open_all(void)
{
    for (int at = 0; at < SOCKETS; at++) {
        CHECK((sockets[at] = socket(AF_INET, SOCK_DGRAM, 0)) >= 0);
    }
}

static void connect_one(int at)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, name;
    socklen_t size = sizeof name;
    CHECK(connect(sockets[at], (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(getpeername(sockets[at], (struct sockaddr *)&name, &size) == 0 && name.sin_port == address.sin_port);
}

/* What looks at all of them comes to an end. */
static void look_at_all(void)
{
    char text[4096];
    FILE *file = fopen("/proc/net/udp", "r");
    while (file && fgets(text, sizeof text, file)) {
    }
    if (file) {
        fclose(file);
    }
}

int main(void)
{
    for (int turn = 0; turn < 3; turn++) {
        open_all();
        for (int at = 0; at < SOCKETS; at++) {
            connect_one(turn == 1 ? SOCKETS - 1 - at : at);
        }
        look_at_all();
        for (int at = 0; at < SOCKETS; at++) {
            CHECK(close(sockets[turn == 2 ? SOCKETS - 1 - at : at]) == 0);
        }
        look_at_all();
    }
    puts("many sockets ok");
}
