#define _GNU_SOURCE
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME "enclavize-exec-"
#define LINK_SIZE 64
#define BACKLOG 512

/* "mnt:[4026531841]", say. */
static bool read_namespace(int process, const char *kind, char link[LINK_SIZE])
{
    char path[16];
    snprintf(path, sizeof(path), "ns/%s", kind);
    ssize_t length = readlinkat(process, path, link, LINK_SIZE - 1);
    if (length <= 0)
        return false;
    link[length] = 0;
    return true;
}

/* The mount namespace is what a container has for itself in any case: pods share network and PIDs, and the host may lend its own. */
static bool is_in_same_container(int one, int other)
{
    static const char *const kinds[] = {"mnt", "user", "pid"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        char first[LINK_SIZE], second[LINK_SIZE];
        if (!read_namespace(one, kinds[i], first) || !read_namespace(other, kinds[i], second) || strcmp(first, second) != 0)
            return false;
    }
    return true;
}

bool peer_look(int connection, struct peer *peer)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    char path[32];
    if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0 || credentials.pid <= 0)
        return false;
    snprintf(path, sizeof(path), "/proc/%d", credentials.pid);
    int own = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC), folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool same = own >= 0 && folder >= 0 && is_in_same_container(own, folder);
    if (own >= 0)
        close(own);
    *peer = (struct peer){credentials.pid, credentials.uid, credentials.gid, folder};
    if (!same)
        peer_close(peer);
    return same;
}

bool peer_is_alive(const struct peer *peer)
{
    char link[LINK_SIZE];
    return read_namespace(peer->folder, "mnt", link);
}

void peer_close(struct peer *peer)
{
    if (peer->folder >= 0)
        close(peer->folder);
    peer->folder = -1;
}

/* The part of the name that all runelets of this container begin with. */
static bool own_prefix(char prefix[LINK_SIZE + sizeof(NAME)])
{
    char link[LINK_SIZE];
    ssize_t length = readlink("/proc/self/ns/mnt", link, sizeof(link) - 1);
    if (length <= 0)
        return false;
    link[length] = 0;
    const char *digits = strchr(link, '[');
    if (!digits)
        return false;
    digits++;
    sprintf(prefix, NAME "%.*s-", (int)strcspn(digits, "]"), digits);
    return true;
}

static socklen_t make_address(struct sockaddr_un *address, const char *name)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    size_t length = strnlen(name, sizeof(address->sun_path) - 1);
    memcpy(address->sun_path + 1, name, length);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

int channel_listen(void)
{
    char prefix[LINK_SIZE + sizeof(NAME)], name[sizeof(prefix) + 17];
    uint64_t lot;
    struct sockaddr_un address;
    if (!own_prefix(prefix) || getrandom(&lot, sizeof(lot), 0) != sizeof(lot))
        return -1;
    snprintf(name, sizeof(name), "%s%016llx", prefix, (unsigned long long)lot);
    socklen_t size = make_address(&address, name);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return -1;
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, BACKLOG) != 0) {
        int error = errno;
        close(listener);
        errno = error;
        return -1;
    }
    return listener;
}

static int connect_to(const char *name, struct peer *peer)
{
    struct sockaddr_un address;
    socklen_t size = make_address(&address, name);
    int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection < 0)
        return -1;
    bool answers = connect(connection, (struct sockaddr *)&address, size) == 0;
    if (answers && peer_look(connection, peer))
        return connection;
    close(connection);
    errno = answers ? EACCES : ENOENT;
    return -1;
}

/* proc_pid_net(5): the name is the last of the fields, and "@" stands for the NUL that an abstract one begins with. */
static const char *name_in(char *line, const char *prefix)
{
    char *name = strrchr(line, ' ');
    if (!name || name[1] != '@' || strncmp(name + 2, prefix, strlen(prefix)) != 0)
        return NULL;
    name[strcspn(name, "\n")] = 0;
    return name + 2;
}

/* Anybody in the network namespace may have put names there: what counts is who answers. Of several runelets the first one is the container's. */
int channel_connect(void)
{
    char prefix[LINK_SIZE + sizeof(NAME)], *line = NULL;
    size_t room = 0;
    int found = -1, error = ENOENT;
    pid_t found_pid = INT_MAX;
    FILE *sockets = own_prefix(prefix) ? fopen("/proc/net/unix", "re") : NULL;
    if (!sockets) /* no /proc */
        return -1;
    while (getline(&line, &room, sockets) > 0) {
        struct peer peer;
        const char *name = name_in(line, prefix);
        if (!name)
            continue;
        int connection = connect_to(name, &peer);
        if (connection < 0) {
            error = errno == EACCES ? EACCES : error;
            continue;
        }
        peer_close(&peer);
        bool is_first = peer.pid < found_pid;
        int other = is_first ? found : connection;
        found = is_first ? connection : found;
        found_pid = is_first ? peer.pid : found_pid;
        if (other >= 0)
            close(other);
    }
    free(line);
    fclose(sockets);
    errno = error;
    return found;
}
