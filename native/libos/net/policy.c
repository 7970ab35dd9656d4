#include "net/policy.h"

#include "net/inet.h"

/* Where the parts of struct sockaddr_in and struct sockaddr_in6 stand. */
#define PORT_AT 2U
#define IN_ADDRESS_AT 4U
#define IN6_ADDRESS_AT 8U

enum zone { ZONE_LOOPBACK, ZONE_ANY, ZONE_ELSEWHERE };

static enum zone zone_of_ipv4(const uint8_t address[4])
{
    static const uint8_t any[4];
    return address[0] == 127 ? ZONE_LOOPBACK : memcmp(address, any, sizeof(any)) == 0 ? ZONE_ANY : ZONE_ELSEWHERE;
}

static enum zone zone_of(const uint8_t *name)
{
    static const uint8_t zeros[15], mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    uint16_t family;
    memcpy(&family, name, sizeof(family));
    if (family == AF_UNSPEC) {
        return ZONE_ANY; /* bind(2) takes it for AF_INET; connect(2) leaves the peer */
    }
    const uint8_t *address = name + (family == AF_INET6 ? IN6_ADDRESS_AT : IN_ADDRESS_AT);
    if (family != AF_INET6) {
        return zone_of_ipv4(address);
    }
    if (memcmp(address, mapped, sizeof(mapped)) == 0) {
        return zone_of_ipv4(address + sizeof(mapped));
    }
    if (memcmp(address, zeros, sizeof(zeros)) != 0) {
        return ZONE_ELSEWHERE;
    }
    return address[15] == 1 ? ZONE_LOOPBACK : address[15] == 0 ? ZONE_ANY : ZONE_ELSEWHERE;
}

static bool allows(uint64_t flag)
{
    return (configuration.policy & flag) != 0;
}

/* One line for a process: a program that is refused tries again. */
static bool refuse(const char *what, const char *needed)
{
    static uint32_t is_told;
    if (!__atomic_exchange_n(&is_told, 1, __ATOMIC_RELAXED)) {
        log_line(LOG_ERROR, "%s: the measured policy allows %s (build with --allow-network %s)", what,
            allows(POLICY_NETWORK_LOOPBACK) ? "loopback only" : "no network", needed);
    }
    return false;
}

bool policy_allows_sockets(void)
{
    return allows(POLICY_NETWORK_LOOPBACK | POLICY_NETWORK_ALL) || refuse("socket", "loopback or all");
}

/* "bind 10.0.0.1 port 80", for the line. */
static void describe(char *to, size_t size, const char *what, const uint8_t *name)
{
    uint16_t family;
    memcpy(&family, name, sizeof(family));
    uint32_t port = (uint32_t)name[PORT_AT] << 8 | name[PORT_AT + 1];
    const uint8_t *at = name + (family == AF_INET6 ? IN6_ADDRESS_AT : IN_ADDRESS_AT);
    if (family != AF_INET6) {
        format_text(to, size, "%s to %u.%u.%u.%u port %u", what, at[0], at[1], at[2], at[3], port);
        return;
    }
    size_t length = format_text(to, size, "%s to ", what);
    for (size_t group = 0; group < 8 && length < size; group++) {
        length += format_text(to + length, size - length, "%s%x", group > 0 ? ":" : "", (uint32_t)at[2 * group] << 8 | at[2 * group + 1]);
    }
    if (length < size) {
        format_text(to + length, size - length, " port %u", port);
    }
}

static bool refuse_name(const char *what, const uint8_t *name)
{
    char text[96];
    describe(text, sizeof(text), what, name);
    return refuse(text, "all");
}

bool policy_allows_binding(const uint8_t *name)
{
    return allows(POLICY_NETWORK_ALL) || zone_of(name) == ZONE_LOOPBACK || refuse_name("bind", name);
}

bool policy_allows_peer(const char *what, const uint8_t *name)
{
    return allows(POLICY_NETWORK_ALL) || zone_of(name) != ZONE_ELSEWHERE || refuse_name(what, name);
}

bool policy_allows_source(const uint8_t *name)
{
    return allows(POLICY_NETWORK_ALL) || zone_of(name) == ZONE_LOOPBACK;
}

bool policy_allows_everything(const char *what)
{
    return allows(POLICY_NETWORK_ALL) || refuse(what, "all");
}

bool policy_is_loopback(void)
{
    return !allows(POLICY_NETWORK_ALL);
}
