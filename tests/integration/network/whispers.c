/* Says "whisper" over sockets of AF_UNIX of all kinds, and "shout" over loopback: who listens to the network hears the latter alone. */
#define _GNU_SOURCE
#include "../../native/programs/sockets.h"

#include <string.h>
#include <sys/un.h>

static void say(int from, int to, const char *words)
{
    char heard[100] = "";
    CHECK(send(from, words, strlen(words), 0) == (ssize_t)strlen(words));
    CHECK(recv(to, heard, sizeof(heard), 0) == (ssize_t)strlen(words) && strcmp(heard, words) == 0);
}

static void whisper(int type, const char *name, socklen_t length)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, type, 0), client = socket(AF_UNIX, type, 0), server = listener;
    memcpy(address.sun_path, name, length);
    CHECK(bind(listener, (struct sockaddr *)&address, (socklen_t)sizeof(short) + length) == 0);
    CHECK(type == SOCK_DGRAM || listen(listener, 1) == 0);
    CHECK(connect(client, (struct sockaddr *)&address, (socklen_t)sizeof(short) + length) == 0);
    if (type != SOCK_DGRAM) {
        server = accept(listener, NULL, NULL);
        say(server, client, "whisper");
    }
    say(client, server, "whisper");
}

int main(void)
{
    int pair[2], ends[2], datagrams = bound(AF_INET, SOCK_DGRAM), sender = socket(AF_INET, SOCK_DGRAM, 0);
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    for (unsigned at = 0; at < sizeof(types) / sizeof(types[0]); at++) {
        char path[] = "/tmp/whisper0", abstract[] = "\0whisper0";
        path[sizeof(path) - 2] += (char)at;
        abstract[sizeof(abstract) - 2] += (char)at;
        whisper(types[at], path, sizeof(path));
        whisper(types[at], abstract, sizeof(abstract) - 1);
        CHECK(socketpair(AF_UNIX, types[at], 0, pair) == 0);
        say(pair[0], pair[1], "whisper");
    }
    stream_pair(AF_INET, ends);
    say(ends[0], ends[1], "shout over TCP");
    stream_pair(AF_INET6, ends);
    say(ends[0], ends[1], "shout over IPv6");
    union name name = loopback(AF_INET, port_of(datagrams));
    CHECK(connect(sender, &name.any, sizeof(name.ipv4)) == 0);
    say(sender, datagrams, "shout over UDP");
    return 0;
}
