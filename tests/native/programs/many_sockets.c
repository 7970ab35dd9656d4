/* Hundreds of sockets that are connected, looked at and closed in all orders: each stays itself. */
#include "sockets.h"

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
    union name address = loopback(AF_INET, 9), name;
    socklen_t size = sizeof(name);
    CHECK(connect(sockets[at], &address.any, name_size(AF_INET)) == 0);
    CHECK(getpeername(sockets[at], &name.any, &size) == 0 && name.ipv4.sin_port == address.ipv4.sin_port);
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
