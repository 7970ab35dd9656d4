/*
 * What the measured policy lets a program do with the network: a line for each call, "refused" for EACCES. Natively nothing is refused.
 *
 *     network_policy                every call once
 *     network_policy interfaces     the interfaces and addresses that getifaddrs(3) and netdevice(7) tell of
 *     network_policy proc           what /proc/net tells of sockets of this process, and of interfaces
 */
#define _GNU_SOURCE
#include "sockets.h"

#include <sys/stat.h>
#include <sys/un.h>

#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>

static void tell(const char *what, int result)
{
    printf("%s: %s\n", what, result >= 0 || errno != EACCES ? "allowed" : "refused");
}

static union name named(int family, const char *text, int port)
{
    union name name = loopback(family, port);
    CHECK(inet_pton(family, text, family == AF_INET ? (void *)&name.ipv4.sin_addr : (void *)&name.ipv6.sin6_addr) == 1);
    return name;
}

static void try_binding(int family, const char *text)
{
    char what[80];
    union name name = named(family, text, 0);
    int fd = socket(family, SOCK_STREAM, 0);
    snprintf(what, sizeof(what), "bind %s", text);
    tell(what, bind(fd, &name.any, name_size(family)));
    close(fd);
}

static void try_reaching(int family, const char *text)
{
    char what[80];
    union name name = named(family, text, 9);
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    snprintf(what, sizeof(what), "sendto %s", text);
    tell(what, (int)sendto(fd, "x", 1, 0, &name.any, name_size(family)));
    snprintf(what, sizeof(what), "connect %s", text);
    tell(what, connect(fd, &name.any, name_size(family)));
    close(fd);
}

/* Without a name, a socket that listens would be open to everybody. */
static void listen_without_a_name(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    union name name;
    socklen_t size = sizeof(name);
    if (listen(fd, 1) == 0 && getsockname(fd, &name.any, &size) == 0) {
        printf("listen without a name: %s\n", name.ipv4.sin_addr.s_addr == 0 ? "everywhere" : "loopback");
    }
    close(fd);
}

static void try_everything(void)
{
    static const char *const ipv4[] = {"127.0.0.1", "127.9.9.9", "0.0.0.0", "192.0.2.1"};
    static const char *const ipv6[] = {"::1", "::", "::ffff:127.0.0.1", "::ffff:192.0.2.1", "2001:db8::1"};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    tell("socket", fd);
    if (fd < 0) {
        return;
    }
    for (size_t at = 0; at < sizeof(ipv4) / sizeof(ipv4[0]); at++) {
        try_binding(AF_INET, ipv4[at]);
        try_reaching(AF_INET, ipv4[at]);
    }
    for (size_t at = 0; at < sizeof(ipv6) / sizeof(ipv6[0]); at++) {
        try_binding(AF_INET6, ipv6[at]);
        try_reaching(AF_INET6, ipv6[at]);
    }
    listen_without_a_name();
    int ends[2];
    stream_pair(AF_INET, ends);
    puts("a connection over loopback: allowed");
}

static int index_of(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    CHECK(ioctl(fd, SIOCGIFINDEX, &request) == 0 && close(fd) == 0);
    return request.ifr_ifindex;
}

static void show_address(const struct ifaddrs *entry)
{
    char text[INET6_ADDRSTRLEN] = "", mask[INET6_ADDRSTRLEN] = "";
    if (entry->ifa_addr == NULL) {
        return;
    }
    int family = entry->ifa_addr->sa_family;
    if (family == AF_INET) {
        inet_ntop(family, &((struct sockaddr_in *)(void *)entry->ifa_addr)->sin_addr, text, sizeof(text));
        inet_ntop(family, &((struct sockaddr_in *)(void *)entry->ifa_netmask)->sin_addr, mask, sizeof(mask));
    } else if (family == AF_INET6) {
        inet_ntop(family, &((struct sockaddr_in6 *)(void *)entry->ifa_addr)->sin6_addr, text, sizeof(text));
        inet_ntop(family, &((struct sockaddr_in6 *)(void *)entry->ifa_netmask)->sin6_addr, mask, sizeof(mask));
    }
    printf("%s %x family %d %s %s index %d\n", entry->ifa_name, entry->ifa_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_BROADCAST), family, text, mask, index_of(entry->ifa_name));
}

static void show_interfaces(void)
{
    struct ifaddrs *list;
    CHECK(getifaddrs(&list) == 0);
    for (const struct ifaddrs *entry = list; entry != NULL; entry = entry->ifa_next) {
        show_address(entry);
    }
    freeifaddrs(list);
    struct ifreq requests[64], request;
    struct ifconf all = {.ifc_len = sizeof(requests), .ifc_req = requests};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(ioctl(fd, SIOCGIFCONF, &all) == 0);
    for (int at = 0; at < all.ifc_len / (int)sizeof(requests[0]); at++) {
        request = requests[at];
        CHECK(ioctl(fd, SIOCGIFMTU, &request) == 0);
        int mtu = request.ifr_mtu;
        CHECK(ioctl(fd, SIOCGIFNETMASK, &request) == 0);
        printf("%s %s mask %x mtu %d\n", requests[at].ifr_name, inet_ntoa(((struct sockaddr_in *)(void *)&requests[at].ifr_addr)->sin_addr),
            ntohl(((struct sockaddr_in *)(void *)&request.ifr_netmask)->sin_addr.s_addr), mtu);
    }
    strcpy(request.ifr_name, "nothing0");
    CHECK(ioctl(fd, SIOCGIFFLAGS, &request) == -1 && errno == ENODEV);
    CHECK(if_nametoindex("nothing0") == 0);
}

