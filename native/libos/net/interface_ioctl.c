/* netdevice(7): struct ifreq and struct ifconf. */
#include "net/inet.h"
#include "net/interfaces.h"

/* Linux, include/uapi/linux/sockios.h. */
enum request {
    SIOCGIFNAME = 0x8910, SIOCGIFCONF = 0x8912, SIOCGIFFLAGS = 0x8913, SIOCGIFADDR = 0x8915, SIOCGIFDSTADDR = 0x8917,
    SIOCGIFBRDADDR = 0x8919, SIOCGIFNETMASK = 0x891B, SIOCGIFMETRIC = 0x891D, SIOCGIFMTU = 0x8921, SIOCGIFHWADDR = 0x8927,
    SIOCGIFINDEX = 0x8933, SIOCGIFTXQLEN = 0x8942,
    SIOCADDRT = 0x890B, SIOCDELRT = 0x890C, SIOCSIFFLAGS = 0x8914, SIOCSIFADDR = 0x8916, SIOCSIFDSTADDR = 0x8918, SIOCSIFBRDADDR = 0x891A,
    SIOCSIFNETMASK = 0x891C, SIOCSIFMETRIC = 0x891E, SIOCSIFMTU = 0x8922, SIOCSIFNAME = 0x8923, SIOCSIFHWADDR = 0x8924, SIOCSIFSLAVE = 0x8930,
    SIOCADDMULTI = 0x8931, SIOCDELMULTI = 0x8932, SIOCSIFPFLAGS = 0x8934, SIOCDIFADDR = 0x8936, SIOCSIFHWBROADCAST = 0x8937, SIOCSIFTXQLEN = 0x8943,
    SIOCSMIIREG = 0x8949, SIOCDARP = 0x8953, SIOCSARP = 0x8955, SIOCSIFMAP = 0x8971, SIOCBONDENSLAVE = 0x8990, SIOCBONDRELEASE = 0x8991,
    SIOCBRADDBR = 0x89A0, SIOCBRDELBR = 0x89A1, SIOCBRADDIF = 0x89A2, SIOCBRDELIF = 0x89A3, SIOCSHWTSTAMP = 0x89B0,
};
#define SIOC_TYPE 0x89U
#define TXQLEN 1000

struct ifreq {
    char name[16];
    union {
        struct {
            uint16_t family;
            uint8_t data[14];
        } address; /* struct sockaddr */
        int32_t number;
        uint16_t flags;
        uint8_t bytes[24];
    };
};
_Static_assert(sizeof(struct ifreq) == 40, "struct ifreq");

struct ifconf {
    int32_t length;
    int32_t padding;
    user_address requests;
};

#define IPV4_AT 2U /* in the data of a sockaddr, behind the port */

static void put_ipv4(struct ifreq *request, const uint8_t address[4])
{
    request->address.family = AF_INET;
    memset(request->address.data, 0, sizeof(request->address.data));
    memcpy(request->address.data + IPV4_AT, address, 4);
}

