/* The families that there are. */
#include "net/families.h"

static const struct socket_family *const families[] = {&unix_family, &ipv4_family, &ipv6_family, &netlink_family};

const struct socket_family *family_of(uint32_t domain)
{
    for (size_t at = 0; at < ARRAY_LENGTH(families); at++) {
        if (families[at]->domain == domain) {
            return families[at];
        }
    }
    return NULL;
}