/* The line of a socket: addresses without ports that change, and the state. */
static void show_socket(const char *what, const char *path, int fd)
{
    char line[300], own[64], peer[64];
    unsigned long inode;
    unsigned state, uid;
    struct stat status;
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fstat(fd, &status) == 0 && fgets(line, sizeof(line), file) != NULL);
    printf("%s", line);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "%*d: %63s %63s %x %*s %*s %*s %u %*d %lu", own, peer, &state, &uid, &inode) == 5 && inode == status.st_ino) {
            CHECK(strtoul(strchr(own, ':') + 1, NULL, 16) == (unsigned long)port_of(fd));
            printf("%s: %.*s %.*s %02x %u length %zu\n", what, (int)strcspn(own, ":"), own, (int)strcspn(peer, ":"), peer, state, uid, strlen(own) < 20 ? strlen(line) : 0); /* IPv6: as long as its numbers */
        }
    }
    fclose(file);
}

static void show_lines(const char *path, int columns)
{
    char line[300];
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        printf("%.*s\n", columns, line);
    }
    fclose(file);
}

static void show_heading(const char *path)
{
    char line[300];
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fgets(line, sizeof(line), file) != NULL);
    fputs(line, stdout);
    fclose(file);
}

/* Each protocol has a line of names and one of as many numbers. */
static void show_counters(void)
{
    char line[1000], name[1000], *rest;
    FILE *file = fopen("/proc/net/snmp", "r");
    CHECK(file != NULL);
    while (fgets(name, sizeof(name), file) != NULL && fgets(line, sizeof(line), file) != NULL) {
        int words = 0;
        for (char *word = strtok_r(name, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
            words++;
        }
        for (char *word = strtok_r(line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
            words--;
        }
        if (strcmp(name, "IcmpMsg:") != 0) { /* there as soon as there was one */
            printf("counters %s %d\n", name, words);
        }
    }
    fclose(file);
}

/* What /proc/net/unix has of a socket, by its inode, without what differs from kernel to kernel. */
static void show_unix_socket(const char *what, int fd)
{
    char line[300], path[200];
    struct stat status;
    FILE *file = fopen("/proc/net/unix", "r");
    CHECK(file != NULL && fstat(fd, &status) == 0 && fgets(line, sizeof(line), file) != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        unsigned protocol, flags, type, state;
        unsigned long inode;
        path[0] = 0;
        if (sscanf(line, "%*x: %*x %x %x %x %x %lu %199s", &protocol, &flags, &type, &state, &inode, path) >= 5 && inode == status.st_ino) {
            printf("unix %s: %x %x %x %x %s\n", what, protocol, flags, type, state, path);
        }
    }
    fclose(file);
}

static void show_unix(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0policy of networks\0tail"};
    int pair[2], listener = socket(AF_UNIX, SOCK_STREAM, 0), datagrams = socket(AF_UNIX, SOCK_DGRAM, 0), fresh = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(bind(listener, (struct sockaddr *)&name, sizeof(short) + 24) == 0 && listen(listener, 5) == 0);
    CHECK(bind(datagrams, (struct sockaddr *)&name, sizeof(short) + 8) == 0);
    show_unix_socket("pair", pair[0]);
    show_unix_socket("listens", listener);
    show_unix_socket("datagrams", datagrams);
    show_unix_socket("fresh", fresh);
}

static void show_proc(void)
{
    int listener = listening(AF_INET, 1), ends[2], six[2], datagrams = bound(AF_INET, SOCK_DGRAM), unbound = socket(AF_INET, SOCK_STREAM, 0);
    stream_pair(AF_INET, ends);
    stream_pair(AF_INET6, six);
    show_socket("listens", "/proc/net/tcp", listener);
    show_socket("client", "/proc/net/tcp", ends[0]);
    show_socket("server", "/proc/self/net/tcp", ends[1]);
    show_socket("no name", "/proc/net/tcp", unbound);
    CHECK(shutdown(ends[0], SHUT_WR) == 0);
    show_socket("half closed", "/proc/net/tcp", ends[1]);
    show_socket("IPv6", "/proc/net/tcp6", six[0]);
    show_socket("datagrams", "/proc/net/udp", datagrams);
    show_lines("/proc/net/dev", 7);
    show_lines("/proc/net/if_inet6", 38);
    show_unix();
    show_lines("/proc/net/sockstat6", 4);
    show_heading("/proc/net/route");
    show_heading("/proc/net/arp");
    show_counters();
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "interfaces") == 0) {
        show_interfaces();
    } else if (argc > 1 && strcmp(argv[1], "proc") == 0) {
        show_proc();
    } else {
        try_everything();
    }
    return 0;
}
