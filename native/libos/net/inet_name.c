/* struct sockaddr_in and struct sockaddr_in6 on their way to the host and back. */
#include "net/inet.h"

#define SIN6_LEN_RFC2133 24U /* without scope: include/linux/in6.h */

static uint32_t size_of(uint16_t family)
{
    return family == AF_INET6 ? SOCKADDR_IN6_SIZE : SOCKADDR_IN_SIZE;
}

uint32_t least_address(uint32_t domain)
{
    return domain == AF_INET6 ? SIN6_LEN_RFC2133 : SOCKADDR_IN_SIZE;
}

int64_t name_from_address(struct host_name *name, const struct address *address, uint32_t domain)
{
    uint16_t family = address_family(address);
    if (address->length < least_address(family == AF_INET ? AF_INET : domain)) {
        return -EINVAL;
    }
    if (family != domain && family != AF_INET) {
        return -EAFNOSUPPORT;
    }
    if (address->length < least_address(family)) {
        return -EINVAL;
    }
    name->length = size_of(family);
    memcpy(name->bytes, address->bytes, name->length); /* zeros behind what was given */
    return 0;
}

bool address_from_name(struct address *address, const struct host_name *name, uint32_t domain)
{
    uint16_t family;
    memcpy(&family, name->bytes, sizeof(family));
    if (family != domain || name->length != size_of(family)) {
        log_line(LOG_ERROR, "the host named a socket of family %u in family %u, with %u bytes", domain, family, name->length);
        return false;
    }
    memcpy(address->bytes, name->bytes, name->length);
    address->length = name->length;
    return true;
}