static void put_mask(struct ifreq *request, uint32_t prefix)
{
    uint8_t mask[4] = {0};
    for (uint32_t bit = 0; bit < prefix && bit < 32; bit++) {
        mask[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    }
    put_ipv4(request, mask);
}

/* The record that a request is about: of this name or number, and with an address of IPv4 where that is asked for. */
static const struct host_interface *find(const struct interfaces *interfaces, const struct ifreq *request, uint32_t code)
{
    bool by_number = code == SIOCGIFNAME;
    bool needs_ipv4 = code == SIOCGIFADDR || code == SIOCGIFDSTADDR || code == SIOCGIFBRDADDR || code == SIOCGIFNETMASK;
    for (size_t at = 0; at < interfaces->count; at++) {
        const struct host_interface *record = &interfaces->list[at];
        bool is_it = by_number ? (int32_t)record->index == request->number : strncmp(record->name, request->name, sizeof(record->name)) == 0;
        if (is_it && (!needs_ipv4 || record->family == AF_INET)) {
            return record;
        }
    }
    return NULL;
}

static bool has_name(const struct interfaces *interfaces, const char *name)
{
    for (size_t at = 0; at < interfaces->count; at++) {
        if (strncmp(interfaces->list[at].name, name, sizeof(interfaces->list[at].name)) == 0) {
            return true;
        }
    }
    return false;
}

static int64_t answer(struct ifreq *request, uint32_t code, const struct host_interface *record)
{
    switch (code) {
    case SIOCGIFNAME:
        memcpy(request->name, record->name, sizeof(request->name));
        return 0;
    case SIOCGIFFLAGS:
        request->flags = (uint16_t)record->flags;
        return 0;
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
        put_ipv4(request, record->address);
        return 0;
    case SIOCGIFBRDADDR:
        put_ipv4(request, record->broadcast);
        return 0;
    case SIOCGIFNETMASK:
        put_mask(request, record->prefix);
        return 0;
    case SIOCGIFMETRIC:
        request->number = 0;
        return 0;
    case SIOCGIFMTU:
        request->number = (int32_t)record->mtu;
        return 0;
    case SIOCGIFTXQLEN:
        request->number = TXQLEN;
        return 0;
    case SIOCGIFHWADDR:
        request->address.family = record->hardware_type;
        memset(request->address.data, 0, sizeof(request->address.data));
        memcpy(request->address.data, record->hardware, 6);
        return 0;
    case SIOCGIFINDEX:
        request->number = (int32_t)record->index;
        return 0;
    default:
        return -ENOTTY;
    }
}

/* All addresses of IPv4, as many as there is room for; without a buffer, the size for all. */
static int64_t list_all(const struct interfaces *interfaces, user_address argument)
{
    struct ifconf list;
    int32_t used = 0;
    if (copy_from_user(&list, argument, sizeof(list)) < 0) {
        return -EFAULT;
    }
    for (size_t at = 0; at < interfaces->count; at++) {
        struct ifreq entry = {0};
        if (interfaces->list[at].family != AF_INET) {
            continue;
        }
        if (list.requests != 0 && list.length - used < (int32_t)sizeof(entry)) {
            break;
        }
        memcpy(entry.name, interfaces->list[at].name, sizeof(entry.name));
        put_ipv4(&entry, interfaces->list[at].address);
        if (list.requests != 0 && copy_to_user(list.requests + (uint32_t)used, &entry, sizeof(entry)) < 0) {
            return -EFAULT;
        }
        used += (int32_t)sizeof(entry);
    }
    list.length = used;
    return copy_to_user(argument, &list, sizeof(list));
}

static int64_t ask_one(const struct interfaces *interfaces, uint32_t code, user_address argument)
{
    struct ifreq request;
    if (copy_from_user(&request, argument, sizeof(request)) < 0) {
        return -EFAULT;
    }
    request.name[sizeof(request.name) - 1] = '\0';
    const struct host_interface *record = find(interfaces, &request, code);
    if (!record) {
        return code != SIOCGIFNAME && has_name(interfaces, request.name) ? -EADDRNOTAVAIL : -ENODEV;
    }
    int64_t result = answer(&request, code, record);
    return result < 0 ? result : copy_to_user(argument, &request, sizeof(request));
}

static bool is_one_of(const uint16_t *codes, size_t count, uint32_t code)
{
    for (size_t at = 0; at < count; at++) {
        if (codes[at] == code) {
            return true;
        }
    }
    return false;
}

static bool is_known(uint32_t code)
{
    static const uint16_t known[] = {
        SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFDSTADDR, SIOCGIFBRDADDR, SIOCGIFNETMASK, SIOCGIFMETRIC,
        SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFTXQLEN,
    };
    return is_one_of(known, ARRAY_LENGTH(known), code);
}

/* Those that change something, for which CAP_NET_ADMIN is wanted: routes, interfaces, neighbours, bonds, bridges. */
static bool wants_rights(uint32_t request)
{
    static const uint16_t changes[] = {
        SIOCADDRT, SIOCDELRT, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFDSTADDR, SIOCSIFBRDADDR, SIOCSIFNETMASK, SIOCSIFMETRIC, SIOCSIFMTU, SIOCSIFNAME,
        SIOCSIFHWADDR, SIOCSIFSLAVE, SIOCADDMULTI, SIOCDELMULTI, SIOCSIFPFLAGS, SIOCDIFADDR, SIOCSIFHWBROADCAST, SIOCSIFTXQLEN, SIOCSMIIREG, SIOCDARP,
        SIOCSARP, SIOCSIFMAP, SIOCBONDENSLAVE, SIOCBONDRELEASE, SIOCBRADDBR, SIOCBRDELBR, SIOCBRADDIF, SIOCBRDELIF, SIOCSHWTSTAMP,
    };
    return is_one_of(changes, ARRAY_LENGTH(changes), request);
}

/* Linux takes a request in before it looks what is asked for (sock_do_ioctl()). */
static int64_t refuse(uint32_t request, user_address argument)
{
    struct ifreq unused;
    if (request >> 8 != SIOC_TYPE) {
        return -ENOTTY;
    }
    return copy_from_user(&unused, argument, sizeof(unused)) < 0 ? -EFAULT : wants_rights(request) ? -EPERM : -ENOTTY;
}

int64_t interface_ioctl(uint32_t request, user_address argument)
{
    struct interfaces interfaces;
    if (!is_known(request)) {
        return refuse(request, argument);
    }
    int64_t result = interfaces_read(&interfaces);
    if (result < 0) {
        return result;
    }
    result = request == SIOCGIFCONF ? list_all(&interfaces, argument) : ask_one(&interfaces, request, argument);
    interfaces_free(&interfaces);
    return result;
}
